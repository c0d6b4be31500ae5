"""What is to be done next, and when: looked up at every ring of the bell, and mostly nothing."""

from datetime import datetime

import sqlalchemy as sa

from bot import model
from bot.store import mapping, readable, tables
from bot.store.instant import free
from bot.store.ready import Ready

_GRANT, _REQUEST = tables.access_grant, tables.access_request

_GIVEN = mapping.columns_of(model.Grant, _GRANT)
_IN_MOTION = (
    sa.select(*_GIVEN)
    .where(
        _GRANT.c.status == sa.bindparam("status"),
        sa.or_(
            _GRANT.c.next_attempt_at.is_(None), _GRANT.c.next_attempt_at <= sa.bindparam("present")
        ),
        free(_GRANT.c.claimed_until),
    )
    .order_by(_GRANT.c.next_attempt_at.nulls_first(), _GRANT.c.created_at)
    .limit(sa.bindparam("most", type_=sa.Integer))
)
_MOTION = Ready(lambda _: _IN_MOTION, _GIVEN)

_MOMENTS = tuple(
    sa.select(sa.func.min(moment)).where(waits).scalar_subquery()
    for moment, waits in (
        (_GRANT.c.expires_at, _GRANT.c.status == model.GrantStatus.ACTIVE),
        (_GRANT.c.next_attempt_at, _GRANT.c.status == model.GrantStatus.ACTIVATING),
        (_GRANT.c.next_attempt_at, _GRANT.c.status == model.GrantStatus.REVOKING),
        (_REQUEST.c.decide_by, _REQUEST.c.status == model.RequestStatus.PENDING),
    )
)
_DEADLINE = Ready(lambda _: sa.select(*_MOMENTS), _MOMENTS)
_IS_LIVE = _GRANT.c.status.in_(
    [sa.literal_column(f"'{each}'") for each in sorted(model.LIVE_GRANT)]
)
_LIVE = Ready(lambda _: sa.select(_GRANT.c.id).where(_IS_LIVE).limit(1), (_GRANT.c.id,))


def in_motion(
    connection: sa.Connection, status: model.GrantStatus, now: datetime, limit: int
) -> tuple[model.Grant, ...]:
    """Grants of that status whose next step is due and that nobody works on."""
    given = {"status": status, "present": now, "most": limit}
    try:
        rows = _MOTION.rows(connection, **given)
        return tuple(mapping.value_of(model.Grant, _GRANT, row) for row in rows)
    except readable.BROKEN:
        return readable.values(connection, model.Grant, _GRANT, _IN_MOTION.params(given))


def is_any_live(connection: sa.Connection) -> bool:
    """Whether there is a grant that is not over."""
    return bool(_LIVE.rows(connection))


def deadline(connection: sa.Connection) -> datetime | None:
    """The earliest of the moments at which something must be done without anybody asking."""
    (found,) = _DEADLINE.rows(connection)
    return min((moment for moment in found if moment is not None), default=None)
