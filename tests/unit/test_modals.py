"""Windows: what is in them, what comes back, and what may not be believed of it."""

import json
import urllib.parse
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import catalog
from bot.demo.workspace import limits
from bot.slack import forms, modals
from db_grants.spec import Credential
from tests.scenario.conftest import CATALOG
from tests.unit import stories

OFFERED = tuple(catalog.loads(CATALOG).entitlements.values())
ONE_TARGET = tuple(e for e in OFFERED if e.target == "shop")

CREDENTIAL = Credential(
    role="jit_7k2mq4ab",
    password="p@ss/w:o#rd'%",
    host="db.example.com",
    port=5432,
    database="shop",
    sslmode="verify-full",
    expires_at=stories.NOW + timedelta(minutes=29),
)


def block_ids(view: dict[str, Any]) -> list[str]:
    return [block["block_id"] for block in view["blocks"] if block["type"] == "input"]


def state(view: dict[str, Any], **values: Any) -> dict[str, Any]:
    """The view as Slack sends it back, with these values by action."""
    places = {
        block["element"]["action_id"].split(".")[1]: (
            block["block_id"],
            block["element"]["action_id"],
        )
        for block in view["blocks"]
        if block["type"] == "input"
    }
    found = {places[name][0]: {places[name][1]: value} for name, value in values.items()}
    return {**view, "state": {"values": found}}


def chosen(value: str) -> dict[str, Any]:
    return {"type": "external_select", "selected_option": {"value": value}}


def test_a_form_asks_in_the_order_one_thinks() -> None:
    view = forms.view(forms.Form(), OFFERED, "hint")
    assert limits.check_view(view, "modal") == []
    labels = [b["label"]["text"] for b in view["blocks"] if b["type"] == "input"]
    assert labels == ["Target", "What", "How long", "Why"]
    assert view["blocks"][-1]["elements"][0]["text"] == "hint"


def test_a_single_target_is_not_asked_for() -> None:
    view = forms.view(forms.Form(entitlement="read_customer_data"), ONE_TARGET, "")
    labels = [b["label"]["text"] for b in view["blocks"] if b["type"] == "input"]
    assert labels == ["What", "Only these tables", "How long", "Why"]


def test_choices_of_time_end_at_the_most_that_is_allowed() -> None:
    view = forms.view(forms.Form(entitlement="write_logs"), OFFERED, "")
    field = next(b for b in view["blocks"] if b.get("block_id") == "field.duration.write_logs")
    values = [each["text"]["text"] for each in field["element"]["options"]]
    assert values == ["15 min", "30 min", "1 h"]
    assert field["element"]["initial_option"]["text"]["text"] == "15 min"


def test_a_typed_duration_between_our_steps_is_the_one_shown() -> None:
    asked = forms.Form(entitlement="write_logs", duration=timedelta(minutes=20))
    view = forms.view(asked, OFFERED, "")
    field = next(b for b in view["blocks"] if b.get("block_id") == "field.duration.write_logs")
    values = [each["text"]["text"] for each in field["element"]["options"]]
    assert values == ["15 min", "20 min", "30 min", "1 h"]
    assert field["element"]["initial_option"]["text"]["text"] == "20 min"
    assert forms.too_long(asked, OFFERED[1]) == ""


@pytest.mark.parametrize("minutes", [-5, 0, 61])
def test_a_duration_that_cannot_be_had_is_not_offered(minutes: int) -> None:
    asked = forms.Form(entitlement="write_logs", duration=timedelta(minutes=minutes))
    view = forms.view(asked, OFFERED, "")
    field = next(b for b in view["blocks"] if b.get("block_id") == "field.duration.write_logs")
    values = [each["text"]["text"] for each in field["element"]["options"]]
    assert values == ["15 min", "30 min", "1 h"]


def test_what_was_chosen_comes_back() -> None:
    view = forms.view(forms.Form(entitlement="read_customer_data", channel_id="C1"), OFFERED, "")
    sent = state(
        view,
        entitlement=chosen("read_customer_data"),
        tables={"selected_options": [{"value": "app.orders"}]},
        duration=chosen("3600"),
        why={"value": "INC-1 x"},
    )
    assert forms.read(sent) == forms.Form(
        entitlement="read_customer_data",
        tables=("app.orders",),
        duration=timedelta(hours=1),
        why="INC-1 x",
        channel_id="C1",
    )


def test_a_change_of_target_gives_a_fresh_field() -> None:
    one = forms.view(forms.Form(target="shop"), OFFERED, "")
    other = forms.view(forms.Form(target="wiki"), OFFERED, "")
    assert set(block_ids(one)) ^ set(block_ids(other)) == {
        "field.entitlement.shop",
        "field.entitlement.wiki",
    }


def test_type_ahead_never_cuts_what_can_be_found() -> None:
    many = tuple(replace(OFFERED[0], name=f"read_thing_{n:03}") for n in range(500))
    shown = forms.suggestions("field.entitlement", "field.entitlement.", "", many)
    assert len(shown) == 100
    found = forms.suggestions("field.entitlement", "field.entitlement.", "thing_499", many)
    assert [each["value"] for each in found] == ["read_thing_499"]


def test_errors_stand_beside_their_fields_or_beside_what() -> None:
    view = forms.view(forms.Form(), OFFERED, "")
    sent = state(view, entitlement=chosen("x"), why={"value": ""}, duration=chosen("60"))
    found = forms.errors_beside({"justification": "why?", "tables": "no such"}, sent)
    assert found == {"field.why": "why?", "field.entitlement.": "no such"}


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(
    "seconds", ["-1", "0", "1e9", "NaN", "1h; DROP", "999999999999", "", "٣", "3.5"]
)
def test_an_odd_duration_is_no_duration(seconds: str) -> None:
    view = forms.view(forms.Form(), OFFERED, "")
    length = forms.read(state(view, duration=chosen(seconds))).duration
    assert length is None or length <= timedelta(days=400)


@given(metadata=st.text(max_size=60), values=JUNK)
def test_metadata_is_never_believed(metadata: str, values: object) -> None:
    sent = {"private_metadata": metadata, "state": {"values": {"field.why": {"field.why": {}}}}}
    assert forms.read(sent).entitlement == ""
    assert isinstance(forms.metadata_id({"private_metadata": json.dumps(values)}), str)
    forms.metadata_source({"private_metadata": json.dumps(values)})


def test_credentials_can_be_pasted() -> None:
    story = stories.EVERY["active"]
    view = modals.credentials(story, CREDENTIAL, stories.around())
    assert limits.check_view(view, "modal") == []
    said = json.dumps(view, ensure_ascii=False)
    assert "psql 'postgresql://jit_7k2mq4ab@db.example.com:5432/shop?sslmode=verify-full'" in said
    assert "(29 min left)" in said
    assert "You can read customers (id, name, email, city), orders. You cannot write" in said
    assert "At most 4 connections at a time." in said


def test_a_url_with_the_password_is_read_back_as_it_was() -> None:
    found = urllib.parse.urlsplit(modals.url(CREDENTIAL, password=True))
    assert urllib.parse.unquote(found.password or "") == CREDENTIAL.password
    assert found.hostname == "db.example.com"
    assert "'" not in modals.url(CREDENTIAL, password=True)
    six = modals.url(replace(CREDENTIAL, host="::1", sslmode=None), password=False)
    assert six == "postgresql://jit_7k2mq4ab@[::1]:5432/shop"


def test_a_window_that_asks_again_carries_an_id_and_where_it_was_opened() -> None:
    for view in (modals.deny("7k2mq4ab", ("C1", "1.2")), modals.revoke("7k2mq4ab", None)):
        assert limits.check_view(view, "modal") == []
        assert forms.metadata_id(view) == "7k2mq4ab"
    assert forms.metadata_source(modals.deny("x", ("C1", "1.2"))) == ("C1", "1.2")
    assert forms.metadata_source(modals.revoke("x", None)) is None


@pytest.mark.parametrize(
    ("which", "steps"),
    [
        ("denied", ["Asked by Ana Lima", "Denied by Bo"]),
        ("cancelled", ["Asked by Ana Lima", "Withdrawn"]),
        ("lapsed", ["Asked by Ana Lima", "Lapsed, nobody decided in time"]),
        ("superseded", ["Asked by Ana Lima", "Superseded: what was asked for has changed"]),
        ("granting", ["Asked by Ana Lima", "Approved by Bo"]),
    ],
)
def test_details_tell_each_step_once_and_in_words(which: str, steps: list[str]) -> None:
    story = stories.EVERY[which]
    at = story.request.decided_at or story.request.created_at + timedelta(minutes=2)
    story = replace(story, request=replace(story.request, decided_at=at))
    told = modals.details(story, stories.around())["blocks"][-1]["text"]["text"]
    assert [line.partition(">  ")[2] for line in told.splitlines()] == steps


def test_details_hold_every_step_in_the_database() -> None:
    steps = [f"GRANT atom_{n} TO jit_7k2mq4ab" for n in range(400)]
    view = modals.details(stories.EVERY["active"], stories.around(), steps)
    assert limits.check_view(view, "modal") == []
    said = json.dumps(view)
    assert all(step in said for step in steps)
