"""Ending access, in two phases that are each tried again for ever.

First the door: no login possible, no session left (`access_ended_at`). Only then the cleaning: what
was done is read, the role removed, its absence proven (`cleaned_up_at`). All due doors are shut
before anything is cleaned, and nothing that fails in cleaning can give anybody access back.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta

import structlog

from bot import activation, claims, errors, faults, lastknown, model, notices, places, retry, store
from bot import clock as clocks
from bot.audit import summary
from db_grants import engine as engines_
from db_grants import errors as target_errors
from db_grants import spec

_log = structlog.get_logger(__name__)

CLOSED_WITHIN = timedelta(seconds=15)  # the published limit on the end of access
CLEANED_WITHIN = timedelta(minutes=5)  # of the end of access
REMIND_EVERY = timedelta(minutes=15)
_ACTIVITY_TRIES = 3
_AT_ONCE = 500  # ends begun in one sweep; the next is a moment later
_WATCHED = 5000  # ends looked at for lateness in one sweep

_REVOKING = model.GrantStatus.REVOKING
MAY_BE_ENDED = frozenset({model.GrantStatus.ACTIVATING, model.GrantStatus.ACTIVE})
_HAS_ROLE = frozenset({model.GrantStatus.ACTIVE, _REVOKING})
_NEVER_LIVE = frozenset({model.EndCause.ACTIVATION_UNKNOWN, model.EndCause.STOPPED})
_BY_OTHERS = frozenset({model.EndCause.REVOKED, model.EndCause.OPERATOR})  # news to its holder


class Ending:
    """Begins, carries through and watches the end of grants."""

    def __init__(
        self,
        *,
        store: store.Store,
        engines: Mapping[str, engines_.Engine],
        clock: clocks.Clock,
        wake: Callable[[], None],
        claimed: claims.Claims,
        unrecorded: Callable[[str | None, int], None] = lambda _why, _waiting: None,
    ) -> None:
        """`unrecorded`: told why ends cannot be recorded, and how many wait; None: they can be."""
        self._tell_unrecorded = unrecorded
        self._store = store
        self._claims = claimed
        self._engines = engines
        self._clock = clock
        self._wake = wake
        self._known = lastknown.Known()

    def begin(
        self,
        grant: model.Grant,
        cause: model.EndCause,
        actor: store.Actor = store.SYSTEM,
        comment: str = "",
    ) -> model.Grant:
        """Record that it is to end, and why. Raises Conflict when it has changed meanwhile."""
        by = f"operator:{actor.id}" if actor.kind == "operator" else actor.id
        with self._store.begin(actor) as tx:
            begun = tx.move_grant(
                grant.id,
                grant.status,
                _REVOKING,
                cause=cause,
                ended_by=by,
                ended_by_name=actor.name,
                end_comment=comment or None,
                revoking_since=self._clock.now(),
                attempts=0,
                next_attempt_at=None,
                last_error=None,
            )
            if cause is not model.EndCause.DEADLINE:  # on time it is over before it could be read
                notices.redraw(tx, grant.id)
            if cause is model.EndCause.STOPPED:
                notices.correct(tx, grant.id, notices.Kind.RECEIPT)
        faults.checkpoint("end-begun")
        self._wake()
        return begun

    def begin_due(self) -> tuple[model.Grant, ...]:
        """Record the end of every grant past its deadline.

        Returns those whose end could not be recorded, or not even be looked up, because the store is
        locked, full or broken: their doors are to be shut all the same (`shut`), from what is
        remembered of them, and the record follows when it can.
        """
        try:
            due = self._store.due(self._clock.now(), _AT_ONCE)
            if not due:  # it reads every live grant: what is due does not wait for that
                self._known.refresh(self._store.grants(status=_HAS_ROLE, limit=_WATCHED))
        except (errors.Busy, errors.StoreError) as error:
            overdue = self._known.due(self._clock.now())
            _log.error("ends_unread", waiting=len(overdue), why=str(error))
            self._tell_unrecorded(str(error), len(overdue))
            return overdue
        self._known.learn(due)
        for number, grant in enumerate(due):
            try:
                self.begin(grant, model.EndCause.DEADLINE)
            except errors.Conflict:  # somebody else ended it in this instant
                continue
            except (errors.Busy, errors.StoreError) as error:
                _log.error("end_unrecorded", waiting=len(due) - number, why=str(error))
                self._tell_unrecorded(str(error), len(due) - number)
                return tuple(each for each in due[number:] if not self._known.shut(each.id))
        self._tell_unrecorded(None, 0)
        return ()

    def is_shut(self, grant_id: str) -> bool:
        """Whether its door was shut without the record knowing."""
        return self._known.shut(grant_id) is not None

    def shut(self, grant_id: str, wanted: model.Grant | None = None) -> None:
        """End access without the record, because it cannot be used. Doubt never stops an end.

        `wanted`: the grant, of which somebody wants that although its time is not over.
        """
        grant = wanted or self._looked_up(grant_id)
        due = grant is not None and (wanted or lastknown.due_since(grant) <= self._clock.now())
        if grant is None or not due:
            return
        try:
            engine = self._engine(grant)
            role = _role_of(engine, grant)
            closed = places.proven(engine, grant, engine.close, role)
        except target_errors.DbGrantsError as error:
            _log.warning("shut_failed", grant=grant.id, target=grant.target, why=str(error))
            return
        faults.checkpoint("door-shut-unrecorded")
        self._known.note_shut(grant, closed, self._clock.now())
        _log.warning("shut_unrecorded", grant=grant.id, target=grant.target)

    def _shut_once(self, grant_id: str) -> None:
        if self._known.shut(grant_id) is None:
            self.shut(grant_id)

    def _looked_up(self, grant_id: str) -> model.Grant | None:
        """The grant by the record, or by memory while the record cannot be read."""
        try:
            return self._store.grant(grant_id)
        except (errors.Busy, errors.StoreError):
            return self._known.grant(grant_id)

    def close(self, grant_id: str) -> model.Grant:
        """First phase, one attempt, unless another replica makes one.

        A target's failure is recorded, not raised. A record that cannot be written is raised, and
        does not keep the door open.
        """
        with contextlib.ExitStack() as held:
            try:
                grant = held.enter_context(self._held(grant_id))
            except (errors.Busy, errors.StoreError):
                self._shut_once(grant_id)
                raise
            if grant is not None and grant.access_ended_at is None:
                return self._close(grant)
        return self._store.grant(grant_id)

    def _close(self, grant: model.Grant) -> model.Grant:
        try:
            engine = self._engine(grant)
            role = _role_of(engine, grant)
            closed = places.proven(engine, grant, engine.close, role)
        except target_errors.DbGrantsError as error:
            return self._again(grant, error)
        faults.checkpoint("access-closed")
        return self._note_closed(grant, closed)

    def clean(self, grant_id: str) -> model.Grant:
        """Second phase, one attempt, as `close`."""
        with self._held(grant_id) as grant:
            if grant is not None and grant.access_ended_at is not None:
                return self._clean(grant)
        return self._store.grant(grant_id)

    def _clean(self, grant: model.Grant) -> model.Grant:
        try:
            engine = self._engine(grant)
            role = _role_of(engine, grant)
            grant = self._read_activity(engine, role, grant)
            removed = places.proven(engine, grant, engine.remove, role)
        except target_errors.DbGrantsError as error:
            return self._again(grant, error)
        faults.checkpoint("role-removed")
        if removed is not None and not removed.clean:
            return self._note_left(grant, removed)
        return self._finish(grant, removed)

    @contextlib.contextmanager
    def _held(self, grant_id: str) -> Iterator[model.Grant | None]:
        """Ours for one attempt at its end.

        Who was paused and finds that another took over has done to the target what the other does
        too, so nothing is to be undone, and records nothing.
        """
        try:
            with self._claims.hold(grant_id, _REVOKING, claims.ENDING) as grant:
                yield grant
        except errors.Conflict:
            _log.warning("fenced_off", grant=grant_id)

    def _engine(self, grant: model.Grant) -> engines_.Engine:
        engine = places.engine_of(self._engines, grant)
        if engine is None:
            raise target_errors.TargetUnavailable(f"No connection to {grant.target} is set up.")
        return engine

    def _note_closed(self, grant: model.Grant, closed: spec.Closed | None) -> model.Grant:
        before = self._known.shut(grant.id)  # access ended then; this time it was only confirmed
        now = before.at if before else closed.at if closed else self._clock.now()
        cut = grant.sessions_cut + (len(closed.sessions_cut) if closed else 0)
        cut += before.cut if before else 0
        with self._store.begin(store.SYSTEM) as tx:
            noted = tx.note_grant(
                grant.id,
                _REVOKING,
                event="grant.access_ended",
                fence=grant.fence,
                access_ended_at=now,
                sessions_cut=cut,
                attempts=0,
                next_attempt_at=None,
                last_error=grant.last_error if grant.activated_at is None else None,
                alarmed_at=None,
            )
            if grant.activated_at is not None:
                _say_ended(tx, noted, now)
            _say_undone(tx, grant.id, closed.undone if closed else (), now)
        faults.checkpoint("end-noted")
        self._wake()
        return noted

    def _read_activity(
        self, engine: engines_.Engine, role: spec.ManagedRole | None, grant: model.Grant
    ) -> model.Grant:
        """Record what the holder did, before the role goes. Nothing waits for it to succeed."""
        since = grant.activated_at
        untold = grant.activity is None and grant.attempts < _ACTIVITY_TRIES
        if role is None or since is None or not untold:
            return grant
        try:
            seen = engine.activity(role, since)
        except target_errors.DbGrantsError as error:
            _log.warning("activity_unknown", grant=grant.id, target=grant.target, why=str(error))
            return grant
        with self._store.begin(store.SYSTEM) as tx:
            told = summary.activity_to_json(seen)
            noted = tx.note_grant(
                grant.id, _REVOKING, event=None, fence=grant.fence, goes_on=True, activity=told
            )
        faults.checkpoint("activity-noted")
        return noted

    def _finish(self, grant: model.Grant, removed: spec.Removed | None) -> model.Grant:
        now = removed.at if removed else self._clock.now()
        with self._store.begin(store.SYSTEM) as tx:
            over = tx.move_grant(
                grant.id,
                _REVOKING,
                final_status(grant),
                fence=grant.fence,
                cleaned_up_at=now,
                quarantined=_joined(grant.quarantined, removed.quarantined if removed else ()),
                residue=(),
                attempts=0,
                next_attempt_at=None,
            )
            _say_undone(tx, grant.id, removed.undone if removed else (), now)
            _say_over(tx, over, now)
        faults.checkpoint("end-recorded")
        _log.info("grant_over", grant=grant.id, target=grant.target, status=over.status)
        self._wake()
        return over

    def _note_left(self, grant: model.Grant, removed: spec.Removed) -> model.Grant:
        now = self._clock.now()
        news = removed.residue != grant.residue
        with self._store.begin(store.SYSTEM) as tx:
            noted = tx.note_grant(
                grant.id,
                _REVOKING,
                event="grant.residue" if news else None,
                fence=grant.fence,
                residue=removed.residue,
                quarantined=_joined(grant.quarantined, removed.quarantined),
                attempts=grant.attempts + 1,
                next_attempt_at=now + retry.pause(grant.attempts + 1),
                last_error="something still refers to the role",
            )
            _say_undone(tx, grant.id, removed.undone, now)
            if news:
                notices.redraw(tx, grant.id)
                what = list(removed.residue)
                notices.line(tx, grant.id, notices.Line.LEFT, now, what=what)
        self._wake()
        return noted

    def _again(self, grant: model.Grant, error: target_errors.DbGrantsError) -> model.Grant:
        now = self._clock.now()
        news = grant.attempts == 0
        _log.warning(
            "end_delayed",
            grant=grant.id,
            target=grant.target,
            attempt=grant.attempts + 1,
            phase="close" if grant.access_ended_at is None else "clean",
            why=str(error),
        )
        with self._store.begin(store.SYSTEM) as tx:
            noted = tx.note_grant(
                grant.id,
                _REVOKING,
                event="grant.end_delayed" if news else None,
                fence=grant.fence,
                attempts=grant.attempts + 1,
                next_attempt_at=now + retry.pause(grant.attempts + 1),
                last_error=str(error) if grant.activated_at else grant.last_error or str(error),
            )
            if news:
                notices.redraw(tx, grant.id)
        self._wake()
        return noted


due_since = lastknown.due_since  # the moment at which access should have ended


def final_status(grant: model.Grant) -> model.GrantStatus:
    """What a REVOKING grant becomes."""
    if grant.cause in _NEVER_LIVE:
        return model.GrantStatus.ACTIVATION_FAILED
    if grant.cause is model.EndCause.DEADLINE:
        return model.GrantStatus.ENDED
    return model.GrantStatus.REVOKED


def _role_of(engine: engines_.Engine, grant: model.Grant) -> spec.ManagedRole | None:
    """What to look for in the target; none when nothing of this grant exists there."""
    if grant.role_oid is not None:
        return spec.ManagedRole(grant_id=grant.id, name=grant.role_name, oid=grant.role_oid)
    try:
        return engine.find(grant.id, grant.role_name)
    except target_errors.ForeignRole:
        return (
            None  # somebody else's role has the name, so ours cannot exist; theirs stays as it is
        )


def _say_undone(tx: store.Transaction, grant_id: str, what: tuple[str, ...], now: datetime) -> None:
    """Nothing is taken back silently. It may have been another holder of the same scope's."""
    if what:
        tx.record("grant.undone", grant_id, {"what": list(what)})
        notices.line(tx, grant_id, notices.Line.UNDONE, now, what=list(what))


def _joined(*lists: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item for items in lists for item in items))


def _say_ended(tx: store.Transaction, grant: model.Grant, now: datetime) -> None:
    late = max(0.0, (now - due_since(grant)).total_seconds())
    notices.redraw(tx, grant.id, notices.Kind.LIVE)
    if grant.cause in _BY_OTHERS:
        notices.tell(tx, grant.id, notices.Line.ENDED, now)
    notices.line(
        tx,
        grant.id,
        notices.Line.ENDED,
        now,
        cause=str(grant.cause),
        who=grant.ended_by_name,
        cut=grant.sessions_cut,
        late=late,
    )
    notices.home(tx, grant.requester_id)


def _say_over(tx: store.Transaction, grant: model.Grant, now: datetime) -> None:
    if grant.status is model.GrantStatus.ACTIVATION_FAILED:
        activation.say_failed(tx, grant, now)
        return
    notices.redraw(tx, grant.id, notices.Kind.LIVE)
    if grant.activated_at is not None:
        tx.say(notices.Kind.SUMMARY, grant.id, notices.lane_of(grant.id), {})
    cause, who = str(grant.cause), grant.ended_by_name
    notices.audit(tx, grant.id, notices.Line.ENDED, now, cause=cause, who=who)
    notices.home(tx, grant.requester_id)
