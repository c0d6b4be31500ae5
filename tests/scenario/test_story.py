"""The main job, from command to summary, through the real protocol."""

import json

from tests.scenario.conftest import ANA, AUDIT, BO, Acme, text_of


def test_a_request_is_asked_approved_held_and_given_back(acme: Acme) -> None:
    card = acme.asked()
    assert card.text == "Ana Lima asks to read customer data on shop (production)"
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
