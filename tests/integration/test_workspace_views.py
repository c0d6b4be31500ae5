"""Modals, shortcuts, Home and response urls of the local workspace, with a real Bolt app."""

import threading

import pytest

from bot.demo.workspace import acts
from tests.workspace_parts import ACCESS, ANA, APPROVE, BO, SIMPLE, card, open_modal, plain, post


def test_a_submission_tells_the_view_and_its_values(bolt, workspace, heard):
    bolt.app.view("request")(lambda ack, body: (heard.append(body), ack()))
    bolt.connect()
    view = open_modal(bolt, workspace, SIMPLE)
    assert workspace.submit(ANA, view.id, {"why": "INC-1"}) is None
    told = heard.one()["view"]
    assert told["state"]["values"] == {
        "why": {"why": {"type": "plain_text_input", "value": "INC-1"}}
    }
    assert (told["id"], told["hash"], told["callback_id"]) == (view.id, view.hash, "request")
    assert told["private_metadata"] == "r1"
    assert told["root_view_id"] == view.id
    assert told["previous_view_id"] is None


@pytest.mark.parametrize(
    ("answer", "titles"),
    [
        ({}, ["first"]),
        ({"response_action": "clear"}, []),
        ({"response_action": "update", "view": SIMPLE | {"title": plain("new")}}, ["first", "new"]),
        (
            {"response_action": "push", "view": SIMPLE | {"title": plain("new")}},
            ["first", "Ask for access", "new"],
        ),
    ],
)
def test_an_answer_to_a_submission_closes_clears_updates_or_pushes(bolt, workspace, answer, titles):
    bolt.app.view("request")(lambda ack: ack(**answer))
    bolt.connect()
    open_modal(bolt, workspace, SIMPLE | {"title": plain("first")})
    bolt.client.views_push(trigger_id=workspace.triggers.issue(ANA), view=SIMPLE)
    assert workspace.submit(ANA, values={"why": "INC-1"}) is None
    assert [view.title for view in workspace.stack(ANA)] == titles


@pytest.mark.parametrize(
    "answer",
    [
        {"response_action": "errors", "errors": {"nowhere": "x"}},
        {"response_action": "update", "view": SIMPLE | {"title": plain("x" * 25)}},
    ],
)
def test_an_answer_slack_refuses_leaves_the_modal_open_and_is_told(bolt, workspace, answer):
    bolt.app.view("request")(lambda ack: ack(**answer))
    bolt.connect()
    view = open_modal(bolt, workspace, SIMPLE)
    with pytest.raises(acts.BadAnswer):
        workspace.submit(ANA, values={"why": "INC-1"})
    assert workspace.view_of(ANA).id == view.id
    assert workspace.notices(ANA)[-1].where == view.id


def test_only_the_modal_in_front_can_be_acted_on(bolt, workspace):
    bolt.connect()
    below = open_modal(bolt, workspace, SIMPLE)
    bolt.client.views_push(trigger_id=workspace.triggers.issue(ANA), view=SIMPLE)
    with pytest.raises(acts.NotThere, match="in front"):
        workspace.select(ANA, below, "why", "INC-1")
    with pytest.raises(acts.NotThere):
        workspace.submit(ANA, below.id)
    with pytest.raises(acts.NotThere):
        workspace.select(BO, workspace.view_of(ANA), "why", "INC-1")


def test_closing_is_told_where_the_app_asked_to_be_told(bolt, workspace, heard):
    bolt.app.view_closed("request")(lambda ack, body: (heard.append(body), ack()))
    bolt.connect()
    open_modal(bolt, workspace, SIMPLE)
    bolt.client.views_push(
        trigger_id=workspace.triggers.issue(ANA), view=SIMPLE | {"notify_on_close": False}
    )
    workspace.close_view(ANA)
    assert not heard
    workspace.close_view(ANA)
    assert heard.one()["is_cleared"] is False
    assert workspace.view_of(ANA) is None


def test_a_global_shortcut_opens_a_modal(bolt, workspace):
    @bolt.app.shortcut("ask")
    def ask(ack, body, client):
        ack()
        client.views_open(trigger_id=body["trigger_id"], view=SIMPLE)

    bolt.connect()
    workspace.shortcut(ANA, "ask")
    assert workspace.wait_for(lambda: workspace.view_of(ANA)).callback_id == "request"


def test_a_message_shortcut_tells_the_message(bolt, workspace, heard):
    bolt.app.shortcut("look")(lambda ack, body: (heard.append(body), ack()))
    bolt.connect()
    ts = post(bolt)["ts"]
    workspace.message_shortcut(BO, (ACCESS, ts), "look")
    assert heard.one()["message"]["ts"] == ts


def test_home_is_published_when_opened_and_its_buttons_work(bolt, workspace, heard):
    @bolt.app.event("app_home_opened")
    def opened(event, client):
        client.views_publish(user_id=event["user"], view={"type": "home", "blocks": card(APPROVE)})

    bolt.app.action("approve")(lambda ack, body: (heard.append(body), ack()))
    bolt.connect()
    workspace.open_home(ANA)
    home = workspace.wait_for(lambda: workspace.home_of(ANA))
    workspace.click(ANA, home, "Approve 30 min")
    assert heard.one()["container"] == {"type": "view", "view_id": home.id}
    assert heard.one()["view"]["type"] == "home"
    assert workspace.open_home(ANA).payload == {}


def test_what_people_write_to_the_bot_reaches_it_if_it_asked(bolt, workspace, heard):
    workspace.events |= {"message.im"}
    bolt.app.event("message")(lambda event: heard.append(event))  # noqa: PLW0108 # Bolt reads names
    bolt.connect()
    workspace.say(ANA, workspace.dm(ANA), "hello")
    assert (heard.one()["text"], heard.one()["channel_type"]) == ("hello", "im")
    workspace.say(ANA, ACCESS, "not for the bot")
    assert len(heard) == 1


def test_a_response_url_edits_deletes_and_speaks(bolt, workspace):
    turns = iter(
        [
            {"text": "edited", "replace_original": True},
            {"text": "to all", "response_type": "in_channel", "replace_original": False},
            {"delete_original": True},
        ]
    )
    done = threading.Semaphore(0)

    @bolt.app.action("approve")
    def approve(ack, respond):
        ack()
        respond(**next(turns), blocks=card(APPROVE))
        done.release()

    bolt.connect()
    bolt.client.chat_postEphemeral(channel=ACCESS, user=BO, text="x", blocks=card(APPROVE))
    texts = []
    for _ in range(3):
        first = workspace.messages(ACCESS, as_user=BO)[0]
        workspace.click(BO, first, "approve")
        assert done.acquire(timeout=5)
        texts.append([m.text for m in workspace.messages(ACCESS, as_user=BO)])
    assert texts == [["edited"], ["edited", "to all"], ["to all"]]
