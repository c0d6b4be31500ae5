"""What every message says in every state, and what nobody's words can make it say."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import catalog, model
from bot.demo.workspace import limits
from bot.slack import cards, home, modals, words
from bot.telling import render
from db_grants.spec import Privilege
from tests.scenario.conftest import CATALOG
from tests.unit import stories
from tests.unit.stories import EVERY, NOW, around

SAYS = {
    "waiting": "Lapses at",
    "granting": "Approved by Bo. Granting…",
    "delayed": "Approved by Bo, but nothing was granted: shop could not be reached. Trying again until",
    "active": "Active until <!date^1795185120^{time}|14:32 UTC> · approved by Bo after 2 min",
    "ending": "Ending… Time is over.",
    "overdue": "Overdue: access should have ended at",
    "unsure": "it is not certain what exists on shop",
    "cleaning": "(no session, no login possible). Cleaning up: table app.tmp_export",
    "ended": "Ended <!date^1795185120^{time}|14:32 UTC>, verified gone",
    "given_up": "nothing proves that access has ended (the server was deleted)",
    "failed": "Approved by Bo, but nothing was granted: no such scope.",
    "denied": "Denied by Bo: use the staging copy for this.",
    "cancelled": "Withdrawn by Ana. Nothing was granted.",
    "lapsed": "Nobody decided by <!date^1795186800^{time}|15:00 UTC>. Nothing was granted.",
    "superseded": "What was asked for has changed: payments was added to read_customer_data.",
}
BUTTONS = {
    "waiting": ["Approve 30 min", "Deny…", "Details"],
    "delayed": ["Stop trying", "Details"],
    "active": ["Revoke", "Details"],
    "ended": ["Same again", "Details"],
    "superseded": ["Ask again", "Details"],
}


def texts(part: Any) -> Iterator[tuple[str, str]]:
    """(kind of text object, text) of everything that is shown."""
    if isinstance(part, dict):
        if isinstance(part.get("text"), str):
            yield str(part.get("type")), part["text"]
        for value in part.values():
            yield from texts(value)
    elif isinstance(part, list):
        for each in part:
            yield from texts(each)


def labels(message: cards.Message) -> list[str]:
    row = next(b for b in message.blocks if b["type"] == "actions")
    return [each["text"]["text"] for each in row["elements"]]


@pytest.mark.parametrize("name", EVERY)
def test_a_card_says_where_things_stand_and_offers_what_can_be_done(name: str) -> None:
    message = cards.card(EVERY[name], around())
    said = "\n".join(text for _, text in texts(message.blocks))
    assert words.state(EVERY[name]) == name
    assert SAYS[name].lower() in said.lower()
    assert labels(message) == BUTTONS.get(name, ["Details"])
    assert message.text.startswith("Ana Lima asks to read customer data on shop (production)")
    assert limits.check_blocks(message.blocks, "message") == []


def test_a_waiting_card_holds_what_a_decision_needs() -> None:
    message = cards.card(EVERY["waiting"], around(granted=4, unused=2, sensitivity="personal data"))
    said = [text for _, text in texts(message.blocks)]
    assert "*For*  30 min, from approval" in said
    assert "*Sees*  customers (id, name, email, city), orders · personal data" in said
    assert "Rule data-owners: 1 of Bo, Cleo, Dan" in said
    assert "INC-4412: export stuck for 8821" in said
    active = f"nothing else active at {render.clock(NOW)}"  # a card is not drawn again for that
    assert any(f"4 grants in 30 days, 2 never used · {active} · lapses" in text for text in said)


def test_of_two_needed_it_says_who_has_approved() -> None:
    review = model.Review(
        request_id="7k2mq4ab",
        reviewer_id="U0BO",
        reviewer_name="Bo Chen",
        answer=model.Answer.APPROVE,
        comment="",
        at=NOW + timedelta(minutes=1),
    )
    nobody = words.line(model.Story(request=stories.request(needs=2)), around())
    assert nobody.startswith("0 of 2 so far · lapses at")
    story = model.Story(request=stories.request(needs=2), reviews=(review,))
    said = words.line(story, around())
    assert said.startswith("1 of 2: Bo, <!date^1795183260^{time}|14:01 UTC> · lapses at")


def test_a_button_carries_an_id_and_nothing_else() -> None:
    drawn = [block for story in EVERY.values() for block in cards.card(story, around()).blocks]
    pressed = [element for block in drawn for element in block.get("elements", [])]
    assert {element["value"] for element in pressed if "value" in element} == {"7k2mq4ab"}


@pytest.mark.parametrize("name", EVERY)
def test_the_requester_is_told_the_same_story(name: str) -> None:
    story = EVERY[name]
    messages = [cards.receipt(story, around()), cards.live(story, around())]
    messages.append(cards.told(story, around(), name))
    for message in messages if story.grant else (messages[0], messages[2]):
        assert "read_customer_data on shop" in message.text
        assert limits.check_blocks(message.blocks, "message") == []


def test_long_scopes_are_cut_and_whole_in_the_details() -> None:
    tables = tuple(
        replace(stories.ORDERS, table=f"t{n}", columns=tuple(f"c{m}" for m in range(12)))
        for n in range(40)
    )
    scope = replace(stories.SCOPE, tables=tables)
    story = stories.waiting(scope=catalog.scope_to_json(scope))
    said, _ = words.scope(story.request)
    assert said.endswith("and 36 more")
    assert "and 7 more" in said
    view = modals.details(story, around())
    assert all(f"app.t{n} " in json.dumps(view) for n in range(40))
    assert limits.check_view(view, view["type"]) == []


HOSTILE = st.one_of(
    st.text(max_size=400),
    st.sampled_from(
        [
            "<!channel>",
            "<!here|x>",
            "<@U0BO>",
            "<!subteam^S1>",
            "<https://evil.test|https://jira.test/INC-1>",
            "*Approved by <@CISO>*",
            "```\n" * 30,
            "\n" * 50,
            "\u202egnp.exe",
            "&lt;!channel&gt;",
            "{{ cycler.__init__.__globals__ }}",
            "x" * 5000,
            "",
        ]
    ),
)
_TOKEN = re.compile(r"<(?!!date\^\d+\^[^|<>]*\|[^<>]*>)")


@settings(deadline=None, max_examples=60)
@given(who=HOSTILE, why=HOSTILE, comment=HOSTILE, error=HOSTILE)
def test_nobodys_words_can_mention_link_or_break_a_message(
    who: str, why: str, comment: str, error: str
) -> None:
    for story in EVERY.values():
        spoiled = _spoil(story, who, why, comment, error)
        place = around(names=lambda _: who, sensitivity=who, used=who)
        drawn = [cards.card(spoiled, place), cards.receipt(spoiled, place)]
        drawn += (
            [cards.live(spoiled, place)]
            if spoiled.grant
            else [cards.told(spoiled, place, "denied")]
        )
        for message in drawn:
            assert not _TOKEN.search(message.text), message.text
            for kind, text in texts(message.blocks):
                assert kind != "mrkdwn" or not _TOKEN.search(text), text
            assert limits.check_blocks(message.blocks, "message") == []
        assert limits.check_view(modals.details(spoiled, place), "modal") == []


def _spoil(story: model.Story, who: str, why: str, comment: str, error: str) -> model.Story:
    request = replace(
        story.request,
        requester_name=who,
        justification=why,
        comment=comment if story.request.comment else None,
        decided_by_name=who if story.request.decided_by else None,
    )
    grant = story.grant and replace(
        story.grant, last_error=error if story.grant.last_error else None, quarantined=(error,)
    )
    return replace(story, request=request, grant=grant)


def test_home_shows_what_concerns_one_and_stays_within_slacks_limits() -> None:
    person = model.Person(id="U0BO", team_id="T0ACME", name="Bo Chen")
    many = [stories.waiting(id=f"r{n}") for n in range(60)]
    live = [replace(EVERY["active"], request=stories.request(id=f"l{n}")) for n in range(60)]
    mine = home.Mine(
        person=person,
        holding=live[:30],
        waiting=many,
        watching=live[30:],
        asked=many,
        offered=(),
    )
    view = home.view(mine, around())
    assert limits.check_view(view, view["type"]) == []
    said = "\n".join(text for _, text in texts(view["blocks"]))
    for heading in ("My access now", "Waiting for me", "My requests", "What I may request"):
        assert heading in said
    assert "Open credentials" in said
    assert "<!date^1795185120^{ago}|32 min left>" in said


def test_home_says_that_more_does_not_fit() -> None:
    person = model.Person(id="U0BO", team_id="T0ACME", name="Bo Chen")
    live = [replace(EVERY["active"], request=stories.request(id=f"l{n}")) for n in range(10)]
    denied = [replace(EVERY["denied"], grant=None) for _ in range(10)]
    few = home.Mine(person=person, holding=live, waiting=(), watching=(), asked=(), offered=())
    waiting = [stories.waiting(id=f"r{n}") for n in range(10)]
    offered = tuple(catalog.loads(CATALOG).entitlements.values()) * 20
    many = replace(few, waiting=waiting, watching=live, asked=denied, offered=offered)
    shown = [home.view(mine, around())["blocks"] for mine in (few, many)]
    assert [len(each) <= 100 for each in shown] == [True, True]
    assert ["More does not fit here" in str(each[-1]) for each in shown] == [False, True]


def test_home_shows_what_would_be_approved_there() -> None:
    story = stories.waiting()
    said = str(home.to_decide(story, around()))
    assert "Approve 30 min" in said
    assert str(words.reach(story.request)) in said
    assert "customers (" in said


def test_words_for_time() -> None:
    assert render.duration(timedelta(minutes=90)) == "1 h 30 min"
    assert render.duration(timedelta(seconds=90)) == "1 min 30 s"
    assert render.duration(timedelta(minutes=29, seconds=59.7)) == "30 min"
    assert render.about(timedelta(seconds=133)) == "2 min"
    assert render.listing(["Bo", "Cleo", "Dan"]) == "Bo, Cleo and Dan"
    assert render.some(["a", "b", "c"], 2) == "a, b and 1 more"
    assert render.short("Dr. Who") == "Dr. Who"
    assert render.clean("a\u202eb\u200bc\x00") == "a⟦U+202E⟧bc"


def test_a_template_never_shows_a_gap_for_what_it_lacks() -> None:
    with pytest.raises(Exception, match="undefined"):
        render.text("receipt", state="waiting")


def test_what_a_reviewer_wrote_is_nowhere_read_as_formatting() -> None:
    story = EVERY["denied"]
    said = "`select *` is *enough* for this"
    story = replace(story, request=replace(story.request, comment=said))
    drawn = [cards.card(story, around()).blocks, cards.receipt(story, around()).blocks]
    drawn += [home.past(story, around()), modals.details(story, around())["blocks"]]
    for each in drawn:
        assert [kind for kind, text in texts(each) if said in text] == ["plain_text"]


def test_what_can_only_be_read_is_not_told_as_what_can_be_changed() -> None:
    changed = replace(stories.ORDERS, privileges=frozenset({Privilege.UPDATE}))
    scope = replace(stories.SCOPE, tables=(changed, stories.CUSTOMERS))
    request = stories.request(scope=catalog.scope_to_json(scope))
    assert words.reach(request) == (
        "*Sees*  customers (id, name, email, city) · *Can change*  orders: update"
    )
