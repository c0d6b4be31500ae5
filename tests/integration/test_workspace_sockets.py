"""Socket Mode of the local workspace: tickets, acknowledgements, refresh, and all the trouble."""

import contextlib
import json
import threading
import time
import urllib.error
import urllib.request

import pytest
import slack_sdk
from slack_sdk import errors
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from bot.demo.workspace import acts

ANA, BO, ACCESS = "U0ANA", "U0BO", "C0ACCESS"


class Plain:
    """A socket of our own, to see the very frames."""

    def __init__(self, running):
        client = slack_sdk.WebClient(base_url=running.api_url)
        self.url = client.apps_connections_open(app_token=running.workspace.app_token)["url"]
        self._stack = contextlib.ExitStack()

    def read(self):
        return json.loads(self.socket.recv(timeout=5))

    def ack(self, envelope, **payload):
        self.socket.send(json.dumps({"envelope_id": envelope["envelope_id"], "payload": payload}))

    def __enter__(self):
        self.socket = self._stack.enter_context(connect(self.url, proxy=None))
        assert self.read()["type"] == "hello"
        return self

    def __exit__(self, *_):
        self._stack.close()


class Act(threading.Thread):
    """Something a person does meanwhile."""

    def __init__(self, act, *args):
        super().__init__()
        self._act, self._args = act, args
        self.result = self.error = None
        self.start()

    def run(self):
        try:
            self.result = self._act(*self._args)
        except acts.TimedOut as error:
            self.error = error

    def end(self):
        self.join(timeout=10)
        assert not self.is_alive()
        return self


@pytest.fixture
def plain(workspace_server):
    with Plain(workspace_server) as opened:
        yield opened


@pytest.fixture
def impatient(workspace):
    """Waits for acknowledgements a tenth as long as Slack does."""
    workspace.hub.ack_timeout = 0.3


# -- connecting and acknowledging -----------------------------------------------------------------


def test_a_ticket_opens_one_socket(plain):
    with pytest.raises(InvalidStatus) as caught, connect(plain.url, proxy=None):
        pass
    assert caught.value.response.status_code == 403


def test_a_made_up_ticket_opens_none(workspace_server):
    url = workspace_server.url.replace("http", "ws", 1) + "/link/?ticket=made-up"
    with pytest.raises(InvalidStatus), connect(url, proxy=None):
        pass


def test_an_envelope_looks_as_slacks(plain, workspace):
    person = Act(workspace.slash, ANA, ACCESS, "/jit help")
    envelope = plain.read()
    assert set(envelope) == {"envelope_id", "type", "accepts_response_payload", "payload"}
    assert envelope["type"] == "slash_commands"
    plain.ack(envelope, text="hi")
    assert person.end().result.text == "hi"


def test_an_act_nobody_acknowledges_is_told_to_the_person(plain, workspace, impatient):
    with pytest.raises(acts.TimedOut) as caught:
        workspace.slash(ANA, ACCESS, "/jit")
    assert caught.value.error == "operation_timeout"
    (told,) = workspace.messages(ACCESS, as_user=ANA)
    assert told.text == '/jit failed with the error "operation_timeout"'
    plain.ack(plain.read())
    workspace.wait_for(lambda: workspace.wire.entries(kind="late"))


def test_a_press_nobody_acknowledges_is_told_beside_the_message(plain, workspace, impatient):
    with pytest.raises(acts.TimedOut):
        workspace.shortcut(ANA, "ask")
    assert "trouble connecting" in workspace.notices(ANA)[0].text
    assert workspace.notices(BO) == ()


def test_with_no_app_connected_a_command_fails_at_once(workspace_server):
    began = time.monotonic()
    with pytest.raises(acts.TimedOut) as caught:
        workspace_server.workspace.slash(ANA, ACCESS, "/jit")
    assert caught.value.error == "dispatch_failed"
    assert time.monotonic() - began < 0.5


def test_an_unhandled_command_of_a_real_app_is_not_acknowledged(bolt, workspace, impatient):
    bolt.connect()
    with pytest.raises(acts.TimedOut):
        workspace.slash(ANA, ACCESS, "/jit")


def test_the_record_tells_envelopes_calls_and_acknowledgement_times(bolt, workspace):
    bolt.app.command("/jit")(lambda ack: ack())
    bolt.connect()
    workspace.slash(ANA, ACCESS, "/jit")
    (ack,) = workspace.wire.entries(kind="ack")
    assert (ack.name, ack.ok) == ("slash_commands", True)
    assert 0 < ack.ms < 1000
    kinds = [entry.kind for entry in workspace.wire.entries()]
    assert kinds[:4] == ["call", "reply", "call", "reply"]
    bodies = json.dumps([entry.body for entry in workspace.wire.entries(kind="call")])
    assert workspace.bot_token not in bodies


def test_several_sockets_share_the_work(workspace_server, plain, workspace):
    with Plain(workspace_server) as other:
        workspace.wait_for(lambda: workspace.connected == 2)
        for _ in range(2):
            people = [Act(workspace.slash, ANA, ACCESS, "/jit") for _ in range(2)]
            for socket in (plain, other):
                socket.ack(socket.read())
            assert all(person.end().error is None for person in people)


def test_two_hundred_commands_at_once_are_all_acknowledged(bolt, workspace):
    workspace.hub.ack_timeout = 20
    bolt.app.command("/jit")(lambda ack: ack())
    bolt.connect()
    people = [Act(workspace.slash, ANA, ACCESS, f"/jit {n}") for n in range(200)]
    assert all(person.end().error is None for person in people)
    texts = {e.body["payload"]["text"] for e in workspace.wire.entries(kind="envelope")}
    assert len(texts) == 200


# -- events ---------------------------------------------------------------------------------------


def test_an_event_nobody_acknowledges_comes_again(plain, workspace):
    workspace.hub.ack_timeout = 0.3
    workspace.hub.retries = (0.0, 0.0, 60.0)
    person = Act(workspace.open_home, ANA)
    seen = [plain.read() for _ in range(3)]
    plain.ack(seen[-1])
    assert person.end().error.error == "operation_timeout"
    assert [e["retry_attempt"] for e in seen] == [0, 1, 2]
    assert [e["retry_reason"] for e in seen] == ["", "timeout", "timeout"]
    assert len({e["payload"]["event_id"] for e in seen}) == 1
    assert len({e["envelope_id"] for e in seen}) == 3


# -- refresh and loss -----------------------------------------------------------------------------


def test_a_refresh_asks_for_a_new_socket_and_keeps_the_old_for_a_while(
    workspace_server, plain, workspace
):
    workspace.trouble.refresh_sockets(keep=0.5)
    assert plain.read() == {"type": "disconnect", "reason": "refresh_requested", "debug_info": {}}
    person = Act(workspace.slash, ANA, ACCESS, "/jit still here")
    plain.ack(plain.read())
    assert person.end().error is None
    with Plain(workspace_server) as fresh:
        person = Act(workspace.slash, ANA, ACCESS, "/jit")
        fresh.ack(fresh.read())
        assert person.end().error is None
        workspace.wait_for(lambda: len(workspace.wire.entries(name="closed")) == 1)


def test_a_real_app_comes_back_after_a_refresh(bolt, workspace):
    workspace.hub.ack_timeout = 10
    bolt.app.command("/jit")(lambda ack: ack())
    bolt.connect()
    workspace.trouble.refresh_sockets(keep=0.0)
    workspace.wait_for(lambda: len(workspace.wire.entries(name="hello")) == 2)
    workspace.slash(ANA, ACCESS, "/jit")


def test_a_real_app_comes_back_after_its_sockets_were_cut(bolt, workspace):
    workspace.hub.ack_timeout = 10
    bolt.app.command("/jit")(lambda ack: ack())
    bolt.connect()
    workspace.trouble.close_sockets()
    workspace.wait_for(lambda: len(workspace.wire.entries(name="hello")) == 2, timeout=20)
    workspace.slash(ANA, ACCESS, "/jit")


def test_an_eleventh_socket_is_too_many(workspace_server, plain):
    with contextlib.ExitStack() as open_:
        for _ in range(10):
            last = open_.enter_context(Plain(workspace_server))
        assert last.read()["reason"] == "too_many_websockets"


def test_envelopes_come_twice_on_demand(plain, workspace):
    workspace.trouble.duplicate()
    person = Act(workspace.slash, ANA, ACCESS, "/jit")
    first, second = plain.read(), plain.read()
    assert first == second
    plain.ack(first)
    plain.ack(second)
    assert person.end().error is None


def test_envelopes_overtake_one_another_on_demand(plain, workspace):
    workspace.trouble.reorder()
    early = Act(workspace.slash, ANA, ACCESS, "/jit early")
    workspace.wait_for(lambda: workspace.wire.entries(kind="envelope"))
    late = Act(workspace.slash, BO, ACCESS, "/jit late")
    envelopes = [plain.read(), plain.read()]
    assert [e["payload"]["text"] for e in envelopes] == ["late", "early"]
    for envelope in envelopes:
        plain.ack(envelope)
    assert early.end().error is late.end().error is None


# -- trouble with the Web API ---------------------------------------------------------------------


def test_a_rate_limit_says_how_long_to_wait(bolt, workspace):
    workspace.trouble.rate_limit("chat.postMessage", retry_after=7)
    with pytest.raises(errors.SlackApiError) as caught:
        bolt.client.chat_postMessage(channel=ACCESS, text="x")
    answer = caught.value.response
    assert (answer.status_code, answer["error"]) == (429, "ratelimited")
    assert {k.lower(): v for k, v in answer.headers.items()}["retry-after"] == "7"
    assert bolt.client.auth_test()["ok"]
    assert bolt.client.chat_postMessage(channel=ACCESS, text="x")["ok"]


def test_slack_can_be_down(bolt, workspace):
    workspace.trouble.down()
    assert workspace.trouble.is_down
    with pytest.raises(errors.SlackApiError) as caught:
        bolt.client.chat_postMessage(channel=ACCESS, text="x")
    assert caught.value.response.status_code == 503
    workspace.trouble.down(on=False)
    assert bolt.client.chat_postMessage(channel=ACCESS, text="x")["ok"]


def test_slack_can_be_unreachable(bolt, workspace):
    workspace.trouble.down(how="reset")
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        bolt.client.chat_postMessage(channel=ACCESS, text="x")
    assert workspace.messages(ACCESS) == ()


def test_an_answer_can_get_lost_after_the_work_was_done(bolt, workspace):
    bolt.client.retry_handlers.clear()
    workspace.trouble.drop_responses("chat.postMessage")
    with pytest.raises(ConnectionError):
        bolt.client.chat_postMessage(channel=ACCESS, text="x")
    assert len(workspace.messages(ACCESS)) == 1
    assert bolt.client.chat_postMessage(channel=ACCESS, text="y")["ok"]


def test_slack_can_be_slow(bolt, workspace):
    workspace.trouble.slow_ms = 150
    began = time.monotonic()
    bolt.client.auth_test()
    assert time.monotonic() - began >= 0.15


def test_a_method_can_be_made_to_fail(bolt, workspace):
    workspace.trouble.fail("users.info", "internal_error")
    with pytest.raises(errors.SlackApiError, match="internal_error"):
        bolt.client.users_info(user=ANA)
    assert bolt.client.users_info(user=ANA)["ok"]


def test_all_trouble_can_be_ended_at_once(bolt, workspace):
    workspace.trouble.rate_limit(n=5)
    workspace.trouble.drop_responses(n=5)
    workspace.trouble.down()
    workspace.trouble.slow_ms = 5
    assert set(workspace.trouble.now_on()) == {"fail *", "drop *", "down", "slow"}
    workspace.trouble.clear()
    assert workspace.trouble.now_on() == {}
    assert bolt.client.auth_test()["ok"]


def test_a_response_url_can_be_rate_limited_and_wears_out(workspace_server, workspace):
    token = workspace.response_urls.issue(ANA, ACCESS)
    url = f"{workspace_server.url}/commands/T0ACME/{token}"
    workspace.trouble.rate_limit("response_url")
    statuses = [_post(url, {"text": "hi"}) for _ in range(7)]
    assert statuses == [429, 200, 200, 200, 200, 200, 404]
    assert len(workspace.messages(ACCESS, as_user=ANA)) == 5
    fresh = workspace.response_urls.issue(ANA, ACCESS)
    assert _post(f"{workspace_server.url}/commands/T0ACME/{fresh}", {"text": ""}) == 400


def _post(url, body):
    data, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
