"""What must still be said in Slack, lane by lane. Only the head of a lane may be said."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bot import errors
from bot.store import mapping, tables

_BOX = tables.outbox


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """One thing to say."""

    id: int
    kind: str
    request_id: str | None
    lane: str
    data: Mapping[str, Any]
    attempts: int  # failed ones
    created_at: datetime
    key: str | None = None
    last_error: str | None = None


def due(connection: sa.Connection, now: datetime, limit: int) -> tuple[OutboxRow, ...]:
    """Heads of lanes that may be said now and that nobody is saying, oldest first."""
    rows = connection.execute(_due(now).limit(limit))
    return tuple(mapping.value_from(OutboxRow, row, _BOX) for row in rows)


def claim(
    connection: sa.Connection, now: datetime, limit: int, lease: timedelta
) -> tuple[OutboxRow, ...]:
    """As `due`, and nobody else gets these before the lease is over."""
    rows = connection.execute(_due(now).limit(limit).with_for_update(skip_locked=True)).all()
    ids = [row.id for row in rows]
    claimed = connection.execute(
        sa.update(_BOX)
        .where(_BOX.c.id.in_(ids), _BOX.c.settled_at.is_(None))
        .values(claimed_until=now + lease)
        .returning(_BOX)
    )
    values = (mapping.value_from(OutboxRow, row, _BOX) for row in claimed)
    return tuple(sorted(values, key=lambda row: row.id))


def settle(
    connection: sa.Connection, row_id: int, now: datetime, error: str | None = None
) -> OutboxRow:
    """Said, or given up with an error. Conflict: it was settled before."""
    return _change(
        connection,
        row_id,
        settled_at=now,
        claimed_until=None,
        **({"last_error": error} if error else {}),
    )


def put_off(connection: sa.Connection, row_id: int, not_before: datetime, error: str) -> OutboxRow:
    """Try again later; the lane waits. Conflict: it was settled before."""
    return _change(
        connection,
        row_id,
        not_before=not_before,
        last_error=error,
        attempts=_BOX.c.attempts + 1,
        claimed_until=None,
    )


def depth(connection: sa.Connection) -> int:
    """How many lines wait."""
    query = sa.select(sa.func.count()).select_from(_BOX).where(_BOX.c.settled_at.is_(None))
    return connection.execute(query).scalar_one()


def _due(now: datetime) -> sa.Select[Any]:
    """The head is found among all that wait, whether due or not: nothing overtakes within a lane."""
    heads = sa.select(sa.func.min(_BOX.c.id)).where(_BOX.c.settled_at.is_(None))
    return (
        sa.select(_BOX)
        .where(
            _BOX.c.id.in_(heads.group_by(_BOX.c.lane)),
            _BOX.c.settled_at.is_(None),
            sa.or_(_BOX.c.not_before.is_(None), _BOX.c.not_before <= now),
            sa.or_(_BOX.c.claimed_until.is_(None), _BOX.c.claimed_until <= now),
        )
        .order_by(_BOX.c.id)
    )


def _change(connection: sa.Connection, row_id: int, **values: Any) -> OutboxRow:
    row = connection.execute(
        sa.update(_BOX)
        .where(_BOX.c.id == row_id, _BOX.c.settled_at.is_(None))
        .values(**values)
        .returning(_BOX)
    ).one_or_none()
    if row is None:
        raise errors.Conflict(f"Line {row_id} of the outbox is settled already.")
    return mapping.value_from(OutboxRow, row, _BOX)
