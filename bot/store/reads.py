"""Reading: each method one consistent look. Everything is indexed; nothing grows with the history."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, TypeVar

import sqlalchemy as sa

from bot import errors, model
from bot.store import brief, chain, doors, ends, known, period, readable, stories, tables, upcoming

Value = TypeVar("Value")

_REQUEST, _GRANT, _EVENT = tables.access_request, tables.access_grant, tables.audit_event
_BATCH = 1000


class Reads(ABC):
    """What may be asked of the record; a Store asks in transactions of its own."""

    @abstractmethod
    def _reading(self) -> AbstractContextManager[sa.Connection]:
        """A connection to read from, with one snapshot."""

    @abstractmethod
    def _looking(self) -> AbstractContextManager[sa.Connection]:
        """The same, for one statement."""

    def _all(self, cls: type[Value], table: sa.Table, query: sa.Select[Any]) -> tuple[Value, ...]:
        with self._looking() as connection:
            return readable.values(connection, cls, table, query)

    def _first(self, cls: type[Value], table: sa.Table, query: sa.Select[Any]) -> Value | None:
        return next(iter(self._all(cls, table, query)), None)

    def story(self, request_id: str) -> model.Story:
        """A request with its reviews, grant and messages, all of one moment. Raises NotFound."""
        with self._reading() as connection:
            return known.story(connection, request_id)

    def pair(self, request_id: str) -> tuple[model.AccessRequest, model.Grant]:
        """A request and its grant, of one moment. Raises NotFound, also where there is no grant."""
        with self._looking() as connection:
            return known.pair(connection, request_id)

    def stories(self, ids: Sequence[str]) -> tuple[model.Story, ...]:
        """These stories, newest first and of one moment; ids of none are left out."""
        with self._reading() as connection:
            return stories.some(connection, ids)

    def open_stories(self) -> tuple[model.Story, ...]:
        """Whatever waits, or has a live grant, however many there are; newest first."""
        with self._reading() as connection:
            return stories.some(connection, stories.open_ids(connection))

    def request(self, request_id: str) -> model.AccessRequest:
        """One request. Raises NotFound."""
        with self._looking() as connection:
            return _found(known.request(connection, request_id))

    def find_request_by_dedupe(self, key: str) -> model.AccessRequest | None:
        """The request that an earlier delivery of the same thing made, if any."""
        query = sa.select(_REQUEST).where(_REQUEST.c.dedupe_key == key)
        return self._first(model.AccessRequest, _REQUEST, query)

    def requests(
        self,
        *,
        requester_id: str | None = None,
        status: model.RequestStatus | None = None,
        limit: int = 50,
    ) -> tuple[model.AccessRequest, ...]:
        """Requests, newest first."""
        query = sa.select(_REQUEST).order_by(_REQUEST.c.created_at.desc(), _REQUEST.c.id)
        if requester_id is not None:
            query = query.where(_REQUEST.c.requester_id == requester_id)
        if status is not None:
            query = query.where(_REQUEST.c.status == status)
        return self._all(model.AccessRequest, _REQUEST, query.limit(limit))

    def pending(self, limit: int = 200) -> tuple[model.AccessRequest, ...]:
        """Requests that wait for a decision, oldest first."""
        query = (
            sa.select(_REQUEST)
            .where(_REQUEST.c.status == model.RequestStatus.PENDING)
            .order_by(_REQUEST.c.created_at, _REQUEST.c.id)
        )
        return self._all(model.AccessRequest, _REQUEST, query.limit(limit))

    def lapsed(self, now: datetime, limit: int = 100) -> tuple[model.AccessRequest, ...]:
        """Requests that nobody decided in time, longest overdue first."""
        query = (
            sa.select(_REQUEST)
            .where(_REQUEST.c.status == model.RequestStatus.PENDING, _REQUEST.c.decide_by <= now)
            .order_by(_REQUEST.c.decide_by)
        )
        return self._all(model.AccessRequest, _REQUEST, query.limit(limit))

    def grant(self, grant_id: str) -> model.Grant:
        """One grant. Raises NotFound."""
        return _found(self.find_grant(grant_id))

    def find_grant(self, grant_id: str) -> model.Grant | None:
        """The grant of that request, if there is one."""
        with self._looking() as connection:
            return known.grant(connection, grant_id)

    def grants(
        self,
        *,
        status: Collection[model.GrantStatus] | None = None,
        requester_id: str | None = None,
        target: str | None = None,
        limit: int = 200,
    ) -> tuple[model.Grant, ...]:
        """Grants, newest first."""
        query = sa.select(_GRANT).order_by(_GRANT.c.created_at.desc(), _GRANT.c.id)
        if status is not None:
            query = query.where(_GRANT.c.status.in_(status))
        if requester_id is not None:
            query = query.where(_GRANT.c.requester_id == requester_id)
        if target is not None:
            query = query.where(_GRANT.c.target == target)
        return self._all(model.Grant, _GRANT, query.limit(limit))

    def live_of(
        self, entitlements: Collection[str], *, but: str, limit: int
    ) -> tuple[model.Grant, ...]:
        """Live grants of these entitlements that others than `but` hold, newest first."""
        query = (
            sa.select(_GRANT)
            .join(_REQUEST, _REQUEST.c.id == _GRANT.c.id)
            .where(_GRANT.c.status.in_(model.LIVE_GRANT), _GRANT.c.requester_id != but)
            .where(_REQUEST.c.entitlement.in_(entitlements))
            .order_by(_GRANT.c.created_at.desc(), _GRANT.c.id)
        )
        return self._all(model.Grant, _GRANT, query.limit(limit))

    def due(self, now: datetime, limit: int = 100) -> tuple[model.Grant, ...]:
        """Active grants whose time is over, longest overdue first."""
        query = (
            sa.select(_GRANT)
            .where(_GRANT.c.status == model.GrantStatus.ACTIVE, _GRANT.c.expires_at <= now)
            .order_by(_GRANT.c.expires_at)
        )
        return self._all(model.Grant, _GRANT, query.limit(limit))

    def activating(self, now: datetime, limit: int = 100) -> tuple[model.Grant, ...]:
        """Grants to be made whose next attempt is due and that nobody works on."""
        with self._looking() as connection:
            return upcoming.in_motion(connection, model.GrantStatus.ACTIVATING, now, limit)

    def revoking(self, now: datetime, limit: int = 100) -> tuple[model.Grant, ...]:
        """Grants to be ended whose next attempt is due and that nobody works on."""
        with self._looking() as connection:
            return upcoming.in_motion(connection, model.GrantStatus.REVOKING, now, limit)

    def late(self, open_since: datetime, left_since: datetime) -> tuple[brief.Brief, ...]:
        """Every end that takes long, see `brief.late`; in order of their deadlines."""
        with self._looking() as connection:
            return brief.late(connection, open_since, left_since)

    def live_by_target(self) -> dict[str, int]:
        """How many grants are live on each target that has any."""
        with self._looking() as connection:
            return brief.live_by_target(connection)

    def live_on(self, target: str) -> tuple[brief.Brief, ...]:
        """Every live grant on that target in brief, oldest first."""
        with self._looking() as connection:
            return brief.live_on(connection, target)

    def briefs(self, ids: Sequence[str]) -> tuple[brief.Brief, ...]:
        """These grants in brief, in no order; ids of none are left out."""
        with self._reading() as connection:
            return brief.some(connection, ids)

    def is_any_due(self, now: datetime) -> bool:
        """Whether the time of some active grant is over."""
        with self._looking() as connection:
            return ends.is_any_due(connection, now)

    def ends_waiting(self, now: datetime) -> tuple[ends.Waiting, ...]:
        """Where ends are to be worked on now that nobody works on; open doors first."""
        with self._looking() as connection:
            return ends.waiting(connection, now)

    def ends_under_way(self, since: datetime) -> bool | None:
        """Whether doors are being shut by anybody, of ends begun after that; None: nothing is done."""
        with self._looking() as connection:
            return ends.under_way(connection, since)

    def doors_page(
        self, after: doors.Page, limit: int = _BATCH
    ) -> tuple[tuple[doors.Door, ...], doors.Page | None]:
        """Some of all doors that may be open, and where the next are found, if there are more."""
        with self._reading() as connection:
            return doors.page(connection, after, limit)

    def doors_changed(
        self, seq: int, limit: int = _BATCH
    ) -> tuple[int, frozenset[str], tuple[doors.Door, ...]]:
        """Which grants the chain tells of after `seq`, and those of their doors that may be open.

        First, how far it was read: `limit` events at most.
        """
        with self._reading() as connection:
            seq, ids = doors.changed(connection, seq, limit)
            return seq, ids, doors.some(connection, sorted(ids)) if ids else ()

    def next_deadline(self) -> datetime | None:
        """The earliest moment at which something must be done without anybody asking.

        A deadline that has passed is told too, until what it asked for is recorded. A step that may
        be tried at once has no moment; the sweep finds it.
        """
        with self._looking() as connection:
            return upcoming.deadline(connection)

    def is_any_live(self) -> bool:
        """Whether there is a grant that is not over."""
        with self._looking() as connection:
            return upcoming.is_any_live(connection)

    def messages(self, request_id: str) -> tuple[model.MessageRef, ...]:
        """What we posted for a request, in order."""
        with self._looking() as connection:
            return known.messages(connection, request_id)

    def find_message(self, channel_id: str, ts: str) -> model.MessageRef | None:
        """Our message at that place, if it is one of ours."""
        table = tables.message
        query = sa.select(table).where(table.c.channel_id == channel_id, table.c.ts == ts)
        return self._first(model.MessageRef, table, query)

    def message_of_live(self, kind: str) -> model.MessageRef | None:
        """The newest message of that kind about a grant that is not over."""
        table = tables.message
        live = sa.select(_GRANT.c.id).where(_GRANT.c.status.in_(model.LIVE_GRANT))
        query = (
            sa.select(table)
            .where(table.c.kind == kind, table.c.request_id.in_(live))
            .order_by(table.c.n.desc())
        )
        return self._first(model.MessageRef, table, query.limit(1))

    def history(self, requester_id: str, entitlement: str, since: datetime) -> tuple[int, int]:
        """How often this person had this entitlement since then, and how often it went unused."""
        query = (
            sa.select(sa.func.count(), sa.func.count(sa.case((_GRANT.c.used.is_(False), 1))))
            .select_from(_GRANT.join(_REQUEST, _REQUEST.c.id == _GRANT.c.id))
            .where(
                _GRANT.c.requester_id == requester_id,
                _REQUEST.c.entitlement == entitlement,
                _GRANT.c.created_at >= since,
                _GRANT.c.activated_at.is_not(None),
            )
        )
        with self._looking() as connection:
            granted, unused = connection.execute(query).one()
        return granted, unused

    def events(self, after_seq: int = 0, limit: int = _BATCH) -> tuple[model.AuditEvent, ...]:
        """Audit events in order, from the one after `after_seq` on."""
        query = sa.select(_EVENT).where(_EVENT.c.seq > after_seq).order_by(_EVENT.c.seq)
        return self._all(model.AuditEvent, _EVENT, query.limit(limit))

    def all_events(self) -> Iterator[model.AuditEvent]:
        """The whole chain, a batch at a time."""
        batch = self.events()
        while batch:
            yield from batch
            batch = self.events(batch[-1].seq)

    def events_of(self, request_id: str) -> tuple[model.AuditEvent, ...]:
        """All that was recorded about one request, in order."""
        query = sa.select(_EVENT).where(_EVENT.c.request_id == request_id).order_by(_EVENT.c.seq)
        return self._all(model.AuditEvent, _EVENT, query)

    def chain_head(self) -> tuple[int, str]:
        """The last event's number and hash; 0 and zeroes before the first."""
        query = sa.select(_EVENT.c.seq, _EVENT.c.hash).order_by(_EVENT.c.seq.desc()).limit(1)
        with self._looking() as connection:
            row = connection.execute(query).one_or_none()
        return (row.seq, row.hash) if row else (0, chain.GENESIS)

    def between(
        self,
        since: datetime,
        until: datetime,
        *,
        now: datetime,
        late_after: timedelta,
        most: int,
    ) -> period.Period:
        """What [since, until) came to, and what is active or under way at `now`.

        An end is late when it is `late_after` past its deadline; `most`: how many are named at most
        of those of which only few are.
        """
        with self._reading() as connection:
            return period.summed_up(
                connection, since, until, now=now, late_after=late_after, most=most
            )

    def get(self, key: str) -> str | None:
        """A small thing kept by `put`."""
        query = sa.select(tables.setting.c.value).where(tables.setting.c.key == key)
        with self._looking() as connection:
            return connection.execute(query).scalar_one_or_none()

    def kept(self, prefix: str) -> dict[str, str]:
        """The small things kept by `put` under keys with that beginning."""
        setting = tables.setting
        query = sa.select(setting).where(setting.c.key.startswith(prefix, autoescape=True))
        with self._looking() as connection:
            return {row.key: row.value for row in connection.execute(query)}


def _found(value: Value | None) -> Value:
    if value is None:
        raise errors.NotFound
    return value
