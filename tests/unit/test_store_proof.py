"""The quick look at an event takes its text for granted only where a whole reading would agree."""

import dataclasses
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import model
from bot.store import actor, chain, proof
from tests.fixtures_store import ANA, KEY, NOON

AT = "2026-11-20T12:00:01.000000+00:00"
LATER = "2026-11-20T18:00:00.000000+00:00"


def event(**given: Any) -> model.AuditEvent:
    usual: dict[str, Any] = {
        "seq": 1,
        "prev": chain.GENESIS,
        "at": NOON + timedelta(seconds=1),
        "actor": ANA,
        "type": "grant.active",
        "request_id": "r1",
        "data": {"n": 1, "role": "jit_r1"},
        "key": None,
    }
    told = usual | given
    return chain.link(**(told | {"data": chain.canonical(told["data"])}))


def row(given: model.AuditEvent, /, **columns: Any) -> proof.Row:
    """The event's row with a hash that fits its text, whatever became of that."""
    names = ("seq", "at", "type", "request_id", "body", "prev", "hash")
    values = {name: getattr(given, name) for name in names} | {"at": AT} | columns
    values["hash"] = columns.get("hash", chain.digest(str(values["body"]), None))
    return tuple(values[name] for name in names)  # type: ignore[return-value]


def forged(old: str, new: str, /, **columns: Any) -> proof.Row:
    body = event().body
    assert old in body
    return row(event(), body=body.replace(old, new), **columns)


def test_the_quick_look_is_enough_for_what_we_wrote() -> None:
    for each in (
        event(),
        event(request_id=None),
        event(type='we"ird\\', request_id="\u2028 \x7f"),
        event(data={"deep": {"at": AT, "data": [{}, {"v": 1}]}}),
        event(actor=actor.Actor(kind="user", id="U0", name='},"at":"' + AT + '","data":{')),
    ):
        assert proof._Look(None).seal(row(each), 1, chain.GENESIS) == ""
    sealed = event(key=KEY)
    look = proof._Look(KEY)
    assert look.seal(row(sealed, hash=sealed.hash), 1, chain.GENESIS) == chain.key_id(KEY)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(forged("jit_r1", "jit_r2", at=LATER), id="another time in the column"),
        pytest.param(
            forged(f'"at":"{AT}"', f'"at":"{LATER}"'),
            id="another time in the text",
        ),
        pytest.param(
            forged(f'"at":"{AT}"', f'"at":"{AT}","x":"1"', at=f'{AT}","x":"1'),
            id="a column that goes on as JSON",
        ),
        pytest.param(
            forged('},"key"', f'}},"at":"{LATER}","key"'),
            id="the time said once more, behind the data",
        ),
        pytest.param(
            forged(
                f'"name":"Ana Lima"}},"at":"{AT}"',
                f'"name":{{"x":1}},"at":"{AT}","data":{{}}}},"at":"{LATER}"',
            ),
            id="the right time, but the actor's",
        ),
        pytest.param(forged('"n":1', '"n":'), id="data that are no JSON"),
        pytest.param(forged('"n":1', '"n":1}'), id="data that end too early"),
        pytest.param(forged('{"actor":', '{"actor":{}}'), id="an actor that is no JSON"),
        pytest.param(forged('"kind":"user",', '"kind":"user"'), id="an actor with a comma lost"),
        pytest.param(forged('"v":1}', '"v":1}}'), id="something behind the end"),
        pytest.param(forged('"v":1', '"w":1'), id="a field renamed"),
        pytest.param(forged('"seq":1', '"seq":2'), id="another number in the text"),
        pytest.param(forged('"type":"grant.active"', '"type":"grant.ended"'), id="another type"),
        pytest.param(forged('"request_id":"r1"', '"request_id":null'), id="another request"),
        pytest.param(forged('"r1"', "null", request_id="null"), id="null is not a word"),
        pytest.param(forged('"prev":"0', '"prev":"1'), id="another predecessor in the text"),
        pytest.param(forged('"key":null', '"key":"0a1b2c3d4e5f"'), id="the name of a key"),
        pytest.param(forged('"key":null', '"key":""'), id="an empty name of a key"),
        pytest.param(row(event(), seq=2), id="another number in the column"),
        pytest.param(row(event(), type=b"grant.active"), id="bytes for a word"),
        pytest.param(row(event(), body=event().body.encode()), id="bytes for a text"),
        pytest.param(row(event(), at=5), id="a number for a time"),
        pytest.param(row(event(), hash="\u00e9" * 64), id="a hash of other letters"),
        pytest.param(row(event(), body="[" * 100_000), id="too deep to be read"),
        pytest.param(forged('"n":1', '"n":' + "[" * 100_000), id="data too deep to be read"),
    ],
)
def test_a_forged_event_whose_hash_fits_is_still_named(given: proof.Row) -> None:
    found = proof.walk([given], None)
    assert (found.ok, found.bad_seq, found.count) == (False, 1, 0)
    assert found.problem


FRAGMENTS = st.sampled_from(
    [
        *'{}[],:"\\\n 01',
        f'}},"at":"{AT}","data":{{',
        f'"at":"{LATER}"',
        f',"at":"{LATER}",',
        ',"data":{}',
        ',"key":null',
        ',"seq":1,"type":"grant.active","v":1}',
        '{"actor":{"id":"U0ANA"',
        "null",
    ]
)


@given(
    cuts=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 12), st.lists(FRAGMENTS, max_size=3)), max_size=3
    ),
    column=st.sampled_from([AT, LATER, f'{AT}","data":{{}},"at":"{LATER}', ""]),
)
def test_the_quick_look_accepts_nothing_that_a_whole_reading_refuses(
    cuts: list[tuple[float, int, list[str]]], column: str
) -> None:
    body = event().body
    for share, length, parts in cuts:
        place = int(share * len(body))
        body = body[:place] + "".join(parts) + body[place + length :]
    given, look = row(event(), body=body, at=column), proof._Look(None)
    if look.seal(given, 1, chain.GENESIS) is not None:
        assert look.whole(given, 1, chain.GENESIS) == ("", None)
        assert json.loads(body)["at"] == column


@pytest.mark.parametrize("value", ['"\\ud83d"', "[" * 300 + "]" * 300])
def test_data_that_only_a_whole_reading_takes_are_read_whole(value: str) -> None:
    given = forged('"n":1', f'"n":{value}')
    assert proof._Look(None).seal(given, 1, chain.GENESIS) is None
    assert proof.walk([given], None).ok


NEARLY_JSON = st.text(
    st.sampled_from('{}[],:"\\/ \n\t\0\x7f\u00e9\u2028019.eE+-antrufalsNI')
) | st.sampled_from(
    [
        '"n":',
        "null",
        "true",
        "NaN",
        "Infinity",
        "-0",
        "01",
        "1.",
        ".5",
        "1e9",
        '"\\u00e9"',
        "\ufeff",
    ]
)


@given(parts=st.lists(NEARLY_JSON, max_size=8))
def test_what_passes_for_an_object_is_one_to_everybody(parts: list[str]) -> None:
    text = "{" + "".join(parts) + "}"
    try:
        proof._must_be_object(text)
    except ValueError:
        return
    assert isinstance(json.loads(text), dict)


def test_a_seal_is_seen_to_at_every_event() -> None:
    sealed = event(key=KEY)
    bare = dataclasses.replace(sealed, hash=chain.digest(sealed.body, None))
    assert proof.verify([bare], KEY).problem == "its text is not what was recorded"
    assert proof.verify([sealed], KEY).ok


def test_the_end_of_a_chain_without_a_key_can_be_looked_at_alone() -> None:
    first = event()
    second = event(seq=2, prev=first.hash)
    found = proof.verify([second], None, after=(1, first.hash))
    assert (found.ok, found.count, found.without_key) == (True, 2, 1)
