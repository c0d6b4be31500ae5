"""The first phase of an end: no login, no session, `access_ended_at`.

When the record cannot be used the door is shut all the same, from what is remembered of it: doubt
never stops an end. The record follows when it can.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import structlog

from bot import errors, faults, model, store, work
from bot.ending import attempts, lastknown
from bot.telling import notices
from db_grants import engine as engines_
from db_grants import errors as target_errors
from db_grants import spec

_log = structlog.get_logger(__name__)

_BY_OTHERS = frozenset({model.EndCause.REVOKED, model.EndCause.OPERATOR})  # news to its holder


class _Figures(NamedTuple):
    ended: datetime
    late: float  # seconds
    cause: model.EndCause | None
    who: str | None
    cut: int  # sessions
    was_live: bool
    undone: tuple[str, ...]


class Closing(attempts.Phase[spec.Closed, _Figures]):
    """Shuts doors."""

    open = True
    most = 200

    def __init__(self, *, known: lastknown.Known, **given: Any) -> None:
        super().__init__(**given)
        self._known = known

    def attempt(self, grant_id: str) -> model.Grant:
        """As for every phase. A record that cannot be written does not keep the door open."""
        try:
            with self._rush.on(work.Urgency.CLOSE):
                return super().attempt(grant_id)
        except (errors.Busy, errors.StoreError):
            if self._known.shut(grant_id) is None:
                self.shut(grant_id)
            raise

    def attempt_some(self, target: str, taken: attempts.Taken = attempts.alone) -> int:
        """As for every phase. A record that cannot be written does not keep any door open."""
        try:
            with self._rush.on(work.Urgency.CLOSE):
                return super().attempt_some(target, taken)
        except (errors.Busy, errors.StoreError):
            self.shut_due(target)
            raise

    def shut(self, grant_id: str, wanted: model.Grant | None = None) -> None:
        """End access without the record, because it cannot be used; `wanted`: before its time."""
        door = lastknown.door(wanted) if wanted else self._looked_up(grant_id)
        if door is not None and (wanted or door.due <= self._clock.now()):
            self._shut([door])

    def shut_due(self, target: str) -> None:
        """As `shut`, every door on that target that should be shut and was not seen to be."""
        due = self._known.due(self._clock.now(), target)
        for first in range(0, len(due), self.most):
            with self._rush.on(work.Urgency.CLOSE):
                self._shut(due[first : first + self.most])

    def _looked_up(self, grant_id: str) -> store.Door | None:
        """By the record, or by memory while the record cannot be read."""
        try:
            return lastknown.door(self._store.grant(grant_id))
        except (errors.Busy, errors.StoreError):
            return self._known.door(grant_id)

    def _shut(self, doors: Sequence[store.Door]) -> None:
        for engine, there in attempts.by_engine(self._engines, doors):
            if engine is None:
                outcomes = attempts.unreached(there)
            else:
                roles, outcomes = attempts.roles_of(engine, there)
                outcomes |= attempts.together(engine.close, engine.close_all, list(roles.values()))
                outcomes = attempts.proven(engine, there, outcomes)
            if any(map(attempts.succeeded, outcomes.values())):
                faults.checkpoint("door-shut-unrecorded")
            for door in there:
                self._note_shut(door, outcomes[door.id])

    def _note_shut(self, door: store.Door, outcome: attempts.Outcome[spec.Closed]) -> None:
        if isinstance(outcome, target_errors.DbGrantsError):
            _log.warning("shut_failed", grant=door.id, target=door.target, why=str(outcome))
            return
        self._known.note_shut(door.id, outcome, self._clock.now())
        _log.warning("shut_unrecorded", grant=door.id, target=door.target)

    def _act(
        self,
        engine: engines_.Engine,
        roles: Mapping[str, spec.ManagedRole],
        grants: attempts.Batch,
    ) -> tuple[attempts.Batch, attempts.Outcomes[spec.Closed]]:
        return grants, attempts.together(engine.close, engine.close_all, list(roles.values()))

    def _lose(self, grant: model.Grant, outcome: attempts.Outcome[spec.Closed]) -> None:
        """The moment at which access ended is remembered until it can be recorded."""
        if not isinstance(outcome, target_errors.DbGrantsError):
            self._known.note_shut(grant.id, outcome, self._clock.now())

    def _cross_done(self) -> None:
        faults.checkpoint("access-closed")

    def _cross_recorded(self) -> None:
        faults.checkpoint("end-noted")

    def _change(self, grant: model.Grant, result: spec.Closed | None) -> store.Change:
        before = self._known.shut(grant.id)  # access ended then; this time it was only confirmed
        at = before.at if before else result.at if result else self._clock.now()
        cut = grant.sessions_cut + (len(result.sessions_cut) if result else 0)
        return store.Change(
            grant=grant,
            event="grant.access_ended",
            changes={
                "access_ended_at": at,
                "sessions_cut": cut + (before.cut if before else 0),
                "attempts": 0,
                "next_attempt_at": None,
                "last_error": grant.last_error if grant.activated_at is None else None,
                "alarmed_at": None,
            },
        )

    def _figures(
        self,
        before: model.Grant,  # noqa: ARG002 - for other phases
        grant: model.Grant,
        result: spec.Closed | None,
    ) -> _Figures:
        ended = grant.access_ended_at or self._clock.now()
        return _Figures(
            ended=ended,
            late=max(0.0, (ended - lastknown.due_since(grant)).total_seconds()),
            cause=grant.cause,
            who=grant.ended_by_name,
            cut=grant.sessions_cut,
            was_live=grant.activated_at is not None,
            undone=result.undone if result else (),
        )

    def _say(self, tx: store.Transaction, figures: _Figures, grants: attempts.Batch) -> None:
        if figures.was_live:
            _say_ended(tx, figures, grants)
        for grant in grants:
            attempts.say_undone(tx, grant.id, figures.undone)


def _say_ended(tx: store.Transaction, figures: _Figures, grants: attempts.Batch) -> None:
    ids = tuple(grant.id for grant in grants)
    notices.redraw(tx, ids, notices.Kind.LIVE)
    if figures.cause in _BY_OTHERS:
        notices.tell(tx, ids, notices.Line.ENDED, figures.ended)
    notices.line(
        tx,
        ids,
        notices.Line.ENDED,
        figures.ended,
        cause=str(figures.cause),
        who=figures.who,
        cut=figures.cut,
        late=figures.late,
    )
    notices.home(tx, *(grant.requester_id for grant in grants))
