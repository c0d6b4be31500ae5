"""Making approved access real: one attempt at a time, until it is or until it is given up.

The clock starts at activation, so each attempt commits a new deadline before it touches the target.
A grant is ACTIVE only after the engine has verified it. Whatever leaves doubt about what exists in
the target goes through an end (REVOKING, activation unknown), which proves that nothing does.
"""

import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import structlog

from bot import catalog as catalogs
from bot import clock as clocks
from bot import errors, faults, model, retry, store
from bot.granting import claims, places, skew
from bot.telling import notices
from db_grants import engine as engines_
from db_grants import errors as target_errors
from db_grants import spec

_log = structlog.get_logger(__name__)

ACTIVATE_WITHIN = timedelta(minutes=10)

_WANTED = frozenset({model.GrantStatus.ACTIVATING, model.GrantStatus.ACTIVE})
_FINAL = (
    target_errors.InvalidScope,
    target_errors.NotPrepared,
    target_errors.ForeignRole,
    skew.TooFar,
)


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
        claimed: claims.Claims,
    ) -> None:
        self._store = store
        self._claims = claimed
        self._engines = engines
        self._clock = clock
        self._wake = wake
        self._skew = skew

    def attempt(self, grant_id: str) -> model.Grant:
        """Try once, unless another replica does. A target's failure is recorded, not raised."""
        request, grant = self._store.pair(grant_id)
        if grant.status is not model.GrantStatus.ACTIVATING:
            return grant
        now, engine = self._clock.now(), places.engine_of(self._engines, grant)
        if now >= grant.activate_by:
            return self._abandon(grant, "time to activate is over")
        if engine is None:
            return self._abandon(grant, f"no connection to {grant.target} is set up")
        with self._claims.hold_for(  # no event: the deadline is told once it is live
            grant,
            claims.MAKING,
            expires_at=now + grant.duration,
            attempts=grant.attempts + 1,
            next_attempt_at=now + retry.pause(grant.attempts + 1),
        ) as intended:
            if intended is None:
                return self._store.grant(grant_id)
            tried = self._attempt(request, intended, engine)
        self._wake()  # what it became may have waited for our claim to end
        return tried

    def _abandon(self, grant: model.Grant, why: str) -> model.Grant:
        """Give up what cannot be tried any more."""
        with self._claims.hold(grant.id, grant.status, claims.MAKING) as held:
            if held is not None:
                with contextlib.suppress(errors.Conflict):  # ended by somebody in this instant
                    return self._give_up(held, why)
        return self._store.grant(grant.id)

    def _attempt(
        self, request: model.AccessRequest, grant: model.Grant, engine: engines_.Engine
    ) -> model.Grant:
        faults.checkpoint("activation-intended")
        try:
            return self._make(request, grant, engine)
        except errors.Conflict:  # ended by somebody meanwhile; that end finds what we made
            if not self._is_ours(grant):
                self._undo(grant, engine)
            return self._store.grant(grant.id)

    def _is_ours(self, grant: model.Grant) -> bool:
        """Whether nobody has taken it over; then nobody can for longer than a creation may take."""
        return self._claims.still_ours(grant, claims.MAKING)

    def _undo(self, grant: model.Grant, engine: engines_.Engine) -> None:
        """We were paused, and another replica took over: what we made late is to be as it decided.

        A role has no password until somebody opens its credentials, so should we die just here,
        nobody can use it, and the reconciler ends it.
        """
        try:
            role = engine.find(grant.id, grant.role_name)
            now = self._store.grant(grant.id)
            if role is None:
                return
            if now.status in _WANTED:
                engine.set_deadline(role, now.expires_at)
                return
            engine.close(role)
            engine.remove(role)
        except target_errors.DbGrantsError as error:
            _log.error("late_role_left", grant=grant.id, target=grant.target, why=str(error))
            return
        _log.warning("late_role_removed", grant=grant.id, target=grant.target)
        with self._store.begin(store.SYSTEM) as tx:
            tx.record("grant.late_role_removed", grant.id, {"role_name": role.name})

    def _make(
        self, request: model.AccessRequest, grant: model.Grant, engine: engines_.Engine
    ) -> model.Grant:
        try:
            role = self._create(engine, _spec_of(request, grant), grant)
        except _FINAL as error:
            return self._give_up(grant, str(error), nothing_exists=grant.attempts == 1)
        except target_errors.DbGrantsError as error:
            return self._delay(grant, error)
        faults.checkpoint("role-created")
        return self._live(request, grant, role)

    def _create(
        self, engine: engines_.Engine, wanted: spec.GrantSpec, grant: model.Grant
    ) -> spec.ManagedRole:
        """Make the role; when the answer was lost, ask for the same once more, which settles it."""
        self._ensure_ours(grant)
        try:
            return engine.create(wanted, self._skew.near(grant.target))
        except target_errors.ClockUnsure:
            self._skew.ensure_near(grant.target)
        except target_errors.OutcomeUnknown:
            pass
        self._ensure_ours(grant)
        return engine.create(wanted)

    def _ensure_ours(self, grant: model.Grant) -> None:
        if not self._claims.ensured(grant):
            raise errors.Conflict(f"Another replica works on grant {grant.id} by now.")

    def _live(
        self, request: model.AccessRequest, grant: model.Grant, role: spec.ManagedRole
    ) -> model.Grant:
        now = self._clock.now()
        with self._store.begin(store.SYSTEM) as tx:
            live = tx.move_grant(
                grant.id,
                model.GrantStatus.ACTIVATING,
                model.GrantStatus.ACTIVE,
                fence=grant.fence,
                role_oid=role.oid,
                server=role.server or None,
                activated_at=now,
                attempts=0,
                next_attempt_at=None,
                last_error=None,
            )
            _say_live(tx, request, live, now)
            if grant.last_error is not None:  # they were told that it takes longer
                notices.correct(tx, grant.id, notices.Kind.RECEIPT)
        self._claims.note_over((live,))
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
                fence=grant.fence,
                last_error=str(error),
                next_attempt_at=now + retry.pause(grant.attempts),
            )
            if grant.last_error is None:
                until = grant.activate_by.isoformat()
                notices.redraw(tx, grant.id, notices.Kind.RECEIPT)
                notices.line(tx, grant.id, notices.Line.DELAYED, now, until=until, why=str(error))
                notices.home(tx, grant.requester_id)
        self._claims.note_over((delayed,))
        self._wake()
        return delayed

    def _give_up(
        self, grant: model.Grant, why: str, *, nothing_exists: bool = False
    ) -> model.Grant:
        with self._store.begin(store.SYSTEM) as tx:
            over = _write_off(tx, grant, why, nothing_exists=nothing_exists)
        self._claims.note_over((over,))
        self._wake()
        return over


def _write_off(
    tx: store.Transaction, grant: model.Grant, why: str, *, nothing_exists: bool = False
) -> model.Grant:
    _log.error("activation_given_up", grant=grant.id, target=grant.target, why=why)
    if nothing_exists or grant.attempts == 0:
        over = tx.move_grant(
            grant.id,
            model.GrantStatus.ACTIVATING,
            model.GrantStatus.ACTIVATION_FAILED,
            fence=grant.fence,
            cleaned_up_at=tx.at,
            next_attempt_at=None,
            last_error=why,
        )
        say_failed(tx, over, tx.at)
        return over
    over = tx.move_grant(
        grant.id,
        model.GrantStatus.ACTIVATING,
        model.GrantStatus.REVOKING,
        fence=grant.fence,
        cause=model.EndCause.ACTIVATION_UNKNOWN,
        revoking_since=tx.at,
        attempts=0,
        next_attempt_at=None,
        last_error=why,
    )
    notices.redraw(tx, grant.id)
    notices.correct(tx, grant.id, notices.Kind.RECEIPT)
    notices.home(tx, grant.requester_id)
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
    why = _why_not(grant)
    notices.redraw(tx, grant.id)
    notices.correct(tx, grant.id, notices.Kind.RECEIPT)
    notices.line(tx, grant.id, notices.Line.FAILED, now, why=why)
    notices.tell(tx, grant.id, notices.Line.FAILED, now, why=why)
    notices.audit(tx, grant.id, notices.Line.FAILED, now, why=why)
    notices.home(tx, grant.requester_id)


def _why_not(grant: model.Grant) -> str:
    if grant.cause is model.EndCause.STOPPED:
        return f"stopped by {model.first_name(grant.ended_by_name or 'somebody')}"
    return grant.last_error or "activation was given up"


def _say_live(
    tx: store.Transaction, request: model.AccessRequest, grant: model.Grant, now: datetime
) -> None:
    notices.redraw(tx, grant.id, notices.Kind.LIVE)
    notices.line(tx, grant.id, notices.Line.LIVE, now, role=grant.role_name)
    notices.audit(tx, grant.id, notices.Line.LIVE, now, role=grant.role_name, rule=request.rule)
    notices.home(tx, grant.requester_id)


def _spec_of(request: model.AccessRequest, grant: model.Grant) -> spec.GrantSpec:
    return spec.GrantSpec(
        grant_id=grant.id,
        role_name=grant.role_name,
        scope=catalogs.scope_from_json(request.scope),
        expires_at=grant.expires_at,
    )
