"""`jit serve` as a process of its own: killed by SIGKILL between two steps, started again, stopped."""

import gc
import pathlib
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from bot import clock, model, store
from bot.asking import grants
from bot.cli import serve
from bot.deciding import context
from bot.demo import bot_process
from bot.demo.workspace import server
from tests.fixtures_core import Directory, wait_for
from tests.fixtures_postgres import Shop
from tests.integration.test_core_crashes import ENDING, GRANTING

CATALOG = """
channels: {approvals: "#db-access", audit: "#db-audit"}
targets:
  shop: {url_env: SHOP_URL, environment: production}
entitlements:
  read_orders:
    target: shop
    scope: [{table: app.orders, can: read}]
    requesters: [everyone]
    approval: owners
rules:
  owners: {approvers: ["@data-owners"], auto_approve_up_to: 30m}
"""
PATIENCE = 30.0  # seconds; a process starts within one or two


class Served:
    """A bot process over a real target and the local workspace."""

    def __init__(self, folder: pathlib.Path, shop: Shop, running: server.Server) -> None:
        self.folder = folder
        self.shop = shop
        self.workspace: Any = running.workspace
        (folder / "catalog.yml").write_text(CATALOG)
        self.environ = {
            "SLACK_BOT_TOKEN": running.workspace.bot_token,
            "SLACK_APP_TOKEN": running.workspace.app_token,
            "SLACK_API_URL": running.api_url,
            "JIT_DATABASE_URL": f"sqlite:///{folder / 'state.sqlite3'}",
            "JIT_CATALOG": str(folder / "catalog.yml"),
            "SHOP_URL": shop.bot_url,
        }
        self.clock = clock.SystemClock()
        self.store = store.open_store(self.environ["JIT_DATABASE_URL"], self.clock)
        self.process: bot_process.BotProcess | None = None

    def start(self, fault: str = "") -> bot_process.BotProcess:
        environ = {**self.environ, "JIT_FAULT": f"{fault}:kill" if fault else ""}
        self.process = bot_process.BotProcess(environ, self.folder / "bot.log", self.folder)
        self.process.start()
        self.workspace.wait_for(lambda: self.workspace.connected, timeout=PATIENCE)
        return self.process

    def died(self) -> None:
        process = self.process
        assert process is not None
        wait_for(lambda: not process.alive, PATIENCE)
        process.stop()
        self.workspace.wait_for(lambda: not self.workspace.connected, timeout=PATIENCE)

    def ask(self) -> None:
        self.workspace.slash("U0ANA", "C0GENERAL", "/jit read_orders 30m export stuck")

    def grant(self) -> model.Grant | None:
        return next(iter(self.store.grants()), None)

    def reaches(self, status: model.GrantStatus) -> model.Grant:
        def there() -> bool:
            grant = self.grant()
            return grant is not None and grant.status is status

        wait_for(there, PATIENCE)
        grant = self.grant()
        assert grant is not None
        return grant

    def end_now(self) -> None:
        """What `jit shorten ID --left 0s` does."""
        grant = self.reaches(model.GrantStatus.ACTIVE)
        directory: context.Directory = Directory()
        operator = grants.Grants(
            store=self.store,
            engines={},
            catalog=lambda: pytest.fail("an operator needs no catalog"),
            directory=directory,
            clock=self.clock,
        )
        operator.shorten(grant.id, timedelta(0), "root")

    def roles(self) -> list[str]:
        with psycopg.connect(self.shop.admin_url) as admin:
            query = "SELECT rolname FROM pg_roles WHERE rolname ~ '^jit_[0-9a-z]{8}$'"
            return [name for (name,) in admin.execute(query)]

    def said(self, words: str) -> int:
        """How many messages in the approval channel and its threads say so."""
        cards = self.workspace.messages("C0ACCESS")
        thread = [m for c in cards for m in self.workspace.messages("C0ACCESS", thread_ts=c.ts)]
        return sum(words in str((m.text, m.blocks)) for m in {m.ts: m for m in thread}.values())

    def close(self) -> None:
        if self.process is not None:
            self.process.stop()
        assert self.store.verify_chain().ok
        self.store.close()


@pytest.fixture
def served(tmp_path: pathlib.Path, shop: Shop, workspace_server: server.Server) -> Iterator[Served]:
    made = Served(tmp_path, shop, workspace_server)
    yield made
    made.close()


@pytest.mark.fault(
    "F-09",
    "SIGKILL at any step of granting",
    how="checkpoint kills a real process",
    expects="after the restart one grant and its role, said once",
)
@pytest.mark.parametrize("name", [n for n in GRANTING if n != "decision-recorded"])
def test_killed_while_granting_it_grants_once(served: Served, name: str) -> None:
    served.start(name)
    served.ask()
    served.died()
    served.start()
    grant = served.reaches(model.GrantStatus.ACTIVE)
    assert served.roles() == [grant.role_name]
    assert len(served.store.requests()) == 1
    wait_for(lambda: served.store.outbox_depth() == 0, PATIENCE)
    assert served.said(f"Live as {grant.role_name}") == 1


@pytest.mark.fault(
    "F-14",
    "SIGKILL at any step of an end",
    how="checkpoint kills a real process",
    expects="after the restart it ends once, no role remains, one summary",
)
@pytest.mark.parametrize("name", ENDING)
def test_killed_while_ending_it_ends_once_and_nothing_remains(served: Served, name: str) -> None:
    served.start(name)
    served.ask()
    served.end_now()
    served.died()
    served.start()
    served.reaches(model.GrantStatus.ENDED)
    assert served.roles() == []
    wait_for(lambda: served.store.outbox_depth() == 0, PATIENCE)
    assert served.said("Access ended and verified") == 1


@pytest.mark.fault(
    "F-20",
    "the bot is dead at a deadline",
    how="SIGKILL of a real process",
    expects="access ends within 10 s of the next start",
)
def test_a_deadline_that_passes_while_it_is_dead_is_honoured_within_seconds(
    served: Served,
) -> None:
    served.start()
    served.ask()
    served.reaches(model.GrantStatus.ACTIVE)
    assert served.process is not None
    served.process.kill()
    served.end_now()
    begin = time.monotonic()
    served.start()
    served.reaches(model.GrantStatus.ENDED)
    assert time.monotonic() - begin < 10


@pytest.mark.fault(
    "F-47", "SIGTERM", how="signal to a real process", expects="it stops in order within 10 s"
)
def test_sigterm_stops_it_in_order_within_ten_seconds(served: Served) -> None:
    process = served.start()
    assert process.pid is not None
    begin = time.monotonic()
    process.stop()
    assert time.monotonic() - begin < 10
    assert "stopped" in (served.folder / "bot.log").read_text()
    assert "Traceback" not in (served.folder / "bot.log").read_text()


def test_the_log_holds_no_password(served: Served) -> None:
    served.start()
    served.ask()
    served.reaches(model.GrantStatus.ACTIVE)
    log = (served.folder / "bot.log").read_text()
    for secret in ("xoxb-", "xapp-", "bot-password-of-the-tests"):
        assert secret not in log


def test_a_wrong_catalog_is_told_in_one_sentence(served: Served, tmp_path: pathlib.Path) -> None:
    (tmp_path / "catalog.yml").write_text(CATALOG.replace("approvers", "approvres"))
    with pytest.raises(Exception, match="unknown key `approvres`"):
        served.start()


def test_what_exists_at_the_start_is_not_gone_through_again() -> None:
    try:
        serve.keep_for_good()
        assert gc.get_freeze_count() > len(sys.modules)
    finally:
        gc.unfreeze()
