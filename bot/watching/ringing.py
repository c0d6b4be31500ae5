"""Alarms that are not over: how the record keeps them, and what a message says of one."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from bot import errors, model, store
from bot.ending import phases
from bot.telling import outcry
from bot.telling.notices import Alarm
from bot.watching.conditions import Condition
from db_grants import naming

Reads = store.Store | store.Transaction

REPEAT_EVERY = outcry.REPEAT_EVERY
KEEP_PLACES = timedelta(days=7)  # of what was said about alarms that are over
_KEPT = "alarm:"  # followed by kind and target
_PLACE = "alarmed at:"  # followed by the alarm's id: channel and ts of its newest message
_NAMED = 5  # grants told by name; the others are a number


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """An alarm that is not over. `id` is what one acknowledges it by."""

    id: str
    condition: Condition
    raised_at: datetime
    said_at: datetime  # to call people
    changed_at: datetime  # as of then the condition is what is kept and told
    concerned: tuple[str, ...] = ()  # every grant it was ever about
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None  # person id, or "operator:<login>"
    acknowledged_name: str | None = None

    @property
    def key(self) -> str:
        """Where it is kept."""
        return key_of(self.condition)

    @property
    def place_key(self) -> str:
        """Where the place of its newest message is kept."""
        return _PLACE + self.id

    def now(self, condition: Condition, at: datetime) -> "Open":
        """The same alarm, about what is so by now. What nobody holds began when it was first seen."""
        if not condition.grants:
            condition = replace(condition, since=min(condition.since, self.condition.since))
        concerned = tuple(dict.fromkeys([*self.concerned, *condition.grants]))
        return replace(self, condition=condition, changed_at=at, concerned=concerned)


def everything(reads: Reads) -> tuple[Open, ...]:
    """Every alarm that is not over, oldest first."""
    kept = reads.kept(_KEPT).items()
    found = [one for key, value in kept if (one := store.understood(key, value, _read))]
    return tuple(sorted(found, key=lambda each: (each.raised_at, each.key)))


def by_id(reads: Reads, alarm_id: str) -> Open:
    """One of them. Raises NotFound when it is over, or never was."""
    known = _find(reads, alarm_id)
    if known is None:
        raise errors.NotFound(f"There is no open alarm {alarm_id}.")
    return known


def _find(reads: Reads, alarm_id: object) -> Open | None:
    return next((each for each in everything(reads) if each.id == alarm_id), None)


def stale(reads: store.Store, data: Mapping[str, object], said: datetime, now: datetime) -> bool:
    """Whether a message about an alarm need not be said any more, because it was long in coming."""
    state = data.get("state")
    if state not in {"raised", "repeated", "changed"}:
        return False
    known = _find(reads, data["id"])
    if known is None:  # over; that it was, is said next
        return True
    if state == "changed":  # what changed since is said next
        return data.get("as_of") != known.changed_at.isoformat()
    silenced = known.acknowledged_at is not None or now - said >= REPEAT_EVERY
    return state == "repeated" and silenced


def as_it_is(reads: store.Store, data: Mapping[str, object]) -> Mapping[str, object]:
    """What a message is drawn from by now: the alarm as it is while it is open, else what was told."""
    known = _find(reads, data["id"])
    return data if known is None else told(reads, known, str(data["state"]))


def place(reads: store.Store, alarm_id: str) -> tuple[str, str] | None:
    """Channel and ts of the newest message that was posted about an alarm."""
    kept = reads.get(_PLACE + alarm_id)
    channel, ts = json.loads(kept) if kept else ("", "")
    return (channel, ts) if ts else None


def forget_places(tx: store.Transaction) -> None:
    """Of alarms that are long over, so that what is kept does not grow for ever."""
    still = {each.place_key for each in everything(tx)}
    oldest = (tx.at - KEEP_PLACES).timestamp()
    for key, value in tx.kept(_PLACE).items():
        if key not in still and float(json.loads(value)[1]) < oldest:
            tx.forget(key)


def told(reads: Reads, known: Open, state: str) -> dict[str, object]:
    """What a message is drawn from, in Slack and elsewhere. Holds no secret."""
    condition, over = known.condition, state == "over"
    about = known.concerned if over else condition.grants
    return {
        "id": known.id,
        "alarm": str(condition.kind),
        "state": state,
        "over": over,
        "target": condition.target,
        "since": condition.since.isoformat(),
        "raised": known.raised_at.isoformat(),
        "as_of": known.changed_at.isoformat(),
        "count": len(about),
        "gone": len(known.concerned) - len(about),
        "error": condition.error,
        "by": known.acknowledged_name,
        "grants": [_named(reads, grant_id) for grant_id in about[:_NAMED]],
        **(became(reads, known) if over else {}),
    }


def _named(reads: Reads, grant_id: str) -> dict[str, object]:
    """One grant, for people. An alarm rings also where the record of it was lost or spoilt by hand."""
    try:
        request, grant = reads.request(grant_id), reads.grant(grant_id)
    except errors.NotFound:
        gone = {"who": "somebody", "what": "access that the record no longer tells of"}
        return {"id": grant_id, **gone, "role": naming.managed_role(grant_id), "left": []}
    return {
        "id": grant_id,
        "who": request.requester_name,
        "what": request.entitlement,
        "role": grant.role_name,
        "until": grant.expires_at.isoformat(),
        "left": list(grant.residue),
    }


def became(reads: Reads, known: Open) -> dict[str, object]:
    """What became of every grant it was about: how many are live, and being cleaned; the last end."""
    grants = reads.briefs(known.concerned)
    ended = [grant for grant in grants if grant.access_ended_at is not None]
    last = max(ended, key=lambda grant: grant.access_ended_at or grant.created_at, default=None)
    late = last.access_ended_at - phases.due_since(last) if last and last.access_ended_at else None
    return {
        "live": sum(grant.status is model.GrantStatus.ACTIVE for grant in grants),
        "unproven": sum(
            grant.status is model.GrantStatus.REVOKED and grant.access_ended_at is None
            for grant in grants
        ),
        "cleaning": sum(grant.status is model.GrantStatus.REVOKING for grant in ended),
        "last": last.access_ended_at.isoformat() if last and last.access_ended_at else None,
        "late": max(0.0, late.total_seconds()) if late is not None else None,
    }


def key_of(condition: Condition) -> str:
    """Equal for the same trouble, however many grants it comes to concern."""
    return f"{_KEPT}{condition.kind}:{condition.target}"


def keep(tx: store.Transaction, known: Open) -> None:
    """As it is by now."""
    tx.put(known.key, json.dumps(_plain(known)))


def _plain(known: Open) -> dict[str, object]:
    def text(value: object) -> object:
        return value.isoformat() if isinstance(value, datetime) else value

    plain = {name: text(value) for name, value in asdict(known).items()}
    plain["condition"] = {name: text(v) for name, v in asdict(known.condition).items()}
    return plain


def _read(text: str) -> Open:
    kept = json.loads(text)
    about = kept.pop("condition")
    about |= {
        "kind": Alarm(about["kind"]),
        "since": datetime.fromisoformat(about["since"]),
        "grants": tuple(about["grants"]),
    }
    kept.setdefault("changed_at", kept["said_at"])  # as an older version kept it
    kept["concerned"] = tuple(kept.get("concerned", about["grants"]))
    for name in ("raised_at", "said_at", "changed_at", "acknowledged_at"):
        kept[name] = datetime.fromisoformat(kept[name]) if kept[name] else None
    return Open(**kept, condition=Condition(**about))
