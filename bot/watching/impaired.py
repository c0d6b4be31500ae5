"""What a process cannot do for want of its set-up, in the record for as long as it runs so.

There it is seen by alarms, and so by `jit status`, also of replicas whose own set-up is whole: an
alarm that only one of several could see would be raised by it and ended by the others.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

from bot import store
from bot.granting import places
from bot.telling.notices import Alarm
from db_grants import engine as engines_

HEARD_WITHIN = timedelta(seconds=60)  # a process silent for longer may be gone
_KEPT = "impaired:"  # followed by the replica's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """One thing that is lacking, which calls for a person."""

    kind: Alarm
    about: str  # a target, or "catalog"
    since: datetime
    why: str
    grants: tuple[str, ...] = ()  # live, and not to be ended because of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Impaired:
    """One process and what it lacks."""

    since: str  # ISO time
    catalog: str = ""  # why nothing is granted at all
    targets: Mapping[str, str] = field(default_factory=dict)  # why there is no way to them, by name
    grants: Mapping[str, str] = field(default_factory=dict)  # the same of single grants, by id

    def __bool__(self) -> bool:
        return bool(self.catalog or self.targets or self.grants)

    @property
    def began(self) -> datetime:
        """When it was found."""
        return datetime.fromisoformat(self.since)


def note(kept: store.Store, name: str, lacks: Impaired) -> None:
    """Let everybody know what the process `name` lacks; nothing, and there is nothing to know."""
    if lacks:
        kept.put(_KEPT + name, json.dumps(asdict(lacks)))
    else:
        kept.forget(_KEPT + name)


def latest(kept: store.Store) -> tuple[Impaired, ...]:
    """What running processes lack, longest first."""
    found = kept.kept(_KEPT)
    if not found:
        return ()
    heard = {each.name for each in kept.replicas() if each.silent_for <= HEARD_WITHIN}
    told = (
        store.understood(key, text, lambda kept: Impaired(**json.loads(kept)))
        for key, text in found.items()
        if key.removeprefix(_KEPT) in heard
    )
    return tuple(sorted((each for each in told if each), key=lambda each: each.since))


def lacks(kept: store.Store, engines: Mapping[str, engines_.Engine]) -> Iterator[Lack]:
    """What this process, by its `engines`, and the others lack now."""
    noted = latest(kept)
    for each in [each for each in noted if each.catalog][:1]:
        yield Lack(kind=Alarm.ENDS_ONLY, about="catalog", since=each.began, why=each.catalog)
    yield from _stranded(kept, engines, noted)


def _stranded(
    kept: store.Store, engines: Mapping[str, engines_.Engine], noted: tuple[Impaired, ...]
) -> Iterator[Lack]:
    """Targets that there is no way to, whether or not anything is live there."""
    lost = places.unreachable(engines)
    whys = {name: (why, each.began) for each in noted for name, why in each.targets.items()}
    single = {grant: why for each in noted for grant, why in each.grants.items()}
    for target in sorted({*whys, *kept.live_by_target()}):
        # spares reading grants at every look
        if target in engines and not (lost or whys or single):
            continue
        stuck = [
            grant
            for grant in kept.live_on(target)
            if grant.id in single
            or not places.reached(engines, grant)
            or (target in whys and places.key(grant.id) not in engines)  # unless it is elsewhere
        ]
        if not stuck and target not in whys:
            continue
        told = (single.get(g.id) or lost.get(places.key(g.id)) or lost.get(target) for g in stuck)
        why, since = whys.get(target) or (next(filter(None, told), ""), stuck[0].created_at)
        grants = tuple(grant.id for grant in stuck)
        yield Lack(kind=Alarm.STRANDED, about=target, since=since, why=why, grants=grants)
