"""What needs a person, as it is at this moment: looked up, and never remembered here.

A condition is about a target, not about a grant: fifty late grants on one dead target are one. What
is said of it, and when, is for `alarms`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from bot import model, store
from bot.ending import phases
from bot.granting import skew
from bot.telling.notices import Alarm
from bot.watching import impaired
from db_grants import engine as engines_

Key = TypeVar("Key")
Value = TypeVar("Value")

UNSAID_AFTER = timedelta(minutes=10)  # a message that waits so long: nobody learns anything
Missed = tuple[store.Brief, Alarm]  # a grant, and which limit its end has missed


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Something that needs a person, as it is now."""

    kind: Alarm
    target: str
    since: datetime
    grants: tuple[str, ...] = ()  # every one of them, longest overdue first
    error: str = ""

    def differs(self, other: "Condition") -> bool:
        """Whether what people read of it is no longer so."""
        return (self.grants, self.error) != (other.grants, other.error)


def found(
    kept: store.Store,
    engines: Mapping[str, engines_.Engine],
    late: Iterable[Missed],
    now: datetime,
) -> tuple[Condition, ...]:
    """Everything that needs a person now. `late`: from `missed_ends`."""
    return (
        *_by_target(late),
        *_lacking(kept, engines),
        *_skewed(kept, now),
        *_unsaid(kept, now),
    )


def missed_ends(kept: store.Store, now: datetime) -> tuple[Missed, ...]:
    """Every grant whose end misses a limit, however many, in order of their deadlines."""
    late = kept.late(now - phases.CLOSED_WITHIN, now - phases.CLEANED_WITHIN)
    return tuple((grant, kind) for grant in late if (kind := missed(grant, now)))


def missed(grant: model.Grant | store.Brief, now: datetime) -> Alarm | None:
    """Which limit the end of a REVOKING grant has missed, if any.

    Past the limit either an attempt has failed, or none has answered for as long as the limit; so a
    deadline that passed while we were down rings only if the first attempt does not end it.
    """
    began = grant.revoking_since or grant.expires_at
    if grant.access_ended_at is not None:
        late = now - grant.access_ended_at > phases.CLEANED_WITHIN
        return Alarm.UNCLEAN if late else None
    late = now - phases.due_since(grant) > phases.CLOSED_WITHIN
    tried = grant.attempts > 0 or now - began > phases.CLOSED_WITHIN
    return _kind(grant) if late and tried else None


def _kind(grant: model.Grant | store.Brief) -> Alarm:
    # A role that was never ACTIVE never had a password, so nobody can have logged in with it.
    never = grant.activated_at is None
    return Alarm.UNSURE if never else Alarm.OVERDUE


def _by_target(late: Iterable[Missed]) -> Iterable[Condition]:
    pairs = (((kind, grant.target), grant) for grant, kind in late)
    for (kind, target), grants in _grouped(pairs).items():
        yield Condition(
            kind=kind,
            target=target,
            since=min(_since(grant, kind) for grant in grants),
            grants=tuple(grant.id for grant in sorted(grants, key=phases.due_since)),
            error=_commonest(grant.last_error for grant in grants),
        )


def _since(grant: store.Brief, kind: Alarm) -> datetime:
    if kind is Alarm.UNCLEAN and grant.access_ended_at is not None:
        return grant.access_ended_at
    return phases.due_since(grant)


def _commonest(told: Iterable[str | None]) -> str:
    """What most of them say; of equals always the same one, so that it does not flicker."""
    said = Counter(filter(None, told))
    return min(said, key=lambda each: (-said[each], each)) if said else ""


def _grouped(pairs: Iterable[tuple[Key, Value]]) -> Mapping[Key, list[Value]]:
    collected: dict[Key, list[Value]] = defaultdict(list)
    for key, value in pairs:
        collected[key].append(value)
    return collected


def _lacking(kept: store.Store, engines: Mapping[str, engines_.Engine]) -> Iterable[Condition]:
    """What the set-up of a process lacks: a way to a target, or the catalog itself."""
    for lack in impaired.lacks(kept, engines):
        yield Condition(
            kind=lack.kind,
            target=lack.about,
            since=lack.since,
            grants=lack.grants,
            error=lack.why,
        )


def _skewed(kept: store.Store, now: datetime) -> Iterable[Condition]:
    for measured in skew.latest(kept, now):
        if measured.large:
            yield Condition(
                kind=Alarm.SKEW,
                target=measured.target,
                since=measured.at,
                error=skew.sentence(measured),
            )


def _unsaid(kept: store.Store, now: datetime) -> Iterable[Condition]:
    """Slack takes nothing: other ways have to say so. The oldest message tells since when."""
    oldest = kept.outbox_oldest(refused=True)
    if oldest is not None and now - oldest > UNSAID_AFTER:
        yield Condition(kind=Alarm.UNSAID, target="outbox", since=oldest)
