"""`jit serve` as a process of its own over a real target and the local workspace."""

import pathlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from bot import clock, model, store
from bot.asking import grants
from bot.deciding import context
from bot.demo import bot_process
from bot.demo.workspace import server
from tests.fixtures_core import Directory, wait_for
from tests.fixtures_postgres import Shop

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
