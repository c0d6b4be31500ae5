"""Making approved access real."""

from datetime import timedelta

import pytest

from bot import model, service
from db_grants import errors as target_errors
from tests.fixtures_core import ANA, NOON, World

ACTIVE, REVOKING = model.GrantStatus.ACTIVE, model.GrantStatus.REVOKING
FAILED = model.GrantStatus.ACTIVATION_FAILED


def approved(world: World, bot: service.Service) -> str:
    request_id = world.ask(bot)
    world.approve(bot, request_id)
    return request_id


def roles(world: World) -> set[str]:
    return {role.name for role in world.shop.engine.managed()}


def test_the_time_runs_from_activation_not_from_the_request(
    world: World, bot: service.Service
) -> None:
    request_id = approved(world, bot)
    world.advance(minutes=7)
    grant = bot.grants.activate(request_id)
    assert grant.status is ACTIVE
    assert grant.activated_at == NOON + timedelta(minutes=7)
    assert grant.expires_at == NOON + timedelta(minutes=37)


def test_live_is_said_after_it_is_recorded(world: World, bot: service.Service) -> None:
    request_id = approved(world, bot)
    bot.outbox.pump()
    assert "live" not in world.channel.kinds(request_id)
    bot.grants.activate(request_id)
    bot.outbox.pump()
    said = world.channel.kinds(request_id, f"request:{request_id}")
    assert said[-3:] == ["card", "live", "thread:live"]
    assert world.channel.kinds(request_id, "audit") == ["audit:live"]


def test_activating_twice_makes_one_role(world: World, bot: service.Service) -> None:
    request_id = approved(world, bot)
    bot.grants.activate(request_id)
    bot.grants.activate(request_id)
    assert world.shop.calls.count("create") == 1


def test_an_unreachable_target_is_tried_again_with_growing_pauses(
    world: World, bot: service.Service
) -> None:
    request_id = approved(world, bot)
    world.shop.down = True
    pauses = []
    for _ in range(8):
        grant = bot.grants.activate(request_id)
        assert grant.next_attempt_at is not None
        pauses.append((grant.next_attempt_at - world.clock.now()).total_seconds())
        world.clock.raise_to(grant.next_attempt_at)
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]
    world.shop.down = False
    grant = bot.grants.activate(request_id)
    assert grant.status is ACTIVE
    assert grant.expires_at == world.clock.now() + timedelta(minutes=30)


def test_a_delay_is_said_once_with_the_reason_on_the_record(
    world: World, bot: service.Service
) -> None:
    request_id = approved(world, bot)
    world.shop.down = True
    bot.grants.activate(request_id)
    bot.grants.activate(request_id)
    bot.outbox.pump()
    assert world.channel.kinds(request_id).count("thread:delayed") == 1
    kinds = world.channel.kinds(request_id)
    assert kinds.count("receipt") == 2, "asked; approved and delayed at once"
    assert "could not be reached" in str(world.grant(request_id).last_error)


def test_the_requester_is_told_when_it_is_given_up_at_last(
    world: World, bot: service.Service
) -> None:
    request_id = approved(world, bot)
    world.shop.down = True
    bot.grants.activate(request_id)
    bot.outbox.pump()
    before = world.channel.kinds(request_id)
    world.advance(minutes=10)
    assert bot.grants.activate(request_id).status is REVOKING
    bot.outbox.pump()
    assert world.channel.kinds(request_id)[len(before) :] == ["card", "receipt"]
    world.shop.down = False
    bot.grants.end(request_id)
    bot.outbox.pump()
    assert world.channel.kinds(request_id).count("told:failed") == 1


def test_a_lost_answer_is_settled_by_asking_for_the_same_again(
    world: World, bot: service.Service
) -> None:
    request_id = approved(world, bot)
    world.shop.failing["create"] = [target_errors.OutcomeUnknown()]
    assert bot.grants.activate(request_id).status is ACTIVE
    assert roles(world) == {f"jit_{request_id}"}


@pytest.mark.parametrize(
    "error", [target_errors.InvalidScope, target_errors.NotPrepared, target_errors.ForeignRole]
)
def test_what_cannot_be_granted_fails_at_once_and_the_requester_is_told_why(
    world: World, bot: service.Service, error: type[target_errors.DbGrantsError]
) -> None:
    request_id = approved(world, bot)
    world.shop.failing["create"] = [error("orders has no scope role")]
    grant = bot.grants.activate(request_id)
    assert (grant.status, grant.last_error) == (FAILED, "orders has no scope role")
    bot.outbox.pump()
    said = world.channel.kinds(request_id)
    assert {"thread:failed", "told:failed", "audit:failed"} <= set(said)


def test_a_final_refusal_after_a_lost_answer_proves_first_that_nothing_exists(
    world: World, bot: service.Service
) -> None:
    request_id = approved(world, bot)
    lost = target_errors.OutcomeUnknown
    world.shop.failing["create"] = [lost(), lost(), target_errors.NotPrepared()]
    bot.grants.activate(request_id)
    grant = bot.grants.activate(request_id)
    assert (grant.status, grant.cause) == (REVOKING, model.EndCause.ACTIVATION_UNKNOWN)
    bot.outbox.pump()
    assert "thread:failed" not in world.channel.kinds(request_id)
    assert bot.grants.end(request_id).status is FAILED
    bot.outbox.pump()
    assert "thread:failed" in world.channel.kinds(request_id)


def test_activation_is_given_up_after_ten_minutes_and_what_exists_is_removed(
    world: World, bot: service.Service
) -> None:
    request_id = approved(world, bot)
    world.shop.failing["create"] = [target_errors.TargetUnavailable()]
    bot.grants.activate(request_id)
    world.advance(minutes=10)
    grant = bot.grants.activate(request_id)
    assert (grant.status, grant.cause) == (REVOKING, model.EndCause.ACTIVATION_UNKNOWN)
    assert bot.grants.end(request_id).status is FAILED
    assert world.events(request_id)[-1] == "grant.activation_failed"


def test_an_approval_older_than_ten_minutes_grants_nothing(
    world: World, bot: service.Service
) -> None:
    request_id = approved(world, bot)
    world.advance(minutes=10)
    assert bot.grants.activate(request_id).status is FAILED
    assert world.shop.calls == []


def test_a_target_without_a_connection_grants_nothing(world: World, bot: service.Service) -> None:
    request_id = approved(world, bot)
    bot.grants._activation._engines = {}
    assert bot.grants.activate(request_id).status is FAILED


def test_stop_trying_ends_the_attempts_and_proves_that_nothing_exists(
    world: World, bot: service.Service
) -> None:
    request_id = approved(world, bot)
    world.shop.down = True
    bot.grants.activate(request_id)
    bot.grants.stop_trying(request_id, ANA.id)
    world.shop.down = False
    assert bot.grants.activate(request_id).status is REVOKING
    assert bot.grants.end(request_id).status is FAILED
    assert roles(world) == set()
