"""What the holders did, read for all ends of a batch at once and held up by nothing."""

import pytest

from bot import service
from bot.audit import summary
from db_grants import errors as target_errors
from tests.fixtures_core import World
from tests.unit.test_ends_together import ENDED, REVOKING, due, statuses


def test_a_target_is_asked_once_for_the_activity_of_a_batch(
    world: World, bot: service.Service
) -> None:
    due(world, bot)
    bot.grants.close_some("shop")
    bot.grants.clean_some("shop")
    assert [call for call in world.shop.calls if call.startswith("activity")] == ["activity_all"]


def test_a_batch_whose_activity_cannot_be_read_ends_without_it_and_says_so(
    world: World, bot: service.Service, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = due(world, bot)
    bot.grants.close_some("shop")
    world.shop.failing["activity_all"] = [target_errors.TargetUnavailable()]
    assert bot.grants.clean_some("shop") == 3
    assert statuses(world, ids) == [ENDED] * 3
    assert [world.grant(each).activity for each in ids] == [None] * 3
    assert capsys.readouterr().out.count("activity_unknown") == 3


def test_one_whose_activity_cannot_be_read_takes_it_from_no_other(
    world: World, bot: service.Service
) -> None:
    ids = due(world, bot)
    bot.grants.close_some("shop")
    world.shop.engine.fail("activity", target_errors.DbGrantsError())
    bot.grants.clean_some("shop")
    assert statuses(world, ids) == [ENDED] * 3
    assert [world.grant(each).activity is None for each in ids].count(True) == 1


def test_activity_is_read_once_however_often_the_removal_is_tried(
    world: World, bot: service.Service
) -> None:
    (request_id,) = due(world, bot, 1)
    world.shop.failing["remove"] = [
        target_errors.TargetUnavailable(),
        target_errors.DbGrantsError(),
    ]
    tried = [bot.grants.end(request_id)]
    while tried[-1].status is REVOKING:
        world.advance(seconds=30)
        tried.append(bot.grants.end(request_id))
    assert [grant.activity for grant in tried] == [tried[0].activity] * 3
    assert tried[0].activity is not None
    assert world.shop.calls.count("activity") == 1


@pytest.mark.parametrize("count", [1, 3])
def test_what_cannot_be_recorded_of_it_keeps_no_end_from_being_recorded(
    world: World,
    bot: service.Service,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    count: int,
) -> None:
    monkeypatch.setattr(summary, "activity_to_json", lambda _seen: {"sessions": object()})
    ids = due(world, bot, count)
    bot.grants.close_some("shop")
    bot.grants.clean_some("shop")
    assert statuses(world, ids) == [ENDED] * count
    assert [world.grant(each).activity for each in ids] == [None] * count
    assert capsys.readouterr().out.count("activity_unknown") >= count
