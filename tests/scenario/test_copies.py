"""Messages that exist twice because nobody knew that they had been posted."""

import pytest

from bot import model
from bot.demo.workspace import posting, things
from tests.scenario.conftest import ACCESS, ANA, BO, Acme, text_of

ASK = "/jit read_customer_data 30m INC-4412 export stuck"


def buttons(message: things.Message) -> list[str]:
    return [
        each["text"]["text"]
        for block in message.blocks
        if block["type"] == "actions"
        for each in block["elements"]
    ]


def twice(acme: Acme) -> tuple[things.Message, things.Message]:
    """Slack posts the card, and its answer is lost: the copy, and the card that counts."""
    acme.workspace.trouble.drop_responses("chat.postMessage", 1)
    acme.slash(ANA, ASK)
    acme.workspace.wait_for(lambda: len(acme.cards()) == 2, 10)
    acme.workspace.wait_for(lambda: acme.store.story(request(acme).id).message("card"))
    copy, card = acme.cards()
    return copy, card


def request(acme: Acme) -> model.AccessRequest:
    return acme.store.requests()[0]


@pytest.mark.fault(
    "F-41b",
    "Slack's answer to a posted card is lost",
    how="the connection is cut after the post",
    expects="the copy decides nothing and says so when pressed",
)
def test_a_copy_of_the_card_decides_nothing_and_says_so(acme: Acme) -> None:
    copy, card = twice(acme)
    acme.workspace.click(BO, copy, "Approve 30 min")
    acme.whispered(BO, "not in a message I posted for this request", channel=ACCESS)
    said = acme.saying(lambda: acme.cards()[:1], "This is a copy. The card that counts: ")
    where = f"archives/{ACCESS}/p{card.ts.replace('.', '')}|{request(acme).id}>"
    assert where in text_of(said)
    assert buttons(said) == []
    assert request(acme).status is model.RequestStatus.PENDING
    assert buttons(acme.card()) == ["Approve 30 min", "Deny…", "Details"]
    acme.workspace.click(BO, acme.card(), "Approve 30 min")
    acme.wait_card("Active until")


def test_a_copy_of_the_live_message_says_so(acme: Acme) -> None:
    acme.asked()
    acme.told(ANA, "Asked")
    request_id = request(acme).id
    acme.workspace.click(BO, acme.card(), "Approve 30 min")
    live = acme.told(ANA, "is yours until")
    acme.workspace.wait_for(lambda: acme.store.story(request_id).message("live"))
    content = posting.content({"text": live.text, "blocks": list(live.blocks)})
    copy = posting.post(acme.workspace, live.channel, content)
    acme.workspace.click(ANA, copy, "Open credentials")
    acme.window(ANA, "psql 'postgresql://jit_")
    acme.told(ANA, "This is a copy. The message that counts: ", live.ts.replace(".", ""))
    assert len([m for m in acme.workspace.messages(live.channel) if "is yours" in text_of(m)]) == 1


def test_what_slack_does_not_let_us_change_is_left_alone(acme: Acme) -> None:
    card = acme.asked()
    acme.told(ANA, "Asked")
    content = posting.content({"text": card.text, "blocks": list(card.blocks)})
    theirs = posting.post(acme.workspace, ACCESS, content)
    acme.workspace.trouble.fail("chat.update", "cant_update_message", n=1)
    acme.workspace.click(BO, theirs, "Approve 30 min")
    acme.whispered(BO, "not in a message I posted for this request", channel=ACCESS)
    acme.workspace.wait_for(lambda: acme.workspace.wire.entries(kind="reply", name="chat.update"))
    assert buttons(acme.cards()[-1]) == ["Approve 30 min", "Deny…", "Details"]
    assert request(acme).status is model.RequestStatus.PENDING


def test_the_lists_that_only_one_person_sees_are_no_copies(acme: Acme) -> None:
    acme.live()
    acme.slash(ANA, "/jit mine")
    listed = acme.whispered(ANA, "Open credentials")
    acme.workspace.click(ANA, listed, "Open credentials")
    acme.window(ANA, "psql 'postgresql://jit_")
    updates = acme.workspace.wire.entries(kind="reply", name="chat.update")
    assert [each for each in updates if not each.ok] == []
