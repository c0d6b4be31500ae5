"""What an open alarm keeps and shows is what is now, and what became of it when it is over."""

import json

import pytest

from bot import service
from bot.telling.notices import Alarm
from bot.watching import alarms, conditions, ringing
from db_grants import errors as target_errors
from tests.fixtures_core import NOON, World
from tests.unit.test_alarms import (
    MINUTE,
    edits,
    opened,
    overdue,
    said,
    states,
    waiting,
)


def ended(world: World, bot: service.Service, *ids: str) -> None:
    """These end although the target stays down for the others."""
    world.shop.down = False
    for each in ids:
        bot.grants.end(each)
    world.shop.down = True


def test_an_open_alarm_shows_what_is_now(world: World, bot: service.Service) -> None:
    ids = overdue(world, bot, 3)
    bot.grants.watch()
    ended(world, bot, ids[0])
    world.advance(seconds=11)
    bot.grants.watch()
    (edit,) = edits(world, bot)
    assert sorted(each["id"] for each in edit["grants"]) == sorted(ids[1:])
    assert (edit["count"], edit["gone"]) == (2, 1)
    assert sorted(opened(world).condition.grants) == sorted(ids[1:])
    assert states(world, bot) == states(world, bot, "webhook") == ["overdue raised"]


def test_grants_that_join_an_alarm_are_shown_without_a_new_one(
    world: World, bot: service.Service
) -> None:
    first = overdue(world, bot)
    bot.grants.watch()
    world.shop.down = False
    (second,) = overdue(world, bot)
    bot.grants.watch()
    assert opened(world).condition.grants == (*first, second)
    assert states(world, bot) == ["overdue raised"]


def test_an_open_alarm_tells_the_present_error(world: World, bot: service.Service) -> None:
    (request_id,) = overdue(world, bot)
    bot.grants.watch()
    world.shop.down = False
    world.shop.failing["close"] += [target_errors.DbGrantsError("The disk is full.")]
    bot.grants.close(request_id)
    world.advance(seconds=11)
    bot.grants.watch()
    assert edits(world, bot)[-1]["error"] == "The disk is full."
    assert "alarm.changed" not in world.events(request_id)


def test_however_much_changes_it_is_edited_every_ten_seconds_at_most(
    world: World, bot: service.Service
) -> None:
    ids = overdue(world, bot, 30)
    bot.grants.watch()
    for each in ids[:-1]:
        ended(world, bot, each)
        world.advance(seconds=1)
        bot.grants.watch()
    assert len(edits(world, bot)) == 2
    world.advance(seconds=10)
    bot.grants.watch()
    assert edits(world, bot)[-1]["count"] == 1


def test_that_it_is_over_tells_what_became_of_every_grant(
    world: World, bot: service.Service
) -> None:
    ids = overdue(world, bot, 3)
    bot.grants.watch()
    ended(world, bot, ids[0])
    world.advance(seconds=11)
    bot.grants.watch()
    world.shop.down = False
    bot.grants.end(ids[1])
    world.shop.failing["remove"] = [target_errors.TargetUnavailable()]
    bot.grants.end(ids[2])
    bot.grants.watch()
    over = said(world, bot)[-1]
    assert (over["state"], over["count"], over["cleaning"], over["live"]) == ("over", 3, 1, 0)
    assert over["last"] == world.clock.now().isoformat()
    assert over["late"] == 27.0


def test_a_waiting_edit_is_not_said_when_a_newer_one_follows(
    world: World, bot: service.Service
) -> None:
    ids = overdue(world, bot, 3)
    bot.grants.watch()
    for each in ids[:2]:
        ended(world, bot, each)
        world.advance(seconds=11)
        bot.grants.watch()
    rows = waiting(world)
    stale = [
        ringing.stale(world.store, row.data, row.created_at, world.clock.now()) for row in rows
    ]
    assert [row.data["state"] for row in rows] == ["raised", "changed", "changed"]
    assert stale == [False, True, False]


def test_grants_are_watched_however_many_there_are(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is read by the newest so many; and a look marks no more than it has time for."""
    monkeypatch.setattr(alarms, "_MARKED", 2)
    ids = overdue(world, bot, 5)
    for _ in range(3):
        bot.grants.watch()
    assert sorted(opened(world).condition.grants) == sorted(ids)
    assert all(world.grant(each).alarmed_at for each in ids)


def test_what_another_replica_has_seen_later_is_not_taken_back() -> None:
    here = conditions.Condition(kind=Alarm.OVERDUE, target="shop", since=NOON)
    later = ringing.Open(
        id="a1arm000", condition=here, raised_at=NOON, said_at=NOON, changed_at=NOON + MINUTE
    )
    assert not alarms.decide([], [later], NOON)
    assert not alarms.decide([here], [later], NOON)


def test_an_alarm_kept_by_an_older_version_is_read(world: World, bot: service.Service) -> None:
    overdue(world, bot)
    bot.grants.watch()
    known = opened(world)
    kept = json.loads(world.store.get(known.key) or "")
    world.store.put(known.key, json.dumps({k: kept[k] for k in kept if k not in _NEW}))
    assert opened(world).concerned == known.condition.grants


_NEW = {"changed_at", "concerned"}
