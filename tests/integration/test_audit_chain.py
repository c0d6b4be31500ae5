"""Verifying and exporting the chain of a real state database, after somebody was at it."""

import hashlib
import hmac
import json
from collections.abc import Callable

import pytest

from bot import store as stores
from bot.audit import chain
from tests.fixtures_store import ANA, KEY, end, granted

GUARDS = ("audit_event_kept", "audit_event_held")


def tamper(store: stores.Store, statement: str) -> None:
    """What somebody can do who owns the database: take the guards off first."""
    with store._database.write() as connection:
        for guard in GUARDS:
            on = "" if store._database.is_sqlite else " ON audit_event"
            connection.exec_driver_sql(f"DROP TRIGGER {guard}{on}")
        connection.exec_driver_sql(statement)


@pytest.fixture
def filled(state: stores.Store) -> stores.Store:
    end(state, granted(state).id)
    return state


def test_an_untouched_chain_verifies(filled: stores.Store) -> None:
    found = chain.verify(filled)
    assert (found.ok, found.count, found.head) == (True, *filled.chain_head())


@pytest.mark.parametrize(
    ("statement", "bad"),
    [
        ("UPDATE audit_event SET body = replace(body, 'U0BO', 'U0DAN') WHERE seq = 3", 3),
        ("UPDATE audit_event SET type = 'request.denied' WHERE seq = 3", 3),
        ("UPDATE audit_event SET request_id = NULL WHERE seq = 2", 2),
        ("DELETE FROM audit_event WHERE seq = 4", 4),
        ("DELETE FROM audit_event WHERE seq <= 2", 1),
    ],
)
def test_tampering_names_the_first_bad_event(
    filled: stores.Store, statement: str, bad: int
) -> None:
    tamper(filled, statement)
    found = chain.verify(filled)
    assert (found.ok, found.bad_seq) == (False, bad)


def test_events_that_changed_places_are_named(filled: stores.Store) -> None:
    tamper(
        filled,
        "UPDATE audit_event SET seq = 100 + seq WHERE seq IN (2, 5)",
    )
    with filled._database.write() as connection:
        connection.exec_driver_sql("UPDATE audit_event SET seq = 5 WHERE seq = 102")
        connection.exec_driver_sql("UPDATE audit_event SET seq = 2 WHERE seq = 105")
    assert chain.verify(filled).bad_seq == 2


def test_a_cut_off_tail_shows_against_a_head_that_was_seen(filled: stores.Store) -> None:
    seen = filled.chain_head()
    assert chain.verify(filled, witness=seen).ok
    tamper(filled, "DELETE FROM audit_event WHERE seq > 5")
    assert chain.verify(filled).ok  # the chain alone cannot tell
    found = chain.verify(filled, witness=seen)
    assert (found.bad_seq, found.problem) == (6, "the chain ends at 5, but event 7 was seen")


def test_a_rewritten_past_shows_against_a_head_that_was_seen(filled: stores.Store) -> None:
    seq, _ = filled.chain_head()
    found = chain.verify(filled, witness=(seq, "f" * 64))
    assert (found.bad_seq, found.problem) == (seq, "it is not the event that was seen")
    assert chain.verify(filled, witness=(0, stores.GENESIS)).ok


def test_the_export_holds_the_very_text_that_was_hashed(filled: stores.Store) -> None:
    lines = list(chain.export_jsonl(filled))
    assert len(lines) == filled.chain_head()[0]
    for line, event in zip(lines, filled.events(), strict=True):
        parsed = json.loads(line)
        body = line.removeprefix('{"event":').removesuffix(f',"hash":"{parsed["hash"]}"}}')
        assert body == event.body
        assert hmac.new(KEY, body.encode(), hashlib.sha256).hexdigest() == parsed["hash"]
        assert "\n" not in line


def test_a_chain_longer_than_one_batch_is_walked_to_its_end(state: stores.Store) -> None:
    with state.begin(ANA) as tx:
        for n in range(2500):
            tx.record("written", None, {"n": n})
    assert chain.verify(state).count == 2500
    assert sum(1 for _ in chain.export_jsonl(state)) == 2500


def test_a_key_may_be_given_later(open_state: Callable[..., stores.Store]) -> None:
    without = open_state(audit_key=None)
    granted(without)
    assert chain.verify(without).without_key == 5
    sealed = open_state()
    end(sealed, sealed.grants()[0].id)
    found = chain.verify(sealed)
    assert (found.ok, found.count, found.without_key) == (True, 7, 5)
    assert chain.verify(without).bad_seq == 6  # and cannot be left out again
