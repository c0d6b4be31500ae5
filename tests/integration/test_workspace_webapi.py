"""The local workspace's Web API, called by Slack's own client."""

import json
import urllib.error
import urllib.request

import pytest
import slack_sdk
from slack_sdk import errors

from bot.demo.workspace import acts, people, posting, server

ANA, BO, ACCESS = "U0ANA", "U0BO", "C0ACCESS"
MODAL = {
    "type": "modal",
    "title": {"type": "plain_text", "text": "Ask"},
    "blocks": [{"type": "section", "text": {"type": "plain_text", "text": "hello"}}],
}
HOME = {"type": "home", "blocks": MODAL["blocks"]}
LONG = [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}]


@pytest.fixture
def client(workspace_server):
    return slack_sdk.WebClient(
        token=workspace_server.workspace.bot_token, base_url=workspace_server.api_url
    )


def refused(call, *args, **kwargs):
    with pytest.raises(errors.SlackApiError) as caught:
        call(*args, **kwargs)
    return caught.value.response


def raw(running, method, body=b"", **headers):
    request = urllib.request.Request(running.api_url + method, data=body, headers=headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


# -- tokens and scopes ----------------------------------------------------------------------------


def test_the_bot_learns_who_it_is(client):
    me = client.auth_test()
    assert (me["user_id"], me["bot_id"], me["team_id"]) == ("U0JIT", "B0JIT", "T0ACME")
    assert "chat:write" in me.headers["x-oauth-scopes"]


@pytest.mark.parametrize(
    ("token", "method", "error"),
    [
        ("", "auth.test", "not_authed"),
        ("xoxb-made-up", "auth.test", "invalid_auth"),
        ("xapp-made-up", "apps.connections.open", "invalid_auth"),
        ("xoxb-made-up", "apps.connections.open", "not_allowed_token_type"),
    ],
)
def test_a_wrong_token_is_refused(workspace_server, token, method, error):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    assert raw(workspace_server, method, **headers)["error"] == error


def test_each_token_is_good_for_its_own_methods_only(workspace_server, client):
    app_token = workspace_server.workspace.app_token
    own = {"Authorization": f"Bearer {app_token}"}
    assert refused(client.api_call, "auth.test", headers=own)["error"] == "not_allowed_token_type"
    assert refused(client.apps_connections_open, app_token=client.token)["error"] == (
        "not_allowed_token_type"
    )
    assert client.apps_connections_open(app_token=app_token)["url"].startswith("ws://127.0.0.1:")


def test_a_token_may_come_in_the_body(workspace_server):
    body = f"token={workspace_server.workspace.bot_token}".encode()
    assert raw(workspace_server, "auth.test", body)["ok"]


def test_a_scope_that_was_not_granted_is_missed():
    place = acts.Workspace(scopes=frozenset({"chat:write", "users:read"}))
    with server.Server(place) as running:
        client = slack_sdk.WebClient(token=place.bot_token, base_url=running.api_url)
        answer = refused(client.usergroups_list)
        assert (answer["error"], answer["needed"]) == ("missing_scope", "usergroups:read")
        assert answer["provided"] == "chat:write,users:read"
        assert "email" not in client.users_info(user=ANA)["user"]["profile"]


def test_an_unknown_method_is_called_unknown(client):
    assert refused(client.api_call, "chat.shout")["error"] == "unknown_method"


def test_forms_and_json_are_read_alike(workspace_server):
    token = workspace_server.workspace.bot_token
    body = json.dumps({"channel": ACCESS, "text": "[not json"}).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    assert raw(workspace_server, "chat.postMessage", body, **headers)["message"]["text"] == (
        "[not json"
    )
    form = b"channel=C0ACCESS&text=%5Bnot+json"
    answer = raw(workspace_server, "chat.postMessage", form, Authorization=f"Bearer {token}")
    assert answer["message"]["text"] == "[not json"


# -- messages -------------------------------------------------------------------------------------


def test_a_message_is_posted_edited_and_deleted(client, workspace):
    posted = client.chat_postMessage(channel=ACCESS, text="asked", blocks=MODAL["blocks"])
    ts = posted["ts"]
    assert posted["message"]["blocks"][0]["block_id"]
    client.chat_update(channel=ACCESS, ts=ts, text="approved")
    (said,) = workspace.messages(ACCESS)
    assert (said.text, said.blocks, said.ts) == ("approved", (), ts)
    assert said.edited_ts is not None
    client.chat_delete(channel=ACCESS, ts=ts)
    assert workspace.messages(ACCESS) == ()


def test_a_reply_stands_in_the_thread(client, workspace):
    root = client.chat_postMessage(channel=ACCESS, text="asked")["ts"]
    reply = client.chat_postMessage(channel=ACCESS, text="approved", thread_ts=root)["ts"]
    again = client.chat_postMessage(channel=ACCESS, text="ended", thread_ts=reply)
    assert again["message"]["thread_ts"] == root
    assert len(workspace.messages(ACCESS, root)) == 3
    link = client.chat_getPermalink(channel=ACCESS, message_ts=reply)["permalink"]
    assert f"/archives/{ACCESS}/p{reply.replace('.', '')}?thread_ts={root}" in link


def test_a_user_id_means_the_conversation_with_them(client, workspace):
    posted = client.chat_postMessage(channel=ANA, text="yours")
    opened = client.conversations_open(users=ANA)["channel"]["id"]
    assert posted["channel"] == opened == workspace.dm(ANA)


def test_a_channel_may_be_called_by_name(client):
    assert client.chat_postMessage(channel="#db-access", text="hi")["channel"] == ACCESS


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"channel": "C0NOWHERE", "text": "x"}, "channel_not_found"),
        ({"channel": "C0GENERAL", "text": "x"}, "not_in_channel"),
        ({"channel": ACCESS, "text": ""}, "no_text"),
        ({"channel": ACCESS, "blocks": LONG, "text": "x"}, "invalid_blocks"),
        ({"channel": ACCESS, "blocks": "nonsense", "text": "x"}, "invalid_blocks_format"),
        ({"channel": ACCESS, "blocks": {"a": 1}, "text": "x"}, "invalid_blocks_format"),
        ({"channel": ACCESS, "text": "x", "markdown_text": "y"}, "markdown_text_conflict"),
        ({"channel": ACCESS, "text": "x", "thread_ts": "1.1"}, "cannot_reply_to_message"),
        ({"channel": ACCESS, "text": "x", "metadata": {"a": 1}}, "invalid_metadata_format"),
        ({"text": "x"}, "invalid_arguments"),
    ],
)
def test_a_message_slack_refuses_is_refused(client, workspace, arguments, error):
    answer = refused(client.api_call, "chat.postMessage", params=_form(arguments))
    assert answer["error"] == error
    assert workspace.messages(ACCESS) == ()


def _form(arguments):
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in arguments.items()}


def test_a_refusal_of_blocks_says_where(client):
    answer = refused(client.chat_postMessage, channel=ACCESS, text="x", blocks=LONG)
    assert answer["response_metadata"]["messages"] == [
        "[ERROR] must be less than 3001 characters [json-pointer:/blocks/0/text/text]"
    ]


def test_a_text_too_long_is_cut_when_posted_and_refused_when_edited(client, workspace):
    posted = client.chat_postMessage(channel=ACCESS, text="x" * 40_001)
    assert posted["warning"] == "message_truncated"
    assert len(workspace.messages(ACCESS)[0].text) == 40_000
    answer = refused(client.chat_update, channel=ACCESS, ts=posted["ts"], text="x" * 4_001)
    assert answer["error"] == "msg_too_long"


def test_a_bot_cannot_edit_what_is_not_its_own(client, workspace):
    said = posting.post(workspace, ACCESS, posting.Content(text="mine"), user=ANA)
    edit = refused(client.chat_update, channel=ACCESS, ts=said.ts, text="x")
    delete = refused(client.chat_delete, channel=ACCESS, ts=said.ts)
    missing = refused(client.chat_update, channel=ACCESS, ts="1.1", text="x")
    assert [answer["error"] for answer in (edit, delete, missing)] == [
        "cant_update_message",
        "cant_delete_message",
        "message_not_found",
    ]


def test_an_ephemeral_message_reaches_one_member_and_cannot_be_edited(client, workspace):
    ts = client.chat_postEphemeral(channel=ACCESS, user=BO, text="only you")["message_ts"]
    assert workspace.messages(ACCESS, as_user=BO)[0].only_for == BO
    assert refused(client.chat_update, channel=ACCESS, ts=ts, text="x")["error"] == (
        "message_not_found"
    )
    outsider = refused(client.chat_postEphemeral, channel="C0AUDIT", user="U0GUS", text="x")
    assert outsider["error"] == "user_not_in_channel"


def test_a_private_channel_does_not_exist_for_a_bot_that_is_not_in_it(client, workspace):
    workspace.add_channel(
        people.Channel(id="C0SECRET", name="secret", members=frozenset({BO}), is_private=True)
    )
    for call in (client.conversations_info, client.conversations_members):
        assert refused(call, channel="C0SECRET")["error"] == "channel_not_found"
    listed = client.conversations_list(types="public_channel,private_channel")["channels"]
    assert "C0SECRET" not in {channel["id"] for channel in listed}


# -- people ---------------------------------------------------------------------------------------


def test_an_account_shows_every_mark_a_policy_may_ask_for(client):
    guest = client.users_info(user="U0GUS")["user"]
    assert guest["is_restricted"]
    assert guest["is_ultra_restricted"]
    stranger = client.users_info(user="U0SAM")["user"]
    assert (stranger["team_id"], stranger["is_stranger"]) == ("T0OTHER", True)
    ana = client.users_info(user=ANA)["user"]
    assert (ana["profile"]["email"], ana["tz"]) == ("ana@acme.test", "Europe/Berlin")
    assert refused(client.users_info, user="U0NOBODY")["error"] == "user_not_found"


def test_an_address_finds_a_live_account(client, workspace):
    assert client.users_lookupByEmail(email="BO@acme.test")["user"]["id"] == BO
    workspace.change_user(BO, deleted=True)
    assert refused(client.users_lookupByEmail, email="bo@acme.test")["error"] == "users_not_found"


def test_groups_and_their_members_are_told(client, workspace):
    groups = client.usergroups_list(include_users=True)["usergroups"]
    owners = next(group for group in groups if group["handle"] == "data-owners")
    assert owners["users"] == ["U0BO", "U0CLEO", "U0DAN"]
    assert client.usergroups_users_list(usergroup=owners["id"])["users"] == owners["users"]
    assert refused(client.usergroups_users_list, usergroup="S0NONE")["error"] == "no_such_subteam"
    workspace.paid_plan = False
    assert refused(client.usergroups_list)["error"] == "plan_upgrade_required"


def test_long_lists_come_in_pages(client):
    found, cursor = [], None
    while cursor != "":
        page = client.conversations_members(channel=ACCESS, limit=3, cursor=cursor)
        assert len(page["members"]) <= 3
        found += page["members"]
        cursor = page["response_metadata"]["next_cursor"]
    assert found == sorted(client.conversations_members(channel=ACCESS)["members"])
    assert refused(client.users_list, cursor="rubbish")["error"] == "invalid_cursor"


def test_channels_are_told_of(client):
    channel = client.conversations_info(channel=ACCESS)["channel"]
    assert (channel["name"], channel["is_member"], channel["is_ext_shared"]) == (
        "db-access",
        True,
        True,
    )
    assert client.conversations_join(channel="C0DBA")["channel"]["is_member"]
    mine = client.users_conversations()["channels"]
    assert {c["name"] for c in mine} == {"db-access", "db-audit", "dba"}
    assert client.team_info()["team"]["name"] == "Acme"
    assert client.bots_info(bot="B0JIT")["bot"]["user_id"] == "U0JIT"


def test_a_conversation_needs_a_live_person(client, workspace):
    assert refused(client.conversations_open, users="U0NOBODY")["error"] == "user_not_found"
    workspace.change_user(BO, deleted=True)
    assert refused(client.conversations_open, users=BO)["error"] == "user_disabled"


def test_what_was_said_can_be_read_back(client):
    root = client.chat_postMessage(channel=ACCESS, text="one")["ts"]
    client.chat_postMessage(channel=ACCESS, text="under it", thread_ts=root)
    client.chat_postMessage(channel=ACCESS, text="two")
    assert [m["text"] for m in client.conversations_history(channel=ACCESS)["messages"]] == [
        "two",
        "one",
    ]
    replies = client.conversations_replies(channel=ACCESS, ts=root)["messages"]
    assert [m["text"] for m in replies] == ["one", "under it"]


# -- views ----------------------------------------------------------------------------------------


def opened(client, workspace, user=ANA, **more):
    return client.views_open(trigger_id=workspace.triggers.issue(user), view=MODAL | more)["view"]


def test_a_modal_opens_for_whom_the_trigger_is(client, workspace):
    view = opened(client, workspace)
    assert workspace.view_of(ANA).id == view["id"] == view["root_view_id"]
    assert workspace.view_of(BO) is None


def test_three_modals_stand_on_each_other_and_no_fourth(client, workspace):
    root = opened(client, workspace)
    for _ in range(2):
        top = client.views_push(trigger_id=workspace.triggers.issue(ANA), view=MODAL)["view"]
    assert top["root_view_id"] == root["id"]
    answer = refused(client.views_push, trigger_id=workspace.triggers.issue(ANA), view=MODAL)
    assert answer["error"] == "push_limit_reached"


@pytest.mark.parametrize("trigger", ["made.up.1", "used"])
def test_a_trigger_that_is_no_good_opens_nothing(client, workspace, trigger):
    if trigger == "used":
        trigger = workspace.triggers.issue(ANA)
        client.views_open(trigger_id=trigger, view=MODAL)
    error = refused(client.views_open, trigger_id=trigger, view=MODAL)["error"]
    assert error in ("invalid_trigger_id", "exchanged_trigger_id")


def test_a_late_trigger_opens_nothing():
    moment = [1_795_000_000.0]
    place = acts.Workspace(now=lambda: moment[0])
    with server.Server(place) as running:
        client = slack_sdk.WebClient(token=place.bot_token, base_url=running.api_url)
        trigger = place.triggers.issue(ANA)
        moment[0] += 3.5
        answer = refused(client.views_open, trigger_id=trigger, view=MODAL)
        assert answer["error"] == "expired_trigger_id"


def test_a_view_is_updated_only_as_it_is_known(client, workspace):
    view = opened(client, workspace, external_id="mine")
    newer = client.views_update(view_id=view["id"], hash=view["hash"], view=MODAL)["view"]
    assert newer["hash"] != view["hash"]
    stale = refused(client.views_update, view_id=view["id"], hash=view["hash"], view=MODAL)
    assert stale["error"] == "hash_conflict"
    gone = refused(client.views_update, view_id="V0NONE", view=MODAL)
    assert gone["error"] == "not_found"


def test_an_apps_own_name_for_a_view_is_unique(client, workspace):
    opened(client, workspace, external_id="mine")
    client.views_update(external_id="mine", view=MODAL | {"external_id": "mine"})
    trigger = workspace.triggers.issue(BO)
    again = refused(client.views_open, trigger_id=trigger, view=MODAL | {"external_id": "mine"})
    assert again["error"] == "duplicate_external_id"


def test_a_view_slack_refuses_is_refused(client, workspace):
    trigger = workspace.triggers.issue(ANA)
    huge = MODAL | {"blocks": [{**LONG[0], "text": {"type": "mrkdwn", "text": "é" * 3000}}] * 100}
    assert refused(client.views_open, trigger_id=trigger, view=huge)["error"] == "view_too_large"
    answer = refused(client.views_open, trigger_id=trigger, view=MODAL | {"blocks": LONG})
    assert answer["error"] == "invalid_arguments"
    assert "[json-pointer:/view/blocks/0/text/text]" in answer["response_metadata"]["messages"][0]


def test_a_home_is_published_and_replaced(client, workspace):
    first = client.views_publish(user_id=ANA, view=HOME)["view"]
    second = client.views_publish(user_id=ANA, view=HOME, hash=first["hash"])["view"]
    assert second["id"] == first["id"]
    assert workspace.home_of(ANA).hash == second["hash"]
    stale = refused(client.views_publish, user_id=ANA, view=HOME, hash=first["hash"])
    assert stale["error"] == "hash_conflict"


# -- files ----------------------------------------------------------------------------------------


def test_a_file_is_uploaded_and_shared(client, workspace):
    client.files_upload_v2(
        channel=ACCESS, content="a,b\n1,2\n", filename="log.csv", initial_comment="Statements"
    )
    (said,) = workspace.messages(ACCESS)
    assert (said.text, said.files[0]["name"]) == ("Statements", "log.csv")
    with urllib.request.urlopen(said.files[0]["url_private"]) as answer:
        assert answer.read() == b"a,b\n1,2\n"


# -- who may speak to it --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Origin": "https://evil.test"}, 403), ({"Host": "evil.test"}, 400)],
)
def test_another_sites_page_is_refused(workspace_server, headers, status):
    with pytest.raises(urllib.error.HTTPError) as caught:
        raw(workspace_server, "auth.test", **headers)
    caught.value.close()
    assert caught.value.code == status


def test_a_taken_port_is_an_error(workspace_server):
    port = int(workspace_server.url.rsplit(":", 1)[1])
    with pytest.raises(OSError, match="in use"):
        server.Server(port=port).start()


def test_two_workspaces_live_side_by_side(workspace_server):
    with server.Server() as other:
        assert other.url != workspace_server.url
        assert other.workspace.bot_token != workspace_server.workspace.bot_token
