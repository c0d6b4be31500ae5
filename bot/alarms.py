"""Alarms: what needs a person, told until it is over or somebody says that they know.

An alarm is about a target, not about a grant: fifty grants on one dead target are one alarm. It is
raised once, repeated while nobody acknowledges it, and said to be over. Acknowledging silences the
repeats and changes nothing else. What is open stands in the record, so that a restart neither
forgets an alarm nor raises it again, and of several replicas only one speaks.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from bot import catalog as catalogs
from bot import clock as clocks
from bot import context, ending, errors, model, notices, places, policy, refusal, skew, store
from bot.notices import Alarm
from db_grants import engine as engines_

Key = TypeVar("Key")
Value = TypeVar("Value")

_log = structlog.get_logger(__name__)

REPEAT_EVERY = ending.REMIND_EVERY
UNSAID_AFTER = timedelta(minutes=10)  # a message that waits so long: nobody learns anything
_KEPT = "alarm:"  # followed by kind and target
_WATCHED = 5000
_NAMED = 5  # grants told by name; the others are a number
_REVOKING = model.GrantStatus.REVOKING


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Something that needs a person, as it is now."""

    kind: Alarm
    target: str
    since: datetime
    grants: tuple[str, ...] = ()
    error: str = ""

    @property
    def key(self) -> str:
        """Equal for the same trouble, however many grants it comes to concern."""
        return f"{_KEPT}{self.kind}:{self.target}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """An alarm that is not over. `id` is what one acknowledges it by."""

    id: str
    condition: Condition
    raised_at: datetime
    said_at: datetime
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None  # person id, or "operator:<login>"
    acknowledged_name: str | None = None

    @property
    def key(self) -> str:
        """Where it is kept."""
        return self.condition.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What is to be said now."""

    raised: tuple[Condition, ...] = ()
    repeated: tuple[Open, ...] = ()
    over: tuple[Open, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.raised or self.repeated or self.over)


def decide(found: Iterable[Condition], known: Iterable[Open], now: datetime) -> Steps:
    """What follows from what is and what has been said. Pure."""
    there = {each.key: each for each in found}
    said = {each.key: each for each in known}
    lasting = [replace(each, condition=there[key]) for key, each in said.items() if key in there]
    return Steps(
        raised=tuple(each for key, each in there.items() if key not in said),
        repeated=tuple(
            each
            for each in lasting
            if each.acknowledged_at is None and now - each.said_at >= REPEAT_EVERY
        ),
        over=tuple(each for key, each in said.items() if key not in there),
    )


class Alarms:
    """Raises, repeats and ends alarms, and takes acknowledgements."""

    def __init__(
        self,
        *,
        store: store.Store,
        engines: Mapping[str, engines_.Engine],
        catalog: Callable[[], catalogs.Catalog],
        directory: context.Directory,
        clock: clocks.Clock,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._engines = engines
        self._catalog = catalog
        self._directory = directory
        self._clock = clock
        self._wake = wake

    def watch(self) -> None:
        """Look at what is, and say what is new, still so, or no more so."""
        now = self._clock.now()
        missed = self._missed(now)
        for grant, kind in missed:
            self._mark(grant, kind, now)
        found = (*_by_target(missed), *self._stranded(), *self._skewed(now), *self._unsaid(now))
        if not decide(found, everything(self._store), now):
            return
        with self._store.begin(store.SYSTEM) as tx:
            tx.alone()  # another replica may be looking too
            steps = decide(found, everything(tx), now)
            for condition in steps.raised:
                self._raise(tx, condition)
            for each in steps.repeated:
                self._say(tx, replace(each, said_at=now), "repeated")
            for each in steps.over:
                self._over(tx, each)
        self._wake()

    def acknowledge(self, alarm_id: str, person_id: str) -> Open:
        """Somebody knows, and no more repeats are needed. Raises NotFound, NotAllowed, TooLate."""
        known = by_id(self._store, alarm_id)
        person = self._directory.person(person_id)
        actor = store.Actor(kind="user", id=person_id, name=person.name)
        with refusal.recorded(self._store, actor, _first(known.condition), "acknowledge"):
            if person.refusal is not None or not self._may(person, known.condition):
                raise errors.NotAllowed(
                    "Only those who may revoke this access, or are called for alarms, can"
                    " acknowledge this."
                )
        return self._acknowledge(alarm_id, actor, person_id)

    def acknowledge_as_operator(self, alarm_id: str, login: str) -> Open:
        """As `acknowledge`, from the command line. Raises NotFound, TooLate."""
        actor = store.Actor(kind="operator", id=login, name=login)
        return self._acknowledge(alarm_id, actor, f"operator:{login}")

    def _acknowledge(self, alarm_id: str, actor: store.Actor, by: str) -> Open:
        with self._store.begin(actor) as tx:
            tx.alone()
            known = by_id(tx, alarm_id)
            if known.acknowledged_at is not None:
                raise errors.TooLate(f"{known.acknowledged_name} has acknowledged this already.")
            known = replace(
                known, acknowledged_at=tx.at, acknowledged_by=by, acknowledged_name=actor.name
            )
            self._say(tx, known, "acknowledged")
        self._wake()
        return known

    def _may(self, person: model.Person, condition: Condition) -> bool:
        """Whoever is called for alarms; and who may end one of its grants, other than its holder."""
        catalog = self._catalog()
        called = (self._directory.members(ref) for ref in catalog.alarms.mention)
        if any(person.id in (members or ()) for members in called):
            return True
        stories = [self._store.story(grant_id) for grant_id in condition.grants[:_NAMED]]
        return any(self._may_revoke(person, story, catalog) for story in stories)

    def _may_revoke(
        self, person: model.Person, story: model.Story, catalog: catalogs.Catalog
    ) -> bool:
        if person.id == story.request.requester_id:
            return False
        facts = context.collect(
            self._directory, catalog, story.request.requester_id, story.request.entitlement
        )
        return policy.may_revoke(person, story, catalog, facts) is None

    def _missed(self, now: datetime) -> list[tuple[model.Grant, Alarm]]:
        ends = self._store.grants(status={_REVOKING}, limit=_WATCHED)
        return [(grant, kind) for grant in ends if (kind := missed(grant, now))]

    def _mark(self, grant: model.Grant, kind: Alarm, now: datetime) -> None:
        """The grant itself shows it, on its card and in its thread; that is no alarm of its own."""
        if grant.alarmed_at is not None and now - grant.alarmed_at < REPEAT_EVERY:
            return
        new = grant.alarmed_at is None
        try:
            with self._store.begin(store.SYSTEM) as tx:
                event = f"alarm.{kind}" if new else None
                tx.note_grant(grant.id, _REVOKING, event=event, alarmed_at=now)
                if new:
                    notices.redraw(tx, grant.id)
                    notices.line(tx, grant.id, notices.Line.MISSED, now, alarm=str(kind))
        except errors.Conflict:  # it ended in this instant
            return
        if new:
            _log.error("end_overdue", grant=grant.id, target=grant.target, alarm=kind)

    def _stranded(self) -> Iterable[Condition]:
        """Live grants on a target that there is no connection to: they cannot be ended by us."""
        live = self._store.grants(status=model.LIVE_GRANT, limit=_WATCHED)
        lost = [grant for grant in live if not places.reached(self._engines, grant)]
        for target, grants in _grouped((grant.target, grant) for grant in lost).items():
            yield Condition(
                kind=Alarm.STRANDED,
                target=target,
                since=min(grant.created_at for grant in grants),
                grants=tuple(sorted(grant.id for grant in grants)),
            )

    def _skewed(self, now: datetime) -> Iterable[Condition]:
        for measured in skew.latest(self._store, now):
            if measured.large:
                yield Condition(
                    kind=Alarm.SKEW,
                    target=measured.target,
                    since=measured.at,
                    error=skew.sentence(measured),
                )

    def _unsaid(self, now: datetime) -> Iterable[Condition]:
        """Slack takes nothing: other ways have to say so. The oldest message tells since when."""
        oldest = self._store.outbox_oldest(refused=True)
        if oldest is not None and now - oldest > UNSAID_AFTER:
            yield Condition(kind=Alarm.UNSAID, target="outbox", since=oldest)

    def _raise(self, tx: store.Transaction, condition: Condition) -> None:
        known = Open(id=model.new_id(), condition=condition, raised_at=tx.at, said_at=tx.at)
        self._say(tx, known, "raised")

    def _over(self, tx: store.Transaction, known: Open) -> None:
        self._say(tx, known, "over")
        tx.forget(known.key)

    def _say(self, tx: store.Transaction, known: Open, state: str) -> None:
        """Keep it, record it, and owe everybody a message, in one transaction."""
        told = _told(tx, known, state)
        tx.put(known.key, json.dumps(_plain(known)))
        summary = {name: told[name] for name in ("id", "alarm", "target", "count", "grants")}
        tx.record(f"alarm.{state}", _first(known.condition), summary)
        _log.log(_LEVELS[state], "alarm", state=state, id=known.id, **_in_log(known.condition))
        tx.say(notices.Kind.ALARM, _first(known.condition), notices.AUDIT_LANE, told)
        tx.say(notices.Kind.WEBHOOK, None, notices.WEBHOOK_LANE, told)


_LEVELS = {"raised": 40, "repeated": 40, "over": 30, "acknowledged": 30}  # logging's numbers


def missed(grant: model.Grant, now: datetime) -> Alarm | None:
    """Which limit the end of a REVOKING grant has missed, if any.

    Past the limit either an attempt has failed, or none has answered for as long as the limit; so a
    deadline that passed while we were down rings only if the first attempt does not end it.
    """
    began = grant.revoking_since or grant.expires_at
    if grant.access_ended_at is not None:
        late = now - grant.access_ended_at > ending.CLEANED_WITHIN
        return Alarm.UNCLEAN if late else None
    late = now - ending.due_since(grant) > ending.CLOSED_WITHIN
    tried = grant.attempts > 0 or now - began > ending.CLOSED_WITHIN
    return _kind(grant) if late and tried else None


def _kind(grant: model.Grant) -> Alarm:
    # A role that was never ACTIVE never had a password, so nobody can have logged in with it.
    never = grant.activated_at is None
    return Alarm.UNSURE if never else Alarm.OVERDUE


def everything(reads: "store.Store | store.Transaction") -> tuple[Open, ...]:
    """Every alarm that is not over, oldest first."""
    found = (_read(value) for value in reads.kept(_KEPT).values())
    return tuple(sorted(found, key=lambda each: (each.raised_at, each.key)))


def by_id(reads: "store.Store | store.Transaction", alarm_id: str) -> Open:
    """One of them. Raises NotFound when it is over, or never was."""
    known = next((each for each in everything(reads) if each.id == alarm_id), None)
    if known is None:
        raise errors.NotFound(f"There is no open alarm {alarm_id}.")
    return known


def stale(reads: store.Store, data: Mapping[str, object], said: datetime, now: datetime) -> bool:
    """Whether a message about an alarm need not be said any more, because it was long in coming."""
    state = data.get("state")
    if state not in {"raised", "repeated"}:
        return False
    known = next((each for each in everything(reads) if each.id == data["id"]), None)
    if known is None:  # over; that it was, is said next
        return True
    silenced = known.acknowledged_at is not None or now - said >= REPEAT_EVERY
    return state == "repeated" and silenced


def _by_target(missed: Iterable[tuple[model.Grant, Alarm]]) -> Iterable[Condition]:
    pairs = (((kind, grant.target), grant) for grant, kind in missed)
    for (kind, target), grants in _grouped(pairs).items():
        told = next((grant.last_error for grant in grants if grant.last_error), None)
        yield Condition(
            kind=kind,
            target=target,
            since=min(_since(grant, kind) for grant in grants),
            grants=tuple(grant.id for grant in sorted(grants, key=ending.due_since)),
            error=told or "",
        )


def _since(grant: model.Grant, kind: Alarm) -> datetime:
    if kind is Alarm.UNCLEAN and grant.access_ended_at is not None:
        return grant.access_ended_at
    return ending.due_since(grant)


def _grouped(pairs: Iterable[tuple[Key, Value]]) -> Mapping[Key, list[Value]]:
    found: dict[Key, list[Value]] = defaultdict(list)
    for key, value in pairs:
        found[key].append(value)
    return found


def _told(tx: store.Transaction, known: Open, state: str) -> dict[str, object]:
    """What a message is drawn from, in Slack and elsewhere. Holds no secret."""
    condition = known.condition
    requests = [tx.request(grant_id) for grant_id in condition.grants[:_NAMED]]
    return {
        "id": known.id,
        "alarm": str(condition.kind),
        "state": state,
        "over": state == "over",
        "target": condition.target,
        "since": condition.since.isoformat(),
        "count": len(condition.grants),
        "error": condition.error,
        "by": known.acknowledged_name,
        "grants": [
            {
                "id": each.id,
                "who": each.requester_name,
                "what": each.entitlement,
                "role": tx.grant(each.id).role_name,
            }
            for each in requests
        ],
    }


def _first(condition: Condition) -> str | None:
    return condition.grants[0] if condition.grants else None


def _in_log(condition: Condition) -> dict[str, object]:
    return {
        "kind": str(condition.kind),
        "target": condition.target,
        "grants": len(condition.grants),
        "why": condition.error,
    }


def _plain(known: Open) -> dict[str, object]:
    def text(value: object) -> object:
        return value.isoformat() if isinstance(value, datetime) else value

    told = {name: text(value) for name, value in asdict(known).items()}
    told["condition"] = {name: text(v) for name, v in asdict(known.condition).items()}
    return told


def _read(text: str) -> Open:
    told = json.loads(text)
    about = told.pop("condition")
    about |= {
        "kind": Alarm(about["kind"]),
        "since": datetime.fromisoformat(about["since"]),
        "grants": tuple(about["grants"]),
    }
    for name in ("raised_at", "said_at", "acknowledged_at"):
        told[name] = datetime.fromisoformat(told[name]) if told[name] else None
    return Open(**told, condition=Condition(**about))
