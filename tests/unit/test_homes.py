"""Whose App Home is drawn anew when: whoever sees something else in it, and nobody besides."""

from collections import Counter
from datetime import timedelta

from bot import model, service
from bot.telling import outbox
from db_grants import errors as target_errors
from tests.fixtures_core import BO, World

ANA_BO_CLEO = ["U0ANA", "U0BO", "U0CLEO"]


def drawn(world: World, bot: service.Service) -> list[str]:
    """Whose was, now that all is said."""
    bot.outbox.pump()
    people = [row.data["user"] for row, _ in world.channel.said if row.kind == outbox.Kind.HOME]
    world.channel.said.clear()
    return sorted(people)


def test_each_step_of_a_life_draws_the_homes_that_it_changes(
    world: World, bot: service.Service
) -> None:
    request_id = world.ask(bot)
    source = world.source(request_id)
    assert drawn(world, bot) == ANA_BO_CLEO
    bot.access.review(request_id, BO.id, model.Answer.APPROVE, source=source)
    assert drawn(world, bot) == ["U0BO", "U0CLEO"]  # hers shows it when it is live
    bot.grants.activate(request_id)
    assert drawn(world, bot) == ["U0ANA"]
    bot.grants.give_back(request_id, "U0ANA")
    bot.grants.close(request_id)
    assert drawn(world, bot) == ["U0ANA"]
    bot.grants.clean(request_id)
    assert drawn(world, bot) == ["U0ANA"]


def test_access_that_is_overdue_is_shown_so_to_its_holder(
    world: World, bot: service.Service
) -> None:
    request_id = world.live(bot)
    world.shop.down = True
    world.advance(minutes=31)
    bot.grants.begin_due()
    bot.grants.close(request_id)
    drawn(world, bot)
    bot.grants.watch()
    assert drawn(world, bot) == ["U0ANA"]
    bot.grants.watch()
    assert drawn(world, bot) == []


def test_what_does_not_become_live_at_once_is_shown_to_who_asked(
    world: World, bot: service.Service
) -> None:
    request_id = world.ask(bot)
    world.approve(bot, request_id)
    drawn(world, bot)
    world.shop.down = True
    bot.grants.activate(request_id)
    assert drawn(world, bot) == ["U0ANA"]  # it takes longer
    world.advance(minutes=10)
    bot.grants.activate(request_id)
    assert world.grant(request_id).status is model.GrantStatus.REVOKING
    assert drawn(world, bot) == ["U0ANA"]  # given up, and not certain what exists
    world.shop.down = False
    world.advance(minutes=1)
    bot.grants.end(request_id)
    assert world.grant(request_id).status is model.GrantStatus.ACTIVATION_FAILED
    assert drawn(world, bot) == ["U0ANA"]


def test_what_fails_at_once_and_what_a_rule_approves_too(
    world: World, bot: service.Service
) -> None:
    request_id = world.ask(bot)
    world.approve(bot, request_id)
    drawn(world, bot)
    world.shop.failing["create"] = [target_errors.NotPrepared()]
    bot.grants.activate(request_id)
    assert drawn(world, bot) == ["U0ANA"]
    by_rule = world.ask(bot, duration=timedelta(minutes=5))
    assert drawn(world, bot) == []
    bot.grants.activate(by_rule)
    assert drawn(world, bot) == ["U0ANA"]


def kinds(world: World, bot: service.Service, request_id: str) -> Counter[str]:
    """How often each kind of message was said about a request, Homes included."""
    bot.outbox.pump()
    rows = [row for row, _ in world.channel.said]
    return Counter(row.kind for row in rows if row.request_id in (request_id, None))


def live_through(world: World, bot: service.Service, *, saying: bool) -> str:
    request_id = bot.access.submit(world.draft()).request.id
    steps = (
        lambda: bot.access.review(request_id, BO.id, model.Answer.APPROVE, source=None),
        lambda: bot.grants.activate(request_id),
        lambda: bot.grants.give_back(request_id, "U0ANA"),
        lambda: bot.grants.close(request_id),
        lambda: bot.grants.clean(request_id),
    )
    for step in steps:
        if saying:
            bot.outbox.pump()
        step()
    return request_id


def test_a_life_that_is_said_as_it_goes_shows_each_step(world: World, bot: service.Service) -> None:
    said = kinds(world, bot, live_through(world, bot, saying=True))
    assert (said["card"], said["receipt"], said["live"], said["home"]) == (6, 2, 3, 8)


def test_a_life_that_is_said_when_it_is_over_shows_how_it_ended_once(
    world: World, bot: service.Service
) -> None:
    said = kinds(world, bot, live_through(world, bot, saying=False))
    assert (said["card"], said["receipt"], said["live"], said["home"]) == (1, 1, 1, 3)
    assert (said["thread"], said["audit"], said["summary"]) == (4, 2, 1)
