"""Verifying and exporting the chain of a real state database, after somebody was at it."""

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from bot import errors
from bot import store as stores
from bot.audit import chain
from bot.store import walk
from tests.fixtures_store import ANA, KEY, end, granted

GUARDS = ("audit_event_kept", "audit_event_held")
END_ALL = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'jit'"
)


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


@pytest.mark.parametrize(
    "change",
    ["type = x'0041'", "body = CAST(body AS BLOB)", "request_id = x'00'", "at = 5", "hash = x'00'"],
)
def test_a_value_of_another_kind_is_named(
    filled: stores.Store, state_url: str, change: str
) -> None:
    if state_url.startswith("postgresql"):
        pytest.skip("PostgreSQL keeps a column to its type")
    tamper(filled, f"UPDATE audit_event SET {change} WHERE seq = 3")
    assert chain.verify(filled).bad_seq == 3


def test_a_later_walk_looks_at_what_is_new_and_at_where_it_begins(filled: stores.Store) -> None:
    seen = filled.chain_head()
    with filled.begin(ANA) as tx:
        tx.record("written", None, {})
    last, head = filled.chain_head()
    found = chain.verify(filled, witness=seen, whole=False)
    assert (found.ok, found.count, found.head) == (True, last, head)
    tamper(filled, "UPDATE audit_event SET type = 'read' WHERE seq = 2")
    assert chain.verify(filled, witness=seen, whole=False).ok  # that was walked before
    assert chain.verify(filled).bad_seq == 2
    with filled._database.write() as connection:
        connection.exec_driver_sql(f"UPDATE audit_event SET type = 'read' WHERE seq = {seen[0]}")
    assert chain.verify(filled, witness=seen, whole=False).bad_seq == seen[0]


def test_the_end_of_a_long_chain_without_a_key_is_whole(
    open_state: Callable[..., stores.Store],
) -> None:
    kept = open_state(audit_key=None)
    granted(kept)
    assert kept.check_chain_end(2) is None
    tamper(kept, "UPDATE audit_event SET type = 'read' WHERE seq = 5")
    assert kept.check_chain_end(2) == "event 5: its columns do not say what its text says"


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


def test_a_head_is_found_by_how_it_begins(filled: stores.Store) -> None:
    head = filled.events()[2].hash
    assert chain.holds(filled, head[:8].upper())
    assert not chain.holds(filled, head[1:9])
    assert not chain.holds(filled, head[:7] + "%")


def test_the_export_holds_the_very_text_that_was_hashed(filled: stores.Store) -> None:
    lines = list(chain.export_jsonl(filled))
    assert len(lines) == filled.chain_head()[0]
    for line, event in zip(lines, filled.events(), strict=True):
        parsed = json.loads(line)
        body = line.removeprefix('{"event":').removesuffix(f',"hash":"{parsed["hash"]}"}}')
        assert body == event.body
        assert hmac.new(KEY, body.encode(), hashlib.sha256).hexdigest() == parsed["hash"]
        assert "\n" not in line


@pytest.fixture
def long(state: stores.Store) -> stores.Store:
    """Two batches and a half."""
    with state.begin(ANA) as tx:
        for n in range(2500):
            tx.record("written", None, {"n": n})
    return state


def test_a_chain_longer_than_one_batch_is_walked_to_its_end(long: stores.Store) -> None:
    assert chain.verify(long).count == 2500
    assert sum(1 for _ in chain.export_jsonl(long)) == 2500


@pytest.mark.parametrize("bad", [1, 1000, 1001, 2000, 2001, 2500])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_event SET type = 'read' WHERE seq = {}",
        "UPDATE audit_event SET hash = prev WHERE seq = {}",
        "UPDATE audit_event SET body = replace(body, '\"n\":', '\"m\":') WHERE seq = {}",
        "UPDATE audit_event SET seq = 5000 WHERE seq = {}",
    ],
)
def test_tampering_shows_on_both_sides_of_where_a_batch_ends(
    long: stores.Store, statement: str, bad: int
) -> None:
    tamper(long, statement.format(bad))
    found = chain.verify(long)
    assert (found.bad_seq, found.count) == (bad, bad - 1)


def test_a_walk_that_stops_early_gives_its_connection_back(long: stores.Store) -> None:
    tamper(long, "UPDATE audit_event SET type = 'read' WHERE seq = 3")
    pool: Any = long._database._engine.pool
    used = pool.checkedout()
    for _ in range(50):  # more than there are connections
        assert chain.verify(long).bad_seq == 3
    assert pool.checkedout() <= used
    with long.begin(ANA) as tx:  # nobody holds what a writer needs
        tx.record("written", None, {})


def test_a_reader_who_pauses_holds_no_connection(long: stores.Store) -> None:
    pool: Any = long._database._engine.pool
    long.get("nothing")
    used, lines = pool.checkedout(), chain.export_jsonl(long)
    next(lines)
    assert pool.checkedout() == used
    assert sum(1 for _ in lines) == 2499


def test_what_cannot_be_read_half_way_is_an_error_of_the_store(
    long: stores.Store, state_url: str
) -> None:
    rows = walk.rows(long._database)
    assert next(rows)[0] == 1
    if long._database.is_sqlite:
        tamper(long, "UPDATE audit_event SET body = CAST(x'ff' AS TEXT) WHERE seq = 2400")
    else:
        with psycopg.connect(state_url, autocommit=True) as admin:
            admin.execute(END_ALL)
    with pytest.raises(errors.StoreError):
        list(rows)
    assert long.chain_head()[0] == 2500  # and what comes later is answered


def test_a_key_may_be_given_later(open_state: Callable[..., stores.Store]) -> None:
    without = open_state(audit_key=None)
    granted(without)
    assert chain.verify(without).without_key == 5
    sealed = open_state()
    end(sealed, sealed.grants()[0].id)
    found = chain.verify(sealed)
    assert (found.ok, found.count, found.without_key) == (True, 7, 5)
    assert chain.verify(without).bad_seq == 6  # and cannot be left out again
