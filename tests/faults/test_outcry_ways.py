"""How the bot is heard when its record cannot be written: straight in Slack and over the webhook."""

import pathlib
from collections.abc import Iterator

import pytest

from bot import app, clock, errors, settings
from bot.demo.workspace import acts, server
from bot.telling import outcry
from tests.fixtures_core import wait_for
from tests.scenario.conftest import AUDIT, text_of
from tests.unit.test_webhook import Endpoint

pytestmark = pytest.mark.faults

CATALOG = """
channels: {approvals: "#db-access", audit: "#db-audit"}
alarms: {mention: [U0BO], webhook_env: ALARMS_URL}
targets:
  shop: {url_env: SHOP_URL, environment: production, database: shop}
entitlements:
  read_orders:
    target: shop
    scope: [{table: app.orders, can: read}]
    requesters: [everyone]
    approval: owners
rules:
  owners: {approvers: ["@data-owners"]}
"""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.close()


@pytest.fixture
def made(
    tmp_path: pathlib.Path, workspace_server: server.Server, endpoint: Endpoint
) -> Iterator[app.App]:
    """A bot as `jit serve` builds it; it is not started."""
    path = tmp_path / "catalog.yml"
    path.write_text(CATALOG)
    running = workspace_server.workspace
    chosen = settings.load(
        {
            "SLACK_BOT_TOKEN": running.bot_token,
            "SLACK_APP_TOKEN": running.app_token,
            "SLACK_API_URL": workspace_server.api_url,
            "JIT_DATABASE_URL": f"sqlite:///{tmp_path / 'state.sqlite3'}",
            "JIT_CATALOG": str(path),
            "SHOP_URL": "postgresql://bot@127.0.0.1:1/shop",
            "ALARMS_URL": endpoint.url,
        }
    )
    built = app.build(chosen, clock=clock.SystemClock())
    yield built
    assert built.stop()


def said(workspace: acts.Workspace) -> list[str]:
    return [text_of(message) for message in workspace.messages(AUDIT)]


def test_it_is_said_in_the_audit_channel_and_over_the_webhook_without_the_record(
    made: app.App, workspace_server: server.Server, endpoint: Endpoint
) -> None:
    cry = made.service.outcry
    with pytest.raises(errors.StoreError), cry.watching("requests", at_once=True):
        raise errors.StoreError("The state database does not work just now (SQLITE_FULL).")
    wait_for(lambda: len(endpoint.got) == 1 and len(said(workspace_server.workspace)) == 1)
    with cry.watching("requests", at_once=True):
        pass
    wait_for(lambda: len(endpoint.got) == 2 and len(said(workspace_server.workspace)) == 2)
    raised, over = said(workspace_server.workspace)
    assert "SQLITE_FULL" in raised
    assert "<@U0BO>" in raised
    assert "can be written again" in over
    assert "U0BO" not in over
    told = [body for _, body in endpoint.got]
    assert [body["state"] for body in told] == ["raised", "over"]
    assert {body["alarm"] for body in told} == {outcry.KIND}
    assert "SQLITE_FULL" in str(told[0]["text"])
    assert made._store.outbox_depth() == 0


def test_one_way_that_is_closed_does_not_close_the_other(
    made: app.App, workspace_server: server.Server, endpoint: Endpoint
) -> None:
    endpoint.answers = [(500, {})]
    made.service.outcry.broken("heartbeat", "full", at_once=True)
    wait_for(lambda: len(said(workspace_server.workspace)) == 1 and len(endpoint.got) == 1)


def test_a_webhook_that_is_not_there_is_no_way(made: app.App, endpoint: Endpoint) -> None:
    endpoint.close()
    hook = made._webhook()
    with pytest.raises(outcry.Untold, match="does not answer"):
        hook.cry({"over": True, "error": "", "count": 0})
