"""Connections to SQLite that are kept: none is used again with something of its last use on it."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import exc

from bot import errors
from bot.store import database, kept
from tests.fixtures_store import heard


@pytest.fixture
def record(tmp_path: Path) -> Iterator[database.Database]:
    made = database.Database(f"sqlite:///{tmp_path / 'jit.db'}", patience=0.2)
    with made.write() as connection:
        connection.exec_driver_sql("CREATE TABLE kept (word TEXT UNIQUE)")
    yield made
    made.close()


def put(record: database.Database, word: str) -> None:
    with record.write() as connection:
        connection.exec_driver_sql("INSERT INTO kept VALUES (?)", (word,))


def words(record: database.Database) -> list[str]:
    with record.look() as connection:
        return [str(word) for (word,) in connection.exec_driver_sql("SELECT word FROM kept")]


def test_what_fails_half_way_leaves_nothing_and_the_next_finds_a_sound_connection(
    record: database.Database,
) -> None:
    def half() -> None:
        with record.write() as connection:
            connection.exec_driver_sql("INSERT INTO kept VALUES ('half')")
            raise LookupError

    with pytest.raises(LookupError):
        half()
    put(record, "whole")
    assert words(record) == ["whole"]


def test_a_commit_that_fails_is_told_and_leaves_nothing(record: database.Database) -> None:
    def full() -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with heard(record._kept[0], full), pytest.raises(errors.StoreError):
        put(record, "lost")
    put(record, "whole")
    assert words(record) == ["whole"]


def test_a_broken_constraint_is_a_conflict_and_keeps_nobody_waiting(
    record: database.Database,
) -> None:
    put(record, "once")
    with pytest.raises(errors.Conflict):
        put(record, "once")
    put(record, "twice")
    assert words(record) == ["once", "twice"]


def test_a_file_that_somebody_else_holds_is_busy_and_then_is_not(
    record: database.Database,
) -> None:
    holder = sqlite3.connect(record.place, isolation_level=None)
    holder.execute(kept.WRITE)
    with pytest.raises(errors.Busy):
        put(record, "waits")
    holder.rollback()
    holder.close()
    put(record, "goes")
    assert words(record) == ["goes"]


def test_a_snapshot_is_over_with_its_block(record: database.Database) -> None:
    put(record, "before")
    with record.read() as connection:
        connection.exec_driver_sql("SELECT * FROM kept").all()
        put(record, "meanwhile")
        still = connection.exec_driver_sql("SELECT word FROM kept").scalars().all()
    with record.read() as connection:
        then = connection.exec_driver_sql("SELECT word FROM kept").scalars().all()
    assert (still, then) == (["before"], ["before", "meanwhile"])


def test_who_reads_at_once_reads_on_connections_of_their_own(record: database.Database) -> None:
    everybody, seen = threading.Barrier(8), list[int]()

    def look() -> None:
        with record.look() as connection:
            seen.append(id(connection))
            everybody.wait(10)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == 8
    assert len(record._kept[0]._idle) == 4


def test_what_comes_back_after_the_end_is_closed(record: database.Database) -> None:
    with record.look() as connection:
        record.close()
    assert connection.closed


def test_a_transaction_is_one_also_for_who_only_asks_sqlalchemy(
    record: database.Database,
) -> None:
    with record.write() as connection:
        assert connection.in_transaction()


def test_errors_of_the_driver_come_as_sqlalchemys(record: database.Database) -> None:
    with pytest.raises(exc.OperationalError), record._kept[0].transaction("BEGIN NOTHING"):
        pass
