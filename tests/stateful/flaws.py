"""Flaws to build in on purpose: the random histories must find each of them."""

from psycopg import sql

from bot import model, notices, store
from db_grants import spec
from tests.real_world import RealWorld


def closes_nothing(world: RealWorld) -> None:
    """Ends are recorded, and the target is never told."""
    world.link.close = lambda role: spec.Closed(  # type: ignore[method-assign]
        at=world.clock.now(), sessions_cut=()
    )


def forgets_the_role(world: RealWorld) -> None:
    """Removal is reported, and the role stays."""
    world.link.remove = lambda role: spec.Removed(  # type: ignore[attr-defined]
        at=world.clock.now(), quarantined=(), residue=()
    )


def grants_too_much(world: RealWorld) -> None:
    """The role may read one more column than was decided."""
    create = world.link.create

    def more(wanted: spec.GrantSpec) -> spec.ManagedRole:
        role: spec.ManagedRole = create(wanted)
        with world.shop.connect() as admin:
            statement = sql.SQL("GRANT SELECT (ssn) ON app.customers TO {}")
            admin.execute(statement.format(sql.Identifier(role.name)))
        return role

    world.link.create = more  # type: ignore[attr-defined]


def never_lapses(world: RealWorld) -> None:
    """What is due is not looked for."""
    world.bot.grants.begin_due = tuple  # type: ignore[method-assign]


def says_it_first(world: RealWorld) -> None:
    """Slack is told that access is live before it is."""
    submit = world.bot.access.submit

    def eager(draft: model.Draft) -> model.Story:
        story = submit(draft)
        with world.store.begin(store.SYSTEM) as tx:
            notices.line(tx, story.request.id, notices.Line.LIVE, world.clock.now(), role="x")
        return story

    world.bot.access.submit = eager  # type: ignore[method-assign]
