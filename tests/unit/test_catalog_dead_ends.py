"""Requests that nobody could ever approve are found when the catalog is loaded."""

import pytest

from bot import catalog, errors
from bot.deciding import context
from tests.unit import sample_catalog


def loads(requesters, approvers, needs=1, auto=""):
    text = sample_catalog.TEXT.replace('["@engineers", U0DAN]', requesters)
    text = text.replace(
        'approvers: ["@data-owners"]\n    needs: 2',
        f"approvers: {approvers}\n{auto}    needs: {needs}",
    )
    return catalog.loads(text)


def refused(*args, **more):
    with pytest.raises(errors.CatalogError) as refusal:
        loads(*args, **more)
    return str(refusal.value)


def test_the_only_approver_is_the_only_requester():
    assert "nobody else can approve fix_orders" in refused("[U0BO]", "[U0BO]")


def test_each_requester_is_needed_to_approve():
    said = refused("[U0BO, U0CLEO]", "[U0BO, U0CLEO]", needs=2)
    assert "nobody else can approve fix_orders" in said


def test_a_second_approver_opens_the_dead_end():
    assert loads("[U0BO]", "[U0BO, U0CLEO]")


def test_automatic_approval_opens_the_dead_end():
    assert loads("[U0BO]", "[U0BO]", auto="    auto_approve_up_to: 1h\n")
    assert "nobody else" in refused("[U0BO]", "[U0BO]", auto="    auto_approve_up_to: 30m\n")


def test_more_are_needed_than_there_are():
    said = refused("[everyone]", "[U0BO]", needs=2)
    assert "rule two-owners needs 2 people, but only one ever can" in said


def test_one_person_named_twice_is_one_person():
    assert "needs 2 people" in refused("[everyone]", "[U0BO, U0BO]", needs=2)


def test_a_rule_without_people_and_without_automatic_approval():
    assert "names no approvers" in refused("[everyone]", "[]")


def test_a_rule_without_people_for_what_is_longer_than_automatic():
    said = refused("[everyone]", "[]", auto="    auto_approve_up_to: 30m\n")
    assert "approves up to 30 min and names nobody for longer" in said
    assert loads("[everyone]", "[]", auto="    auto_approve_up_to: 1h\n")


def sentences(directory, text=sample_catalog.TEXT):
    return [str(end) for end in context.dead_ends(directory, catalog.loads(text))]


def test_enough_approvers_is_no_dead_end():
    assert sentences(sample_catalog.People()) == []


def test_while_slack_does_not_answer_nobody_is_said_to_lack_approvers():
    """Whether there are any is not known then; that it is not is told, once for each reference."""
    people = sample_catalog.People()
    people.silent = True
    found = sentences(people)
    assert found
    assert not [said for said in found if "can approve" in said]


def test_a_requester_who_is_needed_to_approve_is_named():
    members = sample_catalog.MEMBERS | {"@data-owners": frozenset({"U0BO", "U0CLEO"})}
    found = sentences(sample_catalog.People(members=members))
    assert found == [
        "fix_orders: when Bo Ace asks, rule two-owners needs 2 people, but only 1 other can approve."
    ]


def test_too_few_for_anybody_is_told_once():
    members = sample_catalog.MEMBERS | {"@data-owners": frozenset({"U0BO"})}
    found = context.dead_ends(sample_catalog.People(members=members), sample_catalog.load())
    assert [(end.entitlement, end.requester) for end in found] == [("fix_orders", None)]


def test_guests_and_bots_are_not_counted():
    from bot import model

    people = sample_catalog.PEOPLE | {
        "U0CLEO": sample_catalog.person("cleo", refusal=model.Refusal.GUEST),
        "U0DAN": sample_catalog.person("dan", refusal=model.Refusal.BOT),
    }
    found = sentences(sample_catalog.People(people=people))
    assert "fix_orders: rule two-owners needs 2 people, but only 1 can approve." in found
    assert any("when Bo Ace asks" in said and "read_customer_data" in said for said in found)


def test_two_accounts_of_one_mailbox_are_one_person():
    twin = sample_catalog.person("bo2", email="BO+work@acme.test")
    people = sample_catalog.PEOPLE | {"U0BO2": twin}
    members = {"@data-owners": frozenset({"U0BO", "U0BO2"}), "@engineers": frozenset({"U0BO"})}
    text = sample_catalog.TEXT.replace("needs: 2", "needs: 1").replace(", dan@acme.test", "")
    found = sentences(sample_catalog.People(people=people, members=members), text)
    assert any(said.startswith("fix_orders: when Bo Ace asks") for said in found)


def test_a_reference_that_leads_nowhere_is_told():
    found = sentences(
        sample_catalog.People(members=dict(sample_catalog.MEMBERS, **{"@engineers": None}))
    )
    assert found == [
        "Slack shows us nothing called @engineers. Until it can be read, @engineers names nobody."
    ]
