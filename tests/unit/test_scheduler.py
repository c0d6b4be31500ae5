"""The bell: what is due is noticed, whoever made it due."""

import itertools
import sqlite3
import threading
import time
import types
from datetime import timedelta

import pytest

from bot import clock as clocks
from bot import errors, model, scheduler, service, store, work
from bot.ending import cleaning, closing
from db_grants import spec
from tests.fixtures_core import World, wait_for


def status(world: World, request_id: str) -> str:
    return world.grant(request_id).status.value


def test_a_request_becomes_a_grant_and_ends_without_anybody_watching(
    world: World, bot: service.Service
) -> None:
    bot.start()
    request_id = bot.access.submit(world.draft(duration=timedelta(minutes=5))).request.id
    wait_for(lambda: status(world, request_id) == "active")
    world.advance(minutes=5)
    wait_for(lambda: status(world, request_id) == "ended")
    wait_for(lambda: "summary" in world.channel.kinds(request_id))
    assert world.shop.engine.managed() == ()


def test_approved_access_waits_for_no_sweep(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot.start()
    request_id = bot.access.submit(world.draft()).request.id
    source = world.source(request_id)
    monkeypatch.setattr(bot.scheduler, "sweep", lambda: None)
    bot.access.review(request_id, "U0BO", model.Answer.APPROVE, source=source)
    wait_for(lambda: status(world, request_id) == "active")
    quick = bot.access.submit(world.draft(duration=timedelta(minutes=5))).request.id
    wait_for(lambda: status(world, quick) == "active")


def test_what_another_process_commits_is_noticed(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = list[bool]()
    changed = bot.scheduler._changed
    monkeypatch.setattr(bot.scheduler, "_changed", lambda: looks.append(changed()) or looks[-1])
    bot.start()
    request_id = bot.access.submit(world.draft(duration=timedelta(minutes=5))).request.id
    wait_for(lambda: status(world, request_id) == "active")
    wait_for(lambda: looks and not looks[-1])  # at rest: nothing is worth a look
    other = store.open_store(world.url, world.clock)
    with other.begin(store.Actor(kind="operator", id="root")) as tx:
        tx.move_grant(
            request_id,
            model.GrantStatus.ACTIVE,
            model.GrantStatus.REVOKING,
            cause=model.EndCause.OPERATOR,
            revoking_since=world.clock.now(),
        )
    other.close()
    wait_for(lambda: status(world, request_id) == "revoked")


def test_ends_begun_by_another_process_are_seen_however_rarely_we_look(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "LOOK_AT_LEAST_EVERY", timedelta(days=1))
    request_id = world.live(bot)
    bot.start()
    world.quiet(bot)
    bot.scheduler._rested = float("inf")  # others commit all the time
    monkeypatch.setattr(bot.scheduler, "_sweep_urgent", lambda: None)
    other = store.open_store(world.url, world.clock)
    with other.begin(store.Actor(kind="operator", id="root")) as tx:
        tx.move_all(model.GrantStatus.ACTIVE, 1, cause=model.EndCause.OPERATOR)
    other.close()
    wait_for(lambda: world.grant(request_id).access_ended_at is not None)


def test_what_commits_again_and_again_without_a_word_is_looked_at_less_and_less(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, marker = [1000.0], itertools.count()
    monkeypatch.setattr(scheduler, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(world.store, "version_marker", lambda: next(marker))
    bot.scheduler._woken = False
    bot.scheduler._looked = world.clock.now()
    looks = []
    for _ in range(100):
        now[0] += 1 / 16
        if bot.scheduler._changed():
            looks.append(now[0])
    apart = [after - before for before, after in itertools.pairwise(looks)]
    assert apart[:2] == [4 / 16, 7 / 16]
    assert set(apart[2:]) == {1 / 2}
    monkeypatch.setattr(world.store, "version_marker", lambda: 0)
    bot.scheduler._changed()
    now[0] += 1
    assert bot.scheduler._changed()  # the last of them
    now[0] += 1
    assert not bot.scheduler._changed()
    assert bot.scheduler._pause == scheduler._PAUSE


def test_a_deadline_passed_while_down_is_honoured_at_the_start(
    world: World, bot: service.Service
) -> None:
    request_id = world.live(bot)
    world.advance(hours=3)
    world.new_bot().start()
    wait_for(lambda: status(world, request_id) == "ended")


def test_a_start_takes_up_at_once_what_was_waiting_for_its_next_attempt(
    world: World, bot: service.Service
) -> None:
    request_id = world.live(bot)
    world.advance(minutes=30)
    world.shop.down = True
    bot.grants.begin_due()
    for _ in range(9):
        bot.grants.close(request_id)
    world.shop.down = False
    world.new_bot().start()
    wait_for(lambda: status(world, request_id) == "ended")


@pytest.mark.fault(
    "F-22e",
    "one target hangs",
    how="a gate in its engine",
    expects="the other's grants end in time",
)
def test_a_dead_target_delays_no_other(world: World, bot: service.Service) -> None:
    dead, alive = world.live(bot), world.live(bot, entitlement="read_pages")
    gate = world.shop.gate["close"] = threading.Event()
    bot.start()
    world.advance(minutes=30)
    wait_for(lambda: status(world, alive) == "ended")
    assert status(world, dead) == "revoking"
    gate.set()
    wait_for(lambda: status(world, dead) == "ended")


def test_all_doors_are_shut_before_anything_is_cleaned(world: World, bot: service.Service) -> None:
    first, second = world.live(bot), world.live(bot, requester_id="U0DAN")
    world.shop.calls.clear()
    world.advance(minutes=30)
    bot.scheduler.sweep()
    wait_for(lambda: bot.lanes.wait_idle(1))
    looks = {"survey", "server_time"}
    assert [call for call in world.shop.calls if call not in looks] == ["close", "close"]
    bot.scheduler.sweep()
    wait_for(lambda: bot.lanes.wait_idle(1))
    assert {status(world, first), status(world, second)} == {"ended"}


@pytest.mark.parametrize("step", ["close", "remove"])
def test_where_much_is_to_end_two_are_at_it_from_the_first_batch_on(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(scheduler, "_MANY", 1)
    monkeypatch.setattr(cleaning.Cleaning, "most", 1)
    monkeypatch.setattr(closing.Closing, "most", 1)
    ids = [world.live(bot, requester_id=who) for who in ("U0ANA", "U0DAN", "U0CLEO")]
    both, calls = threading.Barrier(2), itertools.count()
    done = getattr(world.shop.engine, step)

    def met(role: spec.ManagedRole) -> object:
        if next(calls) < 2:  # the first waits for the second
            both.wait(5)
        return done(role)

    monkeypatch.setattr(world.shop.engine, step, met)
    bot.start()
    world.advance(minutes=30)
    wait_for(lambda: {status(world, each) for each in ids} == {"ended"})
    assert not both.broken


def test_a_replica_without_a_part_in_them_makes_room_for_ends(
    world: World, bot: service.Service
) -> None:
    world.live(bot)
    world.advance(minutes=30)
    bot.grants.begin_due()
    door, lease = store.Waiting(target="shop", open=True), timedelta(seconds=60)
    assert world.store.claim_ends(door, world.clock.now(), "another", lease, 100)
    wait_for(lambda: not bot.lanes.rush.is_on())  # with our own beginnings
    bot.scheduler.sweep()
    assert bot.lanes.rush.is_on(work.Urgency.CLEAN)


def test_a_failing_part_of_the_sweep_keeps_no_other_from_being_done(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = world.live(bot)
    world.advance(minutes=30)

    def broken() -> int:
        raise errors.StoreError

    monkeypatch.setattr(bot.access, "lapse", broken)
    bot.scheduler.sweep()
    wait_for(lambda: world.grant(request_id).access_ended_at)


def test_requests_lapse_by_the_bell(world: World, bot: service.Service) -> None:
    bot.start()
    request_id = bot.access.submit(world.draft()).request.id
    world.advance(hours=1)
    wait_for(lambda: world.store.request(request_id).status is model.RequestStatus.EXPIRED)


def test_the_armed_deadline_rings_at_its_moment(tmp_path, monkeypatch) -> None:
    world = World(tmp_path)
    world.clock = clocks.SystemClock()  # type: ignore[assignment]
    world.store.close()
    world.store = store.open_store(world.url, world.clock)
    world.shop.engine._clock = world.clock.now
    bot = world.new_bot()
    monkeypatch.setattr("bot.scheduler.SWEEP_EVERY", timedelta(seconds=60))
    monkeypatch.setattr("bot.scheduler._SILENCE", 60)
    monkeypatch.setattr("bot.scheduler._POLL", 60)
    bot.start()
    request_id = bot.access.submit(world.draft(duration=timedelta(minutes=5))).request.id
    wait_for(lambda: status(world, request_id) == "active")
    grant = bot.grants.shorten(request_id, timedelta(seconds=0.7), "root")
    wait_for(lambda: status(world, request_id) == "ended")
    ended = world.grant(request_id).access_ended_at
    assert ended is not None
    assert timedelta(0) <= ended - grant.expires_at < timedelta(seconds=1)
    world.close()


@pytest.mark.fault(
    "F-50b", "the scheduler falls silent", how="shut down under us", expects="hung again"
)
def test_a_silent_bell_is_hung_again(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.scheduler._SILENCE", 0.3)
    bot.start()
    assert bot.scheduler._bell is not None
    dead = bot.scheduler._bell
    dead.remove_all_jobs()
    wait_for(lambda: bot.scheduler._bell is not dead)
    request_id = bot.access.submit(world.draft()).request.id
    world.advance(hours=1)
    wait_for(lambda: world.store.request(request_id).status is model.RequestStatus.EXPIRED)


@pytest.mark.fault(
    "F-50",
    "the sweeper's thread dies",
    how="an error no handler takes",
    expects="replaced within a ring",
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_sweeper_that_dies_is_noticed_and_replaced(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot.start()
    first = bot.scheduler._sweeper
    assert first is not None
    monkeypatch.setenv("JIT_FAULT", "end-begun:raise")
    request_id = world.live(bot)
    world.advance(minutes=30)
    wait_for(lambda: not first.is_alive())
    monkeypatch.delenv("JIT_FAULT")
    wait_for(lambda: status(world, request_id) == "ended")
    assert bot.scheduler._sweeper is not first


@pytest.mark.fault(
    "F-35",
    "the state database is locked at a deadline",
    how="BEGIN IMMEDIATE",
    expects="access ends all the same; the record follows",
)
def test_a_locked_record_keeps_no_door_open_and_catches_up(tmp_path) -> None:
    world = World(tmp_path)
    world.store.close()
    world.store = store.open_store(world.url, world.clock, patience=0.5)
    bot = world.new_bot()
    request_id = world.live(bot)
    bot.start()
    world.quiet(bot)
    lock = sqlite3.connect(world.url.removeprefix("sqlite:///"), isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    world.advance(minutes=30)
    wait_for(lambda: "close" in world.shop.calls)
    assert status(world, request_id) == "active"
    lock.execute("ROLLBACK")
    lock.close()
    wait_for(lambda: status(world, request_id) == "ended")
    world.close()


def test_a_heartbeat_is_kept_for_a_monitor(world: World, bot: service.Service) -> None:
    bot.start()
    wait_for(lambda: world.store.get("heartbeat"))
    assert world.store.get("heartbeat") == world.clock.now().isoformat()


def test_time_may_stand_still_only_while_nothing_is_live(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[bool]()
    monkeypatch.setattr(world.clock, "rest", lambda *, allowed: told.append(allowed))
    bot.start()
    wait_for(lambda: told and told[-1])
    request_id = world.live(bot)
    wait_for(lambda: not told[-1])
    gate = world.shop.gate["close"] = threading.Event()
    world.advance(minutes=31)
    assert world.shop.entered["close"].wait(5)
    assert world.store.next_deadline() is None  # it is being tried, and waits for no moment
    told.clear()
    bot.scheduler.sweep()
    assert told
    assert not any(told)
    gate.set()
    wait_for(lambda: status(world, request_id) == "ended")
    wait_for(lambda: told[-1])


@pytest.mark.fault(
    "F-47b",
    "the bot is stopped while a target hangs",
    how="a gate in its engine",
    expects="stops in time; the record has the rest",
)
def test_stopping_while_a_target_hangs_is_quick_and_loses_nothing(
    world: World, bot: service.Service
) -> None:
    request_id = world.ask(bot)
    world.approve(bot, request_id)
    gate = world.shop.gate["create"] = threading.Event()
    bot.start()
    assert world.shop.entered["create"].wait(5)
    begin = time.monotonic()
    assert bot.stop(0.5) is False
    assert time.monotonic() - begin < 3
    gate.set()
    after = world.new_bot()
    after.start()
    wait_for(lambda: status(world, request_id) == "active")
    assert len(world.shop.engine.managed()) == 1
