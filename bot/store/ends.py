"""Ends by the batch: what is due, what is to be done where, and who takes it.

A batch is of one target. What others have locked or claimed is passed over, so that of several
replicas each takes another part and none waits for another.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bot import model
from bot.store import bulk, mapping, readable, tables
from bot.store.instant import Instant, free
from bot.store.ready import Ready

_GRANT = tables.access_grant
# Written out, not bound: only so is the partial index on them known to fit.
_REVOKING = _GRANT.c.status == sa.literal_column(f"'{model.GrantStatus.REVOKING}'")
_OPEN = _GRANT.c.access_ended_at.is_(None)
_HELD = _GRANT.c.claimed_by.is_not(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Ends on one target that somebody may work on now."""

    target: str
    # whether access has not ended, or is not known to have; otherwise something is to be removed
    open: bool


def due(connection: sa.Connection, now: datetime, limit: int) -> Mapping[str, str]:
    """Active grants whose time is over and that nobody else is about to end: target by id.

    Locked until the transaction ends, longest overdue first.
    """
    return dict(_DUE.rows(connection, present=now, most=limit))


def is_any_due(connection: sa.Connection, now: datetime) -> bool:
    """Whether there is an active grant whose time is over."""
    return bool(_ANY_DUE.rows(connection, present=now))


_IS_DUE = (
    _GRANT.c.status == model.GrantStatus.ACTIVE,
    _GRANT.c.expires_at <= sa.bindparam("present"),
)
_DUE_AT = (_GRANT.c.id, _GRANT.c.target)
_DUE = Ready(
    lambda _: (
        sa.select(*_DUE_AT)
        .where(*_IS_DUE)
        .order_by(_GRANT.c.expires_at)
        .limit(sa.bindparam("most", type_=sa.Integer))
        .with_for_update(skip_locked=True)
    ),
    _DUE_AT,
)
_ANY_DUE = Ready(lambda _: sa.select(_GRANT.c.id).where(*_IS_DUE).limit(1), (_GRANT.c.id,))


def in_status(connection: sa.Connection, status: model.GrantStatus, limit: int) -> tuple[str, ...]:
    """Some grants of that status, locked until the transaction ends."""
    query = sa.select(_GRANT.c.id).where(_GRANT.c.status == status)
    query = query.order_by(_GRANT.c.expires_at, _GRANT.c.id).limit(limit).with_for_update()
    return tuple(row.id for row in connection.execute(query))


def waiting(connection: sa.Connection, now: datetime) -> tuple[Waiting, ...]:
    """Where something is to be done now that nobody is doing; open doors first."""
    found = (
        Waiting(target=target, open=open_)
        for target, open_ in _WAITING.rows(connection, present=now)
    )
    return tuple(sorted(found, key=lambda each: (not each.open, each.target)))


def under_way(connection: sa.Connection, since: datetime) -> bool | None:
    """Whether doors are being shut by somebody, of ends begun after that; None: nothing is being done."""
    found = [open_ for (open_,) in _UNDER_WAY.rows(connection, since=since)]
    return any(found) if found else None


_IS_OPEN = _OPEN.label("open")
_MAY_BE_TRIED = (
    sa.or_(_GRANT.c.next_attempt_at.is_(None), _GRANT.c.next_attempt_at <= sa.bindparam("present")),
    free(_GRANT.c.claimed_until),
)
_WAITING = Ready(
    lambda _: sa.select(_GRANT.c.target, _IS_OPEN).where(_REVOKING, *_MAY_BE_TRIED).distinct(),
    (_GRANT.c.target, _IS_OPEN),
)
_UNDER_WAY = Ready(
    lambda _: (
        sa.select(_IS_OPEN)
        .where(
            _REVOKING,
            _GRANT.c.revoking_since > sa.bindparam("since"),
            sa.not_(free(_GRANT.c.claimed_until)),
        )
        .distinct()
    ),
    (_IS_OPEN,),
)


def take(
    connection: sa.Connection,
    where: Waiting,
    now: datetime,
    holder: str,
    lease: timedelta,
    most: int,
) -> tuple[model.Grant, ...]:
    """Some of what waits there, ours for `lease`, each with a new fence; what has waited longest first."""
    taken = _taking(open_=where.open).fetched(
        connection,
        where=where.target,
        present=now,
        most=most,
        holder=holder,
        seconds=lease.total_seconds(),
    )
    try:
        grants = [mapping.value_of(model.Grant, _GRANT, row) for row in taken.values()]
    except readable.BROKEN:
        ids = [row[_ID_AT] for row in taken.rows]
        ours = sa.select(_GRANT).where(bulk.Among(_GRANT.c.id, ids))
        grants = list(readable.values(connection, model.Grant, _GRANT, ours))
    return tuple(sorted(grants, key=lambda grant: (grant.expires_at, grant.id)))


_TAKEN = mapping.columns_of(model.Grant, _GRANT)
_ID_AT = _TAKEN.index(_GRANT.c.id)


@functools.cache
def _taking(*, open_: bool) -> Ready:
    """What is locked by others is passed over; what they have taken by the time its row is locked, too:
    PostgreSQL asks again then. The change goes by id alone: asked for more, PostgreSQL reads all that
    waits for each batch of it, by the index that it takes for next to empty.
    """
    upcoming = _GRANT.c.next_attempt_at
    look = sa.select(_GRANT.c.id).where(
        _REVOKING,
        _GRANT.c.target == sa.bindparam("where"),
        _OPEN if open_ else sa.not_(_OPEN),
        sa.or_(upcoming.is_(None), upcoming <= sa.bindparam("present")),
        free(_GRANT.c.claimed_until),
    )
    first = _GRANT.c.expires_at if open_ else _GRANT.c.access_ended_at  # as their index has them
    look = look.order_by(first).limit(sa.bindparam("most", type_=sa.Integer))
    look = look.with_for_update(skip_locked=True).correlate(None)
    taken = sa.update(_GRANT).where(bulk.Among(_GRANT.c.id, look.scalar_subquery()))
    taken = taken.values(
        fence=_GRANT.c.fence + 1,
        claimed_by=sa.bindparam("holder"),
        claimed_until=Instant("seconds"),
    )
    return Ready(lambda _: taken.returning(*_TAKEN), _TAKEN)


def renew(connection: sa.Connection, fences: Mapping[str, int], lease: timedelta) -> None:
    """Hold these (fence by id) for `lease` from now on, as far as they are still held so."""
    ours = _fenced(fences, _HELD).with_for_update()
    _set(connection, _of(connection, ours, fences), {"claimed_until": Instant(lease)})


def let_go(connection: sa.Connection, fences: Mapping[str, int]) -> None:
    """Whoever wants these may have them, as far as they are still held under that fence."""
    ours = _fenced(fences, _HELD).with_for_update()
    _set(connection, _of(connection, ours, fences), {"claimed_by": None, "claimed_until": None})


def is_any_held(connection: sa.Connection, fences: Mapping[str, int]) -> bool:
    """Whether one of these (fence by id) is still held under that fence."""
    return bool(_of(connection, _fenced(fences, _HELD), fences))


def in_hand(
    connection: sa.Connection, fences: Mapping[str, int], expected: model.GrantStatus
) -> tuple[str, ...]:
    """Which of these (fence by id) are still `expected` and nobody else's; locked from now on."""
    found = _FENCES.fetched(connection, ids=bulk.as_words(fences))
    return tuple(
        grant_id
        for grant_id, fence, status in found.rows
        if fence == fences[grant_id] and status == expected
    )


_FENCED = (_GRANT.c.id, _GRANT.c.fence, _GRANT.c.status)
_FENCES = Ready(  # by id alone, as `_taking`
    lambda _: (
        sa.select(*_FENCED)
        .where(bulk.Among(_GRANT.c.id, "ids"))
        .order_by(_GRANT.c.id)  # as `_fenced`
        .with_for_update()
    ),
    _FENCED,
)


def forget_pauses(connection: sa.Connection) -> None:
    """Whatever waits for its next attempt may be tried now."""
    moving = (model.GrantStatus.ACTIVATING, model.GrantStatus.REVOKING)
    waits = (_GRANT.c.status.in_(moving), _GRANT.c.next_attempt_at.is_not(None))
    connection.execute(sa.update(_GRANT).where(*waits).values(next_attempt_at=None))


def _fenced(
    fences: Mapping[str, int], condition: sa.ColumnElement[bool]
) -> sa.Select[tuple[str, int]]:
    """In the order of their ids, so that two who lock some of the same never wait for one another."""
    query = sa.select(_GRANT.c.id, _GRANT.c.fence).where(bulk.Among(_GRANT.c.id, fences), condition)
    return query.order_by(_GRANT.c.id)


def _of(
    connection: sa.Connection, query: sa.Select[tuple[str, int]], fences: Mapping[str, int]
) -> tuple[str, ...]:
    rows = connection.execute(query)
    return tuple(row.id for row in rows if row.fence == fences[row.id])


def _set(connection: sa.Connection, ids: Sequence[str], values: Mapping[str, Any]) -> None:
    if ids:
        connection.execute(sa.update(_GRANT).where(bulk.Among(_GRANT.c.id, ids)).values(values))
