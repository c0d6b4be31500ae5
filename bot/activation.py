"""Making approved access real: one attempt at a time, until it is or until it is given up.

The clock starts at activation, so each attempt commits a new deadline before it touches the target.
A grant is ACTIVE only after the engine has verified it. Whatever leaves doubt about what exists in
the target goes through an end (REVOKING, activation unknown), which proves that nothing does.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import structlog

from bot import catalog as catalogs
from bot import clock as clocks
from bot import errors, faults, model, notices, retry, skew, store
from db_grants import engine as engines_
from db_grants import errors as target_errors
from db_grants import spec

_log = structlog.get_logger(__name__)

ACTIVATE_WITHIN = timedelta(minutes=10)

_FINAL = (target_errors.InvalidScope, target_errors.NotPrepared, target_errors.ForeignRole)


class Activation:
    """Attempts to make grants real."""

    def __init__(
        self,
        *,
        store: store.Store,
        engines: Mapping[str, engines_.Engine],
        clock: clocks.Clock,
        wake: Callable[[], None],
        skew: skew.Skew,
    ) -> None:
        self._store = store
        self._engines = engines
        self._clock = clock
        self._wake = wake
        self._skew = skew

    def attempt(self, grant_id: str) -> model.Grant:
        """Try once. A target's failure is recorded, not raised."""
        story = self._store.story(grant_id)
        grant = _grant_of(story)
        if grant.status is not model.GrantStatus.ACTIVATING:
            return grant
        if self._clock.now() >= grant.activate_by:
            return self._give_up(grant, "time to activate is over")
        engine = self._engines.get(grant.target)
        if engine is None:
            return self._give_up(grant, f"no connection to {grant.target} is set up")
        try:
            return self._make(story, self._intend(grant), engine)
        except errors.Conflict:  # ended by somebody meanwhile; that end finds what we made
            return self._store.grant(grant_id)

    def _intend(self, grant: model.Grant) -> model.Grant:
        now = self._clock.now()
        with self._store.begin(store.SYSTEM) as tx:
            intended = tx.note_grant(
                grant.id,
                model.GrantStatus.ACTIVATING,
                event=None if grant.attempts else "grant.activating",
                expires_at=now + grant.duration,
                attempts=grant.attempts + 1,
                next_attempt_at=now + retry.pause(grant.attempts + 1),
            )
        faults.checkpoint("activation-intended")
        return intended

    def _make(self, story: model.Story, grant: model.Grant, engine: engines_.Engine) -> model.Grant:
        try:
            measured = self._skew.check(grant.target)
            if measured.large:
                why = skew.sentence(measured)
                return self._give_up(grant, why, nothing_exists=grant.attempts == 1)
            role = _create(engine, _spec_of(story.request, grant))
        except _FINAL as error:
            return self._give_up(grant, str(error), nothing_exists=grant.attempts == 1)
        except target_errors.DbGrantsError as error:
            return self._delay(grant, error)
        faults.checkpoint("role-created")
        return self._live(story, grant, role)

    def _live(self, story: model.Story, grant: model.Grant, role: spec.ManagedRole) -> model.Grant:
        now = self._clock.now()
        with self._store.begin(store.SYSTEM) as tx:
            live = tx.move_grant(
                grant.id,
                model.GrantStatus.ACTIVATING,
                model.GrantStatus.ACTIVE,
                role_oid=role.oid,
                activated_at=now,
                attempts=0,
                next_attempt_at=None,
                last_error=None,
            )
            _say_live(tx, story.request, live, now)
        faults.checkpoint("grant-active")
        _log.info("grant_active", grant=grant.id, target=grant.target)
        self._wake()
        return live

    def _delay(self, grant: model.Grant, error: target_errors.DbGrantsError) -> model.Grant:
        if self._clock.now() >= grant.activate_by:
            return self._give_up(grant, str(error))
        _log.warning(
            "activation_delayed",
            grant=grant.id,
            target=grant.target,
            attempt=grant.attempts,
            why=str(error),
        )
        now = self._clock.now()
        with self._store.begin(store.SYSTEM) as tx:
            delayed = tx.note_grant(
                grant.id,
                model.GrantStatus.ACTIVATING,
                event="grant.activation_delayed" if grant.last_error is None else None,
                last_error=str(error),
                next_attempt_at=now + retry.pause(grant.attempts),
            )
            if grant.last_error is None:
                until = grant.activate_by.isoformat()
                notices.redraw(tx, grant.id)
                notices.line(tx, grant.id, notices.Line.DELAYED, now, until=until, why=str(error))
        self._wake()
        return delayed

    def _give_up(
        self, grant: model.Grant, why: str, *, nothing_exists: bool = False
    ) -> model.Grant:
        _log.error("activation_given_up", grant=grant.id, target=grant.target, why=why)
        now = self._clock.now()
        with self._store.begin(store.SYSTEM) as tx:
            if nothing_exists or grant.attempts == 0:
                over = tx.move_grant(
                    grant.id,
                    model.GrantStatus.ACTIVATING,
                    model.GrantStatus.ACTIVATION_FAILED,
                    cleaned_up_at=now,
                    next_attempt_at=None,
                    last_error=why,
                )
                say_failed(tx, over, now)
            else:
                over = tx.move_grant(
                    grant.id,
                    model.GrantStatus.ACTIVATING,
                    model.GrantStatus.REVOKING,
                    cause=model.EndCause.ACTIVATION_UNKNOWN,
                    revoking_since=now,
                    attempts=0,
                    next_attempt_at=None,
                    last_error=why,
                )
                notices.redraw(tx, grant.id)
        self._wake()
        return over


def planned(request: model.AccessRequest, role_name: str, now: datetime) -> model.Grant:
    """The grant that an approved request becomes."""
    return model.Grant(
        id=request.id,
        status=model.GrantStatus.ACTIVATING,
        target=request.target,
        requester_id=request.requester_id,
        role_name=role_name,
        duration=request.duration,
        created_at=now,
        expires_at=now + request.duration,
        activate_by=now + ACTIVATE_WITHIN,
    )


def say_failed(tx: store.Transaction, grant: model.Grant, now: datetime) -> None:
    """Tell everybody that nothing was granted, once that is proven."""
    why = grant.last_error or "activation was given up"
    notices.redraw(tx, grant.id)
    notices.line(tx, grant.id, notices.Line.FAILED, now, why=why)
    notices.tell(tx, grant.id, notices.Line.FAILED, now, why=why)
    notices.audit(tx, grant.id, notices.Line.FAILED, now, why=why)
    notices.home(tx, grant.requester_id)


def _say_live(
    tx: store.Transaction, request: model.AccessRequest, grant: model.Grant, now: datetime
) -> None:
    notices.redraw(tx, grant.id, notices.Kind.LIVE)
    notices.line(tx, grant.id, notices.Line.LIVE, now, role=grant.role_name)
    notices.audit(tx, grant.id, notices.Line.LIVE, now, role=grant.role_name, rule=request.rule)
    notices.home(tx, grant.requester_id)


def _create(engine: engines_.Engine, wanted: spec.GrantSpec) -> spec.ManagedRole:
    """Make the role; when the answer was lost, ask for the same once more, which settles it."""
    try:
        return engine.create(wanted)
    except target_errors.OutcomeUnknown:
        return engine.create(wanted)


def _spec_of(request: model.AccessRequest, grant: model.Grant) -> spec.GrantSpec:
    return spec.GrantSpec(
        grant_id=grant.id,
        role_name=grant.role_name,
        scope=catalogs.scope_from_json(request.scope),
        expires_at=grant.expires_at,
    )


def _grant_of(story: model.Story) -> model.Grant:
    if story.grant is None:
        raise errors.NotFound(f"There is no grant {story.request.id}.")
    return story.grant
