"""`jit bootstrap` and `jit check` on the real parts: the local workspace and a PostgreSQL."""

import json
import subprocess
import sys

import psycopg
import pytest
import structlog

from bot import cli

CATALOG = """\
channels: {approvals: "#db-access", audit: "#db-audit"}
targets:
  shop: {url_env: SHOP_DATABASE_URL, environment: production}
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


@pytest.fixture
def jit(tmp_path, monkeypatch, capsys, workspace_server, workspace, shop):
    """Runs a command with settings for the workspace and the shop."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLACK_BOT_TOKEN", workspace.bot_token)
    monkeypatch.setenv("SLACK_APP_TOKEN", workspace.app_token)
    monkeypatch.setenv("SLACK_API_URL", workspace_server.api_url)
    monkeypatch.setenv("SHOP_DATABASE_URL", shop.bot_url)
    (tmp_path / "catalog.yml").write_text(CATALOG)

    def run(*arguments):
        capsys.readouterr()
        with structlog.testing.capture_logs():
            code = cli.run(arguments)
        return code, capsys.readouterr().out

    return run


def findings(jit):
    code, out = jit("check", "--json")
    told = json.loads(out)["findings"]
    return code, {(f["subject"], f["severity"]): f["message"] for f in told}


def test_a_set_up_in_order_is_ready(jit):
    code, found = findings(jit)
    assert code == 0, found
    assert found["channel #db-access", "ok"] == "the bot is in it"
    assert ("approvers", "ok") in found
    assert not [f for f in found if f[1] == "error"]


def test_a_channel_without_the_bot_is_an_error(jit, tmp_path):
    (tmp_path / "catalog.yml").write_text(CATALOG.replace("#db-audit", "#general"))
    code, found = findings(jit)
    assert code == 1
    assert found["channel #general", "error"] == "the bot is not in it"


def test_a_channel_that_is_not_there_is_an_error(jit, tmp_path):
    (tmp_path / "catalog.yml").write_text(CATALOG.replace("#db-audit", "#nowhere"))
    code, found = findings(jit)
    assert code == 1
    assert "#nowhere" in found["channel #nowhere", "error"]


def test_a_token_that_slack_refuses_is_an_error(jit, monkeypatch):
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-not-ours")
    code, found = findings(jit)
    assert code == 1
    assert "SLACK_BOT_TOKEN" in found["slack", "error"]


def test_an_app_token_that_slack_refuses_is_an_error(jit, monkeypatch):
    monkeypatch.setenv("SLACK_APP_TOKEN", "xapp-not-ours")
    code, found = findings(jit)
    assert code == 1
    assert "SLACK_APP_TOKEN" in found["slack", "error"]


def test_slack_not_answering_is_an_error(jit, monkeypatch):
    monkeypatch.setenv("SLACK_API_URL", "http://127.0.0.1:9/api/")
    code, found = findings(jit)
    assert code == 1
    assert ("slack", "error") in found


def test_a_target_that_does_not_answer_is_an_error(jit, monkeypatch):
    monkeypatch.setenv("SHOP_DATABASE_URL", "postgresql://jit_bot:x@127.0.0.1:9/shop")
    code, found = findings(jit)
    assert code == 1
    assert ("target shop", "error") in found


def test_a_scope_that_was_not_bootstrapped_is_found_until_the_sql_was_run(jit, tmp_path, shop):
    more = CATALOG.replace("app.orders", "app.payments").replace("read_customer", "read_payment")
    (tmp_path / "catalog.yml").write_text(more)
    code, found = findings(jit)
    assert code == 1, found
    script = jit("bootstrap", "shop")[1]
    with psycopg.connect(shop.admin_url, autocommit=True) as admin:
        admin.execute(script)
    code, found = findings(jit)
    assert code == 0, found


def test_output_can_be_cut_short(jit, tmp_path):
    done = subprocess.run(
        f"{sys.executable} -m bot catalog schema | head -1",
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


def test_a_server_that_is_not_found_is_told_as_that_alone(jit, monkeypatch):
    monkeypatch.setenv("SHOP_DATABASE_URL", "postgresql://jit_bot:pw@nowhere.invalid:5432/shop")
    code, found = findings(jit)
    assert code == 1
    said = found["target shop", "error"]
    assert said.startswith("The target could not be reached or did not answer in time. (")
    assert "known to have happened" not in said  # nothing was attempted
