"""Facts are collected through a port; what was not told stays unknown."""

import threading

import pytest

from bot import errors, model
from bot.deciding import context
from tests.unit import sample_catalog
from tests.unit.sample_catalog import MEMBERS, People, person

CATALOG = sample_catalog.load()


def collect(directory, entitlement="read_customer_data", **more):
    return context.collect(directory, CATALOG, "U0ANA", entitlement, **more)


def test_names_and_members_of_the_rule_are_known():
    known = collect(People())
    assert known.requester.name == "Ana Ace"
    assert known.members == {r: MEMBERS[r] for r in ("@data-owners", "dan@acme.test")}
    assert known.names == {"U0BO": "Bo Ace", "U0CLEO": "Cleo Ace", "U0DAN": "Dan Ace"}


def test_for_an_offer_only_requesters_are_looked_up():
    assert set(collect(People(), None).members) == {"@engineers", "U0DAN"}


def test_an_unknown_entitlement_asks_slack_nothing_about_groups():
    assert collect(People(), "nope").members == {}


def test_what_slack_does_not_tell_stays_unknown():
    directory = People()
    directory.silent = True
    known = collect(directory)
    assert known.requester is None
    assert set(known.members.values()) == {None}


def test_an_account_that_is_gone_counts_for_nobody():
    people = {k: v for k, v in sample_catalog.PEOPLE.items() if k != "U0BO"}
    assert collect(People(people)).unfit == {"U0BO"}


def test_bots_and_the_requesters_aliases_are_unfit():
    people = sample_catalog.PEOPLE | {
        "U0BO": person("bo", refusal=model.Refusal.BOT),
        "U0CLEO": person("cleo", email="Ana+x@acme.test"),
    }
    assert collect(People(people)).unfit == {"U0BO", "U0CLEO"}


def test_a_decision_that_counts_reads_everything_that_decides_it_afresh():
    directory = People()
    collect(directory, fresh=True)
    assert set(directory.asked_fresh) == {"U0ANA", "@data-owners", "dan@acme.test"}


class Together(People):
    """Answers when so many questions are there at the same time."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._gate = threading.Barrier(count, timeout=10)

    def person(self, user_id, *, fresh=False):
        if fresh:
            self._gate.wait()
        return super().person(user_id, fresh=fresh)

    def members(self, ref, *, fresh=False):
        if fresh:
            self._gate.wait()
        return super().members(ref, fresh=fresh)


def test_all_that_decides_is_asked_at_the_same_time():
    directory = Together(4)
    asked = context.ask(directory, CATALOG, "read_customer_data", "U0ANA", "U0BO")
    assert asked.person("U0BO", fresh=True).name == "Bo Ace"
    facts = context.collect(asked, CATALOG, "U0ANA", "read_customer_data", fresh=True)
    assert facts.members == {r: MEMBERS[r] for r in ("@data-owners", "dan@acme.test")}
    assert sorted(directory.asked_fresh) == ["@data-owners", "U0ANA", "U0BO", "dan@acme.test"]


def test_an_answer_that_did_not_come_is_not_made_up_from_what_was_known():
    directory = People()
    directory.silent = True
    asked = context.ask(directory, CATALOG, "read_customer_data", "U0BO")
    with pytest.raises(errors.IdentityUnknown):
        asked.person("U0BO", fresh=True)
    directory.silent = False  # by now it would tell
    with pytest.raises(errors.IdentityUnknown):
        asked.person("U0BO")
    assert asked.members("@data-owners") is None


def test_what_the_requester_holds_is_passed_on():
    assert collect(People(), holds=("grant",)).holds == ("grant",)


def test_people_without_an_address_are_told_apart_by_their_id():
    one, other = person("a", email=None), person("b", email=None)
    assert one.same_as(one)
    assert not one.same_as(other)
