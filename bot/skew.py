"""How far the clocks of targets are from ours, and what follows from it.

Deadlines are kept twice: by us, and by the target's own VALID UNTIL. Clocks too far apart would make
these two different times, so nothing is granted then, and somebody is told. Ends go on regardless.
"""

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from bot import clock as clocks
from bot import store
from db_grants import engine as engines_
from db_grants import errors as target_errors

_log = structlog.get_logger(__name__)

LIMIT = timedelta(seconds=30)
EVERY = timedelta(minutes=1)
STALE = timedelta(minutes=5)  # a measurement this old says nothing any more
_KEPT = "skew:"  # followed by target and machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One measurement, made on one machine."""

    target: str
    machine: str
    ahead: timedelta  # of the target's clock against ours; negative: behind
    at: datetime

    @property
    def large(self) -> bool:
        """Whether it forbids granting."""
        return abs(self.ahead) > LIMIT


class Skew:
    """Measures, and keeps the latest of each target for alarms and for `jit status`."""

    def __init__(
        self, *, store: store.Store, engines: Mapping[str, engines_.Engine], clock: clocks.Clock
    ) -> None:
        self._store = store
        self._engines = engines
        self._clock = clock
        self._looked: dict[str, datetime] = {}

    def due(self) -> tuple[str, ...]:
        """Targets not measured for EVERY; handing them out counts as a measurement."""
        now = self._clock.now()
        due = [name for name in self._engines if self._looked.get(name, now - EVERY) <= now - EVERY]
        self._looked |= dict.fromkeys(due, now)
        return tuple(due)

    def look(self, target: str) -> None:
        """Measure and keep. A target that does not answer is another matter, told elsewhere."""
        try:
            self._keep(self._measured(target))
        except target_errors.DbGrantsError as error:
            _log.debug("skew_unknown", target=target, why=str(error))

    def check(self, target: str) -> Measured:
        """Measure before granting; kept when it is large. Raises what the engine raises."""
        measured = self._measured(target)
        if measured.large:
            self._keep(measured)
        return measured

    def _measured(self, target: str) -> Measured:
        return Measured(
            target=target,
            machine=socket.gethostname(),
            ahead=ahead(self._engines[target], self._clock),
            at=self._clock.now(),
        )

    def _keep(self, measured: Measured) -> None:
        if measured.large:
            _log.error("clock_skew", target=measured.target, seconds=_seconds(measured))
        told = {"seconds": measured.ahead.total_seconds(), "at": measured.at.isoformat()}
        key = f"{_KEPT}{measured.target}:{measured.machine}"
        self._store.put(key, json.dumps(told))


def ahead(engine: engines_.Engine, clock: clocks.Clock) -> timedelta:
    """How far the target's clock is ahead of ours; what the way there and back may explain is none.

    Raises TargetUnavailable.
    """
    sent = clock.now()
    told = engine.server_time()
    received = clock.now()
    return told - min(max(told, sent), received)


def latest(store: store.Store, now: datetime) -> tuple[Measured, ...]:
    """What was measured of every target lately, on every machine."""
    kept = (_read(key, value) for key, value in sorted(store.kept(_KEPT).items()))
    return tuple(measured for measured in kept if now - measured.at <= STALE)


def sentence(measured: Measured) -> str:
    """What is wrong, for people."""
    seconds = _seconds(measured)
    where = "ahead of" if seconds > 0 else "behind"
    return (
        f"The clock of {measured.target} is {abs(seconds):,} s {where} the bot's, "
        f"and nothing is granted while they differ by more than {LIMIT.seconds} s"
    )


def _seconds(measured: Measured) -> int:
    return round(measured.ahead.total_seconds())


def _read(key: str, value: str) -> Measured:
    target, _, machine = key.removeprefix(_KEPT).rpartition(":")
    told = json.loads(value)
    return Measured(
        target=target,
        machine=machine,
        ahead=timedelta(seconds=told["seconds"]),
        at=datetime.fromisoformat(told["at"]),
    )
