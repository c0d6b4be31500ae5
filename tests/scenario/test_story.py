"""The main job, from command to summary, through the real protocol."""

import json

from tests.scenario.conftest import ACCESS, ANA, AUDIT, BO, GUS, Acme, text_of


def test_a_request_is_asked_approved_held_and_given_back(acme: Acme) -> None:
    card = acme.asked()
    assert card.text == (
        "Ana Lima asks to read customer data on shop (production), 30 min:"
        " INC-4412 export stuck for 8821"
    )
    acme.told(ANA, "Asked", "Bo", "Cleo", "Dan", "for read_customer_data on shop, 30 min")
    acme.workspace.click(BO, card, "Approve 30 min")
    acme.wait_card("Active until")
    live = acme.told(ANA, "read_customer_data on shop is yours until")
    acme.workspace.click(ANA, live, "Open credentials")
    window = acme.window(ANA, "psql 'postgresql://jit_", "Password")
    assert "You can read customers (id, name, email, city), orders." in text_of(window)
    assert acme.passwords
    wire = json.dumps([entry.body for entry in acme.workspace.wire.entries()])
    assert not [password for password in acme.passwords if password in wire]
    acme.workspace.close_view(ANA)
    acme.workspace.click(ANA, live, "I'm done", confirm=True)
    acme.wait_card("verified gone")
    acme.thread("Access ended and verified: Ana Lima, read_customer_data on shop")
    acme.saying(lambda: acme.workspace.messages(AUDIT), "Ana Lima no longer has")


def test_who_is_about_to_deny_or_revoke_sees_whom_and_the_holder_is_told_why(acme: Acme) -> None:
    card = acme.asked()
    acme.workspace.click(BO, card, "Deny…")
    acme.window(BO, "Reason", "*Ana Lima asks to read customer data on shop (production)*")
    acme.workspace.close_view(BO)
    acme.workspace.click(BO, card, "Approve 30 min")
    acme.workspace.click(BO, acme.wait_card("Active until"), "Revoke")
    acme.window(BO, "Access ends now", "*Ana Lima*: read_customer_data on shop", "Active until")
    assert acme.workspace.submit(BO, values={"Comment": "enough for *tonight*"}) is None
    told = acme.told(ANA, "read_customer_data on shop has ended. Revoked by Bo. Bo says: enough")
    assert "mrkdwn" not in str(told.blocks)


def test_who_may_not_revoke_does_not_learn_whose_access_it_is(acme: Acme) -> None:
    acme.live()
    acme.workspace.click(GUS, acme.card(), "Revoke")
    acme.window(GUS, "Access ends now")
    acme.slash(GUS, "/jit help", channel=ACCESS)
    acme.whispered(GUS, "You may not request this", channel=ACCESS)
    assert "Ana" not in text_of(acme.window(GUS, "Access ends now"))


def test_who_gives_it_back_is_not_told_so_besides(acme: Acme) -> None:
    acme.live()
    live = acme.told(ANA, "is yours until")
    acme.workspace.click(ANA, live, "I'm done", confirm=True)
    acme.wait_card("verified gone")
    acme.told(ANA, "Ana is done")
    assert len(acme.workspace.messages(acme.workspace.dm(ANA))) == 2  # receipt and live
