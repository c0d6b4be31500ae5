"""Alarms over a webhook: posted once, tried again, never to anybody else, and never with a secret."""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bot import errors, settings
from bot.store import OutboxRow
from bot.telling import notices, outbox
from bot.watching import webhook
from tests.fixtures_core import NOON, World

DATA = {
    "id": "a1arm000",
    "alarm": "overdue",
    "state": "over",
    "over": True,
    "target": "shop",
    "since": NOON.isoformat(),
    "count": 50,
    "error": "The target does not answer.",
    "by": None,
    "grants": [{"id": "x", "who": "Ana", "what": "read", "role": "jit_x"}],
}


class Endpoint:
    """Somebody's alerting, on this machine."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.pause = threading.Event()
        self.pause.set()
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                endpoint.got.append((self.path, json.loads(self.rfile.read(length))))
                endpoint.pause.wait(5)
                status, headers = endpoint.answers.pop(0) if endpoint.answers else (204, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            do_GET = do_POST  # noqa: N815 - the library's spelling

            def log_message(self, *_args: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook/s3cret"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.pause.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.close()


def row(**changes: Any) -> OutboxRow:
    return OutboxRow(
        id=1,
        kind="webhook",
        request_id=None,
        lane="webhook",
        data=DATA | changes,
        attempts=0,
        created_at=NOON,
    )


def hook(world: World, url: str | None, timeout: float = 5.0) -> webhook.Webhook:
    return webhook.Webhook(url=url, store=world.store, clock=world.clock, timeout=timeout)


def test_an_alarm_is_posted_as_json_with_a_sentence_for_people(
    world: World, endpoint: Endpoint
) -> None:
    hook(world, endpoint.url).deliver(row(), None)
    ((path, told),) = endpoint.got
    assert path == "/hook/s3cret"
    assert told["text"].startswith("Over: access to shop has ended after all")
    assert {name: told[name] for name in DATA} == DATA
    assert told["at"] == NOON.isoformat()


def test_one_grant_is_not_called_grants() -> None:
    assert "may still exist (1 grant)." in webhook.text(DATA | {"state": "raised", "count": 1})
    assert "may still exist (2 grants)." in webhook.text(DATA | {"state": "raised", "count": 2})


def test_what_was_given_up_is_not_told_as_ended() -> None:
    said = webhook.text(DATA | {"state": "over", "count": 3, "unproven": 1})
    assert "nothing proves the end of 1 grant" in said
    assert "has ended" not in said
    assert "no more" not in said


@pytest.mark.parametrize("alarm", sorted(notices.Alarm))
def test_every_alarm_says_what_is_so_and_what_has_become_of_it(alarm: str) -> None:
    raised, over = (
        webhook.text(DATA | {"alarm": alarm, "state": state}) for state in ("raised", "over")
    )
    assert "person" not in raised
    assert over.startswith("Over: ")
    assert "needs nobody" not in over


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_passing_refusal_is_tried_again(world: World, endpoint: Endpoint, status: int) -> None:
    endpoint.answers = [(status, {})]
    with pytest.raises(outbox.Later, match=str(status)):
        hook(world, endpoint.url).deliver(row(), None)


@pytest.mark.parametrize("status", [400, 401, 404, 410])
def test_a_lasting_refusal_is_not(world: World, endpoint: Endpoint, status: int) -> None:
    endpoint.answers = [(status, {})]
    with pytest.raises(outbox.Never, match=str(status)):
        hook(world, endpoint.url).deliver(row(), None)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(world: World, endpoint: Endpoint, status: int) -> None:
    endpoint.answers = [(status, {"Location": endpoint.url + "/elsewhere"})]
    with pytest.raises(outbox.Never):
        hook(world, endpoint.url).deliver(row(), None)
    assert [path for path, _ in endpoint.got] == ["/hook/s3cret"]


def test_one_that_does_not_answer_is_given_up_in_time_and_its_url_is_not_told(
    world: World, endpoint: Endpoint
) -> None:
    endpoint.pause.clear()
    with pytest.raises(outbox.Later) as slow:
        hook(world, endpoint.url, timeout=0.2).deliver(row(), None)
    endpoint.close()
    with pytest.raises(outbox.Later) as gone:
        hook(world, endpoint.url).deliver(row(), None)
    assert "s3cret" not in str(slow.value) + str(gone.value)


def test_without_a_webhook_nothing_is_owed(world: World) -> None:
    assert hook(world, None).deliver(row(), None) is None


def test_what_is_over_is_not_told_to_be_so_still(world: World, endpoint: Endpoint) -> None:
    for state in ("raised", "repeated"):
        hook(world, endpoint.url).deliver(row(state=state, over=False), None)
    assert endpoint.got == []


def test_rows_go_their_way(world: World, endpoint: Endpoint) -> None:
    both = webhook.Branch(slack=world.channel, webhook=hook(world, endpoint.url))
    both.deliver(row(), None)
    assert (len(endpoint.got), world.channel.said) == (1, [])


@pytest.mark.parametrize(
    "url", ["http://alerts.example.com/s3cret", "ftp://x/s3cret", "file:///etc/passwd", "s3cret"]
)
def test_only_https_leaves_this_machine(url: str) -> None:
    with pytest.raises(errors.SettingsError) as refused:
        chosen(url).webhook_url("HOOK")
    assert "HOOK" in str(refused.value)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["https://alerts.example.com/h", "http://127.0.0.1:8/h", "http://[::1]/h"]
)
def test_https_and_this_machine_are_taken(url: str) -> None:
    assert chosen(url).webhook_url("HOOK").reveal() == url


def chosen(url: str) -> settings.Settings:
    return settings.load({"HOOK": url}, slack=False)
