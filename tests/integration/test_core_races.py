"""Several people in the same instant: one outcome, one grant, and the losers are told who decided."""

import threading
from collections.abc import Callable

import pytest

from bot import errors, model, service
from tests.fixtures_core import ANA, BO, CLEO, World

APPROVE, DENY = model.Answer.APPROVE, model.Answer.DENY


def together(*acts: Callable[[], object]) -> list[object]:
    """What each act returned or raised, all begun in the same instant."""
    start = threading.Barrier(len(acts))
    results: list[object] = [None] * len(acts)

    def run(number: int, act: Callable[[], object]) -> None:
        start.wait(5)
        try:
            results[number] = act()
        except Exception as error:  # noqa: BLE001 - handed to the test
            results[number] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return results


def sort(results: list[object]) -> tuple[list[model.Story], list[errors.TooLate]]:
    stories = [each for each in results if isinstance(each, model.Story)]
    late = [each for each in results if isinstance(each, errors.TooLate)]
    assert len(stories) + len(late) == len(results), results
    return stories, late


def check_one_outcome(world: World, request_id: str) -> model.Story:
    story = world.store.story(request_id)
    finals = {f"request.{status}" for status in model.RequestStatus if status != "pending"}
    assert sum(event in finals for event in world.events(request_id)) == 1
    approved = story.request.status is model.RequestStatus.APPROVED
    assert (story.grant is not None) is approved
    assert world.events(request_id).count("grant.activating") == int(approved)
    return story


@pytest.mark.parametrize("attempt", range(5))
def test_two_approvers_at_once_make_one_decision(
    world: World, bot: service.Service, attempt: int
) -> None:
    request_id = world.ask(bot)
    won, lost = sort(
        together(
            lambda: world.approve(bot, request_id, BO), lambda: world.approve(bot, request_id, CLEO)
        )
    )
    assert (len(won), len(lost)) == (1, 1)
    winner = model.first_name(check_one_outcome(world, request_id).request.decided_by_name or "")
    assert str(lost[0]) == f"{winner} approved this just now."


@pytest.mark.fault(
    "F-43",
    "one button pressed eight times at once",
    how="eight threads",
    expects="one decision; seven are told it is decided",
)
def test_eight_presses_of_one_button_are_one(world: World, bot: service.Service) -> None:
    request_id = world.ask(bot)
    won, lost = sort(together(*[lambda: world.approve(bot, request_id)] * 8))
    assert (len(won), len(lost)) == (1, 7)
    check_one_outcome(world, request_id)
    assert len(world.store.story(request_id).reviews) == 1


@pytest.mark.parametrize("attempt", range(5))
def test_an_approval_racing_a_denial(world: World, bot: service.Service, attempt: int) -> None:
    request_id = world.ask(bot)
    source = world.source(request_id)
    won, lost = sort(
        together(
            lambda: world.approve(bot, request_id, BO),
            lambda: bot.access.review(request_id, CLEO.id, DENY, "no", source=source),
        )
    )
    assert (len(won), len(lost)) == (1, 1)
    request = check_one_outcome(world, request_id).request
    word = "approved" if request.status is model.RequestStatus.APPROVED else "denied"
    assert (
        str(lost[0]) == f"{model.first_name(request.decided_by_name or '')} {word} this just now."
    )


@pytest.mark.parametrize("attempt", range(5))
def test_an_approval_racing_a_cancel(world: World, bot: service.Service, attempt: int) -> None:
    request_id = world.ask(bot)
    won, lost = sort(
        together(
            lambda: world.approve(bot, request_id, BO),
            lambda: bot.access.cancel(request_id, ANA.id),
        )
    )
    assert (len(won), len(lost)) == (1, 1)
    check_one_outcome(world, request_id)


@pytest.mark.parametrize("attempt", range(3))
def test_the_two_approvals_that_are_needed_may_come_at_once(
    world: World, bot: service.Service, attempt: int
) -> None:
    request_id = world.ask(bot, entitlement="write_orders")
    won, _ = sort(
        together(
            lambda: world.approve(bot, request_id, BO), lambda: world.approve(bot, request_id, CLEO)
        )
    )
    assert len(won) == 2
    assert check_one_outcome(world, request_id).grant is not None


def test_an_approval_racing_the_lapse(world: World, bot: service.Service) -> None:
    request_id = world.ask(bot)
    world.advance(minutes=59, seconds=59.9)
    together(
        lambda: world.approve(bot, request_id),
        lambda: (world.advance(seconds=1), bot.access.lapse()),
    )
    check_one_outcome(world, request_id)


def test_one_delivery_twice_at_once_is_one_request(world: World, bot: service.Service) -> None:
    draft = world.draft(dedupe_key="trigger-7")
    results = together(*[lambda: bot.access.submit(draft)] * 4)
    assert {each.request.id for each in results if isinstance(each, model.Story)} == {
        world.store.requests(requester_id=ANA.id)[0].id
    }
    assert len(world.store.requests(requester_id=ANA.id)) == 1
    assert not [each for each in results if isinstance(each, Exception)]


@pytest.mark.fault(
    "F-43b",
    "a revoke while the role is being made",
    how="two threads and a gate",
    expects="no role remains; one outcome",
)
@pytest.mark.parametrize("attempt", range(3))
def test_a_revoke_while_the_role_is_being_made_leaves_no_role(
    world: World, bot: service.Service, attempt: int
) -> None:
    request_id = world.ask(bot)
    world.approve(bot, request_id)
    gate = world.shop.gate["create"] = threading.Event()
    bot.start()
    assert world.shop.entered["create"].wait(5)
    bot.grants.revoke(request_id, BO.id)
    gate.set()
    world.quiet(bot)
    assert world.grant(request_id).status is model.GrantStatus.REVOKED
    assert world.shop.engine.managed() == ()
    assert world.shop.calls.count("create") == 1


@pytest.mark.fault(
    "F-43c", "the deadline and a revoke in one instant", how="two threads", expects="one end"
)
def test_the_deadline_and_a_revoke_at_once_are_one_end(world: World, bot: service.Service) -> None:
    request_id = world.live(bot)
    world.advance(minutes=30)
    together(bot.grants.begin_due, lambda: bot.grants.revoke(request_id, BO.id))
    assert world.events(request_id).count("grant.revoking") == 1
    bot.grants.end(request_id)
    assert world.grant(request_id).status in {
        model.GrantStatus.ENDED,
        model.GrantStatus.REVOKED,
    }
