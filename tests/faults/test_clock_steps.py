"""The machine's clock leaps forward under a running bot: wrongly set, or right after a sleep.

The promise has two sides: nobody keeps access for longer than was granted, and one wrong clock takes
nobody's access away. Targets' own clocks decide between the two.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from bot import catalog, clock, model, service, store
from bot.granting import skew
from bot.telling import notices
from bot.watching import ringing
from bot.watching import status as statuses
from db_grants import errors as target_errors
from db_grants import memory
from tests.faults import records
from tests.fixtures_core import NOON, Target, World, wait_for
from tests.fixtures_postgres import Shop
from tests.holders import is_cut

pytestmark = pytest.mark.faults

LEAP = timedelta(hours=2)


@dataclass
class Machine:
    """A machine whose clock can be set, and which can stand still without noticing."""

    wall: Callable[[], datetime]
    passed: Callable[[], float]
    set_by: timedelta = timedelta(0)

    def clock(self) -> clock.SystemClock:
        return clock.SystemClock(wall=lambda: self.wall() + self.set_by, passed=self.passed)


CATALOG = """
channels: {{approvals: "#db-access", audit: "#db-audit"}}
targets:
  shop: {{url_env: SHOP_URL, environment: production, database: {database}}}
entitlements:
  read_orders:
    target: shop
    scope: [{{table: app.orders, can: read}}]
    requesters: [everyone]
    approval: owners
rules:
  owners: {{approvers: ["@owners"], auto_approve_up_to: 5m}}
"""


class Times:
    """True time, as targets tell it, and the time that passed on the machine: a sleep divides them."""

    def __init__(self) -> None:
        self.true = clock.ManualClock(NOON)
        self.slept = timedelta(0)
        self.machine = Machine(wall=self.true.now, passed=self.awake)

    def awake(self) -> float:
        return (self.true.now() - NOON - self.slept).total_seconds()

    def sleep(self, length: timedelta) -> None:
        self.slept += length
        self.true.advance(length)

    def wait(self, **length: float) -> None:
        self.true.advance(timedelta(**length))


@pytest.fixture
def times(world: World) -> Times:
    """The service of `world` goes by a machine's clock; its targets go by true time."""
    made = Times()
    on_machine(world, made.machine, patience=0.3)
    world.shop = Target(memory.MemoryEngine(clock=made.true.now))
    world.wiki = Target(memory.MemoryEngine(clock=made.true.now))
    return made


def on_machine(world: World, machine: Machine, patience: float = 5.0) -> None:
    world.store.close()
    world.clock = machine.clock()  # type: ignore[assignment]
    world.store = store.open_store(world.url, world.clock, patience=patience)


def look(bot: service.Service, times: Times, looks: int = 4) -> None:
    """As many looks as a leap takes to be noticed, asked about and judged."""
    for _ in range(looks):
        bot.scheduler.sweep()
        assert bot.lanes.wait_idle(10)
        times.wait(seconds=2)


def alarmed(world: World) -> set[str]:
    found = ringing.everything(world.store)
    return {each.condition.target for each in found if each.condition.kind is notices.Alarm.SKEW}


def status(world: World, request_id: str) -> model.GrantStatus:
    return world.grant(request_id).status


@pytest.mark.fault(
    "F-48",
    "the machine's clock is set forward by 2 h under a running bot",
    how="the wall clock of a service on a real PostgreSQL",
    expects="not believed: nobody's access ends early, nothing is granted, an alarm tells of it; "
    "access ends when its time has passed",
)
def test_a_clock_set_forward_ends_nothing_early_and_keeps_nothing_longer(
    world: World, shop: Shop
) -> None:
    machine = Machine(wall=lambda: datetime.now(UTC), passed=time.monotonic)
    on_machine(world, machine)
    world.catalog = catalog.loads(CATALOG.format(database=shop.database))
    world.shop = shop.engine(world.clock.now)
    world.wiki = Target(memory.MemoryEngine())
    bot = world.new_bot()
    bot.start()
    held = [granted(world, bot) for _ in range(4)]
    with held_open(bot, shop, held[0]) as session:
        machine.set_by = LEAP
        wait_for(lambda: {"shop", *alarmed(world)} == alarmed(world), 20)
        assert all(status(world, one) is model.GrantStatus.ACTIVE for one in held)
        assert session.execute("SELECT 1").fetchone() == (1,)
        kept = world.store.get("clock.high_water")
        assert kept is None or datetime.fromisoformat(kept) < datetime.now(UTC) + skew.LIMIT
        refused = asked(world, bot)
        wait_for(lambda: world.grant(refused).last_error)
        assert "did not pass" in str(world.grant(refused).last_error)

        began = time.monotonic()
        bot.grants.shorten(held[0], timedelta(seconds=2), "root")
        wait_for(lambda: status(world, held[0]) is model.GrantStatus.ENDED, 15)
        assert time.monotonic() - began < 10
        assert is_cut(session)
        assert all(status(world, one) is model.GrantStatus.ACTIVE for one in held[1:])

    machine.set_by = timedelta(0)
    wait_for(lambda: not alarmed(world), 20)
    wait_for(lambda: status(world, refused) is model.GrantStatus.ACTIVE, 40)


def asked(world: World, bot: service.Service) -> str:
    draft = world.draft(entitlement="read_orders", duration=timedelta(minutes=5))
    return bot.access.submit(draft).request.id


def granted(world: World, bot: service.Service) -> str:
    request_id = asked(world, bot)
    wait_for(lambda: status(world, request_id) is model.GrantStatus.ACTIVE)
    return request_id


def held_open(bot: service.Service, shop: Shop, request_id: str) -> psycopg.Connection:
    given = bot.grants.reveal(request_id, "U0ANA")
    return psycopg.connect(
        shop.server.url(shop.database, given.role, given.password), autocommit=True
    )


@pytest.mark.fault(
    "F-48b",
    "the machine stood still for 2 h, and its clock was then put right",
    how="time passes for targets that did not pass for the service",
    expects="confirmed by the targets within seconds; what is over ends, the rest goes on",
)
def test_a_machine_that_slept_is_believed_as_soon_as_its_targets_confirm_it(
    world: World, times: Times
) -> None:
    bot = world.new_bot()
    short, long = world.live(bot), world.live(bot, duration=timedelta(hours=4))
    times.sleep(LEAP)
    look(bot, times)
    assert status(world, short) is model.GrantStatus.ENDED
    assert world.shop.engine.survey().managed[0].grant_id == long
    assert status(world, long) is model.GrantStatus.ACTIVE
    assert not world.clock.leap()
    assert abs(world.clock.now() - times.true.now()) < skew.LIMIT
    (event,) = [e for e in world.store.all_events() if e.type == "clock.leap_believed"]
    assert json.loads(event.body)["data"] == {"seconds": 7200, "targets": ["shop", "wiki"]}
    assert not alarmed(world)
    world.live(bot, requester_id="U0CLEO")


@pytest.mark.fault(
    "F-48c",
    "two targets disagree about a leap of the machine's clock",
    how="one target's clock is wrong in the same way",
    expects="only what the target itself says is over ends early; an alarm tells of it",
)
def test_one_target_that_agrees_ends_nothing_on_another(world: World, times: Times) -> None:
    bot = world.new_bot()
    here, there = world.live(bot), world.live(bot, entitlement="read_pages")
    times.machine.set_by = world.wiki.engine.ahead = LEAP
    look(bot, times)
    assert status(world, here) is model.GrantStatus.ACTIVE
    assert status(world, there) is model.GrantStatus.ENDED
    assert world.clock.leap()
    times.wait(minutes=2)  # it alarms each minute what lasts
    look(bot, times)
    assert len(alarmed(world)) == 2  # the machine, and shop


@pytest.mark.fault(
    "F-48d",
    "the machine's clock leaps while no target answers",
    how="the targets are down, then back",
    expects="an alarm while they are; what they confirm to be over ends when they are back",
)
def test_silence_confirms_nothing_and_is_told(world: World, times: Times) -> None:
    bot = world.new_bot()
    held = world.live(bot)
    world.shop.down = world.wiki.down = True
    times.sleep(LEAP)
    look(bot, times)
    assert status(world, held) is model.GrantStatus.ACTIVE
    (told,) = alarmed(world)
    assert told.startswith("the machine ")
    world.shop.down = False
    look(bot, times)
    assert status(world, held) is model.GrantStatus.ENDED
    assert not alarmed(world)


@pytest.mark.fault(
    "F-48e",
    "the bot is restarted while its machine's clock is wrong",
    how="a new clock and a new service over the same record",
    expects="it goes on doubting: nothing ends early; put right, or confirmed, it goes on",
)
@pytest.mark.parametrize("slept", [False, True])
def test_a_restart_in_doubt_goes_on_doubting(world: World, times: Times, *, slept: bool) -> None:
    bot = world.new_bot()
    held = world.live(bot)
    world.shop.down = world.wiki.down = slept
    if slept:
        times.sleep(LEAP)
    else:
        times.machine.set_by = LEAP
    look(bot, times)
    bot.scheduler._beat()
    times.wait(seconds=20)

    on_machine(world, times.machine, patience=0.3)
    skew.take_over(world.store, world.clock)
    bot = world.new_bot()
    look(bot, times)
    assert status(world, held) is model.GrantStatus.ACTIVE
    assert abs(world.clock.leap() - LEAP) < skew.LIMIT

    world.shop.down = world.wiki.down = False
    times.machine.set_by = timedelta(0)
    look(bot, times)
    assert not world.clock.leap()
    assert abs(world.clock.now() - times.true.now()) < skew.LIMIT
    ended = model.GrantStatus.ENDED if slept else model.GrantStatus.ACTIVE
    assert status(world, held) is ended

    on_machine(world, times.machine, patience=0.3)
    skew.take_over(world.store, world.clock)
    assert abs(world.clock.now() - times.true.now()) < skew.LIMIT


def test_jit_status_does_not_take_a_bot_in_doubt_for_a_dead_one(world: World, times: Times) -> None:
    """Whoever restarted it for that would make it believe the machine."""
    bot = world.new_bot()
    times.machine.set_by = LEAP
    look(bot, times)
    bot.scheduler._beat()

    def problems() -> str:
        wall = times.machine.wall() + times.machine.set_by
        return " ".join(statuses.read(world.store, skew.present(world.store, wall)).problems)

    assert "does not run" not in problems()
    assert "leapt ahead by 7,200 s that did not pass" in problems()
    times.machine.set_by = timedelta(0)  # it died in doubt, and its machine was put right
    times.wait(minutes=2)
    assert "does not run" in problems()
    look(world.new_bot(), times)
    assert "leapt" not in problems()


def test_what_is_over_by_the_time_that_passed_ends_whoever_says_what(
    world: World, times: Times
) -> None:
    bot = world.new_bot()
    held = world.live(bot)
    times.machine.set_by = LEAP
    world.shop.engine.ahead = timedelta(hours=-3)
    look(bot, times)
    assert status(world, held) is model.GrantStatus.ACTIVE
    times.wait(minutes=30)
    look(bot, times)
    assert status(world, held) is model.GrantStatus.ENDED


def test_a_target_that_is_a_minute_off_confirms_a_leap_of_hours(world: World, times: Times) -> None:
    bot = world.new_bot()
    held = world.live(bot)
    world.shop.engine.ahead = timedelta(minutes=-1)
    times.sleep(LEAP)
    look(bot, times)
    assert status(world, held) is model.GrantStatus.ENDED


def test_a_target_that_fell_silent_is_held_to_what_it_said(world: World, times: Times) -> None:
    bot = world.new_bot()
    held = world.live(bot, duration=timedelta(hours=1))
    world.wiki.engine.ahead = -LEAP  # contradicts, so it stays in doubt
    times.sleep(timedelta(minutes=59))
    look(bot, times)
    assert status(world, held) is model.GrantStatus.ACTIVE
    world.shop.failing["server_time"] = [target_errors.TargetUnavailable()] * 100
    times.wait(minutes=1)
    look(bot, times)
    assert status(world, held) is model.GrantStatus.ENDED


def test_a_locked_record_does_not_keep_a_leap_from_being_believed(
    world: World, times: Times
) -> None:
    bot = world.new_bot()
    held = world.live(bot)
    times.sleep(LEAP)
    bot.scheduler.sweep()
    assert bot.lanes.wait_idle(10)
    with records.locked(Path(world.url.removeprefix("sqlite:///"))):
        look(bot, times, 2)
        (role,) = world.shop.engine.survey().managed
        assert (role.can_login, role.sessions) == (False, 0)
    look(bot, times)
    assert status(world, held) is model.GrantStatus.ENDED


def test_the_end_of_a_grant_is_not_begun_twice(world: World, times: Times) -> None:
    bot = world.new_bot()
    held = world.live(bot)
    times.machine.set_by = world.shop.engine.ahead = LEAP
    bot.scheduler.sweep()
    assert bot.lanes.wait_idle(10)
    bot.grants.revoke(held, "U0BO")
    look(bot, times)
    assert status(world, held) is model.GrantStatus.REVOKED
