"""Where a grant's target is, recorded with its request, so that no change of the catalog strands it.

The catalog may forget a target, or move its name to another server, while somebody holds access on
the old one. So each request notes the variable that held the target's URL; for live grants whose
target is no longer there, a connection is set up from that note.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from bot import catalog as catalogs
from bot import errors, model, store
from db_grants import engine as engines_
from db_grants import errors as target_errors
from db_grants import spec

_log = structlog.get_logger(__name__)

_AT_ONCE = 500  # requests read together


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A target as it was when access on it was asked for."""

    target: str
    url_env: str
    public_host: str | None = None
    public_port: int | None = None


Connect = Callable[[Place], engines_.Engine]


def noted(target: catalogs.Target) -> dict[str, object]:
    """What a request keeps of its target; the URL itself is a secret and is not kept."""
    return {
        "url_env": target.url_env,
        "public_host": target.public_host,
        "public_port": target.public_port,
    }


def of_request(request: model.AccessRequest) -> Place | None:
    """Where its target was; None for a request of a version that did not note it."""
    place = request.scope.get("place")
    return Place(target=request.target, **place) if isinstance(place, dict) else None


class Lost:
    """In place of an engine: there is no way to the server of this grant."""

    def __init__(self, target: str, why: str) -> None:
        self.target = target
        self.why = why

    def dispose(self) -> None:
        """There is nothing to close."""

    def __getattr__(self, name: str) -> Callable[..., object]:
        def refuse(*_given: object, **_named: object) -> object:
            raise target_errors.TargetUnavailable(
                f"No connection to {self.target} is set up. {self.why}"
            )

        return refuse


class EndsOnly:
    """An engine that ends and looks, and makes nothing: what may be granted is not known.

    A grant in the making waits, and is given up by its `activate_by` like any that cannot be made.
    """

    def __init__(self, engine: engines_.Engine, why: str) -> None:
        self._engine = engine
        self._why = why

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def create(self, _spec: spec.GrantSpec, _near: spec.Near | None = None) -> spec.ManagedRole:
        """Raises TargetUnavailable, always."""
        raise target_errors.TargetUnavailable(f"Nothing is granted just now: {self._why}")


def strays(
    kept: store.Store, targets: Mapping[str, catalogs.Target], connect: Connect
) -> dict[str, engines_.Engine]:
    """An engine, by `key`, for each live grant that is not where the catalog's target is.

    One connection a place, however many grants. Where there is no way to it, a Lost one.
    """
    made: dict[Place, engines_.Engine] = {}
    found: dict[str, engines_.Engine] = {}
    for request in _live(kept):
        place = of_request(request)
        here = targets.get(request.target)
        if place is None or (here is not None and here.url_env == place.url_env):
            continue
        if place not in made:
            made[place] = connected(place, connect)
        found[key(request.id)] = made[place]
        _log.warning(
            "target_recorded", grant=request.id, target=request.target, from_=place.url_env
        )
    return found


def _live(kept: store.Store) -> Iterator[model.AccessRequest]:
    """What was asked of every live grant, however many."""
    ids = [grant.id for target in kept.live_by_target() for grant in kept.live_on(target)]
    for start in range(0, len(ids), _AT_ONCE):
        yield from (story.request for story in kept.stories(ids[start : start + _AT_ONCE]))


def key(grant_id: str) -> str:
    """Under which the engine of one grant is found among those of targets."""
    return f"grant:{grant_id}"


def grant_of(key: str) -> str:
    """The grant that `key` was made of."""
    return key.partition(":")[2]


def ends_only(engine: engines_.Engine, why: str) -> engines_.Engine:
    """The same engine, which makes nothing; see EndsOnly."""
    held: engines_.Engine = EndsOnly(engine, why)  # type: ignore[assignment]
    return held


def engine_of(
    engines: Mapping[str, engines_.Engine], grant: model.Grant | store.Brief | store.Door
) -> engines_.Engine | None:
    """The way to the server that this grant is on."""
    return engines.get(key(grant.id)) or engines.get(grant.target)


def reached(engines: Mapping[str, engines_.Engine], grant: model.Grant | store.Brief) -> bool:
    """Whether there is a way to that server at all."""
    engine = engine_of(engines, grant)
    return engine is not None and not isinstance(engine, Lost)


def reachable(engines: Mapping[str, engines_.Engine]) -> dict[str, engines_.Engine]:
    """Those of them that there is a way to."""
    return {name: engine for name, engine in engines.items() if not isinstance(engine, Lost)}


def unreachable(engines: Mapping[str, engines_.Engine]) -> dict[str, str]:
    """The others, and why."""
    return {name: engine.why for name, engine in engines.items() if isinstance(engine, Lost)}


def disposable(engines: Iterable[engines_.Engine]) -> tuple[engines_.Engine, ...]:
    """Each once."""
    return tuple({id(engine): engine for engine in engines}.values())


def connected(place: Place, connect: Connect) -> engines_.Engine:
    """The way there, or a Lost one where the variable with its URL is missing or wrong."""
    try:
        return connect(place)
    except errors.SettingsError as missing:
        _log.error("target_lost", target=place.target, why=str(missing))
        why = str(missing).partition(": ")[0].rstrip(".")
        lost: engines_.Engine = Lost(place.target, f"{why}.")  # type: ignore[assignment]
        return lost


class Told(Protocol):
    """Whoever tells which server it is."""

    def identity(self) -> str:
        """See `db_grants.engine.Engine.identity`."""


def ensure_same(engine: Told, grant: model.Grant | store.Door) -> None:
    """Raise TargetUnavailable unless `engine` leads to the server that the grant's role was made on.

    Nothing is asked of a grant of a version that did not record that.
    """
    if grant.server is None:
        return
    here = engine.identity()
    if here != grant.server:
        raise target_errors.TargetUnavailable(
            f"The target is another server now ({here or 'which it does not tell'}) than the one this"
            f" access is on ({grant.server}). Let its URL name that one again, or, if that is gone for"
            f" good, close the record: jit give-up {grant.id}."
        )
