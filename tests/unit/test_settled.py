"""What somebody who comes too late is told."""

from datetime import timedelta

import pytest

from bot import errors, model, service
from bot.deciding import policy, settled
from tests.fixtures_core import ANA, BO, CLEO, NOON, World


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (0.9, "just now"),
        (4, "4 s ago"),
        (119, "1 min 59 s ago"),
        (125, "2 min ago"),
        (3725, "1 h 2 min ago"),
        (-5, "just now"),
    ],
)
def test_how_long_ago_is_told_as_finely_as_it_matters(seconds: float, words: str) -> None:
    assert settled.since(NOON, NOON + timedelta(seconds=seconds)) == words


def test_each_way_to_be_settled_has_its_sentence(world: World, bot: service.Service) -> None:
    by_rule = bot.access.submit(world.draft(duration=timedelta(minutes=5)))
    assert settled.told(by_rule, world.clock.now()) == "Rule owners approved this just now."
    lapsing = world.ask(bot, entitlement="read_pages")
    world.advance(hours=1)
    bot.access.lapse()
    world.advance(minutes=3)
    with pytest.raises(errors.TooLate, match=r"^Nobody decided in time; this lapsed 3 min ago\.$"):
        world.approve(bot, lapsing)


def test_a_grant_that_is_over_says_who_ended_it(world: World, bot: service.Service) -> None:
    request_id = world.live(bot)
    bot.grants.revoke(request_id, BO.id)
    with pytest.raises(errors.TooLate, match="Bo ended this just now; it is being ended"):
        bot.grants.give_back(request_id, ANA.id)
    bot.grants.end(request_id)
    with pytest.raises(errors.TooLate, match=r"^Bo ended this just now\.$"):
        bot.grants.give_back(request_id, ANA.id)


def test_a_grant_that_never_was_says_so(world: World, bot: service.Service) -> None:
    request_id = world.ask(bot)
    world.approve(bot, request_id)
    world.advance(minutes=10)
    over = bot.grants.activate(request_id)
    assert over.status is model.GrantStatus.ACTIVATION_FAILED
    with pytest.raises(errors.TooLate, match="Nothing was granted"):
        bot.grants.give_back(request_id, ANA.id)


def test_who_withdrew_or_ended_is_named_as_colleagues_do(
    world: World, bot: service.Service
) -> None:
    withdrawn = world.ask(bot, entitlement="read_pages")
    bot.access.cancel(withdrawn, ANA.id)
    with pytest.raises(errors.TooLate, match=r"^Ana withdrew this just now\.$"):
        world.approve(bot, withdrawn)
    live = world.live(bot)
    bot.grants.revoke_as_operator(live, "ops")
    bot.grants.end(live)
    with pytest.raises(errors.TooLate, match=r"^ops ended this just now\.$"):
        bot.grants.give_back(live, ANA.id)


def test_an_account_that_slack_did_not_confirm_is_told_so_in_the_same_words_everywhere() -> None:
    said = (
        "Could not confirm your account with Slack just now, so nothing was decided. "
        "Press again in a moment."
    )
    assert str(errors.IdentityUnknown()) == policy.UNCONFIRMED == said


def test_who_acts_twice_reads_that_it_was_their_own_doing(
    world: World, bot: service.Service
) -> None:
    request_id = world.ask(bot)
    world.approve(bot, request_id)
    world.advance(seconds=4)
    with pytest.raises(errors.TooLate, match=r"^You already approved this 4 s ago\.$"):
        world.approve(bot, request_id)
    with pytest.raises(errors.TooLate, match=r"^Bo approved this 4 s ago\.$"):
        bot.access.review(request_id, CLEO.id, model.Answer.DENY, "no", source=None)
    withdrawn = world.ask(bot, entitlement="read_pages")
    bot.access.cancel(withdrawn, ANA.id)
    with pytest.raises(errors.TooLate, match=r"^You already withdrew this just now\.$"):
        bot.access.cancel(withdrawn, ANA.id)


def test_the_first_of_two_approvers_reads_of_their_own_answer(
    world: World, bot: service.Service
) -> None:
    request_id = world.ask(bot, entitlement="write_orders")
    world.approve(bot, request_id)
    world.advance(seconds=4)
    bot.access.review(request_id, CLEO.id, model.Answer.APPROVE, source=None)
    with pytest.raises(errors.TooLate, match=r"^You already approved this 4 s ago\.$"):
        world.approve(bot, request_id)


def test_whose_second_click_was_looked_at_before_the_first_one_counted_reads_that_it_did(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = world.ask(bot)
    before = world.store.request(request_id)
    world.approve(bot, request_id, BO)
    monkeypatch.setattr(bot.access, "_may_review", lambda *_: before)
    with pytest.raises(errors.TooLate, match=r"^You already approved this just now\.$"):
        world.approve(bot, request_id, BO)
