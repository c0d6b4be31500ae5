"""The end of the audit chain: read and added to, by the driver itself.

Every change of anything passes here, and on PostgreSQL one after the other: to put two short
statements together takes SQLAlchemy longer than the database needs for them.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from bot import model
from bot.store import bulk, chain, faults, mapping, proof, tables

LOCK = 0x6A69745F61756474  # "jit_audt": any number of our own, the same in every replica

_TIP = "SELECT seq, hash FROM audit_event ORDER BY seq DESC LIMIT 1"
_LOCKED = f"SELECT pg_advisory_xact_lock({LOCK})"
_INTO = "INSERT INTO audit_event (seq, at, type, request_id, body, prev, hash) VALUES "
_SQLITE = _INTO + "(?, ?, ?, ?, ?, ?, ?)"
_POSTGRES = _INTO + "(%s, %s, %s, %s, %s, %s, %s)"


def hold(connection: sa.Connection) -> tuple[int, str]:
    """Be the only one who appends until this transaction ends; the last event's number and hash."""
    if connection.dialect.name != "sqlite":  # whoever writes is alone there
        # Two statements, each with a snapshot of its own: what is read is what was committed before
        # the lock was ours. Nobody waits for an answer between them, see `turns`.
        with faults.cursor_of(connection) as cursor:
            cursor.execute(_LOCKED)
    with faults.cursor_of(connection) as cursor:
        found = cursor.execute(_TIP).fetchone()
    return (found[0], found[1]) if found else (0, chain.GENESIS)


def append(connection: sa.Connection, events: Sequence[model.AuditEvent]) -> None:
    """Write the events that follow. For whoever holds the tip."""
    if len(events) > 1:
        bulk.insert(connection, tables.audit_event, [mapping.values_of(each) for each in events])
        return
    insert = _SQLITE if connection.dialect.name == "sqlite" else _POSTGRES
    with faults.cursor_of(connection) as cursor:
        cursor.execute(insert, proof.row_of(events[0]))
