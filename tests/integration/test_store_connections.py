"""A pooled connection is trusted while it is quiet, and replaced when the server has ended it."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from bot import clock as clocks
from bot import errors
from bot import store as stores
from bot.store import chain, database, tip
from tests.fixtures_store import ANA

# Returns when they are gone.
_END = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'jit'"


@pytest.fixture
def on_postgres(record_url: str, clock: clocks.ManualClock) -> Iterator[stores.Store]:
    with stores.open_store(record_url, clock) as kept:
        yield kept


@pytest.fixture
def asked(on_postgres: stores.Store, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every connection that was asked whether it lives."""
    found: list[Any] = []
    dialect = on_postgres._database._engine.dialect
    ask: Callable[[Any], bool] = dialect.do_ping
    monkeypatch.setattr(dialect, "do_ping", lambda c: found.append(c) or ask(c))
    return found


def test_connections_that_the_server_ended_are_replaced_unseen(
    on_postgres: stores.Store, record_url: str
) -> None:
    on_postgres.put("kept", "before")
    with psycopg.connect(record_url, autocommit=True) as admin:
        ended = admin.execute(_END).fetchall()
    assert ended
    assert on_postgres.get("kept") == "before"
    with on_postgres.begin(ANA) as tx:
        tx.record("written", None, {})
    assert on_postgres.verify_chain().ok


def test_a_connection_just_used_is_not_asked(on_postgres: stores.Store, asked: list[Any]) -> None:
    for _ in range(5):
        on_postgres.get("kept")
    assert asked == []


def test_a_connection_long_idle_is_asked(
    on_postgres: stores.Store, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_TRUSTED", -1.0)
    on_postgres.get("kept")
    assert len(asked) == 1


def test_a_server_that_is_gone_is_a_store_error_and_no_bug(
    on_postgres: stores.Store, record_url: str
) -> None:
    on_postgres.put("kept", "before")
    name = record_url.rpartition("/")[2].partition("?")[0]
    elsewhere = record_url.replace(f"/{name}", "/postgres")
    with psycopg.connect(elsewhere, autocommit=True) as admin:
        for allowed in ("false", "true"):
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed}".encode())
            if allowed == "false":
                admin.execute(_END)
                with pytest.raises(errors.StoreError):
                    on_postgres.get("kept")
    assert on_postgres.get("kept") == "before"


def test_a_chain_that_cannot_be_added_to_is_a_store_error_and_no_bug(state: stores.Store) -> None:
    with state._database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE audit_event RENAME TO elsewhere")
    with pytest.raises(errors.StoreError):
        _write(state)
    with state._database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO audit_event")
    assert state.get("kept") is None
    _write(state)
    assert (state.get("kept"), state.chain_head()[0]) == ("this", 1)


def _write(kept: stores.Store) -> None:
    with kept.begin(ANA) as tx:
        tx.put("kept", "this")
        tx.record("written", None, {})


def write(store: stores.Store, word: str) -> None:
    """A change, what is said of it, and its event."""
    with store.begin(ANA) as tx:
        tx.put("kept", word)
        tx.say("home", None, "home:U0ANA", {})
        tx.record(word, None, {})


def test_what_fails_on_its_way_to_the_commit_is_told_and_leaves_nothing(
    on_postgres: stores.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for the answers of the last statements one by one; the COMMIT is not run then."""
    head = on_postgres.chain_head()
    monkeypatch.setattr(tip, "_POSTGRES", tip._POSTGRES.replace("(%s,", "(%s / 0,", 1))
    with pytest.raises(errors.StoreError, match="22012"):
        write(on_postgres, "lost")
    monkeypatch.undo()
    assert (on_postgres.chain_head(), on_postgres.outbox_depth()) == (head, 0)
    write(on_postgres, "kept")
    assert on_postgres.verify_chain().count == head[0] + 1


def test_a_fork_of_the_chain_is_a_conflict(
    on_postgres: stores.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(on_postgres, "before")
    monkeypatch.setattr(tip, "hold", lambda _: (0, chain.GENESIS))
    with pytest.raises(errors.Conflict):
        write(on_postgres, "after")
    assert on_postgres.get("kept") == "before"


def test_who_waits_too_long_for_the_end_of_the_chain_is_told_to_come_again(
    record_url: str, clock: clocks.ManualClock
) -> None:
    with (
        stores.open_store(record_url, clock, patience=0.2) as store,
        psycopg.connect(record_url) as other,
    ):
        other.execute(f"SELECT pg_advisory_xact_lock({tip.LOCK})".encode())
        with pytest.raises(errors.Busy):
            write(store, "lost")
        other.rollback()
        assert store.get("kept") is None
        write(store, "goes")
        assert store.get("kept") == "goes"


def test_an_older_libpq_goes_turn_by_turn(
    on_postgres: stores.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psycopg.Pipeline, "is_supported", lambda: False)
    write(on_postgres, "written")
    assert on_postgres.outbox_depth() == 1
    assert on_postgres.verify_chain().ok


def test_the_marker_is_read_again_after_its_connection_was_ended_without_a_noise(
    on_postgres: stores.Store,
    record_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = on_postgres.version_marker()
    with psycopg.connect(record_url, autocommit=True) as admin:
        admin.execute(_END)
    with pytest.raises(errors.StoreError):
        on_postgres.version_marker()
    assert on_postgres.version_marker() == before
    assert not caplog.records
