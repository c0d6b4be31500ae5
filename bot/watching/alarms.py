"""Alarms: what needs a person, told until it is over or somebody says that they know.

An alarm is about a target, not about a grant: fifty grants on one dead target are one alarm. It is
raised once, kept up to date in place as grants come and go, repeated while nobody acknowledges it,
and said to be over with what became of them. Acknowledging silences the repeats and changes nothing
else. What is open stands in the record, so that a restart neither forgets an alarm nor raises it
again, and of several replicas only one speaks. What is wrong is looked up in `conditions`; how an open
alarm is kept and told is in `ringing`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from bot import catalog as catalogs
from bot import clock as clocks
from bot import errors, model, store
from bot.deciding import context, policy, refusal
from bot.telling import notices
from bot.telling.notices import Alarm
from bot.watching import conditions, ringing
from bot.watching.conditions import Condition
from bot.watching.ringing import Open
from db_grants import engine as engines_

_log = structlog.get_logger(__name__)

CHANGE_EVERY = timedelta(seconds=10)  # edits of one message: Slack takes fifty a minute of us
_ASKED = 5  # grants by whose rules it is judged who may acknowledge
_MARKED = 200  # grants marked in one look: the next is a moment later, and ends do not wait for it
_REVOKING = model.GrantStatus.REVOKING


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What is to be said now."""

    raised: tuple[Condition, ...] = ()
    repeated: tuple[Open, ...] = ()
    changed: tuple[Open, ...] = ()
    over: tuple[Open, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.raised or self.repeated or self.changed or self.over)


def decide(found: Iterable[Condition], known: Iterable[Open], now: datetime) -> Steps:
    """What follows from what was found at `now` and what has been said. Pure."""
    there = {ringing.key_of(each): each for each in found}
    said = {each.key: each for each in known if each.changed_at <= now}  # not seen later by another
    newer = {each.key for each in known} - said.keys()
    lasting = [(each, there[key]) for key, each in said.items() if key in there]
    again = [(each, condition) for each, condition in lasting if _is_to_be_repeated(each, now)]
    return Steps(
        raised=tuple(each for key, each in there.items() if key not in said.keys() | newer),
        repeated=tuple(each.now(condition, now) for each, condition in again),
        changed=tuple(
            each.now(condition, now)
            for each, condition in lasting
            if (each, condition) not in again and _is_to_be_changed(each, condition, now)
        ),
        over=tuple(each for key, each in said.items() if key not in there),
    )


def _is_to_be_repeated(known: Open, now: datetime) -> bool:
    return known.acknowledged_at is None and now - known.said_at >= ringing.REPEAT_EVERY


def _is_to_be_changed(known: Open, condition: Condition, now: datetime) -> bool:
    return condition.differs(known.condition) and now - known.changed_at >= CHANGE_EVERY


class Alarms:
    """Raises, brings up to date, repeats and ends alarms, and takes acknowledgements."""

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
        """Look at what is, and say what is new, has changed, is still so, or no more so."""
        now = self._clock.now()
        late = conditions.missed_ends(self._store, now)
        for grant, kind in [each for each in late if each[0].alarmed_at is None][:_MARKED]:
            self._mark(grant, kind, now)
        found = conditions.found(self._store, self._engines, late, now)
        if not decide(found, ringing.everything(self._store), now):
            return
        with self._store.begin(store.SYSTEM) as tx:
            tx.alone()  # another replica may be looking too
            steps = decide(found, ringing.everything(tx), now)
            for condition in steps.raised:
                self._raise(tx, condition)
            for each in steps.repeated:
                self._say(tx, replace(each, said_at=now), "repeated")
            for each in steps.changed:
                self._change(tx, each)
            for each in steps.over:
                self._over(tx, each)
        self._wake()

    def acknowledge(self, alarm_id: str, person_id: str) -> Open:
        """Somebody knows, and no more repeats are needed. Raises NotFound, NotAllowed, TooLate."""
        known = ringing.by_id(self._store, alarm_id)
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
            known = ringing.by_id(tx, alarm_id)
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
        stories = [self._store.story(grant_id) for grant_id in condition.grants[:_ASKED]]
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

    def _mark(self, grant: store.Brief, kind: Alarm, now: datetime) -> None:
        """The grant itself shows it, on its card and in its thread; that is no alarm of its own."""
        try:
            with self._store.begin(store.SYSTEM) as tx:
                marked = tx.note_grant(grant.id, _REVOKING, event=f"alarm.{kind}", alarmed_at=now)
                notices.redraw(tx, grant.id)
                notices.correct(tx, grant.id, notices.Kind.LIVE)
                notices.line(tx, grant.id, notices.Line.MISSED, now, alarm=str(kind))
                notices.home(tx, marked.requester_id)
        except errors.Conflict:  # it ended in this instant
            return
        _log.error("end_overdue", grant=grant.id, target=grant.target, alarm=kind)

    def _raise(self, tx: store.Transaction, condition: Condition) -> None:
        ringing.forget_places(tx)
        known = Open(
            id=model.new_id(),
            condition=condition,
            raised_at=tx.at,
            said_at=tx.at,
            changed_at=self._clock.now(),
            concerned=condition.grants,
        )
        self._say(tx, known, "raised")

    def _change(self, tx: store.Transaction, known: Open) -> None:
        """The message is edited in place; nobody is called, and no webhook told, for that."""
        before = ringing.by_id(tx, known.id)
        ringing.keep(tx, known)
        data = ringing.told(tx, known, "changed")
        if before.condition.grants != known.condition.grants:  # another error alone is no event
            tx.record("alarm.changed", _first(known.condition), _recorded(data))
        _log.info("alarm", state="changed", id=known.id, **_in_log(known.condition))
        tx.say(notices.Kind.ALARM, None, notices.AUDIT_LANE, data)

    def _over(self, tx: store.Transaction, known: Open) -> None:
        self._say(tx, known, "over")
        tx.forget(known.key)

    def _say(self, tx: store.Transaction, known: Open, state: str) -> None:
        """Keep it, record it, and owe everybody a message, in one transaction."""
        data = ringing.told(tx, known, state)
        ringing.keep(tx, known)
        tx.record(f"alarm.{state}", _first(known.condition), _recorded(data))
        _log.log(_LEVELS[state], "alarm", state=state, id=known.id, **_in_log(known.condition))
        place = {store.PLACE_KEY: known.place_key} if state in {"raised", "repeated"} else {}
        tx.say(notices.Kind.ALARM, None, notices.AUDIT_LANE, data | place)
        tx.say(notices.Kind.WEBHOOK, None, notices.WEBHOOK_LANE, data)


_LEVELS = {"raised": 40, "repeated": 40, "over": 30, "acknowledged": 30}  # logging's numbers


def _recorded(data: Mapping[str, object]) -> dict[str, object]:
    return {name: data[name] for name in ("id", "alarm", "target", "count", "grants")}


def _first(condition: Condition) -> str | None:
    return condition.grants[0] if condition.grants else None


def _in_log(condition: Condition) -> dict[str, object]:
    return {
        "kind": str(condition.kind),
        "target": condition.target,
        "grants": len(condition.grants),
        "why": condition.error,
    }
