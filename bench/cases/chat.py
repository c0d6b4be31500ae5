"""G12, G13, G19 and G20: acknowledging, clicks, dispatch, refreshed sockets, and words under limits."""

import contextlib
import itertools
import secrets
import statistics
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import slack_bolt
import slack_sdk.signature

from bench import core, limits, measure, office
from bench.measure import at_least, at_most
from bench.stage import GOAL, Stage, Told
from bot import clock as clocks
from bot import model, store
from bot.demo.workspace import trouble
from bot.slack import client
from bot.telling import outbox

_SLOW = 2.0  # seconds that each call to the slow target takes
_CHANNEL = "C0GENERAL"
_REFRESHED_EVERY = 0.8  # seconds
_ASKED_EVERY = 0.06  # seconds
_FASTER = 50  # seconds of the moved clock in a real one


def chat(stage: Stage) -> Iterator[Told]:
    """G12 and G13: commands in one instant with a slow target, and the click that grants."""
    count = stage.sizes.commands
    with office.opened(stage, slow=_SLOW) as at:
        _busy_target(at)
        acks, failed = _commands(at, count)
    yield measure.line("acks", "ours", count, acks or [0.0], rate=None, failed=failed)
    worst = measure.percentile(acks or [9.0], 99)
    size, slow = (count, GOAL.commands), failed + sum(a > 3 for a in acks)
    words = f"{count} commands, slow target: p99 acknowledged"
    yield at_most("G12", words, worst, 1, " s", size=size)
    yield at_most("G12", "over 3 s, or not at all", slow, 0, size=size)
    with office.opened(stage) as at:
        clicks = [_click(at, n % office.ASKED) for n in range(12)][2:]
    yield measure.line("click-to-active", "ours", 1, clicks, rate=None)
    yield at_most(
        "G13", "click to active at rest, p50", statistics.median(clicks) * 1000, 100, " ms"
    )


def _busy_target(at: office.Office) -> None:
    """The target has work in hand while the commands come."""
    at.workspace.slash("U0ANA", _CHANNEL, "/jit read_0 30m the export is stuck again")
    at.workspace.wait_for(at.cards)
    at.workspace.click("U0BO", at.cards()[-1], "Approve 30 min")


def _commands(at: office.Office, count: int) -> tuple[list[float], int]:
    acks: list[float] = []
    failed = [0]
    gate = threading.Barrier(count)

    def ask() -> None:
        gate.wait()
        began = time.perf_counter()
        try:
            at.workspace.slash("U0ANA", _CHANNEL, "/jit help")
            acks.append(time.perf_counter() - began)
        except Exception:
            failed[0] += 1

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return acks, failed[0]


def _click(at: office.Office, number: int) -> float:
    """From the approver's click to a grant that is active on the record."""
    before = len(at.cards())
    at.workspace.slash("U0ANA", _CHANNEL, f"/jit read_{number} 30m {secrets.token_hex(4)} stuck")
    card = at.workspace.wait_for(lambda: at.cards()[before:])[0]
    newest = at.store.requests(limit=1)[0].id
    core.wait(lambda: at.store.outbox_depth() == 0, 20)  # at rest: nobody is being told anything
    began = time.perf_counter()
    clicked = threading.Thread(target=at.workspace.click, args=("U0BO", card, "Approve 30 min"))
    clicked.start()
    core.wait(lambda: at.status(newest) is model.GrantStatus.ACTIVE, 20, 0.002)
    took = time.perf_counter() - began
    clicked.join()
    return took


def dispatch(stage: Stage) -> Iterator[Told]:
    """G13: what our listener costs over a plain Bolt's that only acknowledges the same payload."""
    rounds = max(20, stage.sizes.rounds)
    with office.opened(stage) as at:
        at.workspace.slash("U0ANA", _CHANNEL, "/jit help")
        payload = at.workspace.wire.entries(kind="envelope")[-1].body["payload"]
        plain, prompt = _plain(at), _plain(at, one_thread=True)
        turns: dict[str, measure.Turn] = {
            "ours": lambda: {"dispatch": _dispatched(at.slack.bolt, payload)},
            "bolt": lambda: {"dispatch": _dispatched(plain, payload)},
            "bolt-one-thread": lambda: {"dispatch": _dispatched(prompt, payload)},
            "bolt-signed": lambda: {"dispatch": _signed(plain, payload)},
        }
        found = measure.interleave(rounds, turns)["dispatch"]
        at.service.lanes.wait_idle(60)
    yield from measure.compared("dispatch", 1, found)
    ratio = measure.ratio(found["ours"], found["bolt"])
    what = "dispatch of a command over plain Bolt's"
    yield at_most("G13", what, ratio, 1.3)
    ratio = measure.ratio(found["ours"], found["bolt-one-thread"])
    yield measure.told("G13", f"{what}, acknowledging on the thread that took it", ratio.value)


_SECRET = "of this run"


def _plain(at: office.Office, *, one_thread: bool = False) -> slack_bolt.App:
    """Bolt as its tutorial makes it; `one_thread`: but that its listener runs where the command came."""
    web = client.web_client(at.workspace.bot_token, at.api_url)
    app = slack_bolt.App(client=web, signing_secret=_SECRET, process_before_response=one_thread)

    def listener(ack: Callable[[], Any]) -> None:
        ack()

    app.command("/jit")(listener)
    return app


def _dispatched(app: slack_bolt.App, payload: dict[str, Any]) -> float:
    """As Socket Mode hands it over."""
    return measure.timed(
        lambda: _ok(app.dispatch(slack_bolt.BoltRequest(body=payload, mode="socket_mode")))
    )


def _signed(app: slack_bolt.App, payload: dict[str, Any]) -> float:
    """As an HTTP door hands it over."""
    body = urllib.parse.urlencode(payload)
    signing = slack_sdk.signature.SignatureVerifier(_SECRET)
    at = str(int(time.time()))
    headers: dict[str, str | Sequence[str]] = {
        "content-type": ["application/x-www-form-urlencoded"],
        "x-slack-signature": [str(signing.generate_signature(timestamp=at, body=body))],
        "x-slack-request-timestamp": [at],
    }
    return measure.timed(
        lambda: _ok(app.dispatch(slack_bolt.BoltRequest(body=body, headers=headers)))
    )


def _ok(answer: slack_bolt.BoltResponse) -> None:
    assert answer.status == 200, answer.body


def sockets(stage: Stage) -> Iterator[Told]:
    """G19: commands come steadily while Slack replaces the sockets again and again."""
    with office.opened(stage) as at:
        quiet, before = _at_rest(at, stage.sizes.refreshes * _REFRESHED_EVERY / 4)
        refreshing = threading.Event()
        refresher = threading.Thread(
            target=_refresh, args=(at, stage.sizes.refreshes, refreshing), daemon=True
        )
        refresher.start()
        acks, asked = _steadily(at, refreshing, before)
        refresher.join()
        whole = len(quiet) + len(acks)
        at.workspace.wait_for(lambda: len(at.store.requests(limit=9999)) >= whole, 20)
        found = Counter(each.justification for each in at.store.requests(limit=9999))
    lost, doubled = before + asked - len(found), sum(found.values()) - len(found)
    times = stage.sizes.refreshes
    yield measure.line(
        "refreshed-sockets", "ours", asked, acks or [0.0], rate=None, lost=lost, doubled=doubled,
        facts={"refreshes": times, "longest_at_rest_ms": round(max(quiet) * 1000, 1)},
    )  # fmt: skip
    words = f"{asked} commands, sockets replaced {times} times"
    yield at_most("G19", f"{words}: lost or doubled", lost + doubled, 0)
    yield at_most("G19", f"{words}: longest acknowledgement", max(acks) * 1000, 300, " ms")


def _refresh(at: office.Office, times: int, over: threading.Event) -> None:
    for number in range(times):
        time.sleep(_REFRESHED_EVERY)
        if number % 4 == 3:  # the warning that comes some seconds before
            at.workspace.trouble.refresh_sockets("warning", keep=2.0)
        else:
            at.workspace.trouble.refresh_sockets(keep=2.0)
    time.sleep(_REFRESHED_EVERY)
    over.set()


def _at_rest(at: office.Office, seconds: float) -> tuple[list[float], int]:
    """The same for a while without anything else, to compare with."""
    over = threading.Event()
    timer = threading.Timer(seconds, over.set)
    timer.start()
    found = _steadily(at, over, 0)
    timer.join()
    return found


def _steadily(at: office.Office, over: threading.Event, first: int) -> tuple[list[float], int]:
    """One after the other by a few people; each asks for something else, so none is taken for another."""
    acks: list[float] = []
    number = first
    while not over.wait(_ASKED_EVERY):
        who, what = office.PEOPLE[number % 2], number % office.ASKED
        began = time.perf_counter()
        with contextlib.suppress(Exception):  # then it is missing in the record, and counted
            at.workspace.slash(who, _CHANNEL, f"/jit read_{what} 30m number {number} is stuck")
            acks.append(time.perf_counter() - began)
        number += 1
    return acks, number - first


def words(stage: Stage) -> Iterator[Told]:
    """G20: a thousand messages under Slack's limits, by a clock that runs fifty times as fast."""
    clock = clocks.ManualClock(datetime.now(UTC))
    told = _Told()
    with office.opened(stage, clock=clock, poster=told.by, serving=False) as at:
        count = _talk(at, stage.sizes.lines)
        slack = limits.Limits(lambda: clock.now().timestamp())
        _limit(at, slack)
        took = _said(at, clock)
        order = told.disorder()
        posted = _posted(at)
    missing = count - len(set(told.rows))
    doubled = len(told.rows) - len(set(told.rows)) + posted
    yield measure.line(
        "words-under-limits",
        "ours",
        count,
        [took],
        rate=round(count / took, 2),
        lost=missing,
        doubled=doubled,
        failed=order,
        facts={"refused_429": slack.refused, "clock": f"moved, {_FASTER} times as fast"},
    )
    size, lost = (count, GOAL.lines), missing + doubled
    words = f"{count:,} messages under Slack's limits: lost or doubled"
    yield at_most("G20", words, lost, 0, size=size)
    yield at_most("G20", "said out of their lane's order", order, 0, size=size)
    yield at_least("G20", "answers of 429 that were survived", slack.refused, 1)


class _Told:
    """The real poster, and what it was heard to say, in order."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self._lanes: dict[str, list[int]] = {}
        self._lock = threading.Lock()
        self._real: Any = None

    def by(self, real: outbox.Poster) -> outbox.Poster:
        self._real = real
        return self

    def deliver(self, row: store.OutboxRow, story: model.Story | None) -> model.MessageRef | None:
        said: model.MessageRef | None = self._real.deliver(row, story)
        with self._lock:
            self.rows.append(row.id)
            self._lanes.setdefault(row.lane, []).append(row.id)
        return said

    def withdraw(self, message: model.MessageRef) -> None:
        self._real.withdraw(message)

    def disorder(self) -> int:
        """How many were said after one that was to be said later in the same lane."""
        return sum(
            later < earlier
            for lane in self._lanes.values()
            for earlier, later in itertools.pairwise(lane)
        )


def _talk(at: office.Office, count: int) -> int:
    """Lives of grants, until so much waits to be said; how much does."""
    number = 0
    while at.store.outbox_depth() < count:
        draft = model.Draft(
            requester_id=office.PEOPLE[number % 2],
            entitlement=f"read_{number % office.ASKED}",
            duration=timedelta(minutes=30),
            justification=f"INC-{number}: the export is stuck",
        )
        request_id = at.service.access.submit(draft).request.id
        at.service.access.review(request_id, "U0BO", model.Answer.APPROVE, source=None)
        at.service.grants.activate(request_id)
        at.service.grants.give_back(request_id, draft.requester_id)
        at.service.grants.end(request_id)
        number += 1
    return at.store.outbox_depth()


def _limit(at: office.Office, slack: limits.Limits) -> None:
    """Let the local workspace answer 429 with Retry-After as Slack does."""
    wire, faults = at.workspace.wire, at.workspace.trouble
    note, strikes = wire.note, faults.strikes
    called: dict[str, str] = {}  # on the server's loop alone, and nothing comes between the two

    def noted(kind: str, name: str, **more: Any) -> None:
        if kind == "call":
            called["channel"] = str((more.get("body") or {}).get("channel", ""))
        note(kind, name, **more)

    def struck(method: str) -> trouble.Fault | None:
        wait = slack.wait(method, called.get("channel", ""))
        if wait > 0:
            seconds = max(1, round(wait + 0.5))
            return trouble.Fault(error="ratelimited", status=429, retry_after=seconds)
        return strikes(method)

    wire.note = noted  # type: ignore[method-assign]
    faults.strikes = struck  # type: ignore[method-assign]


def _said(at: office.Office, clock: clocks.ManualClock) -> float:
    """Let everything be said; how many seconds that takes by the moved clock."""
    began = clock.now()
    at.service.outbox.start()
    while at.store.outbox_depth():
        time.sleep(0.25 / _FASTER)
        clock.advance(timedelta(seconds=0.25))
        at.service.outbox.wake()
        assert clock.now() - began < timedelta(hours=3), "it is never all said"
    return (clock.now() - began).total_seconds()


def _posted(at: office.Office) -> int:
    """How many more messages of ours stand in the workspace than the record knows."""
    known = {
        (message.channel_id, message.ts)
        for request in at.store.requests(limit=9999)
        for message in at.store.messages(request.id)
    }
    with at.workspace.reading():
        standing = {
            (message.channel, message.ts)
            for place in at.workspace._messages.values()  # noqa: SLF001
            for message in place
        }
    return len(standing - known)
