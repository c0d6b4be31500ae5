"""Grants in brief, for what is looked at every second: an outage makes thousands of them late.

Whoever watches needs a few columns of them and no limit; whole grants cost six times as much to read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from bot import model
from bot.store import mapping, readable, tables

_GRANT = tables.access_grant
_AT_ONCE = 500  # ids in one query; SQLite takes 999 parameters at the least


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """What watching needs to know of a grant; the fields mean what they mean in `model.Grant`."""

    id: str
    status: model.GrantStatus
    target: str
    created_at: datetime
    expires_at: datetime
    activated_at: datetime | None
    cause: model.EndCause | None
    revoking_since: datetime | None
    access_ended_at: datetime | None
    cleaned_up_at: datetime | None
    attempts: int
    last_error: str | None
    alarmed_at: datetime | None


_COLUMNS = tuple(_GRANT.c[name] for name in mapping.fields_of(Brief))


def late(
    connection: sa.Connection, open_since: datetime, left_since: datetime
) -> tuple[Brief, ...]:
    """Ends that began, or were due, before `open_since` with access not known to have ended; and
    those whose access ended before `left_since` and that are not over. In order of their deadlines.
    """
    began = sa.or_(_GRANT.c.revoking_since < open_since, _GRANT.c.expires_at < open_since)
    opened = sa.and_(_GRANT.c.access_ended_at.is_(None), began)
    query = sa.select(*_COLUMNS).where(
        _GRANT.c.status == model.GrantStatus.REVOKING,
        sa.or_(opened, _GRANT.c.access_ended_at < left_since),
    )
    return _all(connection, query.order_by(_GRANT.c.expires_at, _GRANT.c.id))


def live_by_target(connection: sa.Connection) -> dict[str, int]:
    """How many grants are live on each target; targets without any are left out."""
    query = sa.select(_GRANT.c.target, sa.func.count()).where(_is_live())
    rows = connection.execute(query.group_by(_GRANT.c.target))
    return {target: count for target, count in rows}  # noqa: C416 - a Row is no pair to mypy


def live_on(connection: sa.Connection, target: str) -> tuple[Brief, ...]:
    """Every live grant on that target, oldest first."""
    query = sa.select(*_COLUMNS).where(_is_live(), _GRANT.c.target == target)
    return _all(connection, query.order_by(_GRANT.c.created_at, _GRANT.c.id))


def some(connection: sa.Connection, ids: Sequence[str]) -> tuple[Brief, ...]:
    """These, in no order."""
    parts = [ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)]
    found = (_all(connection, sa.select(*_COLUMNS).where(_GRANT.c.id.in_(part))) for part in parts)
    return tuple(brief for part in found for brief in part)


def _is_live() -> sa.ColumnElement[bool]:
    return _GRANT.c.status.in_(sorted(model.LIVE_GRANT))


def _all(connection: sa.Connection, query: sa.Select[Any]) -> tuple[Brief, ...]:
    return readable.values(connection, Brief, _GRANT, query)
