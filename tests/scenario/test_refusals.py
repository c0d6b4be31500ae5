"""Who is refused, and what they are told."""

import pytest

from bot import model
from bot.demo.workspace import acts, people, posting, things
from tests.scenario.conftest import ACCESS, ANA, BO, CLEO, DAN, GUS, SAM, Acme, text_of


def status(acme: Acme) -> model.RequestStatus:
    return acme.store.requests()[0].status


def press(acme: Acme, user: str, words: str, label: str = "Approve 30 min") -> None:
    """They press it and are told so, they alone; nothing is decided."""
    acme.workspace.click(user, acme.card(), label)
    acme.whispered(user, words, channel=ACCESS)
    assert status(acme) is model.RequestStatus.PENDING


def test_the_requester_cannot_approve(acme: Acme) -> None:
    acme.asked()
    press(
        acme, ANA, "You asked for this, so someone else has to decide. Bo, Cleo and Dan were told."
    )


@pytest.mark.parametrize(
    "marks",
    [
        {"is_restricted": True},
        {"is_restricted": True, "is_ultra_restricted": True},
        {"is_stranger": True},
        {"team": people.OTHER_TEAM},
        {"deleted": True},
        {"is_bot": True},
    ],
    ids="+".join,
)
def test_an_account_that_is_no_full_member_any_more_cannot_approve(
    acme: Acme, marks: dict[str, object]
) -> None:
    acme.asked()
    acme.workspace.change_user(BO, **marks)
    press(acme, BO, "Only full members of this workspace can decide.")


def test_somebody_who_left_the_group_cannot_approve(acme: Acme) -> None:
    acme.asked()
    acme.workspace.set_group(
        people.Group(
            id="S0OWNERS", handle="data-owners", name="Owners", members=frozenset({CLEO, DAN})
        )
    )
    press(acme, BO, "Only Cleo or Dan can decide this one (rule data-owners).")


@pytest.mark.fault(
    "F-40d",
    "Slack does not say who presses Approve",
    how="users.info fails",
    expects="nothing is decided",
)
def test_nothing_is_decided_while_slack_does_not_say_who_presses(acme: Acme) -> None:
    acme.asked()
    acme.told(ANA, "Asked")
    acme.workspace.trouble.fail("users.info", "internal_error", n=5)
    press(
        acme,
        BO,
        "Could not confirm your account with Slack just now, so nothing was decided. "
        "Press again in a moment.",
    )
    acme.workspace.trouble.clear()
    acme.workspace.click(BO, acme.card(), "Approve 30 min")
    acme.wait_card("Active until")


@pytest.mark.parametrize("user", [GUS, SAM])
def test_a_guest_and_a_stranger_can_ask_for_nothing(acme: Acme, user: str) -> None:
    for text in ("/jit", "/jit read_customer_data 30m INC-1 please", "/jit read_customer_data"):
        acme.slash(user, text, channel=ACCESS)
    acme.window(user, "You may not request this:")
    acme.whispered(user, "You may not request this:", channel=ACCESS)
    assert not acme.store.requests()


def test_a_stranger_learns_no_names_from_the_home_tab(acme: Acme) -> None:
    acme.workspace.open_home(GUS)
    home = acme.workspace.wait_for(lambda: acme.workspace.home_of(GUS))
    assert "read_customer_data" not in text_of(home)
    assert "shop" not in text_of(home)


def test_what_is_not_offered_and_what_does_not_exist_read_alike(acme: Acme) -> None:
    acme.slash(ANA, "/jit read_pages 30m because")
    one = acme.whispered(ANA, "'read_pages'")
    acme.slash(ANA, "/jit read_pagez 30m because")
    other = acme.whispered(ANA, "'read_pagez'")
    assert text_of(one).replace("read_pages", "X") == text_of(other).replace("read_pagez", "X")


def test_only_the_requester_opens_the_credentials(acme: Acme) -> None:
    request_id = acme.live()
    before = acme.shop.calls.count("reveal")
    copied = [button("Open credentials", "grant.credentials", request_id)]
    message = posting.post(
        acme.workspace, ACCESS, posting.content({"text": "copied", "blocks": copied})
    )
    acme.workspace.click(BO, message, "Open credentials")
    acme.window(BO, "Only Ana Lima can open these credentials.")
    assert acme.shop.calls.count("reveal") == before


@pytest.mark.fault(
    "T-19",
    "a button in a message we did not post",
    how="a message of another app",
    expects="decides nothing; recorded",
)
def test_a_button_in_a_message_we_did_not_post_decides_nothing(acme: Acme) -> None:
    acme.asked()
    request_id = acme.store.requests()[0].id
    forged = [button("Approve 5 min", "request.approve", request_id)]
    message = posting.post(
        acme.workspace, ACCESS, posting.content({"text": "harmless", "blocks": forged})
    )
    acme.workspace.click(BO, message, "Approve 5 min")
    acme.whispered(BO, "not in a message I posted for this request", channel=ACCESS)
    assert status(acme) is model.RequestStatus.PENDING


def test_a_button_of_another_request_on_our_card_decides_nothing(acme: Acme) -> None:
    acme.asked()
    first = acme.store.requests()[0].id
    card = acme.asked(CLEO, "/jit read_customer_data 30m INC-5 other")
    tampered = [button("Approve 5 min", "request.approve", first)]
    posting.edit(acme.workspace, card, posting.content({"text": "x", "blocks": tampered}))
    acme.workspace.click(BO, card, "Approve 5 min")
    acme.whispered(BO, "not in a message I posted for this request", channel=ACCESS)
    assert acme.store.request(first).status is model.RequestStatus.PENDING


def test_details_are_for_those_it_concerns(acme: Acme) -> None:
    card = acme.asked()
    acme.workspace.click(GUS, card, "Details")
    acme.window(GUS, "Only Bo, Cleo, Dan or Ana can see the details.")
    acme.workspace.click(BO, card, "Details")
    acme.window(BO, "select on app.customers (id, name, email, city)")


def test_whoever_might_have_decided_what_nobody_had_to_sees_and_ends_it(acme: Acme) -> None:
    acme.slash(ANA, "/jit write_logs 10m retention check")
    card = acme.wait_card("Active until")
    acme.slash(CLEO, "/jit list", channel=ACCESS)
    acme.whispered(CLEO, "*Ana Lima*: write_logs on shop", channel=ACCESS)
    acme.workspace.open_home(CLEO)
    acme.workspace.wait_for(lambda: "Access I may revoke" in str(acme.workspace.home_of(CLEO)))
    acme.workspace.click(GUS, card, "Details")
    acme.window(GUS, "Only whoever may revoke it or Ana can see the details.")
    acme.workspace.close_view(GUS)
    acme.workspace.click(CLEO, card, "Details")
    acme.window(CLEO, "insert on app.logs")
    acme.workspace.click(GUS, card, "Details")
    acme.window(GUS, "can see the details.")


def test_only_who_asked_can_cancel(acme: Acme) -> None:
    acme.asked()
    receipt = acme.told(ANA, "Asked Bo, Cleo and Dan")
    with pytest.raises(acts.NotThere):
        acme.workspace.click(BO, receipt, "Cancel")
    acme.workspace.click(ANA, receipt, "Cancel")
    acme.wait_card("Withdrawn by Ana. Nothing was granted.")
    acme.told(ANA, "You withdrew read_customer_data on shop")


def button(text: str, action_id: str, value: str) -> things.Json:
    shown = {"type": "plain_text", "text": text}
    pressed = {"type": "button", "text": shown, "action_id": action_id, "value": value}
    return {"type": "actions", "elements": [pressed]}
