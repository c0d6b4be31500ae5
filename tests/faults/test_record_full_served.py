"""`jit serve` whose record cannot grow: the kernel refuses it every write at the end of the log.

The process may write no file beyond a size (RLIMIT_FSIZE), and the write-ahead log of its record is
made longer than that by somebody else, and kept so by a reader.
"""

import contextlib
import pathlib
import resource
import sqlite3
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from bot import model
from bot.demo.workspace import server
from tests.fixtures_core import wait_for
from tests.fixtures_postgres import Shop
from tests.fixtures_served import PATIENCE, Served
from tests.holders import is_cut
from tests.scenario.conftest import ANA, AUDIT, BO, GENERAL, text_of

pytestmark = pytest.mark.faults

MOST = 2 << 20  # bytes of any file the process writes
PASSWORD = "set-by-the-test"


class Cramped(Served):
    """That process, and its record's log."""

    def start_cramped(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (MOST, hard))
        try:
            self.start()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    @contextlib.contextmanager
    def without_room(self) -> Iterator[None]:
        """Whatever is written now goes behind what the process may write."""
        path = self.environ["JIT_DATABASE_URL"].removeprefix("sqlite:///")
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
        for number in range(4):
            self.store.put(f"filler:{number}", "x" * (MOST // 3))
        assert pathlib.Path(f"{path}-wal").stat().st_size > MOST
        yield
        reader.execute("COMMIT")
        (busy, *_) = reader.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert not busy
        reader.close()

    def audit(self) -> list[str]:
        return [text_of(message) for message in self.workspace.messages(AUDIT)]

    def whispers(self, user: str) -> list[str]:
        shown = self.workspace.messages(GENERAL, as_user=user)
        return [text_of(message) for message in shown if message.only_for == user]

    def holder(self, role: str) -> psycopg.Connection:
        with self.shop.connect() as admin:
            named, given = sql.Identifier(role), sql.Literal(PASSWORD)
            admin.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(named, given))
        url = self.shop.server.url(self.shop.database, role, PASSWORD)
        return psycopg.connect(url, autocommit=True)


@pytest.fixture
def served(
    tmp_path: pathlib.Path, shop: Shop, workspace_server: server.Server
) -> Iterator[Cramped]:
    made = Cramped(tmp_path, shop, workspace_server)
    yield made
    made.close()


@pytest.mark.fault(
    "F-36d",
    "a running bot can write nothing to its record any more",
    how="a limit on the size of files for a real process, and a log that is longer",
    expects="asking is refused in words, due access ends, the alarm is in Slack; recorded afterwards",
)
def test_a_bot_without_room_refuses_ends_and_is_heard(served: Cramped) -> None:
    served.start_cramped()
    served.ask()
    grant = served.reaches(model.GrantStatus.ACTIVE)
    wait_for(lambda: served.store.outbox_depth() == 0, PATIENCE)
    with contextlib.closing(served.holder(grant.role_name)) as session, served.without_room():
        served.workspace.slash(BO, GENERAL, "/jit read_orders 30m another reason")
        told = "cannot be written just now, so nothing was changed"
        wait_for(lambda: any(told in said for said in served.whispers(BO)), PATIENCE)
        wait_for(lambda: any("cannot be written" in said for said in served.audit()), PATIENCE)
        served.end_now()
        wait_for(lambda: is_cut(session), PATIENCE)
        assert served.store.grant(grant.id).access_ended_at is None
        assert len(served.store.requests()) == 1
    over = served.reaches(model.GrantStatus.ENDED)
    assert over.access_ended_at is not None
    assert served.roles() == []
    served.workspace.slash(ANA, GENERAL, "/jit read_orders 30m once more")
    wait_for(lambda: any("can be written again" in said for said in served.audit()), PATIENCE)
    wait_for(lambda: served.store.outbox_depth() == 0, PATIENCE)
    assert served.said("Access ended and verified") == 1
