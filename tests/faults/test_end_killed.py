"""`jit serve` killed by SIGKILL in the middle of what it does in the target to end access."""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from bot import model
from bot.demo.workspace import server
from db_grants import naming
from tests.faults.cutter import Cutter
from tests.fixtures_core import wait_for
from tests.fixtures_postgres import Shop
from tests.fixtures_served import PATIENCE, Served
from tests.holders import is_cut

pytestmark = pytest.mark.faults

STEPS = {  # in the order of an end, by words that only they have
    "door": b"EXECUTE shut_roles",
    "sessions": b"pg_terminate_backend",
    "prepared": b"ROLLBACK PREPARED",
    "objects": b"REASSIGN OWNED BY",
    "privileges": b'"strip_quarantined"',
    "drop": b"EXECUTE drop_roles",
}
PASSWORD = "chosen-by-the-holder"


@pytest.fixture
def wire(shop: Shop) -> Iterator[Cutter]:
    with Cutter(shop.server.port) as made:
        yield made


@pytest.fixture
def served(
    tmp_path: pathlib.Path, shop: Shop, workspace_server: server.Server, wire: Cutter
) -> Iterator[Served]:
    made = Served(tmp_path, shop, workspace_server)
    direct = made.environ["SHOP_URL"]
    made.environ["SHOP_URL"] = direct.replace(f":{shop.server.port}/", f":{wire.port}/")
    yield made
    made.close()


def holder(served: Served, grant: model.Grant) -> psycopg.Connection:
    """Logged in, with a table made and a transaction prepared."""
    with served.shop.connect() as admin:
        admin.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
        named = sql.Identifier(grant.role_name)
        password = sql.SQL("ALTER ROLE {} PASSWORD {}").format(named, sql.Literal(PASSWORD))
        admin.execute(password)
    url = served.shop.server.url(served.shop.database, grant.role_name, PASSWORD)
    connection = psycopg.connect(url, autocommit=True)
    connection.execute("CREATE TABLE public.loot (id int)")
    connection.execute("BEGIN")
    connection.execute("CREATE TABLE public.later (id int)")
    connection.execute("PREPARE TRANSACTION 'later'")
    return connection


def asked(shop: Shop, query: str) -> list[Any]:
    with shop.connect() as admin:
        return [row[0] for row in admin.execute(query)]


@pytest.mark.fault(
    "F-17",
    "SIGKILL behind each kind of statement of an end",
    how="a real process is killed, and its wire cut, behind that statement",
    expects="after the restart it ends once; no session, transaction or role remains, no table lost",
)
@pytest.mark.parametrize("step", STEPS)
def test_killed_behind_a_statement_of_an_end_it_ends_once(
    served: Served, wire: Cutter, step: str
) -> None:
    process = served.start()
    served.ask()
    grant = served.reaches(model.GrantStatus.ACTIVE)
    session = holder(served, grant)
    wire.strike = process.kill
    wire.cut_behind(STEPS[step])
    served.end_now()
    assert wire.lost.wait(PATIENCE)
    served.died()
    assert served.store.grant(grant.id).status is model.GrantStatus.REVOKING
    served.start()
    over = served.reaches(model.GrantStatus.ENDED)
    assert over.access_ended_at is not None
    assert served.roles() == []
    assert asked(served.shop, "SELECT gid FROM pg_prepared_xacts") == []
    with contextlib.closing(session):
        assert is_cut(session)
    owner = "SELECT tableowner::text FROM pg_tables WHERE tablename IN ('loot', 'later')"
    assert asked(served.shop, owner) == [naming.QUARANTINE]
    wait_for(lambda: served.store.outbox_depth() == 0, PATIENCE)
    assert served.said("Access ended and verified") == 1
    events = [event.type for event in served.store.events_of(grant.id)]
    assert events.count("grant.access_ended") == events.count("grant.ended") == 1
