"""Ending access: two phases, each tried again for ever."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot import errors, model, service
from bot.ending import phases
from db_grants import errors as target_errors
from db_grants import spec
from tests.fixtures_core import ANA, BO, DAN, World

REVOKING = model.GrantStatus.REVOKING


def due(world: World, bot: service.Service) -> str:
    """A grant past its deadline, its end recorded."""
    request_id = world.live(bot)
    world.advance(minutes=30)
    bot.grants.begin_due()
    return request_id


def test_nothing_ends_before_its_time(world: World, bot: service.Service) -> None:
    request_id = world.live(bot)
    world.advance(minutes=29, seconds=59.999)
    bot.grants.begin_due()
    assert world.grant(request_id).status is model.GrantStatus.ACTIVE
    world.advance(seconds=0.001)
    bot.grants.begin_due()
    grant = world.grant(request_id)
    assert (grant.status, grant.cause) == (REVOKING, model.EndCause.DEADLINE)


def test_the_two_times_are_recorded_one_after_the_other(world: World, bot: service.Service) -> None:
    request_id = due(world, bot)
    closed = bot.grants.close(request_id)
    assert closed.access_ended_at == world.clock.now()
    assert (closed.status, closed.cleaned_up_at) == (REVOKING, None)
    world.advance(seconds=3)
    over = bot.grants.clean(request_id)
    assert over.status is model.GrantStatus.ENDED
    assert over.cleaned_up_at == world.clock.now()
    assert world.events(request_id)[-3:] == [
        "grant.revoking",
        "grant.access_ended",
        "grant.ended",
    ]


def test_the_end_is_said_when_it_is_so_and_the_summary_when_it_is_clean(
    world: World, bot: service.Service
) -> None:
    request_id = due(world, bot)
    bot.outbox.pump()
    assert "thread:ended" not in world.channel.kinds(request_id)
    bot.grants.close(request_id)
    bot.outbox.pump()
    assert world.channel.kinds(request_id)[-3:] == ["card", "live", "thread:ended"]
    bot.grants.clean(request_id)
    bot.outbox.pump()
    said = world.channel.kinds(request_id, f"request:{request_id}")
    assert said[-3:] == ["card", "live", "summary"]
    assert world.channel.kinds(request_id, "audit")[-1] == "audit:ended"


def test_cleaning_does_not_begin_before_access_has_ended(
    world: World, bot: service.Service
) -> None:
    request_id = due(world, bot)
    bot.grants.clean(request_id)
    assert "remove" not in world.shop.calls


@pytest.mark.parametrize("step", ["close", "remove"])
def test_a_failing_step_is_tried_again_for_ever_with_growing_pauses(
    world: World, bot: service.Service, step: str
) -> None:
    request_id = due(world, bot)
    if step == "remove":
        bot.grants.close(request_id)
    pauses = []
    for _ in range(9):
        world.shop.failing[step] = [target_errors.TargetUnavailable()]
        bot.grants.end(request_id)
        grant = world.grant(request_id)
        assert grant.next_attempt_at is not None
        pauses.append((grant.next_attempt_at - world.clock.now()).total_seconds())
        world.advance(seconds=pauses[-1])
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert bot.grants.end(request_id).status is model.GrantStatus.ENDED


def test_a_lost_answer_and_a_session_still_alive_are_tried_again(
    world: World, bot: service.Service
) -> None:
    request_id = due(world, bot)
    world.shop.failing["close"] = [target_errors.OutcomeUnknown(), target_errors.StillAlive()]
    for _ in range(2):
        assert bot.grants.end(request_id).access_ended_at is None
    assert bot.grants.end(request_id).status is model.GrantStatus.ENDED


def test_activity_is_read_before_the_role_goes(world: World, bot: service.Service) -> None:
    request_id = due(world, bot)
    over = bot.grants.end(request_id)
    assert world.shop.calls.index("activity") < world.shop.calls.index("remove")
    assert over.activity is not None


def test_activity_that_cannot_be_read_delays_nothing(world: World, bot: service.Service) -> None:
    request_id = due(world, bot)
    world.shop.failing["activity"] = [target_errors.TargetUnavailable()]
    over = bot.grants.end(request_id)
    assert (over.status, over.activity) == (model.GrantStatus.ENDED, None)


def test_what_remains_is_told_and_tried_again_and_what_is_quarantined_is_kept(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = due(world, bot)
    real = world.shop.engine.remove

    def leaves(role: spec.ManagedRole) -> spec.Removed:
        return replace(real(role), quarantined=("table app.tmp",), residue=("an ACL on app.tmp",))

    monkeypatch.setattr(world.shop.engine, "remove", leaves)
    for _ in range(3):
        bot.grants.end(request_id)
        world.advance(seconds=30)
    grant = world.grant(request_id)
    assert (grant.status, grant.residue) == (REVOKING, ("an ACL on app.tmp",))
    bot.outbox.pump()
    assert world.channel.kinds(request_id).count("thread:left") == 1
    monkeypatch.undo()
    over = bot.grants.end(request_id)
    assert (over.residue, over.quarantined) == ((), ("table app.tmp",))


@pytest.mark.parametrize(
    ("cause", "final"),
    [
        (model.EndCause.DEADLINE, model.GrantStatus.ENDED),
        (model.EndCause.RETURNED, model.GrantStatus.REVOKED),
        (model.EndCause.REVOKED, model.GrantStatus.REVOKED),
        (model.EndCause.OPERATOR, model.GrantStatus.REVOKED),
        (model.EndCause.STOPPED, model.GrantStatus.ACTIVATION_FAILED),
        (model.EndCause.ACTIVATION_UNKNOWN, model.GrantStatus.ACTIVATION_FAILED),
    ],
)
def test_what_a_grant_becomes_follows_from_its_cause(
    world: World, bot: service.Service, cause: model.EndCause, final: model.GrantStatus
) -> None:
    grant = replace(world.grant(world.live(bot)), status=REVOKING, cause=cause)
    assert phases.final_status(grant) is final


def test_a_person_who_is_done_gives_it_back(world: World, bot: service.Service) -> None:
    request_id = world.live(bot)
    with pytest.raises(errors.NotAllowed):
        bot.grants.give_back(request_id, BO.id)
    bot.grants.give_back(request_id, ANA.id)
    over = bot.grants.end(request_id)
    assert (over.status, over.ended_by_name) == (model.GrantStatus.REVOKED, "Ana Lima")
    world.advance(seconds=5)
    with pytest.raises(errors.TooLate, match="You already ended this 5 s ago"):
        bot.grants.give_back(request_id, ANA.id)


def test_an_approver_revokes_and_others_may_not(world: World, bot: service.Service) -> None:
    request_id = world.live(bot)
    with pytest.raises(errors.NotAllowed):
        bot.grants.revoke(request_id, DAN.id)
    assert world.events(request_id)[-1] == "click.refused"
    bot.grants.revoke(request_id, BO.id, "wrong customer")
    grant = world.grant(request_id)
    assert (grant.cause, grant.ended_by, grant.end_comment) == (
        model.EndCause.REVOKED,
        BO.id,
        "wrong customer",
    )


@pytest.mark.fault(
    "F-40b",
    "Slack does not say who revokes",
    how="the directory is silent",
    expects="the end goes on: doubt never stops it",
)
def test_slack_being_silent_does_not_keep_access_alive(world: World, bot: service.Service) -> None:
    request_id = world.live(bot)
    world.directory.silent = True
    bot.grants.revoke(request_id, BO.id)
    assert bot.grants.end(request_id).status is model.GrantStatus.REVOKED


def test_a_revoke_while_it_is_being_granted_leaves_nothing(
    world: World, bot: service.Service
) -> None:
    request_id = world.ask(bot)
    world.approve(bot, request_id)
    bot.grants.revoke(request_id, BO.id)
    bot.grants.activate(request_id)
    assert bot.grants.end(request_id).status is model.GrantStatus.REVOKED
    assert world.shop.engine.managed() == ()
    bot.outbox.pump()
    assert "summary" not in world.channel.kinds(request_id)


def test_an_operator_needs_no_engine_and_no_slack(world: World, bot: service.Service) -> None:
    request_id = world.live(bot)
    world.directory.silent = True
    world.shop.down = True
    grant = bot.grants.revoke_as_operator(request_id, "root", "leaving")
    assert (grant.cause, grant.ended_by) == (model.EndCause.OPERATOR, "operator:root")


def test_an_operator_brings_a_deadline_nearer_and_never_later(
    world: World, bot: service.Service
) -> None:
    request_id = world.live(bot)
    grant = bot.grants.shorten(request_id, timedelta(seconds=60), "root")
    assert grant.expires_at == world.clock.now() + timedelta(seconds=60)
    with pytest.raises(errors.NotAllowed):
        bot.grants.shorten(request_id, timedelta(seconds=61), "root")
    assert "grant.shortened" in world.events(request_id)


def test_credentials_open_for_their_requester_alone_and_differ_each_time(
    world: World, bot: service.Service
) -> None:
    request_id = world.live(bot)
    with pytest.raises(errors.NotAllowed, match="Only Ana Lima"):
        bot.grants.reveal(request_id, BO.id)
    first, second = (bot.grants.reveal(request_id, ANA.id) for _ in range(2))
    assert first.password != second.password
    assert world.grant(request_id).reveals == 2
    assert world.events(request_id).count("credential.revealed") == 2
    everything = "".join(event.body for event in world.store.events())
    assert first.password not in everything
    assert second.password not in everything


def test_a_password_that_was_not_shown_is_not_left_recorded_as_shown(
    world: World, bot: service.Service
) -> None:
    request_id = world.live(bot)
    world.shop.down = True
    with pytest.raises(errors.Busy, match="Nothing was shown"):
        bot.grants.reveal(request_id, ANA.id)
    assert world.events(request_id)[-2:] == ["credential.revealed", "credential.not_revealed"]


def test_credentials_stay_closed_from_the_deadline_on(world: World, bot: service.Service) -> None:
    request_id = world.live(bot)
    world.advance(minutes=30)
    with pytest.raises(errors.TooLate):
        bot.grants.reveal(request_id, ANA.id)


def test_credentials_of_a_silent_target_are_asked_for_again_later(
    world: World, bot: service.Service
) -> None:
    request_id = world.live(bot)
    world.shop.down = True
    with pytest.raises(errors.Busy, match="shop does not answer"):
        bot.grants.reveal(request_id, ANA.id)


@pytest.mark.fault(
    "A-01",
    "an end misses its limit",
    how="the target is down",
    expects="alarmed at once, repeated, and told to be over",
)
def test_a_missed_limit_is_alarmed_at_once_repeated_and_said_to_be_over(
    world: World, bot: service.Service
) -> None:
    request_id = due(world, bot)
    world.shop.down = True
    bot.grants.close(request_id)
    world.advance(seconds=15)
    bot.grants.watch()
    assert world.grant(request_id).alarmed_at is None
    world.advance(seconds=1)
    for _ in range(3):
        bot.grants.watch()
    world.advance(minutes=15)
    bot.grants.watch()
    bot.outbox.pump()
    assert [row.kind for row, _ in world.channel.said].count("alarm") == 2
    world.shop.down = False
    bot.grants.close(request_id)
    bot.grants.watch()
    bot.outbox.pump()
    alarms = [row.data for row, _ in world.channel.said if row.kind == "alarm"]
    assert [alarm["over"] for alarm in alarms] == [False, False, True]
    assert {alarm["alarm"] for alarm in alarms} == {"overdue"}


def test_a_deadline_passed_while_down_rings_only_if_the_first_attempt_fails(
    world: World, bot: service.Service
) -> None:
    request_id = world.live(bot)
    world.advance(hours=5)
    bot.grants.begin_due()
    bot.grants.watch()
    assert world.grant(request_id).alarmed_at is None
    world.shop.failing["close"] = [target_errors.StillAlive()]
    bot.grants.close(request_id)
    bot.grants.watch()
    assert world.grant(request_id).alarmed_at is not None


def test_a_locked_record_does_not_keep_a_door_open(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = world.live(bot)
    world.advance(minutes=30)

    def locked(*_args: object) -> None:
        raise errors.Busy

    monkeypatch.setattr(world.store, "begin", locked)
    assert [grant.id for grant in bot.grants.begin_due()] == [request_id]
    bot.grants.shut(request_id)
    assert "close" in world.shop.calls
    monkeypatch.undo()
    bot.grants.begin_due()
    assert bot.grants.end(request_id).status is model.GrantStatus.ENDED


def test_an_activation_that_stays_unknown_is_an_alarm_of_its_own(
    world: World, bot: service.Service
) -> None:
    request_id = world.ask(bot)
    world.approve(bot, request_id)
    world.shop.down = True
    bot.grants.activate(request_id)
    world.advance(minutes=10)
    bot.grants.activate(request_id)
    bot.grants.close(request_id)
    world.advance(seconds=16)
    bot.grants.watch()
    bot.outbox.pump()
    alarms = [row.data["alarm"] for row, _ in world.channel.said if row.kind == "alarm"]
    assert alarms == ["unsure"]


def test_a_role_of_that_name_that_is_not_ours_is_left_alone(
    world: World, bot: service.Service
) -> None:
    request_id = world.ask(bot)
    world.approve(bot, request_id)
    world.shop.failing["create"] = [target_errors.TargetUnavailable()]
    bot.grants.activate(request_id)
    bot.grants.stop_trying(request_id, ANA.id)
    world.shop.failing["find"] = [target_errors.ForeignRole(), target_errors.ForeignRole()]
    assert bot.grants.end(request_id).status is model.GrantStatus.ACTIVATION_FAILED
    assert not {"close", "remove"} & set(world.shop.calls)


@pytest.mark.fault(
    "C-01",
    "a target leaves the catalog under a live grant",
    how="the catalog without it",
    expects="tried and alarmed until it is back; never forgotten",
)
def test_a_grant_on_a_target_that_left_the_catalog_goes_on_being_tried_and_alarmed(
    world: World, bot: service.Service
) -> None:
    request_id = due(world, bot)
    bot.grants._ending.closing._engines = {}
    bot.grants.close(request_id)
    world.advance(seconds=16)
    bot.grants.watch()
    grant = world.grant(request_id)
    assert grant.status is REVOKING
    assert grant.alarmed_at is not None
    assert "No connection to shop" in str(grant.last_error)


def test_a_revoke_in_the_instant_of_activation_ends_what_became_active(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = world.ask(bot)
    world.approve(bot, request_id)
    begin = bot.grants._ending.begin

    def overtaken(*args: object) -> model.Grant:
        bot.grants.activate(request_id)
        return begin(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(bot.grants._ending, "begin", overtaken)
    bot.grants.revoke(request_id, BO.id)
    assert world.grant(request_id).activated_at is not None
    assert bot.grants.end(request_id).status is model.GrantStatus.REVOKED
