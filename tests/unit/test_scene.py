"""What the Home tab and the private lists find for one person among everybody's."""

import dataclasses
from datetime import timedelta

import pytest

from bot import model, service
from bot.audit import summary
from bot.slack import scene
from db_grants.spec import Activity, Evidence, SessionSeen
from tests import fixtures_store
from tests.fixtures_core import ANA, BO, World
from tests.unit import stories


@pytest.fixture
def seen(world: World, bot: service.Service) -> scene.Scene:
    return scene.Scene(
        store=world.store,
        access=bot.access,
        directory=world.directory,
        catalog=lambda: world.catalog,
        clock=world.clock,
    )


def ids(stories: object) -> list[str]:
    return [story.request.id for story in stories]  # type: ignore[attr-defined]


def test_ones_own_access_is_found_however_many_others_came_later(
    world: World, bot: service.Service, seen: scene.Scene
) -> None:
    later, sooner = (world.live(bot, duration=timedelta(minutes=n)) for n in (60, 30))
    world.clock.advance(timedelta(seconds=1))
    for _ in range(203):  # the record tells of 200 at a time
        fixtures_store.granted(
            world.store, requester_id="U0DAN", requester_name="Dan", created_at=world.clock.now()
        )
    found = seen.mine(ANA.id)
    assert ids(found.holding) == [sooner, later]
    assert found.holding[0] == world.store.story(sooner)


def test_who_may_decide_may_end_and_sees_it(
    world: World, bot: service.Service, seen: scene.Scene
) -> None:
    waiting, live = world.ask(bot, entitlement="read_pages"), world.live(bot)
    found = seen.mine(BO.id)
    assert (ids(found.holding), ids(found.watching)) == ([], [live])
    assert set(ids(seen.mine(ANA.id).asked)) == {live, waiting}
    assert seen.mine(ANA.id).watching == []
    assert found.watching[0].grant is not None
    assert found.watching[0].grant.status is model.GrantStatus.ACTIVE


def test_what_waits_for_somebody_is_found_behind_all_that_waits_for_others(
    world: World, bot: service.Service, seen: scene.Scene
) -> None:
    for n in range(203):  # the record tells of 200 at a time
        fixtures_store.submit(
            world.store,
            approvers=("U0DAN",),
            created_at=world.clock.now(),
            justification=f"INC-{n}",
        )
    world.clock.advance(timedelta(seconds=1))
    theirs = world.ask(bot)
    assert ids(seen.mine(BO.id).waiting) == [theirs]


def test_what_somebody_may_end_is_found_behind_all_that_they_may_not(
    world: World, bot: service.Service, seen: scene.Scene
) -> None:
    theirs = world.live(bot)
    world.clock.advance(timedelta(seconds=1))
    for _ in range(203):  # the record tells of 200 at a time
        fixtures_store.granted(
            world.store,
            requester_id="U0DAN",
            entitlement="of_another_catalog",
            approvers=("U0ZOE",),
            created_at=world.clock.now(),
        )
    assert ids(seen.mine(BO.id).watching) == [theirs]
    assert ids(seen.mine(ANA.id).watching) == []


@pytest.mark.parametrize(
    ("minutes", "of", "said"),
    [
        (11, 30, "used 11 of 30 min"),
        (2, 90, "used 2 min of 1 h 30 min"),
        (60, 120, "used 1 of 2 h"),
        (60, 90, "used 1 h of 1 h 30 min"),
    ],
)
def test_what_was_used_of_the_time_is_told_with_its_unit(minutes: int, of: int, said: str) -> None:
    start = stories.NOW
    spent = timedelta(minutes=minutes)
    session = SessionSeen(started_at=start, ended_at=start + spent, application="", client=None)
    activity = Activity(
        evidence=Evidence.STATEMENT_LOG, sessions=(session,), counts=(("SELECT", 1),)
    )
    ended = stories.EVERY["ended"]
    assert ended.grant is not None
    told = dataclasses.replace(
        ended,
        request=dataclasses.replace(ended.request, duration=timedelta(minutes=of)),
        grant=dataclasses.replace(ended.grant, activity=summary.activity_to_json(activity)),
    )
    assert scene.used(told) == said
