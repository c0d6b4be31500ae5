"""When the machine's clock leaps forward in a running process: whom to believe.

There are three witnesses: the machine, the time that passed here, and each target's own clock. Two
of them decide. A machine that slept or was held still is right, and what its grants' targets confirm
to be over is ended; a machine whose clock was set wrongly is contradicted by every target, and ends
nothing early. What is over by the time that passed here needs no witness at all.
"""

import threading
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

import structlog

from bot import clock as clocks
from bot import errors, model, store

_log = structlog.get_logger(__name__)

_MOST = 5000

# By target: how far its clock is ahead of the time that passed here; None if it does not answer.
Heard = Mapping[str, timedelta | None]


def confirms(ahead: timedelta, leap: timedelta) -> bool:
    """Whether a clock so far ahead of the time that passed is nearer to the machine's."""
    return ahead > leap / 2


def believed(heard: Heard, leap: timedelta) -> bool:
    """Whether the machine is right: some target confirms it, and none that answers contradicts."""
    answers = [ahead for ahead in heard.values() if ahead is not None]
    return bool(answers) and all(confirms(ahead, leap) for ahead in answers)


def over(grants: Iterable[model.Grant], heard: Heard, now: datetime) -> tuple[model.Grant, ...]:
    """Of the grants that are over by the machine's clock, those whose target says so too.

    A grant whose target is not asked, because it left the catalog, goes by the one furthest ahead.
    """
    answers = {target: ahead for target, ahead in heard.items() if ahead is not None}
    furthest = max(answers.values(), default=timedelta(0))

    def end_by_its_target(grant: model.Grant) -> datetime:
        nothing = timedelta(0) if grant.target in heard else furthest
        return now + answers.get(grant.target, nothing)

    return tuple(grant for grant in grants if grant.expires_at <= end_by_its_target(grant))


class Leap:
    """Gathers what targets say about a leap, and judges. Thread-safe."""

    def __init__(
        self, *, store: store.Store, clock: clocks.Clock, targets: Collection[str]
    ) -> None:
        self._store = store
        self._clock = clock
        self._targets = targets
        self._lock = threading.Lock()
        self._heard: dict[str, timedelta | None] = {}
        self._told = False

    def hear(self, target: str, ahead: timedelta | None) -> None:
        """What a target says while a leap is doubted. Silence takes nothing back that it said."""
        if not self._clock.leap():
            return
        with self._lock:
            if ahead is not None or target not in self._heard:
                self._heard[target] = ahead

    def settle(self) -> bool:
        """Believe it, if that is due; whether it stays in doubt although every target was asked."""
        leap, heard = self._clock.leap(), self._so_far()
        if not leap:
            self._forget()
            return False
        if not self._told:
            self._told = True
            _log.error("clock_leapt", seconds=round(leap.total_seconds()))
        if any(target not in heard for target in self._targets):
            return False
        if not believed(heard, leap):
            return True
        self._believe(leap, heard)
        return False

    def over(self) -> tuple[model.Grant, ...]:
        """Grants that are over by two clocks, though not by the time that passed here."""
        leap, now = self._clock.leap(), self._clock.now()
        if not leap:
            return ()
        return over(self._store.due(now + leap, _MOST), self._so_far(), now)

    def _believe(self, leap: timedelta, heard: Heard) -> None:
        self._clock.believe(leap)
        self._forget()
        by = sorted(target for target, ahead in heard.items() if ahead is not None)
        seconds = round(leap.total_seconds())
        _log.warning("clock_leap_believed", seconds=seconds, targets=by)
        try:
            with self._store.begin(store.SYSTEM) as tx:
                tx.record("clock.leap_believed", None, {"seconds": seconds, "targets": by})
        except (errors.Busy, errors.StoreError) as error:  # what is over must end all the same
            _log.error("clock_leap_unrecorded", why=str(error))

    def _so_far(self) -> Heard:
        with self._lock:
            return dict(self._heard)

    def _forget(self) -> None:
        with self._lock:
            self._heard.clear()
        self._told = False
