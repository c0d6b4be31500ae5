"""The second phase of an end: what was done is read, the role removed and proven gone.

Only for doors that are shut: nothing that fails here gives anybody access back.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

import structlog

from bot import errors, faults, model, retry, store, work
from bot.audit import summary
from bot.ending import attempts
from bot.granting import activation
from bot.telling import notices
from db_grants import engine as engines_
from db_grants import spec

_log = structlog.get_logger(__name__)

_ACTIVITY_TRIES = 3
_NEVER_LIVE = frozenset({model.EndCause.ACTIVATION_UNKNOWN, model.EndCause.STOPPED})


def final_status(grant: model.Grant) -> model.GrantStatus:
    """What a REVOKING grant becomes."""
    if grant.cause in _NEVER_LIVE:
        return model.GrantStatus.ACTIVATION_FAILED
    if grant.cause is model.EndCause.DEADLINE:
        return model.GrantStatus.ENDED
    return model.GrantStatus.REVOKED


class _Figures(NamedTuple):
    status: model.GrantStatus
    over: datetime | None
    cause: model.EndCause | None
    who: str | None
    was_live: bool
    left: tuple[str, ...] | None  # what something refers to the role by; None: as before
    undone: tuple[str, ...]


class Cleaning(attempts.Phase[spec.Removed, _Figures]):
    """Removes roles."""

    open = False
    most = 500  # to search what a catalogue has of any of them takes half of a batch's time

    def attempt_some(self, target: str, taken: attempts.Taken = attempts.alone) -> int:
        """As for every phase."""
        with self._rush.on(work.Urgency.CLEAN):
            return super().attempt_some(target, taken)

    def _act(
        self,
        engine: engines_.Engine,
        roles: Mapping[str, spec.ManagedRole],
        grants: attempts.Batch,
    ) -> tuple[attempts.Batch, attempts.Outcomes[spec.Removed]]:
        grants = self._with_activity(engine, roles, grants)
        there = [roles[grant.id] for grant in grants if grant.id in roles]
        return grants, attempts.together(engine.remove, engine.remove_all, there)

    def _with_activity(
        self,
        engine: engines_.Engine,
        roles: Mapping[str, spec.ManagedRole],
        grants: attempts.Batch,
    ) -> attempts.Batch:
        """The grants with what their holders did, read before the roles go. Nothing waits for it.

        It is recorded with whatever comes of the removal. Should we die in between, the next attempt
        reads it again: the log and the counters outlive the role. The target is asked once for all of
        them: each answer costs it a reading of its whole log.
        """
        sinces = {
            roles[grant.id]: grant.activated_at
            for grant in grants
            if grant.id in roles
            and grant.activated_at is not None
            and grant.activity is None
            and grant.attempts < _ACTIVITY_TRIES
        }
        found = attempts.together(
            lambda role: engine.activity(role, sinces[role]),
            lambda some: engine.activity_all({role: sinces[role] for role in some}),
            list(sinces),
        )
        seen: dict[str, spec.Activity] = {}
        for grant in grants:
            outcome = found.get(grant.id)
            if isinstance(outcome, spec.Activity):
                seen[grant.id] = outcome
            elif outcome is not None:
                _log_unknown(grant, outcome)
        faults.checkpoint("activity-read")
        kept = {each: summary.activity_to_json(each) for each in set(seen.values())}  # mostly one
        return [
            replace(grant, activity=kept[seen[grant.id]]) if grant.id in seen else grant
            for grant in grants
        ]

    def _cross_done(self) -> None:
        faults.checkpoint("role-removed")

    def _cross_recorded(self) -> None:
        faults.checkpoint("end-recorded")

    def _became(self, grant: model.Grant, outcome: attempts.Outcome[spec.Removed]) -> store.Change:
        became = super()._became(grant, outcome)
        if grant.activity is None:
            return became
        return replace(became, changes={**became.changes, "activity": grant.activity})

    def _change(self, grant: model.Grant, result: spec.Removed | None) -> store.Change:
        kept = _joined(grant.quarantined, result.quarantined if result else ())
        if result is not None and not result.clean:
            return self._left(grant, result, kept)
        final = final_status(grant)
        return store.Change(
            grant=grant,
            to=final,
            event=f"grant.{final.value}",
            changes={
                "cleaned_up_at": result.at if result else self._clock.now(),
                "quarantined": kept,
                "residue": (),
                "attempts": 0,
                "next_attempt_at": None,
            },
        )

    def _left(
        self, grant: model.Grant, result: spec.Removed, kept: tuple[str, ...]
    ) -> store.Change:
        """Something still refers to the role: tried again, and told when it is something else."""
        return store.Change(
            grant=grant,
            event="grant.residue" if result.residue != grant.residue else None,
            changes={
                "residue": result.residue,
                "quarantined": kept,
                "attempts": grant.attempts + 1,
                "next_attempt_at": self._clock.now() + retry.pause(grant.attempts + 1),
                "last_error": "something still refers to the role",
            },
        )

    def _figures(
        self, before: model.Grant, grant: model.Grant, result: spec.Removed | None
    ) -> _Figures:
        return _Figures(
            status=grant.status,
            over=grant.cleaned_up_at,
            cause=grant.cause,
            who=grant.ended_by_name,
            was_live=grant.activated_at is not None,
            left=grant.residue if grant.residue != before.residue else None,
            undone=result.undone if result else (),
        )

    def _say(self, tx: store.Transaction, figures: _Figures, grants: attempts.Batch) -> None:
        for grant in grants:
            attempts.say_undone(tx, grant.id, figures.undone)
        if figures.status is model.GrantStatus.ACTIVATION_FAILED:
            for grant in grants:
                activation.say_failed(tx, grant, figures.over or tx.at)
        elif figures.status is not attempts.REVOKING:
            _say_over(tx, figures, grants)
        elif figures.left is not None:
            ids = tuple(grant.id for grant in grants)
            notices.redraw(tx, ids)
            notices.line(tx, ids, notices.Line.LEFT, tx.at, what=list(figures.left))

    def _record(
        self, grants: attempts.Batch, outcomes: attempts.Outcomes[spec.Removed]
    ) -> attempts.Batch:
        told = self._recorded(grants, outcomes)
        for grant in told:
            if grant.status is not attempts.REVOKING:
                _log.info("grant_over", grant=grant.id, target=grant.target, status=grant.status)
        return told

    def _recorded(
        self, grants: attempts.Batch, outcomes: attempts.Outcomes[spec.Removed]
    ) -> attempts.Batch:
        """As for every phase; what was done and cannot be recorded keeps no end from being so."""
        try:
            return super()._record(grants, outcomes)
        except (errors.StoreError, ValueError, TypeError) as error:
            if len(grants) > 1 or grants[0].activity is None:
                raise
            _log_unknown(grants[0], error)
            return super()._record([replace(grants[0], activity=None)], outcomes)


def _log_unknown(grant: model.Grant, error: Exception) -> None:
    _log.warning("activity_unknown", grant=grant.id, target=grant.target, why=str(error))


def _joined(*lists: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item for items in lists for item in items))


def _say_over(tx: store.Transaction, figures: _Figures, grants: attempts.Batch) -> None:
    ids, at = tuple(grant.id for grant in grants), figures.over or tx.at
    notices.redraw(tx, ids, notices.Kind.LIVE)
    if figures.was_live:
        notices.summary(tx, ids)
    cause, who = str(figures.cause), figures.who
    notices.audit(tx, ids, notices.Line.ENDED, at, cause=cause, who=who)
    notices.home(tx, *(grant.requester_id for grant in grants))
