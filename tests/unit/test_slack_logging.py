"""What the Slack libraries say in the log: nothing that misleads, nothing that is told anyway."""

import logging

import pytest

from bot import settings
from bot.slack import app, client, doctor
from db_grants.spec import Severity

NOBODY = "http://127.0.0.1:9/api/"


def test_a_token_in_the_environment_is_no_reason_to_warn(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-1")
    app.bolt_app(client.web_client("xoxb-1", NOBODY))
    assert caplog.records == []


def test_what_bolt_warns_of_otherwise_is_heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)  # whatever an earlier test configured
    app.bolt_app(client.web_client("xoxb-1", NOBODY))
    logging.getLogger("slack_bolt").warning("something else")
    assert [record.message for record in caplog.records] == ["something else"]


def test_the_doctor_tells_why_slack_does_not_answer_and_the_library_does_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    chosen = settings.load(
        {"SLACK_BOT_TOKEN": "xoxb-1-s3cret", "SLACK_APP_TOKEN": "xapp-1-s3cret"}
        | {"SLACK_API_URL": NOBODY, "JIT_CATALOG": "catalog.yml"}
    )
    (found,) = doctor.Doctor(chosen).findings(["#db-access"])
    assert (found.severity, found.message) == (
        Severity.ERROR,
        "Slack does not answer (Connection refused).",
    )
    assert caplog.records == []
