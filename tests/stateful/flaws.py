"""Flaws to build in on purpose, into each process that starts: the histories must find each of them."""

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from psycopg import sql

from bot import catalog, errors, model, store
from bot.telling import notices
from db_grants import spec
from tests.real_world import CATALOG, Replica


def closes_nothing(replica: Replica) -> None:
    """Ends are recorded, and the target is never told."""
    link: Any = replica.link

    def closed(_role: spec.ManagedRole) -> spec.Closed:
        return spec.Closed(at=replica.world.clock.now(), sessions_cut=())

    link.close = closed
    link.close_all = lambda roles: {role.grant_id: closed(role) for role in roles}


def forgets_the_role(replica: Replica) -> None:
    """Removal is reported, and the role stays."""
    link: Any = replica.link

    def removed(_role: spec.ManagedRole) -> spec.Removed:
        return spec.Removed(at=replica.world.clock.now(), quarantined=(), residue=())

    link.remove = removed
    link.remove_all = lambda roles: {role.grant_id: removed(role) for role in roles}


def grants_too_much(replica: Replica) -> None:
    """The role may read one more column than was decided."""
    create = replica.link.engine.create

    def more(wanted: spec.GrantSpec, _near: spec.Near | None = None) -> spec.ManagedRole:
        role: spec.ManagedRole = create(wanted)
        with replica.world.shop.connect() as admin:
            statement = sql.SQL("GRANT SELECT (ssn) ON app.customers TO {}")
            admin.execute(statement.format(sql.Identifier(role.name)))
        return role

    replica.link.create = more  # type: ignore[attr-defined]


def never_lapses(replica: Replica) -> None:
    """What is due is not looked for."""
    replica.bot.grants.begin_due = lambda *_: ()  # type: ignore[method-assign]


def says_it_first(replica: Replica) -> None:
    """Slack is told that access is live before it is."""
    submit = replica.bot.access.submit

    def eager(draft: model.Draft) -> model.Story:
        story = submit(draft)
        now = replica.world.clock.now()
        with replica.store.begin(store.SYSTEM) as tx:
            notices.line(tx, story.request.id, notices.Line.LIVE, now, role="x")
        return story

    replica.bot.access.submit = eager  # type: ignore[method-assign]


def goes_by_an_old_catalog(replica: Replica) -> None:
    """What was taken out of the catalog is still granted."""
    old = catalog.loads(CATALOG.replace("DATABASE", replica.world.shop.database))
    replica.bot.access._catalog = lambda: old


def forgets_where_it_was(replica: Replica) -> None:
    """A live grant is looked for where the catalog says that its target is now."""
    ending = replica.bot.grants._ending
    ending.closing._engines = ending.cleaning._engines = replica.engines


def ignores_fences(replica: Replica) -> None:
    """Who was paused records what it did, whoever took over meanwhile."""
    begin = replica.store.begin

    @contextmanager
    def unfenced(*args: Any, **kwargs: Any) -> Iterator[store.Transaction]:
        with begin(*args, **kwargs) as tx:
            tx.change_grants = functools.partial(_each, tx)  # type: ignore[method-assign]
            yield tx

    replica.store.begin = unfenced  # type: ignore[method-assign]


def _each(
    tx: store.Transaction, expected: model.GrantStatus, batch: Sequence[store.Change]
) -> tuple[model.Grant, ...]:
    told = []
    for each in batch:
        with suppress(errors.Conflict):
            id_ = each.grant.id
            if each.to is not None:
                told.append(tx.move_grant(id_, expected, each.to, **each.changes))
            else:
                told.append(tx.note_grant(id_, expected, event=each.event, **each.changes))
    return tuple(told)


def undoes_nothing(replica: Replica) -> None:
    """A role that was made after its grant had been ended elsewhere is left there."""
    replica.bot.grants._activation._undo = lambda *_: None  # type: ignore[method-assign]


def never_reconciles(replica: Replica) -> None:
    """What only the target knows of is never looked for."""
    replica.bot.reconciler.due = lambda: ()  # type: ignore[method-assign]
