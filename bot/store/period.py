"""What happened in a stretch of time, in outline: enough to count, without texts and scopes."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from bot import model
from bot.store import tables

_REQUEST, _GRANT = tables.access_request, tables.access_grant


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A request and what became of it."""

    id: str
    status: model.RequestStatus
    target: str
    entitlement: str
    requester_id: str
    requester_name: str
    rule: str
    created_at: datetime
    decided_at: datetime | None
    decided_by: str | None  # None for policy and for the clock
    decided_by_name: str | None
    grant_status: model.GrantStatus | None
    cause: model.EndCause | None
    activated_at: datetime | None
    expires_at: datetime | None
    revoking_since: datetime | None
    access_ended_at: datetime | None
    cleaned_up_at: datetime | None
    used: bool | None  # None: unknown


_COLUMNS = (
    _REQUEST.c.id,
    _REQUEST.c.status,
    _REQUEST.c.target,
    _REQUEST.c.entitlement,
    _REQUEST.c.requester_id,
    _REQUEST.c.requester_name,
    _REQUEST.c.rule,
    _REQUEST.c.created_at,
    _REQUEST.c.decided_at,
    _REQUEST.c.decided_by,
    _REQUEST.c.decided_by_name,
    _GRANT.c.status.label("grant_status"),
    _GRANT.c.cause,
    _GRANT.c.activated_at,
    _GRANT.c.expires_at,
    _GRANT.c.revoking_since,
    _GRANT.c.access_ended_at,
    _GRANT.c.cleaned_up_at,
    _GRANT.c.used,
)


def outlines(connection: sa.Connection, since: datetime, until: datetime) -> tuple[Outline, ...]:
    """Whatever was asked, decided, made or ended in [since, until), or is live or waiting now.

    In the order it was asked.
    """
    query = (
        sa.select(*_COLUMNS)
        .select_from(_REQUEST.outerjoin(_GRANT, _GRANT.c.id == _REQUEST.c.id))
        .where(_REQUEST.c.id.in_(_touched(since, until)))
        .order_by(_REQUEST.c.created_at, _REQUEST.c.id)
    )
    return tuple(Outline(**row._mapping) for row in connection.execute(query))  # noqa: SLF001 - a Row's public face


def _touched(since: datetime, until: datetime) -> sa.CompoundSelect[str]:
    """Ids by one index each; an OR over two tables would walk the whole history."""
    within = [
        sa.select(moment.table.c.id).where(moment >= since, moment < until)
        for moment in (
            _REQUEST.c.created_at,
            _REQUEST.c.decided_at,
            _GRANT.c.activated_at,
            _GRANT.c.access_ended_at,
        )
    ]
    live = (
        sa.select(_REQUEST.c.id).where(_REQUEST.c.status == model.RequestStatus.PENDING),
        sa.select(_GRANT.c.id).where(_GRANT.c.status.in_(model.LIVE_GRANT)),
    )
    return sa.union(*within, *live)
