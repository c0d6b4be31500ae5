"""Words follow deeds: in order, tried again, and never in anybody's way."""

import itertools
import threading
import time
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from bot import service, store
from bot.telling import outbox
from tests.fixtures_core import World, wait_for


def say(world: World, kind: str, lane: str, **data: object) -> None:
    with world.store.begin(store.SYSTEM) as tx:
        tx.say(kind, None, lane, data)


def lanes(world: World) -> list[tuple[str, object]]:
    return [(row.lane, row.data.get("n")) for row, _ in world.channel.said]


def test_a_lane_is_said_in_order_and_once(world: World, bot: service.Service) -> None:
    for n in range(5):
        say(world, "audit", "audit", n=n)
    assert bot.outbox.pump() == 5
    assert bot.outbox.pump() == 0
    assert lanes(world) == [("audit", n) for n in range(5)]


def test_a_message_is_drawn_from_the_record_of_the_moment_it_is_posted(
    world: World, bot: service.Service
) -> None:
    request_id = bot.access.submit(world.draft()).request.id
    bot.access.cancel(request_id, world.draft().requester_id)
    bot.outbox.pump()
    first, story = world.channel.said[0]
    assert first.kind == outbox.Kind.CARD
    assert story is not None
    assert story.request.status == "cancelled"


def test_what_was_posted_is_known_as_ours(world: World, bot: service.Service) -> None:
    request_id = world.ask(bot)
    source = world.source(request_id)
    found = world.store.find_message(source.channel_id, source.ts)
    assert found is not None
    assert found.request_id == request_id


def test_a_wait_that_slack_asks_for_holds_one_channel_and_no_other(
    world: World, bot: service.Service
) -> None:
    def limited(row: store.OutboxRow) -> None:
        if row.lane == "audit":
            raise outbox.Later(30)

    world.channel.trouble = limited
    say(world, "audit", "audit", n=0)
    say(world, "audit", "audit", n=1)
    say(world, "home", "home:U0ANA", n=2)
    bot.outbox.pump()
    assert lanes(world) == [("home:U0ANA", 2)]
    world.channel.trouble = lambda _row: None
    world.advance(seconds=29)
    assert bot.outbox.pump() == 0
    world.advance(seconds=1)
    assert bot.outbox.pump() == 2
    assert lanes(world)[1:] == [("audit", 0), ("audit", 1)]


def test_while_a_channel_waits_slack_is_asked_once_not_once_a_request(
    world: World, bot: service.Service
) -> None:
    asked = []

    def limited(row: store.OutboxRow) -> None:
        asked.append(row.id)
        raise outbox.Later(30)

    world.channel.trouble = limited
    for n in range(5):
        say(world, "card", f"request:{n}")
    bot.outbox.pump()
    assert len(asked) == 1


@pytest.mark.parametrize("kind", ["card", "audit", "home"])
def test_what_must_wait_is_left_where_it_is_and_costs_nothing(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def limited(row: store.OutboxRow) -> None:
        if row.kind == kind:
            raise outbox.Later(30)

    world.channel.trouble = limited
    for n in range(50):
        say(world, kind, f"{kind}:{n}", n=n)
    say(world, "told", "request:1", n=50)
    writes = count_writes(world, monkeypatch)
    bot.outbox.pump()
    assert [n for _, n in lanes(world)] == [50]
    assert writes["outbox_retry"] == 1  # the one that was refused
    assert sum(writes.values()) <= 12
    writes.clear()
    for _ in range(10):
        world.advance(seconds=1)
        bot.outbox.pump()
    assert not writes
    world.channel.trouble = lambda _row: None
    world.advance(seconds=20)
    assert bot.outbox.pump() == 50


def count_writes(world: World, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Every transaction that the outbox writes to the record, from now on."""
    found = Counter[str]()

    def counted(name: str) -> None:
        real = getattr(world.store, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            done = real(*args, **kwargs)
            if name != "outbox_claim" or done:  # a look that finds nothing writes nothing
                found[name] += 1
            return done

        monkeypatch.setattr(world.store, name, call)

    for name in ("outbox_claim", "outbox_retry", "outbox_release", "outbox_done", "outbox_drop"):
        counted(name)
    return found


def test_for_a_minute_after_a_pause_one_goes_at_a_time(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    real = world.store.outbox_claim

    def claim(*args: Any, **kwargs: Any) -> Any:
        found = real(*args, **kwargs)
        taken.append(sum(row.kind == "card" for row in found))
        return found

    def limited(_row: store.OutboxRow) -> None:
        raise outbox.Later(5)

    for n in range(12):
        say(world, "card", f"request:{n}", n=n)
    monkeypatch.setattr(world.store, "outbox_claim", claim)
    world.channel.trouble = limited
    bot.outbox.pump()
    assert taken == [4, 0]
    world.channel.trouble = lambda _row: None
    world.advance(seconds=5)
    taken.clear()
    assert bot.outbox.pump() == 12
    assert max(taken) == 1
    world.advance(seconds=60)
    for n in range(12):
        say(world, "card", f"request:{n}", n=n)
    taken.clear()
    assert bot.outbox.pump() == 12
    assert taken == [4, 4, 4, 0]


def test_when_one_persons_home_cannot_be_drawn_the_others_are(
    world: World, bot: service.Service
) -> None:
    def silent(row: store.OutboxRow) -> None:
        if row.data["n"] == 0:
            raise outbox.Later(None, "Slack does not answer")

    world.channel.trouble = silent
    for n in range(3):
        say(world, "home", f"home:{n}", n=n)
    bot.outbox.pump()
    assert [n for _, n in lanes(world)] == [1, 2]


def test_while_slack_is_down_homes_are_tried_one_at_a_time_and_not_each(
    world: World, bot: service.Service
) -> None:
    tried: list[int] = []
    down = True

    def silent(row: store.OutboxRow) -> None:
        tried.append(row.data["n"])
        if down:
            raise outbox.Later(None, "Slack does not answer")

    world.channel.trouble = silent
    for n in range(100):
        say(world, "home", f"home:{n}", n=n)
    for _ in range(200):
        bot.outbox.pump()
        world.clock.advance(timedelta(seconds=0.5))
    # a hundred, each by itself with growing pauses, would be seven times each
    assert len(tried) < 250
    tried.clear()
    for _ in range(20):
        bot.outbox.pump()
        world.clock.advance(timedelta(minutes=1))
    assert len(tried) <= 40
    down = False
    for _ in range(4):
        bot.outbox.pump()
        world.clock.advance(timedelta(minutes=2))
    assert sorted(n for _, n in lanes(world)) == list(range(100))


def test_a_short_pause_does_not_end_a_long_one(world: World, bot: service.Service) -> None:
    pauses, together, one = [1.0, 1.0, 1.0, 30.0], threading.Barrier(4), threading.Lock()

    def limited(_row: store.OutboxRow) -> None:
        together.wait(10)
        with one:
            raise outbox.Later(pauses.pop())

    world.channel.trouble = limited
    for n in range(4):
        say(world, "card", f"request:{n}", n=n)
    bot.outbox.start()
    wait_for(lambda: not pauses and not world.store.outbox_due(world.clock.now()))
    assert bot.outbox.stop(time.monotonic() + 5)
    world.channel.trouble = lambda _row: None
    world.advance(seconds=29)
    assert bot.outbox.pump() == 0
    world.advance(seconds=1)
    assert bot.outbox.pump() == 4


def test_without_a_time_the_pause_grows(world: World, bot: service.Service) -> None:
    def down(_row: store.OutboxRow) -> None:
        raise outbox.Later

    world.channel.trouble = down
    say(world, "audit", "audit")
    tried = []
    for _ in range(600):
        before = world.store.outbox_due(world.clock.now())
        if before:
            tried.append(world.clock.now())
        bot.outbox.pump()
        world.advance(seconds=0.5)
    pauses = [(b - a).total_seconds() for a, b in itertools.pairwise(tried)]
    assert pauses[:7] == [0.5, 1, 2, 4, 8, 16, 30]
    assert set(pauses[7:]) == {30}


@pytest.mark.fault(
    "F-42",
    "Slack refuses a message for good",
    how="channel_not_found and the like",
    expects="given up with an audit event; the others go on",
)
def test_what_slack_never_takes_is_dropped_with_an_event_and_the_lane_goes_on(
    world: World, bot: service.Service
) -> None:
    def refuse(row: store.OutboxRow) -> None:
        if row.data.get("n") == 0:
            raise outbox.Never("channel_not_found")

    world.channel.trouble = refuse
    say(world, "audit", "audit", n=0)
    say(world, "audit", "audit", n=1)
    bot.outbox.pump()
    assert lanes(world) == [("audit", 1)]
    assert [event.type for event in world.store.events()] == ["outbox.dropped"]


@pytest.mark.fault(
    "F-42b",
    "a message breaks the poster",
    how="an error on every try",
    expects="given up with an audit event; the others go on",
)
def test_a_row_that_breaks_the_poster_is_given_up_after_some_tries(
    world: World, bot: service.Service
) -> None:
    def broken(row: store.OutboxRow) -> None:
        if row.data.get("n") == 0:
            raise KeyError("a fault of ours")

    world.channel.trouble = broken
    say(world, "audit", "audit", n=0)
    say(world, "audit", "audit", n=1)
    for _ in range(8):
        bot.outbox.pump()
        world.advance(seconds=30)
    bot.outbox.pump()
    assert lanes(world) == [("audit", 1)]


@pytest.mark.timeout(30)
def test_running_it_delivers_what_is_committed_while_another_lane_waits(
    world: World, bot: service.Service
) -> None:
    def limited(row: store.OutboxRow) -> None:
        if row.lane == "audit":
            raise outbox.Later(3600)

    world.channel.trouble = limited
    bot.outbox.start()
    say(world, "audit", "audit")
    for n in range(20):
        say(world, "thread", f"request:{n % 4}", n=n)
    bot.outbox.wake()
    wait_for(
        lambda: len(world.channel.said) >= 20 and not world.store.outbox_due(world.clock.now())
    )
    assert len(world.channel.said) == 20
    for lane in range(4):
        numbers = [n for name, n in lanes(world) if name == f"request:{lane}"]
        assert numbers == sorted(numbers)  # type: ignore[type-var]
    assert bot.outbox.alive()


@pytest.mark.fault(
    "F-02",
    "the bot dies before it has said what it did",
    how="restart",
    expects="said once after it",
)
def test_what_was_not_said_before_a_restart_is_said_after_it(
    world: World, bot: service.Service
) -> None:
    request_id = bot.access.submit(world.draft()).request.id
    after = world.new_bot()
    after.outbox.pump()
    assert world.channel.kinds(request_id) == ["card", "receipt", "thread:asked"]
    world.advance(seconds=timedelta(hours=1).total_seconds())
    assert after.outbox.pump() == 0
