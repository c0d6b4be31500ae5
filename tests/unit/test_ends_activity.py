"""What the holders did, read for all ends of a batch at once and held up by nothing."""

import pytest

from bot import service
from db_grants import errors as target_errors
from tests.fixtures_core import World
from tests.unit.test_ends_together import ENDED, due, statuses


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
