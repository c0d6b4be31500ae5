"""What a stretch of time came to: the facts of a digest, each with the requests it is about."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot import model
from bot import store as stores
from bot.audit import findings, summary

LATE_AFTER = timedelta(seconds=15)  # what we promise: access ends at most this long after its time
_SHOWN = 3


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
class Digest:
    """The facts of [since, until). Counts are of that time; what is active, waiting, being granted,
    ending, overdue or still to be cleaned up is of now.
    """

    since: datetime
    until: datetime
    zone: str  # IANA name, in which the two are told
    active: tuple[Item, ...]  # soonest to end first
    waiting: tuple[Item, ...]  # for a decision, longest first
    granting: tuple[Item, ...]  # decided, not made yet; longest first
    unsure: tuple[Item, ...]  # could not be granted, perhaps left something behind; longest first
    ending: int  # in time, not seen to have ended yet
    overdue: tuple[Item, ...]  # should have ended by now and perhaps has not, longest first
    pending: tuple[Item, ...]  # access has surely ended, something remains, longest first
    granted: int
    by_rule: int
    by_people: int
    denied: int
    lapsed: int
    cancelled: int
    superseded: int
    failed: int  # decided, but nothing could be granted
    ended: int
    late: tuple[Item, ...]  # ended, or still to end, more than LATE_AFTER behind; slowest first
    slowest: timedelta | None  # behind the deadline, of those that ended; None when none ran to it
    longest_waits: tuple[Item, ...]  # for people's decisions, longest first
    unused: tuple[Item, ...]  # ended, and surely never used
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
    found = store.between(since, until)
    events, head = store.chain_head()
    made = [each for each in found if _within(each.activated_at, since, until)]
    ended = [each for each in found if each.activated_at and _ended(each, since, until)]
    decided = [each for each in found if _within(each.decided_at, since, until)]
    outcomes = Counter(each.status for each in decided)
    overdue = _longest((each, _overdue(each, now)) for each in found)
    late = _longest((each, _lateness(each)) for each in ended)
    too_long = tuple(item for item in overdue if _took(item) > late_after)
    slow = {item.request_id for item in too_long}
    behind = [*(item for item in late if _took(item) > late_after), *too_long]
    digest = Digest(
        since=since,
        until=until,
        zone=zone,
        active=_active(found),
        waiting=_longest((each, _waiting(each, now)) for each in found),
        granting=_longest((each, _granting(each, now)) for each in found),
        unsure=_longest((each, _unsure(each, now)) for each in found),
        ending=sum(_is_ending(each) and each.id not in slow for each in found),
        overdue=too_long,
        pending=_longest((each, _pending(each, now)) for each in found),
        granted=len(made),
        by_rule=sum(each.decided_by is None for each in made),
        by_people=sum(each.decided_by is not None for each in made),
        denied=outcomes[model.RequestStatus.DENIED],
        lapsed=outcomes[model.RequestStatus.EXPIRED],
        cancelled=outcomes[model.RequestStatus.CANCELLED],
        superseded=outcomes[model.RequestStatus.SUPERSEDED],
        failed=sum(_failed(each) for each in decided),
        ended=len(ended),
        late=tuple(sorted(behind, key=_took, reverse=True)),
        slowest=late[0].took if late else None,
        longest_waits=_longest((each, _wait(each)) for each in decided)[:_SHOWN],
        unused=tuple(_item(each) for each in ended if each.used is False),
        by_entitlement=tuple(Counter(each.entitlement for each in made).most_common()),
        findings=findings.all_open(store),
        events=events,
        head=head,
    )
    return digest if _worth_saying(digest) else None


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


def _within(moment: datetime | None, since: datetime, until: datetime) -> bool:
    return moment is not None and since <= moment < until


def _ended(each: stores.Outline, since: datetime, until: datetime) -> bool:
    return _within(each.access_ended_at, since, until)


def _failed(each: stores.Outline) -> bool:
    return each.grant_status is model.GrantStatus.ACTIVATION_FAILED


def _lateness(each: stores.Outline) -> timedelta | None:
    return summary.lateness(each.expires_at, each.access_ended_at) if each.expires_at else None


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
    """How long people let it wait; what a rule decided at once did not wait, nor a cancelled one."""
    waited_for = each.decided_by is not None or each.status is model.RequestStatus.EXPIRED
    if not waited_for or each.status is model.RequestStatus.CANCELLED or each.decided_at is None:
        return None
    return each.decided_at - each.created_at


def _active(found: Iterable[stores.Outline]) -> tuple[Item, ...]:
    active = [each for each in found if each.grant_status is model.GrantStatus.ACTIVE]
    return tuple(_item(each) for each in sorted(active, key=lambda each: str(each.expires_at)))


def _longest(pairs: Iterable[tuple[stores.Outline, timedelta | None]]) -> tuple[Item, ...]:
    items = [_item(each, took) for each, took in pairs if took is not None]
    return tuple(sorted(items, key=_took, reverse=True))


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
