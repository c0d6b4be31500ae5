"""How far the clocks of targets are from ours, and what follows from it.

Deadlines are kept twice: by us, and by the target's own VALID UNTIL. Clocks too far apart would make
these two different times, so nothing is granted then, and somebody is told. Ends go on regardless.
What makes a role tells the server the time here, and is refused where that is not surely near; then it
is measured whether it is too far.

While the machine's clock is ahead of the time that passed here (`leap`), it is the machine's that is
measured, and nothing is granted at all.
"""

import functools
import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from bot import clock as clocks
from bot import model, store
from bot.granting import leap as leaps
from db_grants import engine as engines_
from db_grants import errors as target_errors
from db_grants import spec

_log = structlog.get_logger(__name__)

LIMIT = clocks.LIMIT
EVERY = timedelta(minutes=1)
IN_DOUBT_EVERY = timedelta(seconds=2)  # while the machine's own clock is doubted
STALE = timedelta(minutes=5)  # a measurement this old says nothing any more
_KEPT = "skew:"  # followed by target and machine
ITSELF = "the machine "  # no target's name has a space: a machine against the time that passed


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


class TooFar(target_errors.DbGrantsError):
    """The clock of a target is too far from ours for anything to be granted there."""


class Skew:
    """Measures, and keeps the latest of each target for alarms and for `jit status`."""

    def __init__(
        self, *, store: store.Store, engines: Mapping[str, engines_.Engine], clock: clocks.Clock
    ) -> None:
        self._store = store
        self._engines = engines
        self._clock = clock
        self._looked: dict[str, datetime] = {}
        self._leap = leaps.Leap(store=store, clock=clock, targets=engines.keys())
        self._doubting = True  # as far as is known: whoever served before may have died in doubt

    def due(self) -> tuple[str, ...]:
        """Targets not measured for EVERY; handing them out counts as a measurement."""
        due = [name for name in self._engines if self._is_due(name)]
        self._looked |= dict.fromkeys(due, self._clock.now())
        return tuple(due)

    def look(self, target: str) -> None:
        """Measure and keep. A target that does not answer is another matter, told elsewhere."""
        try:
            measured = self._measured(target)
        except target_errors.DbGrantsError as error:
            self._leap.hear(target, None)
            _log.debug("skew_unknown", target=target, why=str(error))
            return
        self._keep(measured)

    def near(self, target: str) -> spec.Near:
        """What the clock there must be near to just now, for anything to be granted.

        Raises TargetUnavailable while the machine's clock is doubted, or where there is no such target.
        """
        leap = self._clock.leap()
        if leap:
            raise target_errors.TargetUnavailable(f"{sentence(self._of_machine(leap))}.")
        self._engine(target)
        return spec.Near(at=self._clock.now(), within=LIMIT)

    def ensure_near(self, target: str) -> None:
        """Measure a clock that was not surely near; kept when it is too far.

        Raises TooFar then, and what the engine raises.
        """
        measured = self._measured(target)
        if measured.large:
            self._keep(measured)
            raise TooFar(sentence(measured))

    def settle(self) -> tuple[model.Grant, ...]:
        """What follows from a leap of the machine's clock: grants that are over by two clocks."""
        told = self._leap.settle()
        leap = self._clock.leap()
        itself = self._of_machine(leap)
        if leap and told and self._is_due(itself.target):
            self._looked[itself.target] = itself.at
            self._keep(itself)
        if self._doubting and not leap:
            self._looked.clear()  # what was measured meanwhile says nothing any more
            self._store.forget(_key(itself))
        self._doubting = bool(leap)
        return self._leap.over()

    def _is_due(self, name: str) -> bool:
        now, every = self._clock.now(), IN_DOUBT_EVERY if self._clock.leap() else EVERY
        return self._looked.get(name, now - every) <= now - every

    def _measured(self, target: str) -> Measured:
        """Against the machine's clock, right or not; whether that is right, `leap` judges."""
        past = ahead(self._engine(target), self._clock)
        self._leap.hear(target, past)
        return self._measurement(target, past - self._clock.leap())

    def _of_machine(self, leap: timedelta) -> Measured:
        return self._measurement(f"{ITSELF}{socket.gethostname()}", leap)

    def _measurement(self, target: str, ahead: timedelta) -> Measured:
        now = self._clock.now()
        return Measured(target=target, machine=socket.gethostname(), ahead=ahead, at=now)

    def _engine(self, target: str) -> engines_.Engine:
        if target not in self._engines:  # it left the catalog while a grant was in the making
            raise target_errors.TargetUnavailable(f"No connection to {target} is set up.")
        return self._engines[target]

    def _keep(self, measured: Measured) -> None:
        if measured.large and not self._doubting:
            _log.error("clock_skew", target=measured.target, seconds=_seconds(measured))
        told = {"seconds": measured.ahead.total_seconds(), "at": measured.at.isoformat()}
        self._store.put(_key(measured), json.dumps(told))


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
    return tuple(measured for measured in _all(store) if now - measured.at <= STALE)


def present(store: store.Store, machine: datetime) -> datetime:
    """What the bot on this machine takes for the present while it doubts the machine's clock.

    For a command that asks how the bot is: by the machine's clock its signs of life would be old.
    """
    itself = f"{ITSELF}{socket.gethostname()}:"
    for key, value in store.kept(_KEPT + itself).items():
        doubted = _read(key, value)
        if machine - doubted.ahead >= doubted.at:  # else it was put right since
            return machine - doubted.ahead
    return machine


def take_over(store: store.Store, clock: clocks.Clock) -> None:
    """At a start: go on doubting the machine if whoever served before, on this machine, died in doubt.

    Otherwise a restart would do what the leap was kept from doing.
    """
    machine = clock.now()
    before = present(store, machine)
    if before < machine:
        clock.doubt(machine - before)
        store.restore_clock()


def sentence(measured: Measured) -> str:
    """What is wrong, for people."""
    seconds = _seconds(measured)
    if measured.target.startswith(ITSELF):
        return (
            f"The clock of {measured.target} leapt ahead by {seconds:,} s that did not pass, and is "
            "not believed while no target confirms it: nothing is granted, and nothing ended early"
        )
    where = "ahead of" if seconds > 0 else "behind"
    return (
        f"The clock of {measured.target} is {abs(seconds):,} s {where} the bot's, "
        f"and nothing is granted while they differ by more than {LIMIT.seconds} s"
    )


def _key(measured: Measured) -> str:
    return f"{_KEPT}{measured.target}:{measured.machine}"


def _seconds(measured: Measured) -> int:
    return round(measured.ahead.total_seconds())


def _all(kept: store.Store) -> Iterator[Measured]:
    for key, value in sorted(kept.kept(_KEPT).items()):
        measured = store.understood(key, value, functools.partial(_read, key))
        if measured is not None:
            yield measured


def _read(key: str, value: str) -> Measured:
    target, _, machine = key.removeprefix(_KEPT).rpartition(":")
    told = json.loads(value)
    return Measured(
        target=target,
        machine=machine,
        ahead=timedelta(seconds=told["seconds"]),
        at=datetime.fromisoformat(told["at"]),
    )
