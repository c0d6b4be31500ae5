"""A whole conversation between people and a real Bolt app over the local workspace."""

import pytest

from bot.demo.workspace import acts, payloads
from tests.workspace_parts import (
    ACCESS,
    ANA,
    APPROVE,
    BO,
    GUS,
    MODAL,
    REVOKE,
    WHAT,
    card,
    listen,
    plain,
    post,
)


@pytest.fixture
def access(bolt, workspace):
    """A small app: /jit opens a modal, submitting posts a card, pressing edits it."""
    app = bolt.app

    @app.command("/jit")
    def jit(ack, body, client):
        ack()
        client.views_open(trigger_id=body["trigger_id"], view=MODAL)

    @app.options("pick")
    def offer(ack, payload):
        typed = payload["value"].lower()
        ack(options=[o for o in WHAT if typed in o["text"]["text"].lower()])

    @app.action("pick")
    def picked(ack, body, client):
        ack()
        hint = {"type": "context", "elements": [plain("Needs 1 of Bo, Cleo, Dan")]}
        shown = MODAL | {"blocks": [*MODAL["blocks"], hint]}
        client.views_update(view_id=body["view"]["id"], hash=body["view"]["hash"], view=shown)

    @app.view("request")
    def submitted(ack, view, body, client):
        values = view["state"]["values"]
        why = values["why"]["why"]["value"]
        if not why.startswith("INC-"):
            ack(response_action="errors", errors={"why": "Write the ticket first, like INC-4412."})
            return
        ack()
        client.chat_postMessage(channel=ACCESS, text=f"Ana asks: {why}", blocks=card(APPROVE))

    @app.action("approve")
    def approve(ack, body, client, respond):
        ack()
        if body["user"]["id"] == ANA:
            respond(text="You asked, so someone else has to decide.", replace_original=False)
            return
        client.chat_update(
            channel=body["channel"]["id"],
            ts=body["message"]["ts"],
            text="Active",
            blocks=card(REVOKE, words="Active"),
        )

    bolt.connect()
    return workspace


def test_from_command_to_card_to_decision(access):
    access.slash(ANA, ACCESS, "/jit")
    view = access.wait_for(lambda: access.view_of(ANA))
    assert view.title == "Ask for access"
    assert access.suggest(ANA, view, "What", "read") == [WHAT[0]]
    access.select(ANA, view, "What", "Read customers")
    access.wait_for(lambda: len(access.view_of(ANA).blocks) == 4)
    assert access.submit(ANA, values={"Why": "because"}) == {
        "why": "Write the ticket first, like INC-4412."
    }
    assert access.view_of(ANA).errors
    assert access.submit(ANA, values={"Why": "INC-1: export stuck"}) is None
    assert access.view_of(ANA) is None
    (posted,) = access.wait_for(lambda: access.messages(ACCESS))
    assert posted.text == "Ana asks: INC-1: export stuck"

    access.click(ANA, posted, "Approve 30 min")
    private = access.wait_for(lambda: access.messages(ACCESS, as_user=ANA)[1:])
    assert private[0].text == "You asked, so someone else has to decide."
    assert len(access.messages(ACCESS, as_user=BO)) == 1

    access.click(BO, posted, "approve")
    access.wait_for(lambda: access.messages(ACCESS)[0].text == "Active")
    with pytest.raises(acts.NotThere, match="there is: Revoke"):
        access.click(BO, posted, "Approve 30 min")


def test_typed_values_survive_an_update_of_the_modal(access):
    access.slash(ANA, ACCESS, "/jit")
    view = access.wait_for(lambda: access.view_of(ANA))
    access.fill(ANA, {"Why": "INC-1", "Who else": "Bo Chen"})
    access.select(ANA, view, "What", "Write logs")
    access.wait_for(lambda: len(access.view_of(ANA).blocks) == 4)
    kept = access.view_of(ANA).values
    assert kept["why"]["why"]["value"] == "INC-1"
    assert kept["who"]["who"]["selected_user"] == BO
    assert kept["what"]["pick"]["selected_option"] == WHAT[1]


def test_nothing_is_offered_before_enough_is_typed(access):
    access.slash(ANA, ACCESS, "/jit")
    view = access.wait_for(lambda: access.view_of(ANA))
    assert access.suggest(ANA, view, "pick", "") == []
    assert not access.wire.entries(name="block_suggestion")


def test_what_the_app_does_not_offer_cannot_be_chosen(access):
    access.slash(ANA, ACCESS, "/jit")
    view = access.wait_for(lambda: access.view_of(ANA))
    with pytest.raises(acts.NotThere, match="Drop everything"):
        access.select(ANA, view, "What", "Drop everything")


def test_an_empty_required_field_never_reaches_the_app(access):
    access.slash(ANA, ACCESS, "/jit")
    access.wait_for(lambda: access.view_of(ANA))
    errors = access.submit(ANA)
    assert set(errors) == {"what", "why"}
    assert not access.wire.entries(name="view_submission")


def test_a_guest_and_a_stranger_may_press_too(access):
    for user in (GUS, "U0SAM"):
        access.slash(user, ACCESS, "/jit")
        view = access.wait_for(lambda user=user: access.view_of(user))
        assert view.user == user


def test_a_slash_command_tells_all_that_slack_tells(bolt, workspace, heard):
    bolt.app.command("/jit")(lambda ack, body: (heard.append(body), ack(text="Hello Ana")))
    bolt.connect()
    ack = workspace.slash(ANA, ACCESS, "/jit  read_customer_data 30m INC-1 ")
    body = heard.one()
    assert body["text"] == "read_customer_data 30m INC-1"
    assert (body["command"], body["user_id"], body["user_name"]) == ("/jit", ANA, "ana")
    assert (body["channel_id"], body["channel_name"]) == (ACCESS, "db-access")
    assert (body["team_id"], body["team_domain"]) == ("T0ACME", "acme")
    assert body["is_enterprise_install"] == "false"
    assert ack.text == "Hello Ana"
    assert ack.ms < 1000
    (said,) = workspace.messages(ACCESS, as_user=ANA)
    assert (said.text, said.only_for) == ("Hello Ana", ANA)


def test_an_answer_may_be_for_the_whole_channel(bolt, workspace):
    bolt.app.command("/jit")(lambda ack: ack(text="to all", response_type="in_channel"))
    bolt.connect()
    workspace.slash(ANA, ACCESS, "/jit")
    assert [m.text for m in workspace.messages(ACCESS, as_user=BO)] == ["to all"]


def test_an_answer_slack_refuses_is_an_error_to_the_person(bolt, workspace):
    blocks = [{"type": "section", "text": plain("x" * 3001)}]
    bolt.app.command("/jit")(lambda ack: ack(text="x", blocks=blocks))
    bolt.connect()
    with pytest.raises(acts.BadAnswer, match="invalid_blocks"):
        workspace.slash(ANA, ACCESS, "/jit")
    assert "invalid_blocks" in workspace.messages(ACCESS, as_user=ANA)[0].text


def test_commands_and_channels_that_are_not_there_are_refused(workspace):
    with pytest.raises(acts.NotThere):
        workspace.slash(ANA, ACCESS, "/other")
    with pytest.raises(acts.NotThere):
        workspace.slash(ANA, "C0DBA", "/jit")


def test_a_press_tells_where_and_what(bolt, workspace, heard):
    listen(bolt, heard)
    root = post(bolt, APPROVE)["ts"]
    reply = post(bolt, APPROVE, thread_ts=root)["ts"]
    workspace.click(BO, (ACCESS, reply), "Approve 30 min")
    body = heard.one()
    assert body["container"] == {
        "type": "message",
        "message_ts": reply,
        "channel_id": ACCESS,
        "is_ephemeral": False,
        "thread_ts": root,
    }
    assert body["user"] == {"id": BO, "username": "bo", "name": "bo", "team_id": "T0ACME"}
    assert body["message"] == payloads.message(workspace.find_message(ACCESS, reply))
    (action,) = body["actions"]
    assert action.pop("action_ts")
    assert action == {
        "type": "button",
        "action_id": "approve",
        "block_id": "do",
        "text": plain("Approve 30 min"),
        "value": "k1",
        "style": "primary",
    }


def test_of_an_ephemeral_message_the_app_is_told_only_where_it_is(bolt, workspace, heard):
    listen(bolt, heard)
    bolt.client.chat_postEphemeral(channel=ACCESS, user=BO, text="x", blocks=card(APPROVE))
    (private,) = workspace.messages(ACCESS, as_user=BO)
    workspace.click(BO, private, "approve")
    assert heard.one()["container"]["is_ephemeral"]
    assert "message" not in heard.one()
    with pytest.raises(acts.NotThere):
        workspace.click(ANA, private, "approve")


def test_a_dangerous_button_asks_again(bolt, workspace, heard):
    listen(bolt, heard)
    ts = post(bolt, REVOKE)["ts"]
    with pytest.raises(acts.NeedsConfirming) as asked:
        workspace.click(BO, (ACCESS, ts), "Revoke")
    assert asked.value.dialog["text"] == plain("It ends now.")
    assert not heard
    workspace.click(BO, (ACCESS, ts), "Revoke", confirm=True)
    assert heard.one()["actions"][0]["action_id"] == "revoke"


def test_two_buttons_of_one_name_are_told_apart_by_value(bolt, workspace, heard):
    listen(bolt, heard)
    blocks = [
        {"type": "actions", "elements": [APPROVE | {"value": value}]} for value in ("k1", "k2")
    ]
    ts = bolt.client.chat_postMessage(channel=ACCESS, text="x", blocks=blocks)["ts"]
    with pytest.raises(acts.NotThere, match="say which"):
        workspace.click(BO, (ACCESS, ts), "Approve 30 min")
    workspace.click(BO, (ACCESS, ts), "Approve 30 min", "k2")
    assert heard.one()["actions"][0]["value"] == "k2"


def test_menus_boxes_and_dates_in_a_message_are_told_with_all_its_values(bolt, workspace, heard):
    listen(bolt, heard)
    checks = {"type": "checkboxes", "action_id": "checks", "options": WHAT}
    menu = {"type": "overflow", "action_id": "menu", "options": WHAT}
    ts = post(bolt, menu, checks, {"type": "datepicker", "action_id": "day"})["ts"]
    where = (ACCESS, ts)
    workspace.click(BO, where, "menu", "Write logs")
    assert heard.one()["actions"][0]["selected_option"] == WHAT[1]
    workspace.select(BO, where, "checks", ["Write logs"])
    workspace.wait_for(lambda: len(heard) == 2)
    assert heard[1]["actions"][0]["selected_options"] == [WHAT[1]]
    workspace.select(BO, where, "day", "2026-11-20")
    workspace.wait_for(lambda: len(heard) == 3)
    assert heard[2]["state"]["values"]["do"] == {
        "checks": {"type": "checkboxes", "selected_options": [WHAT[1]]},
        "day": {"type": "datepicker", "selected_date": "2026-11-20"},
    }
    with pytest.raises(acts.NotThere):
        workspace.click(BO, where, "menu", "Nothing of the kind")
