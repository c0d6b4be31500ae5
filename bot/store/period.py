"""What a stretch of time came to: counted where it lies, and read only where it is told by name.

A busy day has thousands of requests of which a digest names a handful. To read them all took ten times
as long as to have the database count them; each count walks one index, from end to end of the stretch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bot import model
from bot.store import tables
from bot.store.instant import seconds_between

_REQUEST, _GRANT = tables.access_request, tables.access_grant
_BOTH = _GRANT.join(_REQUEST, _REQUEST.c.id == _GRANT.c.id)
_ANY = _REQUEST.outerjoin(_GRANT, _GRANT.c.id == _REQUEST.c.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A request and what became of it, without texts and scope."""

    id: str
    status: model.RequestStatus
    target: str
    entitlement: str
    requester_id: str
    requester_name: str
    created_at: datetime
    decided_at: datetime | None
    grant_status: model.GrantStatus | None
    cause: model.EndCause | None
    activated_at: datetime | None
    expires_at: datetime | None
    revoking_since: datetime | None
    access_ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Few:
    """So many, of which the first are shown."""

    count: int
    first: tuple[Outline, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """What happened in [since, until); and what is active or under way now, whenever it began."""

    decided: Mapping[model.RequestStatus, int]
    failed: int  # of the decided: nothing could be granted
    waits: tuple[Outline, ...]  # the decided that waited longest for people, longest first
    made: Mapping[tuple[str, bool], int]  # by entitlement, and whether people decided
    ended: int
    slowest: tuple[Outline, ...]  # of the ended, those furthest past when they should have
    late: int  # of the ended: further past it than was asked for
    unused: Few  # of the ended: surely never used; in the order they ended
    active: Few  # also what is due by now; soonest to end first
    under_way: tuple[Outline, ...]  # waiting, being made, due or ending; in the order it was asked


_COLUMNS = (
    _REQUEST.c.id,
    _REQUEST.c.status,
    _REQUEST.c.target,
    _REQUEST.c.entitlement,
    _REQUEST.c.requester_id,
    _REQUEST.c.requester_name,
    _REQUEST.c.created_at,
    _REQUEST.c.decided_at,
    _GRANT.c.status.label("grant_status"),
    _GRANT.c.cause,
    _GRANT.c.activated_at,
    _GRANT.c.expires_at,
    _GRANT.c.revoking_since,
    _GRANT.c.access_ended_at,
)
_due = sa.case(  # as `doors.due_since` has it
    (
        sa.and_(_GRANT.c.cause != model.EndCause.DEADLINE, _GRANT.c.revoking_since.is_not(None)),
        _GRANT.c.revoking_since,
    ),
    else_=_GRANT.c.expires_at,
)
_lateness = seconds_between(_due, _GRANT.c.access_ended_at)
_wait = seconds_between(_REQUEST.c.created_at, _REQUEST.c.decided_at)


def summed_up(
    connection: sa.Connection,
    since: datetime,
    until: datetime,
    *,
    now: datetime,
    late_after: timedelta,
    most: int,
) -> Period:
    """The period [since, until), as seen at `now`; at most so many are named where only few are."""
    decided = _within(_REQUEST.c.decided_at, since, until)
    made = _within(_GRANT.c.activated_at, since, until)
    ended = sa.and_(
        _within(_GRANT.c.access_ended_at, since, until), _GRANT.c.activated_at.is_not(None)
    )
    outcomes = _outcomes(connection, decided)
    count, late, unused = _ends(connection, ended, late_after)
    return Period(
        decided={status: each for status, each, _ in outcomes},
        failed=sum(each for _, _, each in outcomes),
        waits=_waits(connection, decided, most),
        made=_made(connection, made),
        ended=count,
        slowest=_slowest(connection, ended, most),
        late=late,
        unused=Few(count=unused, first=_unused(connection, ended, most)),
        active=_active(connection, most),
        under_way=_under_way(connection, now),
    )


def _within(
    column: sa.Column[datetime], since: datetime, until: datetime
) -> sa.ColumnElement[bool]:
    return sa.and_(column >= since, column < until)


def _outcomes(
    connection: sa.Connection, decided: sa.ColumnElement[bool]
) -> Sequence[sa.Row[model.RequestStatus, int, int]]:
    """Each status with how many took it on, and how many of their grants could not be made."""
    failed = _GRANT.c.status == model.GrantStatus.ACTIVATION_FAILED
    query = (
        sa.select(_REQUEST.c.status, sa.func.count(), sa.func.count(sa.case((failed, 1))))
        .select_from(_ANY)
        .where(decided)
        .group_by(_REQUEST.c.status)
    )
    return connection.execute(query).all()


def _made(
    connection: sa.Connection, made: sa.ColumnElement[bool]
) -> Mapping[tuple[str, bool], int]:
    people = _REQUEST.c.decided_by.is_not(None)
    query = (
        sa.select(_REQUEST.c.entitlement, people, sa.func.count())
        .select_from(_BOTH)
        .where(made)
        .group_by(_REQUEST.c.entitlement, people)
    )
    return {(name, bool(by)): count for name, by, count in connection.execute(query)}


def _ends(
    connection: sa.Connection, ended: sa.ColumnElement[bool], late_after: timedelta
) -> tuple[int, int, int]:
    """How many ended, how many of them late, and how many never used."""
    late = _lateness > late_after.total_seconds()
    query = sa.select(
        sa.func.count(),
        sa.func.count(sa.case((late, 1))),
        sa.func.count(sa.case((_GRANT.c.used.is_(False), 1))),
    ).where(ended)
    count, behind, unused = connection.execute(query).one()
    return count, behind, unused


def _waits(
    connection: sa.Connection, decided: sa.ColumnElement[bool], most: int
) -> tuple[Outline, ...]:
    """What a rule decided at once did not wait for people, nor what was cancelled."""
    lapsed = _REQUEST.c.status == model.RequestStatus.EXPIRED
    query = sa.select(_REQUEST.c.id).where(
        decided,
        sa.or_(_REQUEST.c.decided_by.is_not(None), lapsed),
        _REQUEST.c.status != model.RequestStatus.CANCELLED,
    )
    return _named(connection, query.order_by(_wait.desc(), _REQUEST.c.id).limit(most))


def _slowest(
    connection: sa.Connection, ended: sa.ColumnElement[bool], most: int
) -> tuple[Outline, ...]:
    query = sa.select(_GRANT.c.id).where(ended, _GRANT.c.access_ended_at >= _due)
    return _named(connection, query.order_by(_lateness.desc(), _GRANT.c.id).limit(most))


def _unused(
    connection: sa.Connection, ended: sa.ColumnElement[bool], most: int
) -> tuple[Outline, ...]:
    query = sa.select(_GRANT.c.id).where(ended, _GRANT.c.used.is_(False))
    return _named(connection, query.order_by(_GRANT.c.access_ended_at).limit(most))


def _active(connection: sa.Connection, most: int) -> Few:
    active = _GRANT.c.status == model.GrantStatus.ACTIVE
    count = connection.execute(sa.select(sa.func.count()).where(active)).scalar_one()
    query = (
        sa.select(_GRANT.c.id).where(active).order_by(_GRANT.c.expires_at, _GRANT.c.id).limit(most)
    )
    return Few(count=count, first=_named(connection, query))


def _under_way(connection: sa.Connection, now: datetime) -> tuple[Outline, ...]:
    """Ids by one index each; an OR over two tables would walk the whole history."""
    moving = (model.GrantStatus.ACTIVATING, model.GrantStatus.REVOKING)
    due = sa.and_(_GRANT.c.status == model.GrantStatus.ACTIVE, _GRANT.c.expires_at <= now)
    ids = sa.union(
        sa.select(_REQUEST.c.id).where(_REQUEST.c.status == model.RequestStatus.PENDING),
        sa.select(_GRANT.c.id).where(_GRANT.c.status.in_(moving)),
        sa.select(_GRANT.c.id).where(due),
    )
    return _outlines(connection, _REQUEST.c.id.in_(ids))


def _named(connection: sa.Connection, query: sa.Select[Any]) -> tuple[Outline, ...]:
    """A few by their ids, in the order in which `query` finds these."""
    ids = list(connection.execute(query).scalars())
    found = {each.id: each for each in _outlines(connection, _REQUEST.c.id.in_(ids))} if ids else {}
    return tuple(found[each] for each in ids)


def _outlines(connection: sa.Connection, where: sa.ColumnElement[bool]) -> tuple[Outline, ...]:
    query = sa.select(*_COLUMNS).select_from(_ANY).where(where)
    rows = connection.execute(query.order_by(_REQUEST.c.created_at, _REQUEST.c.id))
    return tuple(Outline(**row._mapping) for row in rows)  # noqa: SLF001 - a Row's public face
