"""What a stretch of time came to: the facts of a digest, each with the requests it is about."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot import model
from bot import store as stores
from bot.audit import findings, summary

LATE_AFTER = timedelta(seconds=15)  # what we promise: access ends at most this long after its time
MOST = 5  # requests of a list that are told by name
_WAITS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One request, so that its thread can be linked."""

    request_id: str
    requester_id: str
    requester_name: str
    target: str
    entitlement: str
    took: timedelta | None = None  # how long it waited, or was late; what the list is about
    until: datetime | None = None  # the deadline, where there is one


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """So many requests, the first of them by name."""

    count: int = 0
    first: tuple[Item, ...] = ()  # `MOST` at most

    def __bool__(self) -> bool:
        """Whether there are any."""
        return self.count > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """The facts of [since, until). Counts are of that time; what is active, waiting, being granted,
    ending, overdue or still to be cleaned up is of now.
    """

    since: datetime
    until: datetime
    zone: str  # IANA name, in which the two are told
    active: Items  # soonest to end first
    waiting: Items  # for a decision, longest first
    granting: Items  # decided, not made yet; longest first
    unsure: Items  # could not be granted, perhaps left something behind; longest first
    ending: int  # in time, not seen to have ended yet
    overdue: Items  # should have ended by now and perhaps has not, longest first
    pending: Items  # access has surely ended, something remains, longest first
    granted: int
    by_rule: int
    by_people: int
    denied: int
    lapsed: int
    cancelled: int
    superseded: int
    failed: int  # decided, but nothing could be granted
    ended: int
    late: Items  # ended, or still to end, more than LATE_AFTER behind; slowest first
    slowest: timedelta | None  # behind the deadline, of those that ended; None when none ran to it
    longest_waits: Items  # for people's decisions, longest first
    unused: Items  # ended, and surely never used
    by_entitlement: tuple[tuple[str, int], ...]  # granted, most first
    findings: tuple[findings.Finding, ...]  # where record and targets differ now
    events: int  # in the whole chain
    head: str  # the chain's last hash


def of_period(
    store: stores.Store,
    *,
    since: datetime,
    until: datetime,
    zone: str,
    now: datetime,
    late_after: timedelta = LATE_AFTER,
) -> Digest | None:
    """The digest of [since, until).

    None when nothing happened in it and nothing is under way or to be put right now.
    """
    found = store.between(since, until, now=now, late_after=late_after, most=MOST)
    events, head = store.chain_head()
    going = found.under_way
    overdue = _behind(going, now, late_after)
    stuck = {item.request_id for item in overdue}
    behind = [_item(each, _lateness(each)) for each in found.slowest]
    by_people = sum(count for (_, people), count in found.made.items() if people)
    granted = sum(found.made.values())
    digest = Digest(
        since=since,
        until=until,
        zone=zone,
        active=_few(found.active),
        waiting=_longest((each, _waiting(each, now)) for each in going),
        granting=_longest((each, _granting(each, now)) for each in going),
        unsure=_longest((each, _unsure(each, now)) for each in going),
        ending=sum(_is_ending(each) and each.id not in stuck for each in going),
        overdue=_items(overdue),
        pending=_longest((each, _pending(each, now)) for each in going),
        granted=granted,
        by_rule=granted - by_people,
        by_people=by_people,
        denied=found.decided.get(model.RequestStatus.DENIED, 0),
        lapsed=found.decided.get(model.RequestStatus.EXPIRED, 0),
        cancelled=found.decided.get(model.RequestStatus.CANCELLED, 0),
        superseded=found.decided.get(model.RequestStatus.SUPERSEDED, 0),
        failed=found.failed,
        ended=found.ended,
        late=_late(behind[: found.late], found.late, overdue),
        slowest=behind[0].took if behind else None,
        longest_waits=_longest((each, _wait(each)) for each in found.waits[:_WAITS]),
        unused=_few(found.unused),
        by_entitlement=_by_entitlement(found),
        findings=findings.all_open(store),
        events=events,
        head=head,
    )
    return digest if _worth_saying(digest) else None


def _behind(
    going: Iterable[stores.Outline], now: datetime, late_after: timedelta
) -> Sequence[Item]:
    """What should have ended longer ago than that and perhaps has not."""
    pairs = ((each, _overdue(each, now)) for each in going)
    return [_item(each, took) for each, took in pairs if took is not None and took > late_after]


def _late(named: Sequence[Item], ended: int, overdue: Sequence[Item]) -> Items:
    """What ended late, of which only the slowest are named, and what is late and has not ended."""
    return Items(count=ended + len(overdue), first=_items([*named, *overdue]).first)


def _by_entitlement(found: stores.Period) -> tuple[tuple[str, int], ...]:
    counts: Counter[str] = Counter()
    for (name, _), count in found.made.items():
        counts[name] += count
    return tuple(sorted(counts.items(), key=lambda each: (-each[1], each[0])))


def _worth_saying(digest: Digest) -> bool:
    """Whether any figure is not zero."""
    return any(
        (
            *(digest.active, digest.waiting, digest.granting, digest.unsure, digest.ending),
            *(digest.overdue, digest.pending, digest.findings),
            *(digest.granted, digest.ended, digest.failed),
            *(digest.denied, digest.lapsed, digest.cancelled, digest.superseded),
        )
    )


def _lateness(each: stores.Outline) -> timedelta | None:
    if each.expires_at is None:
        return None
    due = stores.due_since(each.expires_at, each.cause, each.revoking_since)
    return summary.lateness(due, each.access_ended_at)


def _overdue(each: stores.Outline, now: datetime) -> timedelta | None:
    live = each.grant_status in (model.GrantStatus.ACTIVE, model.GrantStatus.REVOKING)
    if not live or each.access_ended_at or each.activated_at is None or each.expires_at is None:
        return None
    early = each.cause not in (None, model.EndCause.DEADLINE)
    due = each.revoking_since if early and each.revoking_since else each.expires_at
    return now - due if due <= now else None


def _pending(each: stores.Outline, now: datetime) -> timedelta | None:
    going = each.grant_status is model.GrantStatus.REVOKING  # not what was given up
    return now - each.access_ended_at if each.access_ended_at and going else None


def _waiting(each: stores.Outline, now: datetime) -> timedelta | None:
    return now - each.created_at if each.status is model.RequestStatus.PENDING else None


def _granting(each: stores.Outline, now: datetime) -> timedelta | None:
    coming = each.grant_status is model.GrantStatus.ACTIVATING
    return now - (each.decided_at or each.created_at) if coming else None


def _unsure(each: stores.Outline, now: datetime) -> timedelta | None:
    since = each.revoking_since or now
    return now - since if _is_going(each) and each.activated_at is None else None


def _is_ending(each: stores.Outline) -> bool:
    return _is_going(each) and each.activated_at is not None


def _is_going(each: stores.Outline) -> bool:
    return each.grant_status is model.GrantStatus.REVOKING and each.access_ended_at is None


def _wait(each: stores.Outline) -> timedelta | None:
    return each.decided_at - each.created_at if each.decided_at else None


def _few(found: stores.Few) -> Items:
    return Items(count=found.count, first=tuple(_item(each) for each in found.first))


def _longest(pairs: Iterable[tuple[stores.Outline, timedelta | None]]) -> Items:
    return _items([_item(each, took) for each, took in pairs if took is not None])


def _items(some: Sequence[Item]) -> Items:
    """Longest first."""
    return Items(count=len(some), first=tuple(sorted(some, key=_took, reverse=True)[:MOST]))


def _took(item: Item) -> timedelta:
    return item.took or timedelta(0)


def _item(each: stores.Outline, took: timedelta | None = None) -> Item:
    return Item(
        request_id=each.id,
        requester_id=each.requester_id,
        requester_name=each.requester_name,
        target=each.target,
        entitlement=each.entitlement,
        took=took,
        until=each.expires_at,
    )
