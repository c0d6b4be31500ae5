"""The digest: once a day, about all the time since the one before."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from bot import catalog as catalogs
from bot import model, service
from bot.telling import digests
from tests.fixtures_core import World

BERLIN = ZoneInfo("Europe/Berlin")


def said(world: World) -> list[tuple[datetime, datetime]]:
    rows = [row.data for row, _ in world.channel.said if row.kind == "digest"]
    return [
        (datetime.fromisoformat(data["since"]), datetime.fromisoformat(data["until"]))
        for data in rows
    ]


def look(bot: service.Service) -> None:
    bot.scheduler._digests.say_if_due()
    bot.outbox.pump()


def at(hour: int, day: int = 20, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=BERLIN).astimezone(UTC)


def test_the_first_looks_back_a_day_and_each_next_one_to_the_one_before(
    world: World, bot: service.Service
) -> None:
    world.live(bot, duration=timedelta(hours=4))  # it is 13:00 in Berlin
    look(bot)
    assert said(world) == [(at(9, 19), at(9, 20))]
    for hours in (10, 9.9):  # 23:00, then 08:54
        world.advance(hours=hours)
        look(bot)
    assert len(said(world)) == 1
    world.advance(minutes=7)
    look(bot)
    assert said(world)[1:] == [(at(9, 20), at(9, 21))]


def test_what_happened_a_minute_ago_is_in_it(world: World, bot: service.Service) -> None:
    look(bot)
    world.advance(hours=19, minutes=59)  # 08:59
    request_id = world.live(bot)
    bot.grants.give_back(request_id, "U0ANA")
    assert bot.grants.end(request_id).status is model.GrantStatus.REVOKED
    world.advance(minutes=1)
    look(bot)
    assert said(world) == [(at(9, 20), at(9, 21))]


def test_it_is_said_once_also_after_a_restart_and_by_several_replicas(
    world: World, bot: service.Service
) -> None:
    world.live(bot, duration=timedelta(hours=4))
    look(bot)
    world.advance(hours=21)
    for _ in range(3):
        look(world.new_bot())
    assert len(said(world)) == 2


def test_replicas_that_look_at_the_same_moment_say_it_once(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.live(bot, duration=timedelta(hours=4))
    other = world.new_bot()
    of_period = digests.digest.of_period

    def overtaken(*args: object, **more: object) -> object:
        monkeypatch.setattr(digests.digest, "of_period", of_period)
        other.scheduler._digests.say_if_due()
        return of_period(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(digests.digest, "of_period", overtaken)
    look(bot)
    assert len(said(world)) == 1


def test_a_bot_that_was_down_for_days_says_one_for_all_of_them(
    world: World, bot: service.Service
) -> None:
    look(bot)
    world.live(bot)
    world.advance(days=3)
    look(world.new_bot())
    assert said(world) == [(at(9, 20), at(9, 23))]


def test_a_time_without_anything_has_none_and_is_not_told_again(
    world: World, bot: service.Service
) -> None:
    look(bot)
    world.advance(days=1)
    look(bot)
    assert said(world) == []
    world.live(bot)
    world.advance(days=1)
    look(bot)
    assert said(world) == [(at(9, 21), at(9, 22))]


@pytest.mark.parametrize(("month", "day", "hours"), [(3, 29, 23), (10, 25, 25)])
def test_a_day_on_which_the_clocks_change_is_whole(
    tmp_path, monkeypatch: pytest.MonkeyPatch, month: int, day: int, hours: int
) -> None:
    start = at(9, day - 1, month) + timedelta(minutes=1)
    monkeypatch.setattr("tests.fixtures_core.NOON", start)
    world = World(tmp_path)
    bot = world.new_bot()
    look(bot)
    world.live(bot, duration=timedelta(hours=4))
    for _ in range(60):
        world.advance(minutes=30)
        look(bot)
    assert said(world) == [(at(9, day - 1, month), at(9, day, month))]
    assert said(world)[0][1] - said(world)[0][0] == timedelta(hours=hours)
    world.close()


@pytest.mark.parametrize(
    ("month", "day", "hour"),
    [(3, 29, "02:30"), (10, 25, "02:30"), (11, 20, "00:00"), (11, 20, "23:59")],
)
def test_every_hour_comes_once_a_day(month: int, day: int, hour: str) -> None:
    wanted = catalogs.DigestTime(at=datetime.strptime(hour, "%H:%M").time(), zone=BERLIN)  # noqa: DTZ007
    begin = datetime(2026, month, day, tzinfo=BERLIN).astimezone(UTC) - timedelta(days=1)
    minutes = (begin + timedelta(minutes=n) for n in range(3 * 24 * 60))
    moments = {digests.moment(now, wanted) for now in minutes}
    local = sorted(each.astimezone(BERLIN).date() for each in moments)
    assert len(local) == len(set(local)) >= 3
    assert all(digests.moment(each, wanted) == each for each in moments)
