"""Many ends at once: recorded by the batch, and yet each with an outcome of its own."""

import threading
from datetime import timedelta
from typing import Any

import pytest

from bot import errors, faults, model, service, store, work
from bot.ending import lastknown, phases
from bot.ending.cleaning import Cleaning
from bot.ending.closing import Closing
from db_grants import errors as target_errors
from db_grants import spec
from tests.fixtures_core import BO, CLEO, World, wait_for
from tests.integration.test_core_crashes import ENDING, one_of_each

ENDED, REVOKING = model.GrantStatus.ENDED, model.GrantStatus.REVOKING
OVER = timedelta(seconds=-1)
PEOPLE = ("U0ANA", "U0BO", "U0CLEO", "U0DAN")


def several(world: World, bot: service.Service, count: int = 3) -> list[str]:
    """So many live grants on one target, all over in the same instant."""
    ids = []
    for who in PEOPLE[:count]:
        request_id = world.ask(bot, requester_id=who)
        world.approve(bot, request_id, next(each for each in (BO, CLEO) if each.id != who))
        bot.grants.activate(request_id)
        ids.append(request_id)
    return ids


def due(world: World, bot: service.Service, count: int = 3) -> list[str]:
    """The same, their ends recorded."""
    ids = several(world, bot, count)
    world.advance(minutes=30)
    bot.grants.begin_due()
    return ids


def statuses(world: World, ids: list[str]) -> list[model.GrantStatus]:
    return [world.grant(each).status for each in ids]


def test_ends_begin_together_and_are_told_by_target(world: World, bot: service.Service) -> None:
    ids = several(world, bot)
    world.advance(minutes=30)
    told = list[Any]()
    bot.grants.begin_due(told.append)
    assert told == [{"shop"}]
    assert statuses(world, ids) == [REVOKING] * 3
    assert all(world.events(each).count("grant.revoking") == 1 for each in ids)


def test_a_batch_is_closed_and_cleaned_in_one_go(world: World, bot: service.Service) -> None:
    ids = due(world, bot)
    assert bot.grants.close_some("shop") == 3
    assert all(world.grant(each).access_ended_at for each in ids)
    assert bot.grants.clean_some("shop") == 3
    assert statuses(world, ids) == [ENDED] * 3
    assert all(world.grant(each).activity is not None for each in ids)
    bot.outbox.pump()
    for each in ids:
        one_of_each(world, each)


def test_a_batch_is_bounded_and_the_next_one_takes_the_rest(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Closing, "most", 2)
    due(world, bot)
    assert [bot.grants.close_some("shop") for _ in range(3)] == [2, 1, 0]


def test_one_that_fails_delays_none_of_the_others(world: World, bot: service.Service) -> None:
    ids = due(world, bot)
    world.shop.failing["close"] = [target_errors.StillAlive()]
    bot.grants.close_some("shop")
    late = [each for each in ids if world.grant(each).access_ended_at is None]
    assert len(late) == 1
    assert world.grant(late[0]).attempts == 1
    assert world.events(late[0]).count("grant.end_delayed") == 1
    bot.grants.close_some("shop")
    assert world.grant(late[0]).access_ended_at is None  # its pause is not over
    world.advance(seconds=0.5)
    bot.grants.close_some("shop")
    assert world.grant(late[0]).access_ended_at is not None


def test_a_target_that_is_down_fails_each_of_them_once(world: World, bot: service.Service) -> None:
    ids = due(world, bot)
    world.shop.down = True
    bot.grants.close_some("shop")
    assert [world.grant(each).attempts for each in ids] == [1, 1, 1]


def test_one_that_another_replica_has_taken_over_is_left_to_it(
    world: World, bot: service.Service, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = due(world, bot)
    gate = world.shop.gate["close"] = threading.Event()
    closing = threading.Thread(target=bot.grants.close_some, args=["shop"])
    closing.start()
    assert world.shop.entered["close"].wait(5)
    paused = world.grant(ids[1])
    assert world.store.renew_grant(paused.id, paused.fence, OVER)
    other = world.store.claim_grant(paused.id, REVOKING, "another", timedelta(minutes=1))
    assert other is not None
    gate.set()
    closing.join(10)
    assert world.grant(ids[0]).access_ended_at
    assert world.grant(ids[2]).access_ended_at
    assert world.grant(ids[1]) == other
    assert "fenced_off" in "".join(capsys.readouterr())


def test_one_that_another_replica_has_ended_meanwhile_is_ended_once(
    world: World, bot: service.Service
) -> None:
    ids = due(world, bot)
    bot.grants.close_some("shop")
    gate = world.shop.gate["remove"] = threading.Event()
    cleaning = threading.Thread(target=bot.grants.clean_some, args=["shop"])
    cleaning.start()
    assert world.shop.entered["remove"].wait(5)
    paused = world.grant(ids[0])
    assert world.store.renew_grant(paused.id, paused.fence, OVER)
    gate.set()
    world.new_bot().grants.clean(ids[0])
    cleaning.join(10)
    assert statuses(world, ids) == [ENDED] * 3
    assert world.events(ids[0]).count("grant.ended") == 1


def test_one_whose_name_is_somebody_elses_is_left_alone(world: World, bot: service.Service) -> None:
    request_id = world.ask(bot, requester_id="U0DAN")
    world.approve(bot, request_id)
    world.shop.failing["create"] = [target_errors.TargetUnavailable()]
    bot.grants.activate(request_id)
    bot.grants.stop_trying(request_id, BO.id)
    ids = due(world, bot, 2)
    world.shop.failing["find"] = [target_errors.ForeignRole()] * 2
    bot.grants.close_some("shop")
    bot.grants.clean_some("shop")
    assert statuses(world, ids) == [ENDED] * 2
    assert world.grant(request_id).status is model.GrantStatus.ACTIVATION_FAILED
    assert world.shop.calls.count("close") == 2


def test_one_that_cannot_be_recorded_keeps_none_of_the_others_from_it(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = due(world, bot)
    bot.grants.close_some("shop")
    real = world.shop.engine.remove

    def odd(role: spec.ManagedRole) -> spec.Removed:
        removed = real(role)
        strange = spec.Removed(at=removed.at, quarantined=(object(),), residue=())  # type: ignore[arg-type]
        return strange if role.grant_id == ids[1] else removed

    monkeypatch.setattr(world.shop.engine, "remove", odd)
    with pytest.raises(TypeError):
        bot.grants.clean_some("shop")
    assert statuses(world, ids) == [ENDED, REVOKING, ENDED]
    monkeypatch.undo()
    bot.grants.clean_some("shop")
    assert statuses(world, ids) == [ENDED] * 3


def end_all(bot: service.Service) -> None:
    bot.grants.begin_due()
    bot.grants.close_some("shop")
    bot.grants.clean_some("shop")


@pytest.mark.fault(
    "F-13b",
    "the bot dies between any two steps of the ends of several grants",
    how="checkpoint raises",
    expects="all of them end after the restart, each once",
)
@pytest.mark.parametrize("name", ENDING)
def test_a_crash_with_several_in_hand_loses_and_doubles_none(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ids = several(world, bot)
    world.advance(minutes=30)
    monkeypatch.setenv("JIT_FAULT", f"{name}:raise")
    with pytest.raises(faults.Injected):
        end_all(bot)
    monkeypatch.delenv("JIT_FAULT")
    after = world.new_bot()
    after.start()
    wait_for(lambda: statuses(world, ids) == [ENDED] * 3)
    world.quiet(after)
    assert world.shop.engine.managed() == ()
    for each in ids:
        assert world.events(each).count("grant.access_ended") == 1
        assert world.channel.kinds(each).count("summary") == 1
        one_of_each(world, each)


def test_without_the_record_all_doors_that_are_due_are_shut_and_told_later(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = several(world, bot)
    bot.scheduler.sweep()
    world.advance(minutes=30)
    shut_at = world.clock.now()

    def locked(*_args: object) -> None:
        raise errors.Busy

    monkeypatch.setattr(world.store, "begin", locked)
    bot.scheduler.sweep()
    assert bot.lanes.wait_idle(5)
    assert not any(role.can_login for role in world.shop.engine.managed())
    monkeypatch.undo()
    world.advance(minutes=2)
    bot.start()
    wait_for(lambda: statuses(world, ids) == [ENDED] * 3)
    assert {world.grant(each).access_ended_at for each in ids} == {shut_at}


def test_a_claim_that_cannot_be_had_keeps_no_door_open(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    due(world, bot)
    bot.grants.begin_due()  # nothing is due: what was begun is remembered

    def locked(*_args: object) -> None:
        raise errors.Busy

    monkeypatch.setattr(world.store, "claim_ends", locked)
    with pytest.raises(errors.Busy):
        bot.grants.close_some("shop")
    assert not any(role.can_login for role in world.shop.engine.managed())


def test_when_access_ended_is_kept_although_the_note_of_it_failed(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = due(world, bot)
    ended_at = world.clock.now()

    def full(*_args: object) -> None:
        raise errors.StoreError("disk full")

    monkeypatch.setattr(world.store, "begin", full)
    with pytest.raises(errors.StoreError):
        bot.grants.close_some("shop")
    monkeypatch.undo()
    world.advance(minutes=1)
    bot.grants.close_some("shop")
    assert {world.grant(each).access_ended_at for each in ids} == {ended_at}


def test_one_whose_request_is_gone_keeps_the_lane_from_nothing(
    world: World, bot: service.Service
) -> None:
    """What a hand has deleted can never be said, so its end can never be recorded."""
    ids = due(world, bot)
    with world.store._database._engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("PRAGMA foreign_keys = OFF")
        driver.execute("DROP TRIGGER access_request_kept")
        driver.execute("DELETE FROM access_request WHERE id = ?", [ids[1]])
        driver.execute("PRAGMA foreign_keys = ON")
    assert [bot.grants.close_some("shop") for _ in range(2)] == [2, 0]
    assert not any(role.can_login for role in world.shop.engine.managed())


def test_a_running_bot_ends_more_than_a_batch(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phases, "_AT_ONCE", 1)
    for phase in (Closing, Cleaning):
        monkeypatch.setattr(phase, "most", 1)
    ids = several(world, bot, 4)
    bot.start()
    world.advance(minutes=30)
    wait_for(lambda: statuses(world, ids) == [ENDED] * 4)


def test_everything_is_revoked_by_the_batch_and_in_the_operators_name(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phases, "_AT_ONCE", 2)
    ids = several(world, bot)
    making = world.ask(bot, requester_id="U0DAN")
    world.approve(bot, making)
    batches = list(bot.grants.revoke_all_as_operator("root", "leaving"))
    assert sorted(map(len, batches)) == [1, 1, 2]
    assert {each for batch in batches for each in batch} == {*ids, making}
    assert not {row.request_id for row in world.store.outbox_due(world.clock.now())} & {*ids}
    for each in (*ids, making):
        grant = world.grant(each)
        assert (grant.status, grant.cause) == (REVOKING, model.EndCause.OPERATOR)
        assert (grant.ended_by, grant.end_comment) == ("operator:root", "leaving")
    assert list(bot.grants.revoke_all_as_operator("root")) == []


def test_what_is_remembered_follows_the_record_whoever_changed_it(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lastknown, "_PAGE", 1)
    monkeypatch.setattr(lastknown, "_PORTION", 5.0)
    known, ids = lastknown.Known(), several(world, bot)
    known.follow(world.store)
    later = world.clock.now() + timedelta(minutes=30)
    assert {door.id for door in known.due(later)} == set(ids)
    bot.grants.shorten(ids[0], timedelta(minutes=5), "root")
    bot.grants.revoke_as_operator(ids[1], "root")
    bot.grants.end(ids[1])
    fourth = world.live(bot, requester_id="U0DAN")
    known.follow(world.store)
    assert [door.id for door in known.due(world.clock.now() + timedelta(minutes=5))] == [ids[0]]
    assert {door.id for door in known.due(later)} == {ids[0], ids[2], fourth}
    assert known.door(ids[1]) is None


def test_reading_all_doors_takes_as_many_turns_as_it_needs(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = several(world, bot)
    monkeypatch.setattr(lastknown, "_PAGE", 1)
    monkeypatch.setattr(lastknown, "_PORTION", 1e-4)
    known, later = lastknown.Known(), world.clock.now() + timedelta(minutes=30)
    seen = [0]
    while seen[-1] < len(ids):
        known.follow(world.store)
        seen.append(len(known.due(later)))
        assert len(seen) < 50
    assert len(seen) > len(ids)
    assert {door.id for door in known.due(later)} == set(ids)


def test_what_is_remembered_of_a_door_is_what_the_record_says_of_its_grant(
    world: World, bot: service.Service
) -> None:
    known = lastknown.Known()
    (request_id,) = several(world, bot, 1)
    known.follow(world.store)
    door = known.door(request_id)
    assert door == lastknown.door(world.grant(request_id))
    assert isinstance(door, store.Door)


def test_what_can_wait_makes_room_for_ends_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(work, "_QUICK", 0.3)
    rush, done = work.Rush(), threading.Event()
    lane = work.Lane("shop", workers=1, rush=rush)
    with rush.on(work.Urgency.CLOSE):
        assert rush.is_on()
        lane.submit("tidy", done.set, work.Urgency.CLEAN)
        assert not done.wait(0.1)
        assert done.wait(5)  # what takes long waits for its target
    with rush.on(work.Urgency.CLEAN):
        assert rush.is_on()
        assert not rush.is_on(work.Urgency.CLEAN)
    monkeypatch.setattr(work, "_LONGEST", 0.0)
    with rush.on(work.Urgency.CLOSE):
        assert not rush.is_on()
    lane.close()


def test_room_is_made_for_what_another_process_is_at(monkeypatch: pytest.MonkeyPatch) -> None:
    rush, clean = work.Rush(), work.Urgency.CLEAN
    rush.see_elsewhere(clean)
    assert rush.is_on()
    assert not rush.is_on(clean)
    rush.see_elsewhere(work.Urgency.CLOSE)
    assert rush.is_on(clean)
    monkeypatch.setattr(work, "_SEEN", 0.0)
    wait_for(lambda: not rush.is_on())
    monkeypatch.setattr(work, "_SEEN", 60.0)
    monkeypatch.setattr(work, "_LONGEST", 0.0)
    rush.see_elsewhere(work.Urgency.CLOSE)
    assert not rush.is_on()


def test_what_is_asked_for_while_it_is_being_done_is_done_again() -> None:
    lane, gate, done = work.Lane("shop", workers=1), threading.Event(), list[int]()
    lane.submit("closing", gate.wait, work.Urgency.CLOSE)
    wait_for(lambda: lane.working_on("closing"))
    assert not lane.submit("closing", lambda: done.append(1), work.Urgency.CLOSE)
    assert lane.submit("closing", lambda: done.append(2), work.Urgency.CLOSE, again=True)
    assert not lane.submit("closing", lambda: done.append(3), work.Urgency.CLOSE, again=True)
    gate.set()
    assert lane.wait_idle(5)
    lane.close()
    assert done == [2]
