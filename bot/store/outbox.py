"""What must still be said in Slack, lane by lane. Only the head of a lane may be said."""

import itertools
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bot import errors
from bot.store import bulk, mapping, tables
from bot.store.instant import Instant, free
from bot.store.ready import Ready

_BOX = tables.outbox
PLACE_KEY = "place_key"  # in a row's data: where it was said is kept under that key
EACH = bulk.WORD  # in a lane: the request that it is said of

_Standing = defaultdict[tuple[str, str, str | None], list[Mapping[str, Any]]]


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
    fence: int = 0  # how often it was claimed


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Something to say that is not written yet; of a crowd the same is said at once."""

    of: Sequence[str | None]  # requests that it is said of; None: of none
    lane: str  # with EACH, one for each of them
    values: Mapping[str, Any]  # of its row, or of all of them
    redraw: bool = False  # it has no words of its own: one that waits is as good as two

    def lane_of(self, request_id: str | None) -> str:
        """The lane of what is said of that request."""
        return self.lane if request_id is None else self.lane.replace(EACH, request_id)

    def rows(self) -> list[Mapping[str, Any]]:
        """What is written, request by request."""
        return [{**self.values, "request_id": each, "lane": self.lane_of(each)} for each in self.of]


def news(connection: sa.Connection, said: Sequence[Said]) -> list[Said]:
    """What is to be written of what was said: all of it, but for redraws of which one stands already.

    A redraw shows what is true when it is delivered, so one that nobody has begun to deliver will show
    this change too, if it is not begun before the change is committed. Hence the lock: whoever claims
    passes over what is locked, and what is being claimed just now is passed over here. What is
    claimed may have been drawn already, however long ago the claim ran out.
    """
    standing = _hold_redraws(connection, [each for each in said if each.redraw])
    left = (_unsaid(each, standing) if each.redraw else each for each in said)
    return [each for each in left if each.of]


def _unsaid(each: Said, standing: _Standing) -> Said:
    """Of those of which it does not stand; from now on it does."""
    data, left = each.values["data"], list[str | None]()
    for request_id in each.of:
        others = standing[each.values["kind"], each.lane_of(request_id), request_id]
        if not any(_does_for(other, data) for other in others):
            others.append(data)
            left.append(request_id)
    return replace(each, of=left)


def _does_for(waiting: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether the one that waits draws all of it: what stands in a redraw's data narrows it."""
    return waiting.items() <= wanted.items()


def _hold_redraws(connection: sa.Connection, wanted: Sequence[Said]) -> _Standing:
    """Data of those that wait, by what they draw. They stay unclaimed until this transaction ends."""
    found: _Standing = defaultdict(list)
    if not wanted:
        return found
    lanes = bulk.as_words({each.lane_of(one) for each in wanted for one in each.of})
    kinds = bulk.as_words({each.values["kind"] for each in wanted})
    for kind, lane, request_id, data in _STANDING.rows(connection, lanes=lanes, kinds=kinds):
        found[kind, lane, request_id].append(data)
    return found


_DRAWN = (_BOX.c.kind, _BOX.c.lane, _BOX.c.request_id, _BOX.c.data)
_STANDING = Ready(
    lambda _: (
        sa.select(*_DRAWN)
        .where(
            bulk.Joined(_BOX.c.lane, "lanes"),  # its index is one of what waits: in a crowd, much
            bulk.Among(_BOX.c.kind, "kinds"),
            _BOX.c.settled_at.is_(None),
            _BOX.c.claimed_until.is_(None),
        )
        .with_for_update(skip_locked=True)
    ),
    _DRAWN,
)


def write(connection: sa.Connection, said: Sequence[Said]) -> None:
    """Numbered in their order, lane by lane. A key that was used is not used again."""
    for many, some in itertools.groupby(said, key=lambda each: len(each.of) >= bulk.MANY):
        if many:
            for each in some:
                places = {"request_id": EACH, "lane": each.lane}
                bulk.insert_alike(connection, _BOX, each.values, places, each.of)
        else:
            rows = [row for each in some for row in each.rows()]
            bulk.insert(connection, _BOX, rows, but_taken=True)


def due(connection: sa.Connection, now: datetime, limit: int) -> tuple[OutboxRow, ...]:
    """Heads of lanes whose time has come, oldest first."""
    rows = connection.execute(_due(now).limit(limit))
    return tuple(mapping.value_from(OutboxRow, row, _BOX) for row in rows)


def claim(
    connection: sa.Connection,
    now: datetime,
    limit: int,
    lease: timedelta,
    but: Collection[str] = (),
) -> tuple[OutboxRow, ...]:
    """As `due`, of those that nobody is saying; nobody else gets these before the lease is over.

    `but`: kinds that are left where they are, and their lanes behind them.
    What the look found free may have been claimed by the time its row is locked, so the change asks
    again.
    """
    _go_by_index(connection)
    open_ = _open(now, but).limit(limit)
    rows = connection.execute(open_.with_for_update(skip_locked=True)).all()
    ids = [row.id for row in rows]
    if not ids:
        return ()
    claimed = connection.execute(
        sa.update(_BOX)
        .where(_BOX.c.id.in_(ids), _BOX.c.settled_at.is_(None), free(_BOX.c.claimed_until))
        .values(claimed_until=Instant(lease), fence=_BOX.c.fence + 1)
        .returning(_BOX)
    )
    values = (mapping.value_from(OutboxRow, row, _BOX) for row in claimed)
    return tuple(sorted(values, key=lambda row: row.id))


def _go_by_index(connection: sa.Connection) -> None:
    """PostgreSQL thinks that hardly anything waits, whenever that was so when it last counted. Then it
    would rather sort, for each row anew, all that waits: a quarter of a second with fifty thousand.
    """
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql("SET LOCAL enable_sort = off")


def is_any_free(connection: sa.Connection, now: datetime, but: Collection[str] = ()) -> bool:
    """Whether there is something for `claim` to claim."""
    but_ = bulk.as_words(sorted(but))
    return bool(_ANY_FREE.rows(connection, present=now, but=but_))


def renew(connection: sa.Connection, rows: Mapping[int, int], lease: timedelta) -> None:
    """Longer, for those (fence by id) that are still claimed under that fence."""
    for row_id, fence in rows.items():
        connection.execute(
            sa.update(_BOX).where(*_claimed(row_id, fence)).values(claimed_until=Instant(lease))
        )


def release(connection: sa.Connection, row_id: int, fence: int) -> None:
    """Whoever wants it may have it."""
    connection.execute(sa.update(_BOX).where(*_claimed(row_id, fence)).values(claimed_until=None))


def _claimed(row_id: int, fence: int) -> tuple[sa.ColumnElement[bool], ...]:
    waits = _BOX.c.settled_at.is_(None)
    return (_BOX.c.id == row_id, _BOX.c.fence == fence, waits, _BOX.c.claimed_until.is_not(None))


def settle(
    connection: sa.Connection,
    row_id: int,
    now: datetime,
    error: str | None = None,
    *,
    fence: int | None = None,
) -> OutboxRow:
    """Said, or given up with an error. Conflict: settled before, or claimed by somebody else."""
    return _change(
        connection,
        row_id,
        fence,
        settled_at=now,
        claimed_until=None,
        **({"last_error": error} if error else {}),
    )


def put_off(
    connection: sa.Connection,
    row_id: int,
    not_before: datetime,
    error: str,
    *,
    fence: int | None = None,
) -> OutboxRow:
    """Try again later; the lane waits. Conflict: settled before, or claimed by somebody else."""
    return _change(
        connection,
        row_id,
        fence,
        not_before=not_before,
        last_error=error,
        attempts=_BOX.c.attempts + 1,
        claimed_until=None,
    )


def depth(connection: sa.Connection) -> int:
    """How many lines wait."""
    query = sa.select(sa.func.count()).select_from(_BOX).where(_BOX.c.settled_at.is_(None))
    return connection.execute(query).scalar_one()


def oldest(connection: sa.Connection, *, refused: bool = False) -> datetime | None:
    """When the oldest line that waits was written; `refused`: of those that have been tried."""
    query = sa.select(sa.func.min(_BOX.c.created_at)).where(_BOX.c.settled_at.is_(None))
    query = query.where(_BOX.c.attempts > 0) if refused else query
    found: datetime | None = connection.execute(query).scalar_one()
    return found


def _due(now: datetime | sa.BindParameter[datetime]) -> sa.Select[Any]:
    """The head is found among all that wait, whether due or not: nothing overtakes within a lane.

    Row by row in their order, so that the look ends at the limit, however much waits; and the head of
    a lane in the order of lanes, which one index alone can give.
    """
    other = _BOX.alias("other")
    behind = sa.tuple_(other.c.lane, other.c.id) >= sa.tuple_(_BOX.c.lane, sa.literal(0))
    head = sa.select(other.c.id).where(behind, other.c.settled_at.is_(None))
    head = head.order_by(other.c.lane, other.c.id).limit(1)
    return (
        sa.select(_BOX)
        .where(
            _BOX.c.id == head.scalar_subquery(),
            _BOX.c.settled_at.is_(None),
            sa.or_(_BOX.c.not_before.is_(None), _BOX.c.not_before <= now),
        )
        .order_by(_BOX.c.id)
    )


def _open(now: datetime, but: Collection[str]) -> sa.Select[Any]:
    """Of those that are due, what nobody is saying and may be said."""
    found = _due(now).where(free(_BOX.c.claimed_until))
    return found.where(_BOX.c.kind.not_in(sorted(but))) if but else found


_ANY_FREE = Ready(
    lambda _: (
        _due(sa.bindparam("present", type_=_BOX.c.not_before.type))
        .where(free(_BOX.c.claimed_until), sa.not_(bulk.Among(_BOX.c.kind, "but")))
        .with_only_columns(_BOX.c.id)
        .limit(1)
    ),
    (_BOX.c.id,),
)


def _change(connection: sa.Connection, row_id: int, fence: int | None, **values: Any) -> OutboxRow:
    expected = [_BOX.c.id == row_id, _BOX.c.settled_at.is_(None)]
    if fence is not None:
        expected.append(_BOX.c.fence == fence)
    row = connection.execute(
        sa.update(_BOX).where(*expected).values(**values).returning(_BOX)
    ).one_or_none()
    if row is None:
        raise errors.Conflict(f"Line {row_id} of the outbox is settled, or somebody else's by now.")
    return mapping.value_from(OutboxRow, row, _BOX)
