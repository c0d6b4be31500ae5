"""Time never runs back, never stands still while somebody holds access, and is checked by others."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import clock as clocks
from bot import model, service, store
from bot.granting import skew
from db_grants import errors as target_errors
from db_grants import naming
from db_grants.postgres import plan
from db_grants.spec import ManagedRole
from tests.fixtures_core import NOON, World, wait_for


class Machine:
    """A machine whose clock can be set, and on which time passes."""

    def __init__(self) -> None:
        self.wall, self.passed = NOON, 1000.0

    def clock(self) -> clocks.SystemClock:
        return clocks.SystemClock(wall=lambda: self.wall, passed=lambda: self.passed)

    def wait(self, **length: float) -> None:
        step = timedelta(**length)
        self.wall += step
        self.passed += step.total_seconds()

    def set_clock(self, **length: float) -> None:
        self.wall += timedelta(**length)


def test_it_tells_the_machines_time() -> None:
    machine = Machine()
    clock = machine.clock()
    assert clock.now() == NOON
    machine.wait(minutes=5)
    assert clock.now() == NOON + timedelta(minutes=5)


def test_a_clock_set_back_neither_turns_time_back_nor_stops_it() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.now()
    machine.set_clock(hours=-1)
    assert clock.now() == NOON
    machine.wait(minutes=30)
    assert clock.now() == NOON + timedelta(minutes=30)  # a grant of 30 minutes ends after 30


def test_a_clock_set_forward_a_little_is_believed() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.now()
    machine.set_clock(seconds=30)
    assert clock.now() == NOON + timedelta(seconds=30)
    assert not clock.leap()


def test_a_clock_set_forward_far_is_not_believed_and_time_goes_on() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.set_clock(hours=2)
    machine.wait(minutes=5)
    assert clock.now() == NOON + timedelta(minutes=5)
    assert clock.leap() == timedelta(hours=2)
    machine.set_clock(hours=-2)
    assert clock.now() == NOON + timedelta(minutes=5)
    assert not clock.leap()


def test_a_leap_that_is_confirmed_is_believed_and_the_next_one_is_not() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.set_clock(hours=2)
    confirmed = clock.leap()
    machine.set_clock(minutes=1)
    clock.believe(confirmed)
    assert clock.now() == NOON + timedelta(hours=2)
    assert clock.leap() == timedelta(minutes=1)


def test_many_little_steps_are_not_a_leap_but_a_large_one_is() -> None:
    machine = Machine()
    clock = machine.clock()
    for _ in range(10):
        machine.set_clock(seconds=1)
        machine.wait(seconds=10)
        clock.now()
    assert clock.now() == machine.wall
    machine.set_clock(seconds=31)
    assert clock.leap() == timedelta(seconds=31)


def test_a_clock_that_rests_believes_no_leap_either() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.raise_to(NOON + timedelta(hours=1))
    clock.rest(allowed=True)
    machine.wait(minutes=10)
    assert clock.now() == NOON + timedelta(hours=1)
    machine.set_clock(hours=2)
    machine.wait(minutes=10)
    assert clock.leap() > timedelta(hours=1)
    assert clock.now() == NOON + timedelta(hours=1, minutes=10)  # in doubt it does not stand still


def test_it_goes_on_from_the_time_that_was_recorded() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.raise_to(NOON + timedelta(hours=1))
    machine.wait(minutes=10)
    assert clock.now() == NOON + timedelta(hours=1, minutes=10)


def test_it_waits_for_the_machine_only_while_nothing_hangs_on_it() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.raise_to(NOON + timedelta(hours=1))
    clock.rest(allowed=True)
    machine.wait(minutes=30)
    assert clock.now() == NOON + timedelta(hours=1)
    clock.rest(allowed=False)
    machine.wait(minutes=5)
    assert clock.now() == NOON + timedelta(hours=1, minutes=5)
    clock.rest(allowed=True)
    machine.wait(hours=1)
    assert clock.now() == machine.wall


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["wait", "set", "rest", "work"]),
            st.integers(min_value=-86_400, max_value=86_400),
        ),
        max_size=30,
    )
)
def test_it_never_runs_back_and_gives_nobody_a_second_more(acts: list[tuple[str, int]]) -> None:
    machine = Machine()
    clock = machine.clock()
    told, resting = clock.now(), False
    for what, seconds in acts:
        if what == "wait":
            before = clock.now()
            machine.wait(seconds=abs(seconds))
            gone = clock.now() - before
            assert resting or gone >= timedelta(seconds=abs(seconds))
            assert gone <= timedelta(seconds=abs(seconds)) + clocks.LIMIT
        elif what == "set":
            machine.set_clock(seconds=seconds)
        else:
            resting = what == "rest"
            clock.rest(allowed=resting)
        assert clock.now() >= told
        told = clock.now()


def test_many_readings_do_not_push_it_ahead_of_the_machine() -> None:
    clock = clocks.SystemClock()
    for _ in range(20_000):
        clock.now()
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(milliseconds=50)


def test_time_goes_on_over_a_restart(world: World, bot: service.Service) -> None:
    bot.start()
    world.advance(hours=2)
    wait_for(lambda: world.store.get("clock.high_water") == world.clock.now().isoformat())
    later = clocks.ManualClock(NOON)
    store.open_store(world.url, later).close()
    assert later.now() == NOON + timedelta(hours=2)


def test_a_bot_with_nothing_to_watch_over_lets_its_clock_wait(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []
    monkeypatch.setattr(type(world.clock), "rest", lambda _self, allowed: told.append(allowed))
    for ask in (False, True):
        if ask:
            world.live(bot)
        world.advance(minutes=1)
        bot.scheduler.sweep()
    assert told == [True, False]


# -- clocks of targets


@pytest.mark.parametrize("seconds", [31, -45])
def test_a_target_whose_clock_is_far_off_gets_no_grant(
    world: World, bot: service.Service, seconds: int
) -> None:
    world.shop.engine.ahead = timedelta(seconds=seconds)
    request_id = world.ask(bot)
    world.approve(bot, request_id)
    grant = bot.grants.activate(request_id)
    assert grant.status is model.GrantStatus.ACTIVATION_FAILED
    assert world.shop.engine.managed() == ()
    where = "ahead of" if seconds > 0 else "behind"
    assert f"{abs(seconds)} s {where} the bot's" in str(grant.last_error)
    (measured,) = skew.latest(world.store, world.clock.now())
    assert (measured.target, measured.large) == ("shop", True)


def test_thirty_seconds_are_borne(world: World, bot: service.Service) -> None:
    world.shop.engine.ahead = timedelta(seconds=30)
    world.live(bot)


@pytest.mark.parametrize("seconds", [0, 35])
def test_a_clock_that_may_be_far_off_is_measured_before_anything_is_made(
    world: World, bot: service.Service, seconds: int
) -> None:
    """Asked late, a clock that is right looks as if it were ahead."""
    world.shop.failing["create"] = [target_errors.ClockUnsure()]
    world.shop.engine.ahead = timedelta(seconds=seconds)
    request_id = world.ask(bot)
    world.approve(bot, request_id)
    grant = bot.grants.activate(request_id)
    made = len(world.shop.engine.managed())
    assert (grant.status, made) == (
        (model.GrantStatus.ACTIVATION_FAILED, 0) if seconds else (model.GrantStatus.ACTIVE, 1)
    )


def test_a_clock_that_is_surely_near_costs_no_look_of_its_own(
    world: World, bot: service.Service
) -> None:
    world.shop.engine.ahead = timedelta(seconds=25)
    world.live(bot)
    assert "server_time" not in world.shop.calls


def test_a_clock_far_off_stops_no_end(world: World, bot: service.Service) -> None:
    request_id = world.live(bot)
    world.shop.engine.ahead = timedelta(hours=-3)
    world.advance(minutes=30)
    bot.grants.begin_due()
    assert bot.grants.end(request_id).status is model.GrantStatus.ENDED


def test_every_target_is_measured_at_the_start_and_each_minute(
    world: World, bot: service.Service
) -> None:
    world.wiki.engine.ahead = timedelta(seconds=3)
    bot.scheduler.sweep()
    wait_for(lambda: bot.lanes.wait_idle(1))
    found = {m.target: m.ahead for m in skew.latest(world.store, world.clock.now())}
    assert found == {"shop": timedelta(0), "wiki": timedelta(seconds=3)}
    assert bot.grants.skew.due() == ()
    world.advance(minutes=1)
    assert bot.grants.skew.due() == ("shop", "wiki")


def test_what_was_measured_long_ago_says_nothing(world: World, bot: service.Service) -> None:
    bot.grants.skew.look("shop")
    world.advance(minutes=6)
    assert skew.latest(world.store, world.clock.now()) == ()


def test_a_silent_target_is_not_a_matter_of_clocks(world: World, bot: service.Service) -> None:
    world.shop.failing["server_time"] = [target_errors.TargetUnavailable()]
    bot.grants.skew.look("shop")
    assert skew.latest(world.store, world.clock.now()) == ()


def test_the_way_there_and_back_is_no_skew(world: World) -> None:
    clock = clocks.ManualClock(NOON)

    class Slow:
        def server_time(self) -> datetime:
            clock.advance(timedelta(seconds=20))
            told = clock.now()
            clock.advance(timedelta(seconds=20))
            return told + self.ahead

        ahead = timedelta(0)

    target = Slow()
    assert skew.ahead(target, clock) == timedelta(0)  # type: ignore[arg-type]
    target.ahead = timedelta(seconds=60)
    assert skew.ahead(target, clock) == timedelta(seconds=40)  # type: ignore[arg-type]
    target.ahead = timedelta(seconds=-60)
    assert skew.ahead(target, clock) == timedelta(seconds=-40)  # type: ignore[arg-type]


# -- time zones


@given(
    st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)),  # noqa: DTZ001
    st.sampled_from(sorted(available_timezones())),
    st.sampled_from([0, 1]),
)
def test_no_time_zone_moves_a_deadline(naive: datetime, zone: str, fold: int) -> None:
    local = naive.replace(tzinfo=ZoneInfo(zone), fold=fold)
    meant = local.astimezone(UTC)
    assert plan.instant(local) == plan.instant(meant)
    assert plan.instant(local).endswith("+00:00")
    assert datetime.fromisoformat(plan.instant(local)) == meant
    role = ManagedRole(grant_id="0a1b2c3d", name=naming.managed_role("0a1b2c3d"), oid=7)
    told = [step.sql.as_string(None) for step in plan.deadline(role, local)]
    assert plan.instant(meant) in told[0]
    assert meant.isoformat() in told[1] or plan.instant(meant) in told[1]
