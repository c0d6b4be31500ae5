"""Asking and deciding, over a real store."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot import errors, model, service
from bot.asking import access
from tests.fixtures_core import ANA, BO, CLEO, DAN, GUS, World, person

APPROVE, DENY = model.Answer.APPROVE, model.Answer.DENY


def test_a_request_is_recorded_with_its_verdict_scope_and_who_may_decide(
    world: World, bot: service.Service
) -> None:
    story = bot.access.submit(world.draft())
    request = story.request
    assert request.status is model.RequestStatus.PENDING
    assert request.verdict is model.Verdict.NEEDS_APPROVAL
    assert set(request.approvers) == {BO.id, CLEO.id}
    assert request.decide_by == world.clock.now() + timedelta(hours=1)
    assert request.scope["name"] == "read_customers"
    assert story.grant is None


def test_asking_says_card_thread_and_receipt_in_order(world: World, bot: service.Service) -> None:
    request_id = world.ask(bot)
    assert world.channel.kinds(request_id) == ["card", "receipt", "thread:asked"]


def test_one_delivery_makes_one_request(world: World, bot: service.Service) -> None:
    first = bot.access.submit(world.draft(dedupe_key="trigger-1"))
    again = bot.access.submit(world.draft(dedupe_key="trigger-1"))
    assert first.request.id == again.request.id
    assert len(world.store.requests(requester_id=ANA.id)) == 1


def test_a_short_request_is_approved_by_rule_and_has_its_grant_at_once(
    world: World, bot: service.Service
) -> None:
    story = bot.access.submit(world.draft(duration=timedelta(minutes=5)))
    assert story.request.status is model.RequestStatus.APPROVED
    assert story.request.decided_by is None
    assert story.grant is not None
    assert story.grant.status is model.GrantStatus.ACTIVATING


def test_what_the_person_holds_already_is_said_and_does_not_stop_a_new_request(
    world: World, bot: service.Service
) -> None:
    held = bot.access.submit(world.draft(duration=timedelta(minutes=5))).request.id
    bot.grants.activate(held)
    again = bot.access.submit(world.draft(duration=timedelta(minutes=5)))
    assert again.request.status is model.RequestStatus.APPROVED
    assert again.request.reasons[-1] == "You hold this until 13:05"


def test_a_wrong_field_is_told_beside_it_and_leaves_an_event(
    world: World, bot: service.Service
) -> None:
    with pytest.raises(errors.InvalidDraft) as caught:
        bot.access.submit(world.draft(duration=timedelta(hours=9)))
    assert "duration" in caught.value.fields
    assert not world.store.requests()
    assert [event.type for event in world.store.events()] == ["request.refused"]


def test_a_guest_may_not_ask(world: World, bot: service.Service) -> None:
    with pytest.raises(errors.NotAllowed):
        bot.access.submit(world.draft(requester_id=GUS.id))


def test_nothing_is_asked_while_slack_does_not_say_who_asks(
    world: World, bot: service.Service
) -> None:
    world.directory.silent = True
    with pytest.raises(errors.IdentityUnknown):
        bot.access.submit(world.draft())
    assert not world.store.requests()


def test_the_same_request_again_is_refused_by_pointing_at_the_first(
    world: World, bot: service.Service
) -> None:
    first = world.ask(bot)
    for again in ({}, {"duration": timedelta(hours=1)}, {"justification": "export stuck again"}):
        with pytest.raises(errors.AlreadyAsked) as caught:
            world.ask(bot, **again)
        assert caught.value.request_id == first
    assert [each.id for each in world.store.requests()] == [first]


def test_what_differs_from_a_request_that_waits_may_be_asked_for(
    world: World, bot: service.Service
) -> None:
    world.ask(bot)
    world.ask(bot, tables=("app.orders",))
    world.ask(bot, requester_id=DAN.id)
    at_once = bot.access.submit(world.draft(duration=timedelta(minutes=5)))
    assert at_once.grant is not None
    assert len(world.store.requests()) == 4


def test_what_is_waiting_already_is_told_before_it_is_sent(
    world: World, bot: service.Service
) -> None:
    first = world.ask(bot)
    told = "You have already asked for this, and it is waiting"
    assert bot.access.preview(world.draft()).reasons == (told,)
    assert told not in bot.access.preview(world.draft(duration=timedelta(minutes=5))).reasons
    bot.access.cancel(first, ANA.id)
    assert told not in bot.access.preview(world.draft()).reasons


def test_a_person_has_only_so_many_requests_waiting(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "MOST_PENDING", 2)
    world.ask(bot)
    world.ask(bot, tables=("app.orders",))
    with pytest.raises(errors.NotAllowed, match="2 requests waiting"):
        world.ask(bot, entitlement="read_pages")
    world.ask(bot, entitlement="read_pages", requester_id=DAN.id)


def test_preview_records_nothing(world: World, bot: service.Service) -> None:
    assert bot.access.preview(world.draft()).verdict is model.Verdict.NEEDS_APPROVAL
    assert not world.store.events()


def test_offered_lists_what_one_may_request(world: World, bot: service.Service) -> None:
    assert [e.name for e in bot.access.offered(ANA.id)] == [
        "read_customers",
        "read_pages",
        "write_orders",
    ]
    assert bot.access.offered(GUS.id) == ()


def test_an_approval_settles_the_request_and_makes_the_grant_together(
    world: World, bot: service.Service
) -> None:
    request_id = world.ask(bot)
    story = world.approve(bot, request_id)
    assert story.request.status is model.RequestStatus.APPROVED
    assert story.request.decided_by_name == "Bo Chen"
    assert story.grant is not None
    assert story.grant.role_name == f"jit_{request_id}"
    assert world.events(request_id)[-3:] == [
        "review.approve",
        "request.approved",
        "grant.activating",
    ]


def test_a_denial_carries_its_reason_and_makes_no_grant(world: World, bot: service.Service) -> None:
    request_id = world.ask(bot)
    source = world.source(request_id)
    story = bot.access.review(request_id, BO.id, DENY, "use staging", source=source)
    assert (story.request.status, story.request.comment) == (
        model.RequestStatus.DENIED,
        "use staging",
    )
    assert story.grant is None
    bot.outbox.pump()
    said = world.channel.kinds(request_id)
    assert {"thread:denied", "told:denied", "audit:denied"} <= set(said)


@pytest.mark.parametrize(
    ("who", "words"),
    [
        (ANA, "You asked for this, so someone else has to decide"),
        (DAN, "Only Bo or Cleo can decide"),
        (GUS, "Only full members"),
    ],
)
def test_who_may_not_decide_is_told_why_and_nothing_happens(
    world: World, bot: service.Service, who: model.Person, words: str
) -> None:
    request_id = world.ask(bot)
    with pytest.raises(errors.NotAllowed, match=words):
        world.approve(bot, request_id, who)
    assert world.store.request(request_id).status is model.RequestStatus.PENDING
    assert world.events(request_id)[-1] == "click.refused"


def test_the_requester_cannot_approve_under_another_account(
    world: World, bot: service.Service
) -> None:
    alias = person("U0ANA2", "A. L.", email="Ana@ACME.test ")
    world.directory.people[alias.id] = alias
    world.directory.groups["@owners"] |= {alias.id}
    request_id = world.ask(bot)
    with pytest.raises(errors.NotAllowed, match="You asked for this"):
        world.approve(bot, request_id, alias)


def test_nothing_is_decided_while_slack_does_not_say_who_clicked(
    world: World, bot: service.Service
) -> None:
    request_id = world.ask(bot)
    world.directory.silent = True
    with pytest.raises(errors.IdentityUnknown):
        world.approve(bot, request_id)
    assert world.store.request(request_id).status is model.RequestStatus.PENDING
    assert world.events(request_id)[-1] == "click.refused"


def test_an_approver_removed_after_the_card_was_posted_cannot_decide(
    world: World, bot: service.Service
) -> None:
    request_id = world.ask(bot)
    world.directory.groups["@owners"] = frozenset({CLEO.id})
    with pytest.raises(errors.NotAllowed):
        world.approve(bot, request_id)


def test_an_approver_is_asked_after_afresh_at_the_click(world: World, bot: service.Service) -> None:
    request_id = world.ask(bot)
    world.directory.remembered[BO.id] = BO
    world.directory.people[BO.id] = person(BO.id, BO.name, refusal=model.Refusal.DEACTIVATED)
    with pytest.raises(errors.NotAllowed, match="Only full members"):
        world.approve(bot, request_id)


def test_a_requester_who_became_a_guest_is_granted_nothing(
    world: World, bot: service.Service
) -> None:
    request_id = world.ask(bot)
    world.directory.people[ANA.id] = person(ANA.id, ANA.name, refusal=model.Refusal.DEACTIVATED)
    with pytest.raises(errors.NotAllowed, match="Ana Lima may no longer hold access"):
        world.approve(bot, request_id)


def test_a_click_counts_only_from_the_message_posted_for_that_request(
    world: World, bot: service.Service
) -> None:
    request_id = world.ask(bot)
    other = world.ask(bot, entitlement="read_pages")
    forged = access.Source(channel_id="C0ACCESS", ts="1.000001")
    for source in (forged, world.source(other)):
        with pytest.raises(errors.NotAllowed, match="not in a message I posted"):
            bot.access.review(request_id, BO.id, APPROVE, source=source)
        with pytest.raises(errors.NotAllowed):
            bot.access.check_review(request_id, BO.id, source)
    bot.access.check_review(request_id, BO.id, world.source(request_id))
    assert world.events(request_id).count("click.refused") == 4


def test_whose_answer_would_not_count_is_told_before_writing_a_reason(
    world: World, bot: service.Service
) -> None:
    request_id = world.ask(bot)
    with pytest.raises(errors.NotAllowed, match="You asked for this"):
        bot.access.check_review(request_id, ANA.id, None)
    world.approve(bot, request_id)
    with pytest.raises(errors.TooLate, match="Bo approved this"):
        bot.access.check_review(request_id, CLEO.id, None)
    assert world.events(request_id).count("click.refused") == 2


def test_what_was_asked_for_must_still_be_what_would_be_given(
    world: World, bot: service.Service
) -> None:
    request_id = world.ask(bot)
    world.change_catalog("columns: [id, name]", "columns: [id, name, email]")
    with pytest.raises(errors.TooLate, match="What was asked for has changed"):
        world.approve(bot, request_id)
    assert world.store.request(request_id).status is model.RequestStatus.SUPERSEDED
    assert world.store.story(request_id).grant is None
    bot.outbox.pump()
    assert "told:superseded" in world.channel.kinds(request_id)


def test_a_change_elsewhere_in_the_catalog_supersedes_nothing(
    world: World, bot: service.Service
) -> None:
    request_id = world.ask(bot)
    world.change_catalog("app.pages", "app.page")
    assert world.approve(bot, request_id).grant is not None


def test_what_is_no_longer_offered_grants_nothing_whoever_clicks(
    world: World, bot: service.Service
) -> None:
    request_id = world.ask(bot, entitlement="read_pages")
    kept = {n: e for n, e in world.catalog.entitlements.items() if n != "read_pages"}
    world.catalog = replace(world.catalog, entitlements=kept)
    for who in (ANA, DAN):
        with pytest.raises(errors.NotAllowed, match="no longer offered"):
            world.approve(bot, request_id, who)
    with pytest.raises(errors.TooLate, match="no longer offered"):
        world.approve(bot, request_id, BO)
    assert world.store.request(request_id).status is model.RequestStatus.SUPERSEDED
    assert world.store.story(request_id).grant is None


@pytest.mark.parametrize(("seconds", "open_"), [(-0.001, True), (0, False), (0.001, False)])
def test_a_decision_counts_until_the_moment_it_lapses(
    world: World, bot: service.Service, seconds: float, open_: bool
) -> None:
    request_id = world.ask(bot)
    world.advance(hours=1, seconds=seconds)
    if open_:
        assert world.approve(bot, request_id).grant is not None
    else:
        with pytest.raises(errors.TooLate, match="lapsed"):
            world.approve(bot, request_id)
        assert world.store.story(request_id).grant is None


def test_what_nobody_decided_lapses_and_the_requester_is_told(
    world: World, bot: service.Service
) -> None:
    request_id = world.ask(bot)
    assert bot.access.lapse() == 0
    world.advance(hours=1)
    assert bot.access.lapse() == 1
    assert bot.access.lapse() == 0
    bot.outbox.pump()
    assert world.store.request(request_id).status is model.RequestStatus.EXPIRED
    assert "told:lapsed" in world.channel.kinds(request_id)


def test_two_people_are_needed_and_one_person_counts_once(
    world: World, bot: service.Service
) -> None:
    request_id = world.ask(bot, entitlement="write_orders")
    assert world.approve(bot, request_id, BO).grant is None
    with pytest.raises(errors.TooLate, match="You have already approved this; 1 more must"):
        world.approve(bot, request_id, BO)
    assert world.approve(bot, request_id, CLEO).grant is not None


def test_two_accounts_of_one_person_are_not_two_people(world: World, bot: service.Service) -> None:
    alias = person("U0BO2", "Bo (admin)", email="bo@acme.test")
    world.directory.people[alias.id] = alias
    world.directory.groups["@owners"] |= {alias.id}
    request_id = world.ask(bot, entitlement="write_orders")
    world.approve(bot, request_id, BO)
    with pytest.raises(errors.NotAllowed, match="another account"):
        world.approve(bot, request_id, alias)
    assert world.store.story(request_id).grant is None


def test_a_rule_made_stricter_meanwhile_counts(world: World, bot: service.Service) -> None:
    request_id = world.ask(bot)
    world.change_catalog('approvers: ["@owners"], auto', 'approvers: ["@owners"], needs: 2, auto')
    assert world.approve(bot, request_id, BO).grant is None
    assert world.approve(bot, request_id, CLEO).grant is not None


def test_the_loser_is_told_who_decided_and_when(world: World, bot: service.Service) -> None:
    request_id = world.ask(bot)
    world.approve(bot, request_id, BO)
    world.advance(seconds=4)
    with pytest.raises(errors.TooLate, match=r"^Bo approved this 4 s ago\.$"):
        world.approve(bot, request_id, CLEO)
    assert world.events(request_id)[-1] == "click.refused"


def test_only_the_requester_withdraws_and_then_nobody_decides(
    world: World, bot: service.Service
) -> None:
    request_id = world.ask(bot)
    with pytest.raises(errors.NotAllowed):
        bot.access.cancel(request_id, BO.id)
    assert bot.access.cancel(request_id, ANA.id).request.status is model.RequestStatus.CANCELLED
    with pytest.raises(errors.TooLate, match="Ana withdrew this"):
        world.approve(bot, request_id)


def test_an_unknown_id_is_not_found(world: World, bot: service.Service) -> None:
    with pytest.raises(errors.NotFound):
        bot.access.review("nothing0", BO.id, APPROVE, source=None)
