"""`jit check`: what the doctor finds, in which order, and how it ends."""

import json

import pytest

from bot import cli
from bot.cli import check
from db_grants import errors as grant_errors
from db_grants.spec import Finding, Severity
from tests.unit import sample_catalog
from tests.unit.test_cli_catalog import URL, folder, jit  # noqa: F401  fixtures

GOOD = {"SLACK_BOT_TOKEN": "xoxb-1-s3cret", "SLACK_APP_TOKEN": "xapp-1-s3cret"}


class Slack:
    def __init__(self):
        self.found = (Finding(severity=Severity.OK, subject="slack", message="known"),)
        self.directory = sample_catalog.People()

    def findings(self, channels):
        self.channels = channels
        return self.found


class Engine:
    def __init__(self):
        self.found = ()
        self.trouble = None
        self.disposed = False

    def check(self, scopes):
        self.scopes = scopes
        if self.trouble:
            raise self.trouble
        return self.found

    def dispose(self):
        self.disposed = True


@pytest.fixture
def around(folder, monkeypatch):  # noqa: F811
    """A Slack and a target in order, and settings for both."""
    slack, engine = Slack(), Engine()
    made = check.Instruments(slack=lambda _: slack, engine=lambda *_: engine)
    monkeypatch.setattr(check, "_instruments", lambda: made)
    for key, value in {**GOOD, "SHOP_DATABASE_URL": URL}.items():
        monkeypatch.setenv(key, value)
    return slack, engine


def test_all_is_well(jit, around):  # noqa: F811
    slack, engine = around
    code, out, err = jit("check")
    assert (code, err) == (0, "")
    assert out.endswith("Ready to serve.\n")
    assert slack.channels == ["#db-access", "#db-audit"]
    assert [scope.name for scope in engine.scopes] == ["read_customer_data", "fix_orders"]
    assert {scope.database for scope in engine.scopes} == {"shop"}
    assert engine.disposed


def test_it_answers_programs(jit, around):  # noqa: F811
    told = json.loads(jit("check", "--json")[1])
    assert told["ok"] is True
    assert [f["subject"] for f in told["findings"]] == ["settings", "catalog", "slack", "approvers"]


def test_what_the_target_lacks_is_told_with_the_remedy(jit, around):  # noqa: F811
    around[1].found = (
        Finding(
            severity=Severity.ERROR, subject="scopes", message="none made", remedy="run bootstrap"
        ),
    )
    code, out, _ = jit("check")
    assert code == 1
    assert "target shop: scopes" in out
    assert "→ run bootstrap" in out
    assert "Not ready: 1 to put right." in out


def test_a_target_that_cannot_be_reached_is_a_finding(jit, around):  # noqa: F811
    around[1].trouble = grant_errors.TargetUnavailable("no answer")
    code, out, _ = jit("check")
    assert code == 1
    assert "no answer" in out
    assert "Is SHOP_DATABASE_URL right" in out
    assert around[1].disposed


def test_a_warning_does_not_stop_anybody(jit, around):  # noqa: F811
    around[1].found = (Finding(severity=Severity.WARNING, subject="server", message="15 is old"),)
    code, out, _ = jit("check")
    assert code == 0
    assert "Ready to serve. Warnings: 1." in out


def test_wrong_tokens_do_not_hide_the_rest(jit, around, monkeypatch):  # noqa: F811
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxp-s3cret")
    monkeypatch.delenv("SHOP_DATABASE_URL")
    code, out, err = jit("check")
    assert code == 1
    assert "SLACK_BOT_TOKEN" in out
    assert "SHOP_DATABASE_URL is not set" in out
    assert "catalog" in out
    assert "s3cret" not in out + err


def test_a_broken_catalog_does_not_hide_slack(jit, around, folder):  # noqa: F811
    (folder / "catalog.yml").write_text("x: 1")
    code, out, _ = jit("check")
    assert code == 1
    assert "catalog.yml:1: unknown key `x`" in out
    assert "known" in out


def test_a_request_that_nobody_could_approve_is_an_error(jit, around):  # noqa: F811
    around[0].directory.groups = dict(sample_catalog.MEMBERS, **{"@data-owners": frozenset()})
    code, out, _ = jit("check")
    assert code == 1
    assert "fix_orders: rule two-owners needs 2 people, but nobody can approve." in out


def test_one_requester_without_enough_others_is_a_warning(jit, around):  # noqa: F811
    owners = frozenset({"U0BO", "U0CLEO"})
    around[0].directory.groups = dict(sample_catalog.MEMBERS, **{"@data-owners": owners})
    code, out, _ = jit("check")
    assert code == 0
    assert "when Bo Ace asks" in out


def test_offline_looks_at_files_alone(jit, folder, monkeypatch):  # noqa: F811
    monkeypatch.setattr(check, "_instruments", None)
    for key, value in GOOD.items():
        monkeypatch.setenv(key, value)
    assert jit("check", "--offline")[0] == 0


def test_check_is_a_command():
    assert "check" in cli._COMMANDS


def test_a_webhook_that_the_catalog_names_and_nobody_set_is_told(jit, around, folder):  # noqa: F811
    file = folder / "catalog.yml"
    file.write_text(f"{file.read_text()}\nalarms: {{webhook_env: JIT_ALARM_WEBHOOK}}\n")
    code, out, _ = jit("check")
    assert code == 1
    assert "JIT_ALARM_WEBHOOK is not set" in out


def test_a_broken_catalog_is_told_with_what_it_means_for_a_start(jit, around, folder):  # noqa: F811
    (folder / "catalog.yml").write_text("channels: [")
    code, out, _ = jit("check")
    assert code == 1
    assert "it ends what is live, or does not start" in out


def test_a_group_that_is_not_there_is_spelled_anew_and_not_enlarged(jit, around):  # noqa: F811
    around[0].directory = sample_catalog.People(members={})
    told = json.loads(jit("check", "--json")[1])["findings"]
    absent = [each for each in told if each["subject"] == "approvers"]
    assert absent
    for each in absent:
        assert "names nobody" in each["message"]
        assert each["remedy"].startswith("Spell it as in Slack")
