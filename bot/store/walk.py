"""Reading the audit chain as it is stored: in order, in batches, without making values of it."""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from bot.store import proof, tables
from bot.store.database import Database

_EVENT = tables.audit_event
_BATCH = 1000
_ISO = 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'  # as `columns.Moment` writes it on SQLite


def rows(database: Database, after: int = 0, most: int | None = None) -> Iterator[proof.Row]:
    """The rows behind that number, at `most` so many. Raises StoreError, Busy."""
    query = sa.select(*_columns(database)).order_by(_EVENT.c.seq)
    while most is None or most > 0:
        size = _BATCH if most is None else min(_BATCH, most)
        with database.read() as connection:
            found = connection.execute(query.where(_EVENT.c.seq > after).limit(size))
            batch: Sequence[proof.Row] = (
                found.cursor.fetchall()
            )  # the driver's own, nothing to convert
        yield from batch
        if len(batch) < size:
            return
        after, most = batch[-1][0], None if most is None else most - size


def texts(database: Database, after: int = 0) -> Iterator[tuple[str, str]]:
    """Text and hash of every event behind that number."""
    return ((row[4], row[6]) for row in rows(database, after))


def holds(database: Database, beginning: str) -> bool:
    """Whether any event's hash begins so."""
    shown = sa.func.substr(_EVENT.c.hash, 1, len(beginning))
    with database.read() as connection:
        found = connection.execute(sa.select(_EVENT.c.seq).where(shown == beginning).limit(1))
        return found.first() is not None


def _columns(database: Database) -> tuple[sa.ColumnElement[object], ...]:
    event = _EVENT.c
    if database.is_sqlite:
        at: sa.ColumnElement[object] = sa.type_coerce(event.at, sa.Text)
    else:
        at = sa.func.to_char(sa.func.timezone("UTC", event.at), _ISO)
    return (event.seq, at, event.type, event.request_id, event.body, event.prev, event.hash)
