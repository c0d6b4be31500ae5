"""Who works on what. A claim is a lease by the database's clock, with a number that only rises.

The number (the fence) is asked for by every write that follows outside work, so whoever was paused
longer than the lease, and then wakes, finds the number changed and can record nothing.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bot import model
from bot.store import change, mapping, tables, upsert
from bot.store.instant import Instant, free
from bot.store.ready import Ready

_GRANT, _REPLICA = tables.access_grant, tables.replica
_FORGOTTEN = timedelta(days=1)  # a replica not heard of for so long is no longer listed

_TAKEN = mapping.columns_of(model.Grant, _GRANT)
_TAKING = (
    sa.update(_GRANT)
    .where(
        _GRANT.c.id == sa.bindparam("old_id"),
        _GRANT.c.status == sa.bindparam("expected"),
        free(_GRANT.c.claimed_until),
    )
    .values(
        fence=_GRANT.c.fence + 1,
        claimed_by=sa.bindparam("holder"),
        claimed_until=Instant("seconds"),
    )
    .returning(*_TAKEN)
)
_TAKE = Ready(lambda _: _TAKING, _TAKEN)
_RENEW = Ready(
    lambda _: (
        sa.update(_GRANT)
        .where(
            _GRANT.c.id == sa.bindparam("old_id"),
            _GRANT.c.fence == sa.bindparam("old_fence"),
            _GRANT.c.claimed_by.is_not(None),
        )
        .values(claimed_until=Instant("seconds"))
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A process that serves, or served, this record."""

    name: str
    started_at: datetime
    beat_at: datetime
    silent_for: timedelta  # by the database's clock


def take(
    connection: sa.Connection,
    grant_id: str,
    expected: model.GrantStatus,
    holder: str,
    lease: timedelta,
) -> model.Grant | None:
    """The grant, with a fence of its own, unless it has moved on or somebody has it."""
    row = _TAKE.first(
        connection,
        old_id=grant_id,
        expected=expected,
        holder=holder,
        seconds=lease.total_seconds(),
    )
    return None if row is None else mapping.value_of(model.Grant, _GRANT, row)


def take_for(
    connection: sa.Connection,
    grant: model.Grant,
    holder: str,
    lease: timedelta,
    intended: Mapping[str, Any],
) -> model.Grant | None:
    """As `take`, with what is intended, which was worked out from `grant`: nobody claimed it since."""
    change.check(intended)
    row = _taking_for(tuple(sorted(intended))).first(
        connection,
        old_id=grant.id,
        expected=grant.status,
        old_fence=grant.fence,
        holder=holder,
        seconds=lease.total_seconds(),
        **change.given(intended),
    )
    return None if row is None else mapping.value_of(model.Grant, _GRANT, row)


@functools.cache
def _taking_for(names: tuple[str, ...]) -> Ready:
    unchanged = _GRANT.c.fence == sa.bindparam("old_fence")
    return Ready(lambda _: _TAKING.where(unchanged).values(change.binds(names)), _TAKEN)


def renew(connection: sa.Connection, grant_id: str, fence: int, lease: timedelta) -> bool:
    """Hold it for `lease` from now on; false when somebody else has taken it or it was let go."""
    seconds = lease.total_seconds()
    return _RENEW.run(connection, old_id=grant_id, old_fence=fence, seconds=seconds) == 1


def void(connection: sa.Connection) -> None:
    """End every lease: whoever held one is known to be dead."""
    held = _GRANT.c.claimed_until.is_not(None)
    connection.execute(sa.update(_GRANT).where(held).values(claimed_by=None, claimed_until=None))
    box = tables.outbox
    waiting = (box.c.settled_at.is_(None), box.c.claimed_until.is_not(None))
    connection.execute(sa.update(box).where(*waiting).values(claimed_until=None))


def take_turn(connection: sa.Connection, key: str, now: datetime, every: timedelta) -> bool:
    """Note that it is done now, unless it was done within `every`; whether it was noted.

    One statement, so of several that ask at once only one gets the turn. Times are kept as text that
    sorts as time does.
    """
    table, told = tables.setting, mapping.plain(now)
    statement = upsert.insert(connection, table).values(key=key, value=told)
    noted = connection.execute(
        statement.on_conflict_do_update(
            index_elements=["key"],
            set_={"value": told},
            where=table.c.value <= mapping.plain(now - every),
        ).returning(table.c.key)
    )
    return noted.first() is not None


def beat(connection: sa.Connection, name: str) -> None:
    """This replica lives."""
    now = Instant()
    statement = upsert.insert(connection, _REPLICA).values(name=name, started_at=now, beat_at=now)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["name"], set_={"beat_at": statement.excluded.beat_at}
        )
    )
    connection.execute(sa.delete(_REPLICA).where(_REPLICA.c.beat_at < Instant(-_FORGOTTEN)))


def replicas(connection: sa.Connection) -> tuple[Replica, ...]:
    """Every replica of the last day, the one heard of last first."""
    query = sa.select(_REPLICA, Instant().label("now")).order_by(_REPLICA.c.beat_at.desc())
    return tuple(
        Replica(
            name=row.name,
            started_at=row.started_at,
            beat_at=row.beat_at,
            silent_for=max(timedelta(0), row.now - row.beat_at),
        )
        for row in connection.execute(query)
    )
