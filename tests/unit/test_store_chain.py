"""The chain, as values: what is hashed, what a walk finds."""

import dataclasses
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import model
from bot.store import chain, mapping, proof
from tests.fixtures_store import ANA, KEY, NOON


def links(n: int = 5, key: bytes | None = KEY, prev: str = chain.GENESIS, first: int = 1):
    made: list[model.AuditEvent] = []
    for seq in range(first, first + n):
        made.append(
            chain.link(
                seq=seq,
                prev=made[-1].hash if made else prev,
                at=NOON + timedelta(seconds=seq),
                actor=ANA,
                type="something",
                request_id="r1",
                data=chain.canonical({"n": seq}),
                key=key,
            )
        )
    return made


def resealed(event: model.AuditEvent, seal: bytes | None, /, **fields: Any) -> model.AuditEvent:
    """What somebody makes of an event who knows how events are made."""
    body = chain.canonical(json.loads(event.body) | fields)
    return dataclasses.replace(event, body=body, hash=chain.digest(body, seal))


def test_a_chain_that_nobody_touched_is_whole() -> None:
    events = links()
    assert proof.verify(events, KEY) == proof.Verification(
        count=5, head=events[-1].hash, without_key=0
    )
    assert proof.verify([], KEY) == proof.Verification(count=0, head=chain.GENESIS, without_key=0)


@pytest.mark.parametrize("victim", range(5))
@pytest.mark.parametrize(
    "change",
    [
        {"body": '{"v":1}'},
        {"body": "no json"},
        {"body": "[]"},
        {"hash": "0" * 64},
        {"prev": "f" * 64},
        {"type": "nothing"},
        {"request_id": "r2"},
        {"request_id": None},
        {"at": NOON},
    ],
)
def test_an_edited_event_is_named(victim: int, change: dict[str, Any]) -> None:
    events = links()
    events[victim] = dataclasses.replace(events[victim], **change)
    found = proof.verify(events, KEY)
    assert (found.ok, found.bad_seq, found.count) == (False, victim + 1, victim)
    assert found.problem


@pytest.mark.parametrize("victim", range(4))
def test_a_deleted_event_is_named(victim: int) -> None:
    events = links()
    del events[victim]
    found = proof.verify(events, KEY)
    assert (found.bad_seq, found.problem) == (victim + 1, "it is missing")


def test_a_deletion_that_renumbers_the_rest_is_found() -> None:
    events = links()
    del events[2]
    events[2:] = [dataclasses.replace(event, seq=event.seq - 1) for event in events[2:]]
    assert proof.verify(events, KEY).bad_seq == 3


def test_two_events_that_changed_places_are_found() -> None:
    events = links()
    events[1], events[3] = (
        dataclasses.replace(events[3], seq=2),
        dataclasses.replace(events[1], seq=4),
    )
    assert proof.verify(events, KEY).bad_seq == 2


def test_without_a_key_an_edit_shows_at_the_next_event() -> None:
    events = links(key=None)
    events[2] = resealed(events[2], None, data={"n": "forged"})
    assert proof.verify(events, None).bad_seq == 4


def test_with_a_key_nobody_without_it_can_reseal_even_the_last_event() -> None:
    events = links()
    events[-1] = resealed(events[-1], b"a guess", data={"n": "forged"})
    assert proof.verify(events, KEY).bad_seq == 5


def test_a_seal_cannot_be_taken_off_again() -> None:
    events = links()
    events[-1] = resealed(events[-1], None, data={"n": "forged"}, key=None)
    found = proof.verify(events, KEY)
    assert (found.bad_seq, found.problem) == (5, "it is not sealed, though an earlier one is")


def test_events_from_before_there_was_a_key_are_counted() -> None:
    early = links(3, key=None)
    late = links(2, prev=early[-1].hash, first=4)
    found = proof.verify([*early, *late], KEY)
    assert (found.ok, found.without_key) == (True, 3)


@pytest.mark.parametrize("key", [None, b"another"])
def test_the_wrong_key_is_said_to_be_so(key: bytes | None) -> None:
    found = proof.verify(links(), key)
    assert found.bad_seq == 1
    assert "key" in str(found.problem)


def test_the_key_cannot_be_read_from_the_chain() -> None:
    (event,) = links(1)
    assert KEY.decode() not in event.body
    assert json.loads(event.body)["key"] == chain.key_id(KEY)
    assert chain.key_id(None) is None


def test_the_text_is_canonical() -> None:
    value = {"b": NOON, "a": [timedelta(minutes=1), model.Answer.DENY, {2: None}], "ü": 1.5}
    assert chain.canonical(value) == (
        '{"a":[60,"deny",{"2":null}],"b":"2026-11-20T12:00:00.000000+00:00","ü":1.5}'
    )
    for nonsense in (object(), float("nan"), b"bytes"):
        with pytest.raises((TypeError, ValueError)):
            chain.canonical({"x": nonsense})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(data=st.dictionaries(st.text(), JSON, max_size=4))
def test_whatever_is_recorded_can_be_encoded_and_verified(data: dict[str, Any]) -> None:
    event = chain.link(
        seq=1,
        prev=chain.GENESIS,
        at=NOON,
        actor=ANA,
        type="t",
        request_id=None,
        data=chain.canonical(data),
        key=KEY,
    )
    assert event.body.encode().decode() == event.body
    assert proof.verify([event], KEY).ok


@given(
    data=st.dictionaries(st.text(), JSON, max_size=4),
    words=st.tuples(st.text(), st.none() | st.text(), st.text()),
    key=st.none() | st.just(KEY),
)
def test_the_text_of_an_event_is_what_is_canonical_for_all_its_fields(
    data: dict[str, Any], words: tuple[str, str | None, str], key: bytes | None
) -> None:
    type_, request_id, name = words
    who = dataclasses.replace(ANA, name=name)
    event = chain.link(
        seq=7,
        prev="a" * 64,
        at=NOON,
        actor=who,
        type=type_,
        request_id=request_id,
        data=chain.canonical(data),
        key=key,
    )
    assert event.body == chain.canonical(
        {
            "v": 1,
            "seq": 7,
            "prev": "a" * 64,
            "at": NOON,
            "actor": mapping.values_of(who),
            "type": type_,
            "request_id": request_id,
            "data": data,
            "key": chain.key_id(key),
        }
    )
    assert (
        event.hash
        == (
            hmac.new(key, event.body.encode(), "sha256")
            if key
            else hashlib.sha256(event.body.encode())
        ).hexdigest()
    )
    assert proof.verify([event], key, after=(6, "a" * 64)).ok
