"""Who may decide and who may revoke, at the moment of the click, and what others are told."""

import pytest

from bot import model
from bot.deciding import policy
from tests.unit import sample_catalog
from tests.unit.sample_catalog import MEMBERS, PEOPLE, facts, person, story

CATALOG = sample_catalog.load()
ANA, BO = PEOPLE["U0ANA"], PEOPLE["U0BO"]
EVE = person("eve")


def review(who, known=None, **more):
    return policy.may_review(who, story(**more), CATALOG, known or facts())


def revoke(who, known=None, **more):
    return policy.may_revoke(who, story(**more), CATALOG, known or facts())


@pytest.mark.parametrize("name", ["bo", "cleo", "dan"])
def test_an_approver_of_the_rule_may_decide(name):
    assert review(person(name)) is None


def test_somebody_else_is_told_who_can():
    assert review(EVE) == "Only Bo, Cleo or Dan can decide this one (rule data-owners)."


def test_the_requester_is_told_that_somebody_else_must():
    said = "You asked for this, so someone else has to decide. Bo, Cleo and Dan were told."
    assert review(ANA) == said


def test_a_requester_who_is_an_approver_still_may_not():
    members = dict(MEMBERS, **{"@data-owners": frozenset({"U0ANA", "U0BO"})})
    said = review(ANA, facts(members=members))
    assert said == "You asked for this, so someone else has to decide. Bo and Dan were told."


def test_a_second_account_of_the_requester_may_not():
    twin = person("ana2", email="ana+on-call@ACME.test")
    members = dict(MEMBERS, **{"@data-owners": frozenset({"U0ANA2", "U0BO"})})
    assert "someone else has to decide" in review(twin, facts(members=members))


def test_a_guest_is_told_that_only_members_can():
    guest = person("bo", refusal=model.Refusal.GUEST)
    assert review(guest) == "Only full members of this workspace can decide."


def test_who_was_taken_from_the_group_may_no_longer():
    members = dict(MEMBERS, **{"@data-owners": frozenset({"U0CLEO"})})
    said = review(BO, facts(members=members))
    assert said == "Only Cleo or Dan can decide this one (rule data-owners)."


def test_nobody_is_named_when_a_name_is_missing():
    said = review(EVE, facts(names={}))
    assert said == "Only @data-owners, dan@acme.test can decide this one (rule data-owners)."


def test_the_requester_may_end_their_own_grant():
    assert revoke(ANA) is None


@pytest.mark.parametrize("refusal", list(model.Refusal))
def test_even_a_guest_may_give_back_what_is_theirs(refusal):
    assert revoke(person("ana", refusal=refusal)) is None


def test_an_approver_may_revoke():
    assert revoke(BO) is None


def test_somebody_else_may_not_revoke():
    assert revoke(EVE) == "Only Bo, Cleo or Dan can revoke this one (rule data-owners)."
    assert revoke(None) == policy.UNCONFIRMED
    assert revoke(person("bo", refusal=model.Refusal.GUEST)) is not None
    assert revoke(person("bo", team_id="T0OTHER")) is not None


def test_silence_of_slack_does_not_keep_access_alive():
    unknown = facts(members={}, names={})
    assert revoke(BO, unknown) is None
    assert revoke(EVE, unknown) is not None


def test_a_vanished_entitlement_does_not_keep_access_alive():
    assert revoke(BO, entitlement="was_there_once") is None
    said = "Only those who could decide this request can revoke it."
    assert revoke(EVE, entitlement="was_there_once") == said
