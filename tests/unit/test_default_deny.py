"""What is not known, or not written, is denied. Each guard here stands alone against a grant."""

import pytest

from bot import catalog, errors, model
from bot.deciding import context, policy
from tests.unit import sample_catalog
from tests.unit.sample_catalog import MEMBERS, NOW, PEOPLE, draft, facts, person, story

CATALOG = sample_catalog.load()
SHORT = {"duration": catalog.loads(sample_catalog.TEXT).rules["data-owners"].auto_approve_up_to}


def decide(known, **more):
    return policy.evaluate(draft(**(SHORT | more)), CATALOG, known, NOW)


def test_the_base_case_would_be_approved():
    assert decide(facts()).verdict is model.Verdict.AUTO_APPROVE


def test_an_unconfirmed_account():
    known = policy.Facts(requester=None, members=MEMBERS)
    decision = decide(known)
    assert decision.verdict is model.Verdict.DENY
    assert decision.reasons == (policy.UNCONFIRMED,)
    assert policy.offered(CATALOG, known) == ()


@pytest.mark.parametrize("refusal", list(model.Refusal))
def test_an_account_that_may_not_take_part(refusal):
    known = facts(person("ana", refusal=refusal))
    decision = decide(known)
    assert decision.verdict is model.Verdict.DENY
    assert refusal.value in decision.reasons[0]
    assert policy.offered(CATALOG, known) == ()


def test_facts_about_somebody_else():
    assert decide(facts(PEOPLE["U0BO"])).verdict is model.Verdict.DENY


def test_an_entitlement_that_does_not_exist():
    assert decide(facts(), entitlement="nope").verdict is model.Verdict.DENY


def test_what_is_not_yours_sounds_like_what_does_not_exist():
    cleo = facts(PEOPLE["U0CLEO"])
    known = decide(cleo, requester_id="U0CLEO", entitlement="fix_orders")
    unknown = decide(cleo, requester_id="U0CLEO", entitlement="fix_ordure")
    assert known.verdict is unknown.verdict is model.Verdict.DENY
    assert known.rule == unknown.rule == ""
    assert [known.reasons[0].replace("fix_orders", "fix_ordure")] == list(unknown.reasons)


@pytest.mark.parametrize("members", [{}, dict(MEMBERS, **{"@engineers": None})])
def test_a_membership_that_slack_does_not_tell(members):
    known = facts(members=members)
    decision = decide(known, entitlement="fix_orders", justification="x")
    assert decision.verdict is model.Verdict.DENY
    assert "fix_orders" not in [e.name for e in policy.offered(CATALOG, known)]


def test_a_membership_known_through_another_reference_is_enough():
    known = facts(PEOPLE["U0DAN"], members=dict(MEMBERS, **{"@engineers": None}))
    assert "fix_orders" in [e.name for e in policy.offered(CATALOG, known)]


@pytest.mark.parametrize(
    "members", [{}, dict.fromkeys(MEMBERS), dict.fromkeys(MEMBERS, frozenset())]
)
def test_approvers_that_nobody_knows(members):
    decision = policy.evaluate(draft(), CATALOG, facts(members=members), NOW)
    assert decision.verdict is model.Verdict.DENY
    assert decision.approvers == ()


def test_approvers_who_are_all_the_requester():
    alone = facts(members=dict.fromkeys(MEMBERS, frozenset({"U0ANA"})))
    decision = policy.evaluate(draft(), CATALOG, alone, NOW)
    assert "nobody else can approve read_customer_data" in decision.fields["entitlement"]


def test_approvers_who_are_all_aliases_of_the_requester():
    alias = person("ana2", email=" ANA+dba@Acme.test")
    people = {"U0ANA": PEOPLE["U0ANA"], "U0ANA2": alias}
    members = dict.fromkeys(MEMBERS, frozenset(people))
    known = context.collect(
        sample_catalog.People(people, members), CATALOG, "U0ANA", "read_customer_data"
    )
    assert policy.evaluate(draft(), CATALOG, known, NOW).verdict is model.Verdict.DENY


def test_silence_of_slack_denies_everything():
    directory = sample_catalog.People()
    directory.silent = True
    for name in CATALOG.entitlements:
        known = context.collect(directory, CATALOG, "U0ANA", name, fresh=True)
        assert decide(known, entitlement=name).verdict is model.Verdict.DENY


@pytest.mark.parametrize("who", [None, *(person("bo", refusal=r) for r in model.Refusal)])
def test_a_click_by_somebody_unconfirmed_or_unfit(who):
    assert policy.may_review(who, story(), CATALOG, facts()) is not None


def test_a_click_from_another_workspace():
    stranger = person("bo", team_id="T0OTHER")
    assert policy.may_review(stranger, story(), CATALOG, facts()) is not None


def test_a_click_while_slack_does_not_tell_who_may_decide():
    unknown = facts(members=dict.fromkeys(MEMBERS))
    assert policy.may_review(PEOPLE["U0BO"], story(), CATALOG, unknown) == policy.UNCONFIRMED


def test_a_click_about_something_no_longer_offered():
    gone = story(entitlement="was_there_once")
    assert "no longer offered" in policy.may_review(PEOPLE["U0BO"], gone, CATALOG, facts())


def test_an_empty_catalog_is_no_catalog():
    with pytest.raises(errors.CatalogError):
        catalog.loads("channels: {approvals: '#x'}\ntargets: {}\nentitlements: {}\nrules: {}\n")
