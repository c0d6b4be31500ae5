"""The whole path with nothing simulated but Slack's own servers: `bot.app`, a PostgreSQL, a person's psql."""

import pathlib
import re
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from bot import app, clock, model, settings
from bot.demo.workspace import acts, server
from proof import invariants, reality
from tests.fixtures_core import wait_for
from tests.fixtures_postgres import BOT_PASSWORD, Shop
from tests.holders import is_cut
from tests.scenario.conftest import ACCESS, ANA, AUDIT, BO, GENERAL, text_of

CATALOG = """
channels: {approvals: "#db-access", audit: "#db-audit"}
targets:
  shop: {url_env: SHOP_URL, environment: production}
entitlements:
  read_customer_data:
    target: shop
    scope:
      - {table: app.customers, columns: [id, name, email, city], can: read}
      - {table: app.orders, can: read}
    requesters: [everyone]
    approval: data-owners
rules:
  data-owners: {approvers: ["@data-owners"]}
"""
SHOWN = re.compile(r"postgresql://(jit_\w+):([^@\s]+)@")


class Whole:
    """A bot as `jit serve` builds it, in this process."""

    def __init__(self, folder: pathlib.Path, shop: Shop, running: server.Server) -> None:
        self.shop = shop
        self.workspace: acts.Workspace = running.workspace
        self.passwords = reality.overheard(self.workspace)
        self.before = reality.postgres("shop", shop.admin_url)
        path = folder / "catalog.yml"
        path.write_text(CATALOG)
        self.chosen = settings.load(
            {
                "SLACK_BOT_TOKEN": running.workspace.bot_token,
                "SLACK_APP_TOKEN": running.workspace.app_token,
                "SLACK_API_URL": running.api_url,
                "JIT_DATABASE_URL": f"sqlite:///{folder / 'state.sqlite3'}",
                "JIT_CATALOG": str(path),
                "SHOP_URL": shop.bot_url,
            }
        )
        self.clock = clock.SystemClock()
        self.app = app.build(self.chosen, clock=self.clock)
        self.app.start()
        self.workspace.wait_for(lambda: self.workspace.connected)

    def saying(self, channel: str, words: str) -> str:
        """Wait for a message there (or in the newest card's thread) that says so; its text."""

        def found() -> str | None:
            messages = list(self.workspace.messages(channel))
            if channel == ACCESS and messages:
                messages += self.workspace.messages(channel, thread_ts=messages[-1].ts)
            return next((text_of(m) for m in messages if words in text_of(m)), None)

        wait_for(found, 15)
        said = found()
        assert said is not None
        return said

    def granted(self) -> tuple[str, str]:
        """Ana asks, Bo approves, Ana opens the credentials: her role and password."""
        self.workspace.slash(ANA, GENERAL, "/jit read_customer_data 30m export stuck for 8821")
        self.saying(ACCESS, "Ana Lima asks to read customer data")
        card = self.workspace.messages(ACCESS)[-1]
        self.workspace.click(BO, card, "Approve 30 min")
        direct = self.workspace.dm(ANA)
        self.saying(direct, "is yours until")
        live = next(m for m in self.workspace.messages(direct) if "is yours until" in text_of(m))
        self.workspace.click(ANA, live, "Open credentials")
        shown = self.workspace.wait_for(lambda: SHOWN.search(self._window(ANA)))
        self.workspace.close_view(ANA)
        assert shown is not None
        return shown[1], shown[2]

    def _window(self, user: str) -> str:
        view = self.workspace.view_of(user)
        return str(view.body) if view else ""

    def as_holder(self, role: str, password: str) -> psycopg.Connection:
        url = self.shop.server.url(self.shop.database, role, password)
        return psycopg.connect(url, autocommit=True)

    def end_and_check(self) -> None:
        """Stop, and compare record, server, messages and chain."""
        assert self.app.stop(), "something did not stop"
        again = app.build(self.chosen, clock=self.clock)
        try:
            recorded = reality.record(again._store, self.clock.now())
        finally:
            again._store.close()
        assert self.passwords
        invariants.check(
            recorded,
            [reality.postgres("shop", self.shop.admin_url)],
            reality.of_workspace(self.workspace, recorded),
            {BOT_PASSWORD, self.workspace.bot_token, self.workspace.app_token, *self.passwords},
            before=[self.before],
            scoped=lambda _, scope: reality.scoped(self.shop.admin_url, scope),
        )


@pytest.fixture
def whole(tmp_path: pathlib.Path, shop: Shop, workspace_server: server.Server) -> Iterator[Whole]:
    made = Whole(tmp_path, shop, workspace_server)
    yield made
    made.end_and_check()


def test_access_is_asked_approved_used_given_back_and_proven_gone(whole: Whole) -> None:
    role, password = whole.granted()
    with closing(whole.as_holder(role, password)) as holder:
        assert holder.execute("SELECT count(*) FROM app.orders").fetchone() is not None
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            holder.execute("SELECT ssn FROM app.customers")
        direct = whole.workspace.dm(ANA)
        live = next(m for m in whole.workspace.messages(direct) if "is yours until" in text_of(m))
        whole.workspace.click(ANA, live, "I'm done", confirm=True)
        summary = whole.saying(ACCESS, "Access ended and verified: Ana Lima")
        assert "1 session cut" in summary
        assert "refused" in summary, summary
        assert is_cut(holder)
    with pytest.raises(psycopg.OperationalError):
        whole.as_holder(role, password)
    assert reality.postgres("shop", whole.shop.admin_url).managed == ()
    whole.saying(AUDIT, "Ana Lima no longer has")


def test_a_person_with_a_session_open_is_cut_when_an_approver_revokes(whole: Whole) -> None:
    role, password = whole.granted()
    with closing(whole.as_holder(role, password)) as holder:
        holder.execute("BEGIN; DECLARE c CURSOR FOR SELECT * FROM app.orders")
        (request,) = whole.app._store.requests()
        whole.app.service.grants.revoke(request.id, BO, "enough")
        whole.saying(ACCESS, "Access ended and verified: Ana Lima")
        with pytest.raises(psycopg.OperationalError):
            holder.execute("FETCH 1 FROM c")
    assert whole.app._store.grant(request.id).status is model.GrantStatus.REVOKED
