"""An end that is broken off between any two of its statements is ended by the next attempt.

Every place between two statements is tried, one after the other, until an end comes through
without meeting one. Whoever tries again knows nothing of the first attempt, as after a kill.
"""

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from bot.demo import postgres
from db_grants import naming
from db_grants.postgres import PostgresEngine
from db_grants.spec import Closed, Credential, GrantSpec, ManagedRole, Removed
from tests import holders
from tests.faults.cutter import Cutter
from tests.faults.target import UNREACHED, small_server, tried_again
from tests.fixtures_postgres import Shop
from tests.holders import is_cut

pytestmark = pytest.mark.faults

DEADLINE = 5.0
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def shop_server(folder: Path) -> Iterator[postgres.Server]:
    """A server of this module's own."""
    yield from small_server(folder)


@dataclass(frozen=True, kw_only=True)
class Held:
    """A grant with everything that makes its end long."""

    role: ManagedRole
    credential: Credential
    session: psycopg.Connection


class Scene:
    """One shop, holders in it, and attempts to end them over a wire that breaks."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.wire = Cutter(shop.server.port)
        self.whole: PostgresEngine = shop.engine(deadline=DEADLINE)
        with shop.connect() as admin:
            admin.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
        self.before = self.catalogue()

    def breaking(self) -> PostgresEngine:
        """An engine of a bot that does not live long, its first connection made."""
        url = self.shop.bot_url.replace(f":{self.shop.server.port}/", f":{self.wire.port}/")
        made = PostgresEngine(url, deadline=DEADLINE)
        self.shop.engines.append(made)
        tried_again(made.server_time)
        return made

    def held(self, number: int) -> Held:
        """A holder who is logged in, has made a table, and has prepared a transaction."""
        grant_id = f"cut{number:05d}"
        name, until = naming.managed_role(grant_id), datetime.now(UTC) + HOUR
        role = self.whole.create(
            GrantSpec(grant_id=grant_id, role_name=name, scope=self.shop.scope(), expires_at=until)
        )
        given = self.whole.reveal(role, until, self.shop.database)
        session = self.log_in(given)
        session.execute("CREATE TABLE public.loot AS SELECT name FROM app.customers")
        session.execute("GRANT SELECT ON public.loot TO PUBLIC")
        session.execute("BEGIN")
        session.execute("CREATE TABLE public.later (id int)")
        session.execute("PREPARE TRANSACTION 'later'")
        return Held(role=role, credential=given, session=session)

    def plain(self, number: int, of: int) -> list[tuple[ManagedRole, Credential]]:
        """So many grants whose holders are not there and have left nothing."""
        until, made = datetime.now(UTC) + HOUR, []
        for place in range(of):
            grant_id = f"p{place}n{number:05d}"
            name, scope = naming.managed_role(grant_id), self.shop.scope("read_orders")
            spec = GrantSpec(grant_id=grant_id, role_name=name, scope=scope, expires_at=until)
            role = self.whole.create(spec)
            made.append((role, self.whole.reveal(role, until, self.shop.database)))
        return made

    def log_in(self, given: Credential) -> psycopg.Connection:
        return holders.log_in(self.shop, given)

    def lets_in(self, given: Credential) -> bool:
        try:
            self.log_in(given).close()
        except psycopg.OperationalError:
            return False
        return True

    def ends(self, held: Held) -> None:
        """The next attempt ends it."""
        tried_again(lambda: self.whole.close(held.role))
        assert tried_again(lambda: self.whole.remove(held.role)).clean
        self.is_over(held)

    def is_over(self, held: Held) -> None:
        """Nobody is in, nobody comes in, and nothing is left but what was set aside."""
        with contextlib.closing(held.session):
            assert is_cut(held.session)
        assert not self.lets_in(held.credential)
        with self.shop.connect() as admin:
            owner = "SELECT tableowner FROM pg_tables WHERE tablename IN ('loot', 'later')"
            assert admin.execute(owner).fetchall() == [(naming.QUARANTINE,)]
            assert admin.execute("SELECT gid FROM pg_prepared_xacts").fetchall() == []
            quarantine = sql.Identifier(naming.QUARANTINE)
            admin.execute(sql.SQL("DROP OWNED BY {}").format(quarantine))
        assert self.catalogue() == self.before

    def catalogue(self) -> dict[str, object]:
        """Roles, memberships, comments on roles and what depends on roles."""
        asked = {
            "roles": "SELECT * FROM pg_roles ORDER BY oid",
            "members": "SELECT roleid, member, grantor, admin_option FROM pg_auth_members"
            " ORDER BY 1, 2, 3",
            "comments": "SELECT * FROM pg_shdescription ORDER BY 1, 2",
            "dependencies": "SELECT * FROM pg_shdepend ORDER BY 1, 2, 3, 4, 5, 6",
        }
        with self.shop.connect() as admin:
            return {name: admin.execute(query).fetchall() for name, query in asked.items()}


@pytest.fixture
def scene(shop: Shop) -> Iterator[Scene]:
    made = Scene(shop)
    yield made
    made.wire.close()


@pytest.mark.fault(
    "F-15",
    "the bot dies between any two statements that end access",
    how="the wire is cut after the n-th statement, for every n",
    expects="the next attempt ends it; a door once shut stays shut meanwhile",
)
def test_broken_off_between_any_two_statements_access_ends_at_the_next_attempt(
    scene: Scene,
) -> None:
    shut_since = None
    for count in itertools.count():
        held = scene.held(count)
        engine = scene.breaking()
        scene.wire.cut_after(count)
        with contextlib.suppress(*UNREACHED):
            engine.close(held.role)
        scene.wire.spare()
        shut = not scene.lets_in(held.credential)
        assert shut or shut_since is None, f"open again after {count} statements"
        shut_since = count if shut and shut_since is None else shut_since
        scene.ends(held)
        if not scene.wire.lost.is_set():
            break
    assert shut_since is not None
    assert 0 < shut_since < count


@pytest.mark.fault(
    "F-16",
    "the bot dies between any two statements that remove what is left",
    how="the wire is cut after the n-th statement, for every n",
    expects="the next attempt leaves nothing; nobody can log in meanwhile; no table is lost",
)
def test_broken_off_between_any_two_statements_what_is_left_goes_at_the_next_attempt(
    scene: Scene,
) -> None:
    for count in itertools.count():
        held = scene.held(count)
        engine = scene.breaking()
        engine.close(held.role)
        scene.wire.cut_after(count)
        with contextlib.suppress(*UNREACHED):
            engine.remove(held.role)
        scene.wire.spare()
        assert not scene.lets_in(held.credential)
        scene.ends(held)
        if not scene.wire.lost.is_set():
            break
    assert count > 5


@pytest.mark.fault(
    "F-15b",
    "the bot dies between any two statements that end many grants at once",
    how="the wire is cut after the n-th statement, for every n",
    expects="the next attempt ends all of them; nothing is left of any; no door opens again",
)
@pytest.mark.parametrize("phase", ["close", "remove"])
def test_broken_off_while_many_are_ended_all_end_at_the_next_attempt(
    scene: Scene, phase: str
) -> None:
    for count in itertools.count():
        held, plain = scene.held(count), scene.plain(count, of=2)
        roles = [held.role, *(role for role, _ in plain)]
        engine = scene.breaking()
        if phase == "remove":
            engine.close_all(roles)
        scene.wire.cut_after(count)
        with contextlib.suppress(*UNREACHED):
            engine.close_all(roles) if phase == "close" else engine.remove_all(roles)
        scene.wire.spare()
        shut = [not scene.lets_in(given) for _, given in plain]
        ended = scene.whole.close_all(roles)
        assert [type(each) for each in ended.values()] == [Closed] * len(roles)
        assert not any(scene.lets_in(given) for _, given in plain)
        left = scene.whole.remove_all(roles).values()
        assert [isinstance(each, Removed) and each.clean for each in left] == [True] * len(roles)
        scene.is_over(held)
        assert phase == "close" or all(shut)
        if not scene.wire.lost.is_set():
            break
    assert all(shut)
    assert count > 2
