"""Many lives of grants on a record at once, each as one that was really lived.

One request is lived through by the real use cases on a scratch record. What that left behind (request,
review, grant, messages, lines said, audit events) is then written again as often as wanted, with other
ids, people, targets and times, and with every event linked into the chain of the record it goes to.
So a big record is made of honest rows, in seconds, and the invariants hold on it.
"""

import functools
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bench import cast
from bot import catalog as catalogs
from bot import clock as clocks
from bot import model, service, store
from bot.store import chain, tables
from db_grants import memory

CHUNK = 1000  # lives a transaction
_GAP = 1_000_000  # more than a service says while a record is being written
_T0 = datetime(2026, 1, 5, 9, tzinfo=UTC)
_DEADLINE = _T0 + timedelta(hours=3)  # no other moment of the scratch life is this one
_OID = 20000  # MemoryEngine's first
_SERVER = "7000000000000000007"  # of the scratch life
_TABLES = (
    tables.access_request,
    tables.review,
    tables.access_grant,
    tables.message,
    tables.outbox,
)
_FIRST: Mapping[sa.Table, str] = {
    tables.access_request: model.RequestStatus.PENDING,
    tables.access_grant: model.GrantStatus.ACTIVATING,
}
_EVENT_COLUMNS = ("seq", "at", "type", "request_id", "body", "prev", "hash")
_LATE = {tables.access_request: ("decided_at", "decided_by", "decided_by_name", "comment")}
_MARK = re.compile(
    r'"prev":"(?P<prev>[0-9a-f]{64})"|"seq":(?P<seq>\d+)|(?P<at>\d{4}-\d\d-\d\dT[\d:.]+\+00:00)'
    r"|(?P<oid>\b20000\b)|(?P<server>7000000000000000007)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One life to be written."""

    id: str
    asked_at: datetime
    oid: int  # of its role
    expires_at: datetime | None = None  # None: as in the life it is taken from
    target: str | None = None
    person: str | None = None
    server: str = "memory"  # which its role is on, as its engine names it


@dataclass(frozen=True, slots=True)
class _Event:
    """An event of the scratch life, ready to be written with other ids and times."""

    type: str
    after: timedelta  # since it was asked
    parts: Sequence[str | Callable[["_Said"], str]]


@dataclass(slots=True)
class _Said:
    """What the parts of one event's text are filled with."""

    life: Life
    moments: Mapping[str, str]  # as they are told, by what they were in the scratch life
    seq: int
    prev: str


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the scratch life: what stays as it is in every life, and what does not."""

    same: Mapping[str, Any]
    moving: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mould:
    """A life that was lived, to be lived again."""

    id: str
    rows: Mapping[str, Sequence[_Row]]  # by table
    events: Sequence[_Event]
    moments: Sequence[str]  # all that its events tell
    path: Mapping[str, Sequence[str]]  # statuses after the first, by table
    lasted: timedelta  # from asking to the last event


def write(kept: store.Store, mould: Mould, lives: Iterable[Life], *, chatter: bool = True) -> int:
    """Put these lives on the record, chunk by chunk in the order given; how many events that took.

    `chatter`: with what was said about them, which is told and settled.
    """
    written = number = 0
    for some in _chunks(lives, CHUNK):
        with kept.begin(store.SYSTEM) as tx:
            tx.alone()
            number = _next_number(tx, apart=not written)
            for table in _TABLES:
                if chatter or table not in (tables.message, tables.outbox):
                    _insert(tx, table, mould, some, number)
                    _take_on(tx, table, mould, some)
            written += _link(tx, mould, some)
        number += len(some) * max(len(rows) for rows in mould.rows.values())
    if written:
        _go_on_from(kept, number)
    return written


def _go_on_from(kept: store.Store, number: int) -> None:
    """What the record numbers by itself comes after what was numbered here. SQLite sees to that."""
    with kept.begin(store.SYSTEM) as tx:
        if tx.connection.dialect.name == "postgresql":
            for table, column in (("outbox", "id"), ("message", "n")):
                sequence = sa.func.pg_get_serial_sequence(table, column)
                tx.connection.execute(sa.select(sa.func.setval(sequence, number)))


def _next_number(tx: store.Transaction, *, apart: bool) -> int:
    """Above every message's and line's own. A service may be writing some meanwhile: SQLite lets it
    wait until we are done, PostgreSQL goes on counting, so `apart`, at first, from where that gets to.
    """
    found = [
        tx.connection.execute(sa.select(sa.func.max(column))).scalar() or 0
        for column in (tables.message.c.n, tables.outbox.c.id)
    ]
    gap = _GAP if apart and tx.connection.dialect.name == "postgresql" else 0
    return 1 + max(found) + gap


def _insert(
    tx: store.Transaction, table: sa.Table, mould: Mould, lives: Sequence[Life], number: int
) -> None:
    rows = [
        row
        for at, life in enumerate(lives)
        for row in _rows(table, mould, life, number + at * len(mould.rows[table.name]))
    ]
    if rows:
        tx.connection.execute(sa.insert(table), rows)


def _take_on(tx: store.Transaction, table: sa.Table, mould: Mould, lives: Sequence[Life]) -> None:
    """Through every status they went through: the record refuses what begins in the middle."""
    for at, status in enumerate(mould.path.get(table.name, ())):
        late = _LATE.get(table, ()) if at == 0 else ()
        if late:
            _decide(tx, table, mould, lives, status, late)
        else:
            theirs = table.c.id.in_([life.id for life in lives])
            tx.connection.execute(sa.update(table).where(theirs).values(status=status))


def _decide(
    tx: store.Transaction,
    table: sa.Table,
    mould: Mould,
    lives: Sequence[Life],
    status: str,
    late: Sequence[str],
) -> None:
    """With the values that came with that status, each life its own."""
    row = mould.rows[table.name][0]
    known = {**row.same, **row.moving}
    moved = sa.update(table).where(table.c.id == sa.bindparam("whose"))
    tx.connection.execute(
        moved.values(status=status, **{name: sa.bindparam(f"its_{name}") for name in late}),
        [
            {"whose": life.id}
            | {f"its_{k}": _moved(known[k], life.asked_at - _T0, mould.id, life) for k in late}
            for life in lives
        ],
    )


def _rows(table: sa.Table, mould: Mould, life: Life, number: int) -> Iterator[dict[str, Any]]:
    shift = life.asked_at - _T0
    for at, known in enumerate(mould.rows[table.name]):
        row = dict(known.same)
        for key, value in known.moving.items():
            row[key] = _moved(value, shift, mould.id, life)
        if table in _FIRST:
            row |= {"status": _FIRST[table], **dict.fromkeys(_LATE.get(table, ()))}
        if table is tables.message:
            row |= {"n": number + at, "ts": f"{1_600_000_000 + number + at}.000100"}
        if table is tables.outbox:
            row |= {"id": number + at}
        yield row


def _moved(value: Any, shift: timedelta, known: str, life: Life) -> Any:
    if isinstance(value, datetime):
        return life.expires_at if value == _DEADLINE and life.expires_at else value + shift
    if isinstance(value, str) and known in value:
        return value.replace(known, life.id)
    if value == _OID:
        return life.oid
    if value == _SERVER:
        return life.server
    if value == cast.TARGET:
        return life.target or value
    return (life.person or value) if value == cast.ASKS else value


def _link(tx: store.Transaction, mould: Mould, lives: Sequence[Life]) -> int:
    """The events of all of them in order of time, onto the end of the chain."""
    seq, prev = tx.chain_head()
    rows = []
    moments = {life.id: {was: _moment(was, life) for was in mould.moments} for life in lives}
    told = [
        (life.asked_at + e.after, n, life, e) for n, e in enumerate(mould.events) for life in lives
    ]
    for at, _, life, event in sorted(told, key=lambda each: each[:2]):
        seq += 1
        said = _Said(life, moments[life.id], seq, prev)
        body = "".join(part if isinstance(part, str) else part(said) for part in event.parts)
        hash_ = chain.digest(body, None)
        rows.append((seq, at, event.type, life.id, body, prev, hash_))
        prev = hash_
    _append(tx, rows)
    return len(rows)


def _append(tx: store.Transaction, rows: Sequence[tuple[Any, ...]]) -> None:
    """By the driver itself: that is most of what a big record takes to write."""
    names = ", ".join(_EVENT_COLUMNS)
    link: Any = tx.connection.connection.driver_connection
    if tx.connection.dialect.name == "postgresql":
        with link.cursor() as cursor, cursor.copy(f"COPY audit_event ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        return
    asked = ", ".join("?" for _ in _EVENT_COLUMNS)
    told = [(seq, at.isoformat(timespec="microseconds"), *rest) for seq, at, *rest in rows]
    link.executemany(f"INSERT INTO audit_event ({names}) VALUES ({asked})", told)


def _chunks(lives: Iterable[Life], size: int) -> Iterator[list[Life]]:
    some: list[Life] = []
    for life in lives:
        some.append(life)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some


@functools.cache
def mould(catalog_text: str, *, over: bool) -> Mould:
    """Live it: asked, approved, made, opened; and with `over` ended and cleaned up as well.

    `catalog_text` has the entitlement and the target of `cast`.
    """
    catalog, clock = catalogs.loads(catalog_text), clocks.ManualClock(_T0)
    target = memory.MemoryEngine(clock=clock.now)
    target.identifier = _SERVER
    with tempfile.TemporaryDirectory() as folder:
        kept = store.open_store(f"sqlite:///{Path(folder) / 'life.sqlite3'}", clock)
        lived = service.Service(
            store=kept,
            engines={cast.TARGET: target},
            catalog=lambda: catalog,
            directory=cast.Directory(),
            poster=lambda _: cast.Silent(),
            clock=clock,
        )
        try:
            return _taken(kept, _live(lived, clock, over=over))
        finally:
            lived.stop(2)
            kept.close()


def _live(lived: service.Service, clock: clocks.ManualClock, *, over: bool) -> str:
    draft = model.Draft(
        requester_id=cast.ASKS,
        entitlement=cast.ENTITLEMENT,
        duration=_DEADLINE - _T0 - timedelta(seconds=43),
        justification="INC-4412: the export of last night is stuck",
    )
    grant_id = lived.access.submit(draft).request.id
    clock.advance(timedelta(seconds=40))
    lived.access.review(grant_id, cast.DECIDES, model.Answer.APPROVE, source=None)
    clock.advance(timedelta(seconds=3))
    lived.grants.activate(grant_id)
    if over:
        clock.advance(timedelta(seconds=7))
        lived.grants.reveal(grant_id, cast.ASKS)
        clock.advance(_DEADLINE - clock.now())
        lived.grants.begin_due()
        lived.grants.end(grant_id)
    lived.outbox.pump()
    return grant_id


def _taken(kept: store.Store, grant_id: str) -> Mould:
    with kept.begin(store.SYSTEM) as tx:
        rows = {
            table.name: [
                _row(dict(_keyed(table, row)), grant_id)
                for row in tx.connection.execute(sa.select(table))
            ]
            for table in _TABLES
        }
    events = kept.events_of(grant_id)
    return Mould(
        id=grant_id,
        rows=rows,
        events=[_Event(e.type, e.at - _T0, _parts(e.body, grant_id)) for e in events],
        path={
            tables.access_request.name: _path("request", events),
            tables.access_grant.name: _path("grant", events)[1:],
        },
        lasted=events[-1].at - _T0,
        moments=sorted({found["at"] for e in events for found in _MARK.finditer(e.body)} - {None}),
    )


def _row(values: Mapping[str, Any], grant_id: str) -> _Row:
    moving = {key: value for key, value in values.items() if _moves(value, grant_id)}
    return _Row({key: value for key, value in values.items() if key not in moving}, moving)


def _moves(value: Any, grant_id: str) -> bool:
    if isinstance(value, str):
        return grant_id in value or value in (cast.TARGET, cast.ASKS, _SERVER)
    return isinstance(value, datetime) or value == _OID


def _path(subject: str, events: Sequence[model.AuditEvent]) -> list[str]:
    """The statuses that a request or grant took on, in order."""
    statuses = {*model.RequestStatus, *model.GrantStatus}
    told = [e.type.partition(".")[2] for e in events if e.type.startswith(f"{subject}.")]
    return [each for each in told if each in statuses]


def _keyed(table: sa.Table, row: sa.Row[Any]) -> Iterator[tuple[str, Any]]:
    return ((column.key, value) for column, value in zip(table.c, row, strict=True))


def _parts(body: str, grant_id: str) -> list[str | Callable[[_Said], str]]:
    """The text of an event, cut where it will be filled."""
    parts: list[str | Callable[[_Said], str]] = []
    done = 0
    marks = re.compile(
        f"{_MARK.pattern}|(?P<id>{grant_id})|(?P<who>{cast.ASKS})|(?P<where>{_WHERE})"
    )
    for found in marks.finditer(body):
        parts.append(body[done : found.start()])
        parts.append(_filling(str(found.lastgroup), found.group()))
        done = found.end()
    return [*parts, body[done:]]


def _filling(kind: str, was: str) -> Callable[[_Said], str]:
    fillings: Mapping[str, Callable[[_Said], str]] = {
        "prev": lambda said: f'"prev":"{said.prev}"',
        "seq": lambda said: f'"seq":{said.seq}',
        "at": lambda said: said.moments[was],
        "oid": lambda said: str(said.life.oid),
        "who": lambda said: said.life.person or was,
        "where": lambda said: f'"target":"{said.life.target or cast.TARGET}"',
        "id": lambda said: said.life.id,
        "server": lambda said: said.life.server,
    }
    return fillings[kind]


def _moment(was: str, life: Life) -> str:
    before = datetime.fromisoformat(was)
    after = life.expires_at if before == _DEADLINE else None
    moved = after or before + (life.asked_at - _T0)
    return moved.astimezone(UTC).isoformat(timespec="microseconds")


_WHERE = f'"target":"{cast.TARGET}"'
