"""Doors that may be open: as much of a live grant as is needed to shut it without the record."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from bot import model
from bot.store import bulk, mapping, readable, tables

_GRANT, _EVENT = tables.access_grant, tables.audit_event
_OPEN = _GRANT.c.access_ended_at.is_(None)
_STATUSES = (model.GrantStatus.ACTIVE, model.GrantStatus.REVOKING)
_AS_IT_IS: sa.types.TypeEngine[Any] = sa.types.NullType()


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A grant that may have a role in a target, and from when on it must not let anybody in."""

    id: str
    target: str
    role_name: str
    role_oid: int | None
    server: str | None  # that the role was made on
    expires_at: datetime
    cause: model.EndCause | None
    revoking_since: datetime | None

    @property
    def due(self) -> datetime:
        """The moment at which access should have ended."""
        return due_since(self.expires_at, self.cause, self.revoking_since)


_COLUMNS = tuple(_GRANT.c[name] for name in mapping.fields_of(Door))


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Where a walk along all doors has come to; the next page begins there."""

    status: model.GrantStatus = _STATUSES[0]
    expires_at: Any = None  # as the database keeps it: a hand may have written what is no date
    id: str = ""


def page(
    connection: sa.Connection, after: Page, limit: int
) -> tuple[tuple[Door, ...], Page | None]:
    """Some doors that may be open, and where the next are found; None when these were the last."""
    kept = sa.type_coerce(_GRANT.c.expires_at, _AS_IT_IS)
    query = sa.select(_GRANT.c.id, kept.label("kept")).where(_GRANT.c.status == after.status, _OPEN)
    if after.id:
        last = sa.tuple_(sa.literal(after.expires_at, _AS_IT_IS), sa.literal(after.id))
        query = query.where(sa.tuple_(kept, _GRANT.c.id) > last)
    rows = connection.execute(query.order_by(_GRANT.c.expires_at, _GRANT.c.id).limit(limit)).all()
    doors = some(connection, [row.id for row in rows])
    if len(rows) == limit:
        return doors, Page(status=after.status, expires_at=rows[-1].kept, id=rows[-1].id)
    later = _STATUSES[_STATUSES.index(after.status) + 1 :]
    return doors, Page(status=later[0]) if later else None


def some(connection: sa.Connection, ids: Sequence[str]) -> tuple[Door, ...]:
    """Of these grants, the doors that may be open."""
    query = sa.select(*_COLUMNS).where(
        bulk.Among(_GRANT.c.id, ids), _OPEN, _GRANT.c.status.in_(_STATUSES)
    )
    return readable.values(connection, Door, _GRANT, query)


def changed(connection: sa.Connection, seq: int, limit: int) -> tuple[int, frozenset[str]]:
    """Requests of which the chain tells after `seq`, at most `limit` events on; and how far that is.

    The chain is written in the order of commits, so nothing appears behind what was read.
    """
    query = sa.select(_EVENT.c.seq, _EVENT.c.request_id).where(_EVENT.c.seq > seq)
    rows = connection.execute(query.order_by(_EVENT.c.seq).limit(limit)).all()
    ids = frozenset(row.request_id for row in rows if row.request_id is not None)
    return (rows[-1].seq if rows else seq), ids


def due_since(
    expires_at: datetime, cause: model.EndCause | None, revoking_since: datetime | None
) -> datetime:
    """The moment at which access should have ended."""
    if cause is model.EndCause.DEADLINE or revoking_since is None:
        return expires_at
    return revoking_since
