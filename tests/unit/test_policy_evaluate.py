"""What policy says to a draft, and in which words."""

from datetime import timedelta

import hypothesis
import pytest
from hypothesis import strategies

from bot import catalog, model
from bot.deciding import policy
from tests.unit import sample_catalog
from tests.unit.sample_catalog import NOW, PEOPLE, draft, facts

CATALOG = sample_catalog.load()
MINUTE = timedelta(minutes=1)


def decide(known=None, text=None, **more):
    catalogue = catalog.loads(text) if text else CATALOG
    return policy.evaluate(draft(**more), catalogue, known or facts(), NOW)


def test_people_are_asked_when_it_is_longer_than_the_rule_approves_alone():
    decision = decide()
    assert decision.verdict is model.Verdict.NEEDS_APPROVAL
    assert decision.rule == "data-owners"
    assert decision.reasons == ("Needs 1 of Bo, Cleo, Dan",)
    assert decision.approvers == ("U0BO", "U0CLEO", "U0DAN")
    assert (decision.needs, decision.duration) == (1, 30 * MINUTE)
    assert decision.decide_within == timedelta(hours=1)


@pytest.mark.parametrize(
    ("length", "verdict"),
    [
        (MINUTE, model.Verdict.AUTO_APPROVE),
        (15 * MINUTE, model.Verdict.AUTO_APPROVE),
        (15 * MINUTE + timedelta(seconds=1), model.Verdict.NEEDS_APPROVAL),
    ],
)
def test_nobody_is_asked_up_to_the_rules_duration(length, verdict):
    assert decide(duration=length).verdict is verdict


def test_automatic_approval_says_up_to_when():
    assert decide(duration=MINUTE).reasons == ("Approved automatically up to 15 min",)


def test_two_of_three():
    decision = decide(entitlement="fix_orders", justification="broken totals")
    assert decision.needs == 2
    assert decision.reasons == ("Needs 2 of Bo, Cleo, Dan",)
    assert decision.decide_within == timedelta(minutes=20)


def test_the_longest_duration_is_allowed_and_no_more():
    assert decide(duration=timedelta(hours=4)).verdict is model.Verdict.NEEDS_APPROVAL
    decision = decide(duration=timedelta(hours=4, seconds=1))
    assert decision.fields == {"duration": "At most 4 h for read_customer_data."}


@pytest.mark.parametrize("length", [timedelta(0), -MINUTE, timedelta.min])
def test_no_time_at_all_is_refused(length):
    assert set(decide(duration=length).fields) == {"duration"}


@pytest.mark.parametrize("why", ["", "export stuck", "see INC-4412", "inc-4412"])
def test_the_ticket_comes_first(why):
    decision = decide(justification=why)
    assert decision.fields == {"justification": "Write the ticket first, like INC-4412."}


def test_without_a_ticket_pattern_some_words_are_still_needed():
    decision = decide(entitlement="fix_orders", justification="  ")
    assert decision.fields == {"justification": "Say in a few words what it is for."}


def test_a_novel_is_refused():
    assert set(decide(justification="INC-1 " + "x" * 1000).fields) == {"justification"}


def test_a_table_outside_the_entitlement_is_refused():
    decision = decide(tables=("app.orders", "app.secrets"))
    assert decision.fields == {"tables": "Not part of read_customer_data: 'app.secrets'."}


def test_every_wrong_field_is_told_at_once():
    decision = decide(tables=("x",), duration=timedelta(days=2), justification="")
    assert set(decision.fields) == {"tables", "duration", "justification"}


def test_the_requester_is_never_among_the_approvers():
    decision = decide(facts(PEOPLE["U0BO"]), requester_id="U0BO")
    assert decision.approvers == ("U0CLEO", "U0DAN")
    assert decision.reasons == ("Needs 1 of Cleo, Dan",)


def test_too_few_others_is_a_dead_end():
    decision = decide(
        facts(PEOPLE["U0BO"], unfit=frozenset({"U0CLEO"})),
        requester_id="U0BO",
        entitlement="fix_orders",
        justification="x",
    )
    said = "only 1 of the 2 people needed can approve fix_orders (rule two-owners)."
    assert decision.verdict is model.Verdict.DENY
    assert decision.fields["entitlement"].endswith(said)


def test_first_names_are_used_only_where_they_tell_people_apart():
    names = {"U0BO": "Bo Chen", "U0CLEO": "Bo Diaz", "U0DAN": "Dan Eze"}
    assert decide(facts(names=names)).reasons == ("Needs 1 of Bo Chen, Bo Diaz, Dan",)


def test_many_approvers_are_called_as_the_catalog_calls_them():
    crowd = frozenset(f"U0P{n}" for n in range(20))
    members = {"@data-owners": crowd, "dan@acme.test": frozenset()}
    names = {who: who.title() for who in crowd}
    decision = decide(facts(members=members, names=names))
    assert decision.reasons == ("Needs 1 of @data-owners, dan@acme.test",)


def test_an_account_in_the_catalog_needs_no_answer_from_slack():
    text = sample_catalog.swapped('["@data-owners", dan@acme.test]', "[U0BO]")
    assert decide(facts(members={}), text).approvers == ("U0BO",)


def test_the_outlook_does_not_wait_for_the_justification():
    wanted = draft(justification="")
    decision = policy.outlook(wanted, CATALOG, facts(), NOW)
    assert decision.reasons == ("Needs 1 of Bo, Cleo, Dan",)


@pytest.mark.parametrize(
    "more",
    [
        {"justification": "no ticket"},
        {"justification": "", "duration": timedelta(days=2)},
        {"justification": "", "entitlement": "nope"},
    ],
)
def test_the_outlook_sees_every_other_mistake(more):
    assert policy.outlook(draft(**more), CATALOG, facts(), NOW).verdict is model.Verdict.DENY


def test_only_what_one_may_request_is_offered():
    assert [e.name for e in policy.offered(CATALOG, facts())] == [
        "read_customer_data",
        "fix_orders",
    ]
    cleo = policy.offered(CATALOG, facts(PEOPLE["U0CLEO"]))
    assert [e.name for e in cleo] == ["read_customer_data"]


def test_the_same_draft_and_facts_give_the_same_decision():
    assert decide() == decide()


@hypothesis.given(
    entitlement=strategies.sampled_from(["read_customer_data", "fix_orders"]) | strategies.text(),
    length=strategies.none() | strategies.timedeltas(),
    why=strategies.text(max_size=50) | strategies.just("INC-1 x"),
    tables=strategies.lists(strategies.sampled_from(["app.orders", "x"]) | strategies.text()),
    requester=strategies.sampled_from(sorted(PEOPLE)),
    unfit=strategies.frozensets(strategies.sampled_from(sorted(PEOPLE))),
    silent=strategies.frozensets(strategies.sampled_from(sorted(sample_catalog.MEMBERS))),
)
def test_whatever_is_sent_nothing_is_granted_beyond_the_catalog(
    entitlement, length, why, tables, requester, unfit, silent
):
    members = {ref: None if ref in silent else ids for ref, ids in sample_catalog.MEMBERS.items()}
    wanted = model.Draft(
        requester_id=requester,
        entitlement=entitlement,
        duration=length,
        justification=why,
        tables=tuple(tables),
    )
    known = facts(PEOPLE[requester], members=members, unfit=unfit)
    decision = policy.evaluate(wanted, CATALOG, known, NOW)
    assert decision.reasons
    if decision.verdict is model.Verdict.DENY:
        assert decision.approvers == ()
        return
    item = CATALOG.entitlements[entitlement]
    assert item in policy.offered(CATALOG, known)
    assert timedelta(0) < decision.duration <= item.max_duration
    assert set(tables) <= set(item.labels)
    assert requester not in decision.approvers
    assert not unfit & set(decision.approvers)
    if decision.verdict is model.Verdict.NEEDS_APPROVAL:
        assert len(set(decision.approvers)) >= decision.needs >= 1
    else:
        assert decision.duration <= CATALOG.rule_of(item).auto_approve_up_to
