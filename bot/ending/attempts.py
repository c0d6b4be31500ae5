"""One attempt at one phase of an end, for several grants of a target at once, under their claims.

Each grant has its own outcome: one that fails is tried again by itself, and one that somebody else
has taken over meanwhile keeps none of the others from being recorded.
"""

import abc
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import structlog

from bot import clock as clocks
from bot import errors, model, retry, store, work
from bot.granting import claims, places
from bot.telling import notices
from db_grants import engine as engines_
from db_grants import errors as target_errors
from db_grants import spec

_log = structlog.get_logger(__name__)

REVOKING = model.GrantStatus.REVOKING

Result = TypeVar("Result")
Figures = TypeVar("Figures", bound=Hashable)
Located = TypeVar("Located", model.Grant, store.Door)

Batch: TypeAlias = Sequence[model.Grant]
Outcome: TypeAlias = target_errors.DbGrantsError | Result | None  # none: nothing was to be done
Outcomes: TypeAlias = dict[str, Result | target_errors.DbGrantsError | None]  # by grant

Taken: TypeAlias = Callable[[int], None]

_UNRECORDABLE = (errors.StoreError, errors.Conflict, ValueError, TypeError)


def alone(_taken: int) -> None:
    """Nobody else sees to the next ones."""


class Phase(abc.ABC, Generic[Result, Figures]):
    """A phase: what the engine is asked for, and how it is recorded and told."""

    open: ClassVar[bool]  # whether it is for doors that may be open, or for what is shut
    most: ClassVar[int]  # grants in one batch

    def __init__(
        self,
        *,
        store: store.Store,
        engines: Mapping[str, engines_.Engine],
        clock: clocks.Clock,
        wake: Callable[[], None],
        claimed: claims.Claims,
        rush: work.Rush,
    ) -> None:
        self._store = store
        self._engines = engines
        self._clock = clock
        self._wake = wake
        self._claims = claimed
        self._rush = rush

    def attempt(self, grant_id: str) -> model.Grant:
        """For one grant, unless another replica makes one; what it is then.

        A target's failure is recorded, not raised. Raises Busy and StoreError.
        """
        told: Batch = ()
        with self._claims.hold(grant_id, REVOKING, claims.ENDING) as grant:
            if grant is not None and (grant.access_ended_at is None) is self.open:
                told = self._attempt((grant,))
        return told[0] if told else self._store.grant(grant_id)

    def attempt_some(self, target: str, taken: Taken = alone) -> int:
        """For a batch of what waits on that target; of how many it was recorded what came of them.

        While there are some, more may wait. `taken` is told how many they are before anything is done
        for them, so that somebody may see to the next ones meanwhile. Raises as `attempt`.
        """
        where = store.Waiting(target=target, open=self.open)
        with self._claims.hold_ends(where, self._clock.now(), self.most) as grants:
            taken(len(grants))
            return len(self._attempt(grants))

    @abc.abstractmethod
    def _act(
        self,
        engine: engines_.Engine,
        roles: Mapping[str, spec.ManagedRole],
        grants: Batch,
    ) -> tuple[Batch, Outcomes[Result]]:
        """Ask the engine; the grants as they are recorded by then, and what came of each role."""

    @abc.abstractmethod
    def _change(self, grant: model.Grant, result: Result | None) -> store.Change:
        """What is to be recorded of a success; the result is none where nothing had to be done."""

    @abc.abstractmethod
    def _figures(self, before: model.Grant, grant: model.Grant, result: Result | None) -> Figures:
        """All that is said of a success. Of those of which it is the same it is said at once."""

    @abc.abstractmethod
    def _say(self, tx: store.Transaction, figures: Figures, grants: Batch) -> None:
        """Say that of these, written with that record; of each it is the same, but whose it is."""

    @abc.abstractmethod
    def _cross_done(self) -> None:
        """The checkpoint between what was done and its record."""

    @abc.abstractmethod
    def _cross_recorded(self) -> None:
        """The checkpoint behind that."""

    def _lose(self, grant: model.Grant, outcome: Outcome[Result]) -> None:
        """What was done could not be recorded."""

    def _attempt(self, grants: Batch) -> Batch:
        """Server by server: a record that fails for one must not keep another from being tried."""
        failed: list[Exception] = []
        told: list[model.Grant] = []
        for engine, there in by_engine(self._engines, grants):
            try:
                told += self._attempt_there(engine, there)
            except (errors.Busy, *_UNRECORDABLE) as error:
                failed.append(error)
        if failed:
            raise failed[0]
        return told

    def _attempt_there(self, engine: engines_.Engine | None, grants: Batch) -> Batch:
        if engine is None:
            batch, outcomes = grants, unreached(grants)
        else:
            roles, outcomes = roles_of(engine, grants)
            batch, done = self._act(engine, roles, grants)
            outcomes = proven(engine, grants, outcomes | done)
        some_done = any(succeeded(outcomes[grant.id]) for grant in batch)
        if some_done:
            self._cross_done()
        told = self._settle(batch, outcomes)
        if some_done and told:
            self._cross_recorded()
        if told:  # otherwise there is nothing new to be seen: the next look is soon enough
            self._wake()
        return told

    def _settle(self, grants: Batch, outcomes: Outcomes[Result]) -> Batch:
        """Record all, or one by one where something of one cannot be recorded; those that were."""
        try:
            return self._record(grants, outcomes)
        except _UNRECORDABLE as error:
            if len(grants) > 1:
                return self._settle_one_by_one(grants, outcomes)
            self._lose(grants[0], outcomes[grants[0].id])
            if not isinstance(error, errors.Conflict):
                raise
            note_fenced_off(grants, ())
            return ()
        except errors.Busy:
            for grant in grants:
                self._lose(grant, outcomes[grant.id])
            raise

    def _settle_one_by_one(self, grants: Batch, outcomes: Outcomes[Result]) -> Batch:
        failed: list[Exception] = []
        told: list[model.Grant] = []
        for grant in grants:
            try:
                told += self._settle((grant,), outcomes)
            except (errors.Busy, *_UNRECORDABLE) as error:
                failed.append(error)
        if failed:
            raise failed[0]
        return told

    def _record(self, grants: Batch, outcomes: Outcomes[Result]) -> Batch:
        """In one transaction; the grants that were still ours, as they are recorded now."""
        before = {grant.id: grant for grant in grants}
        with self._store.begin(store.SYSTEM) as tx:
            told = tx.change_grants(REVOKING, [self._became(g, outcomes[g.id]) for g in grants])
            alike = defaultdict[Figures, list[model.Grant]](list)
            for grant in told:
                outcome = outcomes[grant.id]
                if isinstance(outcome, target_errors.DbGrantsError):
                    _say_delayed(tx, grant)
                else:
                    alike[self._figures(before[grant.id], grant, outcome)].append(grant)
            for figures, some in alike.items():
                self._say(tx, figures, some)
        self._claims.note_over(told)
        note_fenced_off(grants, told)
        return told

    def _became(self, grant: model.Grant, outcome: Outcome[Result]) -> store.Change:
        if isinstance(outcome, target_errors.DbGrantsError):
            return self._again(grant, outcome)
        return self._change(grant, outcome)

    def _again(self, grant: model.Grant, error: target_errors.DbGrantsError) -> store.Change:
        """It is tried once more, in a while, and for ever."""
        _log.warning(
            "end_delayed",
            grant=grant.id,
            target=grant.target,
            attempt=grant.attempts + 1,
            phase="close" if self.open else "clean",
            why=str(error),
        )
        return store.Change(
            grant=grant,
            event="grant.end_delayed" if grant.attempts == 0 else None,
            changes={
                "attempts": grant.attempts + 1,
                "next_attempt_at": self._clock.now() + retry.pause(grant.attempts + 1),
                "last_error": str(error) if grant.activated_at else grant.last_error or str(error),
            },
        )


def together(
    one: Callable[[spec.ManagedRole], Result],
    all_: Callable[
        [Sequence[spec.ManagedRole]], Mapping[str, Result | target_errors.DbGrantsError]
    ],
    roles: Sequence[spec.ManagedRole],
) -> Outcomes[Result]:
    """One call for all of them. What fails altogether is the outcome of each."""
    if not roles:
        return {}
    try:
        if len(roles) == 1:
            return {roles[0].grant_id: one(roles[0])}
        found = all_(roles)
    except target_errors.DbGrantsError as error:
        return {role.grant_id: error for role in roles}
    untold = target_errors.TargetUnavailable("The target was not asked.")
    return {role.grant_id: found.get(role.grant_id, untold) for role in roles}


def by_engine(
    engines: Mapping[str, engines_.Engine], grants: Sequence[Located]
) -> tuple[tuple[engines_.Engine | None, Sequence[Located]], ...]:
    """The grants on each server, those that are where the target's name says first."""
    found: dict[int, tuple[engines_.Engine | None, list[Located]]] = {}
    for grant in grants:
        engine = places.engine_of(engines, grant)
        found.setdefault(id(engine), (engine, []))[1].append(grant)
    elsewhere = [each[0] is not engines.get(each[1][0].target) for each in found.values()]
    pairs = sorted(zip(elsewhere, found.values(), strict=True), key=lambda pair: pair[0])
    return tuple(each for _, each in pairs)


def unreached(grants: Sequence[Located]) -> Outcomes[Any]:
    """What comes of grants on a server that there is no way to."""
    return {
        grant.id: target_errors.TargetUnavailable(f"No connection to {grant.target} is set up.")
        for grant in grants
    }


def role_of(engine: engines_.Engine, grant: model.Grant | store.Door) -> spec.ManagedRole | None:
    """What to look for in the target; none when nothing of this grant exists there."""
    if grant.role_oid is not None:
        return spec.ManagedRole(grant_id=grant.id, name=grant.role_name, oid=grant.role_oid)
    try:
        return engine.find(grant.id, grant.role_name)
    except target_errors.ForeignRole:
        return None  # somebody else's role has the name, so ours cannot exist; theirs stays


def roles_of(
    engine: engines_.Engine, grants: Sequence[Located]
) -> tuple[dict[str, spec.ManagedRole], Outcomes[Any]]:
    """Roles by grant; and outcomes where there is none, or where that could not be learned.

    A server that does not answer is asked once.
    """
    roles: dict[str, spec.ManagedRole] = {}
    outcomes: Outcomes[Any] = {}
    lost: target_errors.TargetUnavailable | None = None
    for grant in grants:
        try:
            if lost is not None and grant.role_oid is None:
                raise lost
            role = role_of(engine, grant)
        except target_errors.DbGrantsError as error:
            outcomes[grant.id] = error
            lost = error if isinstance(error, target_errors.TargetUnavailable) else lost
            continue
        if role is None:
            outcomes[grant.id] = None
        else:
            roles[grant.id] = role
    return roles, outcomes


def proven(
    engine: engines_.Engine, grants: Sequence[Located], outcomes: Outcomes[Any]
) -> Outcomes[Any]:
    """The same, but a role that is not there proves an end only on its own server.

    A URL may name another server by now, where a role of ours never was while it lives on elsewhere,
    and OIDs mean nothing there. A standby that was promoted, and a server restored from a backup,
    are the same server.
    """
    asked = _Asked(engine)
    found = dict(outcomes)
    for grant in grants:
        if grant.id in found and _is_missing(found[grant.id]):
            try:
                places.ensure_same(asked, grant)
            except target_errors.DbGrantsError as error:
                found[grant.id] = error
    return found


def _is_missing(outcome: Any) -> bool:
    if isinstance(outcome, target_errors.DbGrantsError):
        return isinstance(outcome, target_errors.ForeignRole)
    return outcome is None or outcome.missing


class _Asked:
    """An engine that is asked once which server it is, however many grants hang on the answer."""

    def __init__(self, engine: engines_.Engine) -> None:
        self._engine = engine
        self._told: str | target_errors.DbGrantsError | None = None

    def identity(self) -> str:
        """What it told, or raises what it raised."""
        if self._told is None:
            try:
                self._told = self._engine.identity()
            except target_errors.DbGrantsError as error:
                self._told = error
        if isinstance(self._told, target_errors.DbGrantsError):
            raise self._told
        return self._told


def note_fenced_off(grants: Batch, told: Batch) -> None:
    """Who was paused and finds that another took over has done to the target what the other does
    too, so nothing is to be undone, and records nothing.
    """
    for grant_id in {grant.id for grant in grants} - {grant.id for grant in told}:
        _log.warning("fenced_off", grant=grant_id)


def say_undone(tx: store.Transaction, grant_id: str, what: tuple[str, ...]) -> None:
    """Nothing is taken back silently. It may have been another holder of the same scope's."""
    if what:
        tx.record("grant.undone", grant_id, {"what": list(what)})
        notices.line(tx, grant_id, notices.Line.UNDONE, tx.at, what=list(what))


def _say_delayed(tx: store.Transaction, grant: model.Grant) -> None:
    if grant.attempts == 1:
        notices.redraw(tx, grant.id)


def succeeded(outcome: object) -> bool:
    """Whether it is no failure."""
    return not isinstance(outcome, target_errors.DbGrantsError)
