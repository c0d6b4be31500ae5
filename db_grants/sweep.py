"""Ending what is over with nothing but the guarded server: no record, no catalog, no chat.

Each managed role carries its own deadline, and the server has a clock; that is all that is needed.
So whoever may log in as the bot can end overdue access when the bot itself is dead. Running beside
a living bot is harmless: everything here may be done twice.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from db_grants import errors, naming
from db_grants.engine import Engine
from db_grants.spec import FoundRole, Survey

Made = TypeVar("Made")


class Outcome(StrEnum):
    """What became of an overdue role."""

    DUE = "due"  # only looked at
    ENDED = "ended"  # access has ended and nothing is left
    UNCLEAN = "unclean"  # access has ended; something remains to be removed
    ALIVE = "alive"  # it could not be ended: somebody may still have access


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """One overdue role and what became of it."""

    role: str
    grant_id: str | None
    expires_at: datetime | None  # none: it carries no deadline, which no role of ours does for long
    late: timedelta | None  # behind the deadline, by the server's clock, when it was found
    outcome: Outcome
    sessions_cut: int = 0
    quarantined: tuple[str, ...] = ()
    undone: tuple[str, ...] = ()  # done as a scope role, by whoever had it: taken back
    left: tuple[str, ...] = ()  # what still refers to the role, or why it could not be removed
    why: str = ""  # it could not be ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a sweep found and did."""

    at: datetime  # the server's clock
    found: int  # managed roles, due or not
    swept: tuple[Swept, ...]
    next_deadline: datetime | None  # the earliest of those not yet due

    @property
    def worst(self) -> Outcome | None:
        """The worst of the outcomes; none when nothing was due."""
        order = list(Outcome)
        return max((one.outcome for one in self.swept), key=order.index, default=None)


def deadline(role: FoundRole) -> datetime | None:
    """When its access is over: what is noted on it, or its VALID UNTIL where that is earlier."""
    known = [moment for moment in (role.expires_at, role.valid_until) if moment is not None]
    return min(known, default=None)


def overdue(survey: Survey, grace: timedelta = timedelta(0)) -> tuple[FoundRole, ...]:
    """Roles past their deadline by the server's clock, longest overdue first. Pure.

    One without any deadline is overdue: a role of ours gets mark and deadline in one transaction,
    so somebody took it away.
    """
    due = [role for role in survey.managed if _is_due(role, survey.at - grace)]
    return tuple(sorted(due, key=lambda role: deadline(role) or survey.at))


def sweep(engine: Engine, *, dry_run: bool = False, grace: timedelta = timedelta(0)) -> Report:
    """End every overdue role: first all doors are shut, then everything is cleaned.

    One that fails does not stop the next. Raises TargetUnavailable when the server cannot be looked
    at, NotPrepared when it has never been prepared.
    """
    survey = engine.survey()
    if not survey.prepared:
        raise errors.NotPrepared(
            f"This server has never been prepared: there is no role {naming.BOOKKEEPING}."
        )
    due = overdue(survey, grace)
    swept = [(role, _told(role, survey, Outcome.DUE)) for role in due]
    if not dry_run:
        shut = [(role, _shut(engine, role, told)) for role, told in swept]
        swept = [(role, _cleaned(engine, role, told)) for role, told in shut]
    waiting = [deadline(role) for role in survey.managed if role not in due]
    return Report(
        at=survey.at,
        found=len(survey.managed),
        swept=tuple(told for _, told in swept),
        next_deadline=min((moment for moment in waiting if moment), default=None),
    )


def _is_due(role: FoundRole, now: datetime) -> bool:
    over = deadline(role)
    return over is None or over <= now


def _told(role: FoundRole, survey: Survey, outcome: Outcome) -> Swept:
    over = deadline(role)
    return Swept(
        role=role.name,
        grant_id=role.grant_id,
        expires_at=over,
        late=survey.at - over if over else None,
        outcome=outcome,
    )


def _shut(engine: Engine, role: FoundRole, told: Swept) -> Swept:
    try:
        closed = _patiently(lambda: engine.close(role.role))
    except errors.DbGrantsError as error:
        return replace(told, outcome=Outcome.ALIVE, why=str(error))
    cut = len(closed.sessions_cut)
    return replace(told, outcome=Outcome.UNCLEAN, sessions_cut=cut, undone=closed.undone)


def _cleaned(engine: Engine, role: FoundRole, told: Swept) -> Swept:
    if told.outcome is Outcome.ALIVE:
        return told
    try:
        removed = _patiently(lambda: engine.remove(role.role))
    except errors.DbGrantsError as error:
        return replace(told, left=(str(error),))
    outcome = Outcome.ENDED if removed.clean else Outcome.UNCLEAN
    return replace(
        told,
        outcome=outcome,
        quarantined=removed.quarantined,
        undone=(*told.undone, *removed.undone),
        left=removed.residue,
    )


def _patiently(step: Callable[[], Made]) -> Made:
    """A lost connection is tried once more: whatever happened, doing it again is right."""
    try:
        return step()
    except errors.OutcomeUnknown:
        return step()
