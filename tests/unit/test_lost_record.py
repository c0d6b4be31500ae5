"""The record cannot be used for a while: doors are shut all the same, and told when it is back."""

import threading
from datetime import timedelta

import pytest

from bot import errors, model, service, work
from db_grants import errors as target_errors
from tests.fixtures_core import ANA, World, wait_for

READS = ("due", "grants", "grant", "story", "revoking", "activating", "version_marker", "get")
READS += ("is_any_due", "ends_waiting", "doors_page", "doors_changed", "chain_head", "kept")


def lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object, **_more: object) -> None:
        raise errors.StoreError("disk I/O error")

    for name in (*READS, "begin", "put", "next_deadline", "outbox_due", "claim_ends"):
        monkeypatch.setattr(world.store, name, broken)


def test_a_record_that_cannot_be_read_does_not_keep_a_door_open(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id, later = world.live(bot), world.live(bot, requester_id="U0DAN")
    bot.grants.shorten(request_id, timedelta(minutes=5), "root")
    bot.scheduler.sweep()
    lost(world, monkeypatch)
    world.advance(minutes=5)
    bot.scheduler.sweep()
    wait_for(lambda: bot.lanes.wait_idle(1))
    doors = {role.grant_id: role.can_login for role in world.shop.engine.managed()}
    assert doors == {request_id: False, later: True}


def test_what_was_done_meanwhile_is_recorded_with_its_own_time_when_the_record_is_back(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = world.live(bot)
    shown = bot.grants.reveal(request_id, ANA.id)
    assert world.shop.engine.connect(shown.role, shown.password) is not None
    bot.grants.begin_due()
    lost(world, monkeypatch)
    world.advance(minutes=30)
    (due,) = bot.grants.begin_due()
    bot.grants.shut(due.id)
    ended = world.clock.now()
    assert bot.grants.begin_due() == ()  # it is shut: once is enough
    monkeypatch.undo()
    world.advance(minutes=20)
    bot.grants.begin_due()
    over = bot.grants.end(request_id)
    assert over.status is model.GrantStatus.ENDED
    assert (over.access_ended_at, over.sessions_cut) == (ended, 1)


def test_a_door_that_could_not_be_shut_is_tried_again_without_the_record(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.live(bot)
    bot.grants.begin_due()
    lost(world, monkeypatch)
    world.advance(minutes=30)
    world.shop.failing["close"] = [target_errors.TargetUnavailable()]
    for _ in range(2):
        (due,) = bot.grants.begin_due()
        bot.grants.shut(due.id)
    assert bot.grants.begin_due() == ()


def test_an_end_that_somebody_began_is_carried_out_without_the_record(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = world.live(bot)
    bot.grants.give_back(request_id, ANA.id)
    bot.grants.begin_due()
    lost(world, monkeypatch)
    assert [grant.id for grant in bot.grants.begin_due()] == [request_id]


def test_doors_are_remembered_while_others_are_shut_but_not_while_roles_are_removed(
    world: World, bot: service.Service
) -> None:
    request_id, known = world.live(bot), bot.grants._ending._known
    rush, close, clean = bot.lanes.rush, work.Urgency.CLOSE, work.Urgency.CLEAN
    with rush.on(clean):
        bot.grants.begin_due()
        assert known.door(request_id) is None
        with rush.on(close):
            bot.grants.begin_due()
        assert known.door(request_id) is not None


def test_nothing_is_shut_before_its_time_from_memory(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = world.live(bot)
    bot.grants.begin_due()
    lost(world, monkeypatch)
    assert bot.grants.begin_due() == ()
    bot.grants.shut(request_id)
    assert "close" not in world.shop.calls


def test_a_running_bot_whose_record_breaks_shuts_the_door_by_its_bell(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.live(bot)
    bot.start()
    wait_for(lambda: bot.lanes.wait_idle(1))
    lost(world, monkeypatch)
    world.advance(minutes=30)
    wait_for(lambda: not any(role.can_login for role in world.shop.engine.managed()))
    monkeypatch.undo()
    wait_for(lambda: not world.shop.engine.managed())


def test_the_log_says_why_an_end_is_delayed_and_in_which_phase(
    world: World, bot: service.Service, capsys: pytest.CaptureFixture[str]
) -> None:
    request_id = world.live(bot)
    world.advance(minutes=30)
    bot.grants.begin_due()
    why = "The target did not answer within 10 s."
    world.shop.failing["close"] = [target_errors.TargetUnavailable(why)]
    bot.grants.close(request_id)
    bot.grants.close(request_id)
    world.shop.failing["remove"] = [target_errors.StillAlive("A session is there.")]
    bot.grants.clean(request_id)
    said = "".join(capsys.readouterr())
    assert said.count("end_delayed") == 2
    for part in (why, "phase=close", "A session is there.", "phase=clean"):
        assert part in said


def test_a_shortened_deadline_reaches_the_target(world: World, bot: service.Service) -> None:
    request_id = world.live(bot)
    grant = bot.grants.shorten(request_id, timedelta(minutes=5), "root")
    bot.scheduler.sweep()
    wait_for(lambda: bot.lanes.wait_idle(1))
    (role,) = world.shop.engine.managed()
    assert role.expires_at == role.valid_until == grant.expires_at
    world.shop.calls.clear()
    bot.scheduler.sweep()
    wait_for(lambda: bot.lanes.wait_idle(1))
    assert "set_deadline" not in world.shop.calls


def test_a_shortened_deadline_is_carried_over_until_the_target_has_it(
    world: World, bot: service.Service
) -> None:
    request_id = world.live(bot)
    world.shop.failing["set_deadline"] = [
        target_errors.TargetUnavailable(),
        target_errors.OutcomeUnknown(),
    ]
    grant = bot.grants.shorten(request_id, timedelta(minutes=5), "root")
    again = world.new_bot()  # also after a restart
    for seconds in (0, 1, 2):
        world.advance(seconds=seconds)
        again.scheduler.sweep()
        wait_for(lambda: again.lanes.wait_idle(1))
    (role,) = world.shop.engine.managed()
    assert role.valid_until == grant.expires_at


def test_a_deadline_that_cannot_be_moved_does_not_hold_up_the_end(
    world: World, bot: service.Service
) -> None:
    request_id = world.live(bot)
    world.shop.gate["set_deadline"] = gate = threading.Event()
    bot.grants.shorten(request_id, timedelta(minutes=5), "root")
    bot.scheduler.sweep()
    wait_for(world.shop.entered["set_deadline"].is_set)
    world.advance(minutes=5)
    bot.scheduler.sweep()
    wait_for(lambda: world.grant(request_id).access_ended_at)
    gate.set()
    wait_for(lambda: bot.lanes.wait_idle(1))
    bot.scheduler.sweep()
    assert not bot.grants.deadlines.behind()
    assert not world.store.kept("deadline.")


def test_a_shortened_end_that_is_already_here_is_ended_not_moved(
    world: World, bot: service.Service
) -> None:
    bot.grants.shorten(world.live(bot), timedelta(0), "root")
    assert bot.grants.deadlines.behind() == ()


def test_sessions_of_a_door_shut_twice_are_counted_once(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = world.live(bot)
    bot.grants.begin_due()
    lost(world, monkeypatch)
    world.advance(minutes=30)
    bot.grants.shut(request_id)
    world.advance(minutes=1)
    bot.grants.shut(request_id)
    monkeypatch.undo()
    bot.grants.begin_due()
    assert bot.grants.close(request_id).access_ended_at == world.grant(request_id).expires_at
