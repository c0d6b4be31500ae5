"""Reading the audit chain as it is stored: in order, in batches, without making values of it."""

from collections.abc import Generator, Iterator
from typing import Any

import sqlalchemy as sa

from bot.store import faults, proof, tables, turns
from bot.store.database import Database

_EVENT = tables.audit_event
_BATCH = 1000
_ISO = 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'  # as `columns.Moment` writes it on SQLite
_AT = f"to_char(at AT TIME ZONE 'UTC', '{_ISO}')"
_ROW = "{at}, type, request_id, body, prev, hash"
_TEXT = "body, hash"


def rows(database: Database, after: int = 0) -> Generator[proof.Row]:
    """The rows behind that number, for who looks at each without delay. Raises StoreError, Busy.

    The next batch is asked for before this one is looked at: PostgreSQL has it ready by then. Until
    the last one is read or the generator closed, a connection is in use.
    """
    query = _query(database, _ROW)
    with (
        database.look() as connection,
        turns.saved(connection),
        faults.cursor_of(connection) as cursor,
    ):
        cursor.execute(query, (after, _BATCH))
        while batch := cursor.fetchall():
            cursor.execute(query, (batch[-1][0], _BATCH))
            yield from batch


def texts(database: Database, after: int = 0) -> Iterator[tuple[str, str]]:
    """Text and hash of every event behind that number. Raises StoreError, Busy.

    Who takes them may be slow, as a page of a terminal is: between two batches nothing is in use.
    """
    query = _query(database, _TEXT)
    while batch := _batch(database, query, after):
        yield from ((body, hash_) for _, body, hash_ in batch)
        after = batch[-1][0]


def holds(database: Database, beginning: str) -> bool:
    """Whether any event's hash begins so."""
    shown = sa.func.substr(_EVENT.c.hash, 1, len(beginning))
    with database.read() as connection:
        found = connection.execute(sa.select(_EVENT.c.seq).where(shown == beginning).limit(1))
        return found.first() is not None


def _batch(database: Database, query: str, after: int) -> list[Any]:
    with database.look() as connection, faults.cursor_of(connection) as cursor:
        found: list[Any] = cursor.execute(query, (after, _BATCH)).fetchall()
        return found


def _query(database: Database, columns: str) -> str:
    """The number and these columns, the driver's own values, of the events behind a number."""
    at, value = ("at", "?") if database.is_sqlite else (_AT, "%s")
    return (
        f"SELECT seq, {columns.format(at=at)} FROM audit_event"
        f" WHERE seq > {value} ORDER BY seq LIMIT {value}"
    )
