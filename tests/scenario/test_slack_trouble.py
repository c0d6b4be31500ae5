"""Slack answers badly or not at all: words come later, deeds do not wait, nobody is left guessing."""

import dataclasses
import os
import time

import pytest

from bot import errors, model, slack
from bot.slack import client, identity, poster
from tests.scenario.conftest import ACCESS, ANA, AUDIT, BO, Acme, text_of


@pytest.mark.fault(
    "F-39",
    "Slack limits the rate",
    how="429 with Retry-After",
    expects="delayed, nothing lost, nothing twice",
)
def test_a_rate_limit_delays_the_card_and_loses_nothing(acme: Acme) -> None:
    acme.workspace.trouble.rate_limit("chat.postMessage", n=2, retry_after=1)
    card = acme.asked()
    assert card.text == (
        "Ana Lima asks to read customer data on shop (production), 30 min:"
        " INC-4412 export stuck for 8821"
    )
    acme.told(ANA, "Asked Bo, Cleo and Dan")
    assert len(acme.cards()) == 1


@pytest.mark.fault(
    "F-40",
    "Slack is down at a deadline",
    how="every call fails",
    expects="access ends in time; the card follows",
)
def test_while_slack_is_down_access_still_ends_and_the_card_catches_up(acme: Acme) -> None:
    request_id = acme.live()
    acme.workspace.trouble.down()
    acme.service.grants.revoke_as_operator(request_id, "ops")
    acme.service.wake()
    acme.workspace.wait_for(
        lambda: acme.store.grant(request_id).status is model.GrantStatus.REVOKED, 10
    )
    assert "Active until" in text_of(acme.card())
    acme.workspace.trouble.down(on=False)
    acme.workspace.wait_for(lambda: "verified gone" in text_of(acme.card()), 15)
    acme.thread("Access ended and verified")


@pytest.mark.fault(
    "F-40e",
    "Slack is down when the bot starts",
    how="503, or the token is refused, on a process that knows no channel yet",
    expects="nothing is dropped: all of it is said when Slack is back",
)
@pytest.mark.parametrize(
    "error", ["service_unavailable", "internal_error", "invalid_auth", "token_expired"]
)
def test_what_waits_for_a_bot_that_starts_without_slack_is_said_later(
    acme: Acme, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    monkeypatch.setattr(poster, "WAIT_FOR_OPERATOR", 0.5)
    request_id = acme.live()
    refused = ("users.conversations", "chat.postMessage", "chat.update", "views.publish")
    for method in refused if error in client.TOKEN_REFUSED else ("*",):
        acme.workspace.trouble.fail(method, error, n=9999)
    acme.service.grants.revoke_as_operator(request_id, "ops")
    acme.service.wake()
    over = model.GrantStatus.REVOKED
    acme.workspace.wait_for(lambda: acme.store.grant(request_id).status is over, 10)
    acme.disconnect()
    acme.connect(wait=False)
    time.sleep(1.5)  # several attempts
    acme.workspace.trouble.clear()
    acme.thread("Access ended and verified")
    acme.saying(lambda: acme.workspace.messages(AUDIT), "Ana Lima no longer has")
    assert "outbox.dropped" not in {event.type for event in acme.store.events()}


def test_a_window_that_slack_does_not_open_is_told(acme: Acme) -> None:
    acme.workspace.trouble.fail("views.open", "internal_error", n=1)
    acme.slash(ANA, "/jit")
    acme.whispered(ANA, "Slack did not open the window. Press again.")


@pytest.mark.fault(
    "F-42c",
    "the approval channel cannot be posted to",
    how="channel_not_found",
    expects="the requester is told; the Home tab decides",
)
def test_when_the_card_cannot_be_posted_the_requester_is_told(acme: Acme) -> None:
    acme.workspace.leave(ACCESS, "U0JIT")
    acme.slash(ANA, "/jit read_customer_data 30m INC-1 x")
    acme.told(ANA, "could not be shown to those who decide: the bot is not in", "Home tab")
    acme.workspace.open_home(BO)
    home = acme.workspace.wait_for(lambda: acme.workspace.home_of(BO))
    acme.workspace.click(BO, home, "Approve 30 min")
    acme.told(ANA, "is yours until")


@pytest.mark.fault(
    "F-21c",
    "a target is down while granting",
    how="the engine is unavailable",
    expects="said on the card with the reason; can be given up",
)
def test_a_target_that_is_down_is_said_and_can_be_given_up(acme: Acme) -> None:
    acme.shop.down = True
    acme.workspace.click(BO, acme.asked(), "Approve 30 min")
    card = acme.wait_card("Approved by Bo, but nothing was granted: shop could not be reached")
    acme.told(ANA, "Approved by Bo, but shop could not be reached")
    acme.workspace.click(BO, card, "Stop trying", confirm=True)
    acme.told(ANA, "Approved by Bo, but it is not certain what exists on shop: stopped by Bo.")
    acme.shop.down = False
    acme.wait_card("Approved by Bo, but nothing was granted: stopped by Bo.")
    acme.workspace.wait_for(lambda: "Stop trying" not in text_of(acme.card()), 10)
    acme.told(ANA, "was approved by Bo, but nothing was granted: stopped by Bo.")
    acme.told(ANA, "You asked for", "but nothing was granted: stopped by Bo.")
    acme.thread("Nothing was granted: stopped by Bo")
    assert "trying again" not in said_to(acme, ANA)


def test_who_was_approved_at_once_hears_that_it_takes_longer_and_that_it_is_there(
    acme: Acme,
) -> None:
    acme.shop.down = True
    acme.slash(ANA, "/jit write_logs 15m why not")
    acme.told(ANA, "Approved automatically (rule low-risk), but shop could not be reached")
    acme.shop.down = False
    acme.told(ANA, "write_logs on shop is yours until")
    acme.told(
        ANA, "You asked for write_logs on shop, 15 min. Approved automatically (rule low-risk)."
    )
    assert len(acme.workspace.messages(acme.workspace.dm(ANA))) == 2
    assert "trying again" not in said_to(acme, ANA)


def test_who_was_approved_at_once_and_got_it_at_once_gets_one_message(acme: Acme) -> None:
    acme.slash(ANA, "/jit write_logs 15m why not")
    acme.told(ANA, "write_logs on shop is yours until")
    assert len(acme.workspace.messages(acme.workspace.dm(ANA))) == 1


def said_to(acme: Acme, user: str) -> str:
    return "\n".join(text_of(m) for m in acme.workspace.messages(acme.workspace.dm(user)))


def test_a_workspace_without_user_groups_is_explained(acme: Acme) -> None:
    acme.workspace.paid_plan = False
    directory = identity.Directory(
        client.web_client(acme.workspace.bot_token, acme.running.api_url)
    )
    assert directory.members("@data-owners") is None
    assert "this workspace's Slack plan has none" in (directory.reason("@data-owners") or "")


def test_who_belongs_where_is_read_from_slack(acme: Acme) -> None:
    directory = acme.slack.directory
    assert directory.members("@data-owners") == {"U0BO", "U0CLEO", "U0DAN"}
    assert directory.members("S0OWNERS") == {"U0BO", "U0CLEO", "U0DAN"}
    assert {"U0BO", "U0DAN"} <= (directory.members("#dba") or set())
    assert directory.members("bo@acme.test") == {"U0BO"}
    assert directory.members("nobody@acme.test") is None
    assert directory.members("@nobody") is None
    assert directory.resolve_channel("#db-access") == ACCESS
    assert directory.resolve_channel("#nowhere") is None


def test_what_was_read_is_remembered_but_a_fresh_look_is_fresh(acme: Acme) -> None:
    directory = acme.slack.directory
    assert directory.person(BO).refusal is None
    acme.workspace.change_user(BO, deleted=True)
    assert directory.person(BO).refusal is None
    assert directory.person(BO, fresh=True).refusal is model.Refusal.DEACTIVATED
    with pytest.raises(errors.NotFound):
        directory.person("U0NOBODY")


@pytest.mark.parametrize(("key", "token"), [("SLACK_BOT_TOKEN", "xoxb-wrong")])
def test_a_refused_bot_token_names_its_key_and_not_its_value(
    acme: Acme, key: str, token: str
) -> None:
    with pytest.raises(errors.SettingsError, match=key) as refused:
        client.identify(client.web_client(token, acme.running.api_url))
    assert token not in str(refused.value)


def test_a_refused_app_token_names_its_key_and_not_its_value(acme: Acme) -> None:
    made = slack.create(
        client=client.web_client(acme.workspace.bot_token, acme.running.api_url),
        app_token="xapp-wrong",
        access=acme.service.access,
        grants=acme.service.grants,
        store=acme.store,
        directory=acme.slack.directory,
        lanes=acme.service.lanes,
        catalog=lambda: acme.catalog,
        clock=acme.clock,
    )
    with pytest.raises(errors.SettingsError, match="SLACK_APP_TOKEN") as refused:
        made.start()
    made.stop()
    assert "xapp-wrong" not in str(refused.value)


@pytest.mark.fault(
    "F-40c",
    "Slack is down at the start",
    how="every call fails",
    expects="the bot starts, ends what is due, connects later",
)
def test_the_bot_starts_while_slack_is_down_and_connects_later(acme: Acme) -> None:
    acme.disconnect()
    acme.workspace.trouble.down()
    acme.connect(wait=False)
    assert not acme.slack.gateway.connected()
    acme.workspace.trouble.down(on=False)
    acme.workspace.wait_for(lambda: acme.workspace.connected, 10)
    acme.asked()


def test_a_proxy_in_the_environment_is_not_asked_for_a_local_server(
    acme: Acme, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", os.environ.get("NO_PROXY", ""))
    monkeypatch.setenv("no_proxy", os.environ.get("no_proxy", ""))
    web = client.web_client(acme.workspace.bot_token, acme.running.api_url)
    assert client.identify(web).team_id == "T0ACME"
    acme.restart()
    acme.asked()
    acme.whispered(ANA, "Asked Bo, Cleo and Dan")


@pytest.mark.fault(
    "F-42e",
    "Slack does not tell who is in a group while somebody asks",
    how="usergroups.users.list fails",
    expects="nobody is told that there is no such thing, or nothing for them",
)
def test_what_slack_does_not_tell_is_not_told_as_no(acme: Acme) -> None:
    acme.workspace.trouble.fail("usergroups.users.list", "internal_error", n=1000)
    acme.slash(ANA, "/jit write_logs 10m because")
    acme.whispered(ANA, "Could not ask Slack whether you may request this.")
    acme.slash(ANA, "/jit write_logs")
    acme.window(ANA, "Could not ask Slack whether you may request this.")
    acme.slash(ANA, "/jit read_pagez 10m because")
    acme.whispered(ANA, "There is nothing called 'read_pagez'")
    acme.workspace.trouble.clear()
    acme.slash(ANA, "/jit write_logs 10m because")
    acme.told(ANA, "write_logs on shop is yours until")


def test_somebody_of_whose_groups_slack_says_nothing_is_not_offered_nothing(acme: Acme) -> None:
    groups_only = {
        name: dataclasses.replace(each, requesters=("@engineers",))
        for name, each in acme.catalog.entitlements.items()
    }
    acme.catalog = dataclasses.replace(acme.catalog, entitlements=groups_only)
    acme.workspace.trouble.fail("usergroups.users.list", "internal_error", n=1000)
    acme.slash(ANA, "/jit")
    acme.window(ANA, "Could not ask Slack what you may request.")


def test_the_line_of_what_nobody_decided_links_to_its_card_however_slow_slack_is(
    acme: Acme,
) -> None:
    acme.workspace.trouble.slow_ms = 300
    acme.slash(ANA, "/jit write_logs 10m because")
    said = acme.saying(lambda: acme.workspace.messages(AUDIT), "Ana Lima has write_logs")
    assert "/archives/" in said.text
