"""The one source of time. Aware UTC datetimes only; it never runs backwards.

A step back of the machine's clock must not lengthen anybody's access, so a Clock remembers the
latest time it has told, and `raise_to` lets a restarted process learn what an earlier one had told.

A step forward must not end everybody's access, so a Clock of a running process does not believe the
machine when that leaps further than time has passed; who may confirm a leap is in `leap`.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

LIMIT = timedelta(seconds=30)  # clocks further apart than this cannot both be right
_NONE = timedelta(0)


class Clock(Protocol):
    """What tells the time."""

    def now(self) -> datetime:
        """The present moment, UTC, never earlier than any moment told before."""

    def raise_to(self, moment: datetime) -> None:
        """From now on tell no time before `moment`."""

    def rest(self, *, allowed: bool) -> None:
        """Whether a clock ahead of its machine's may stand still until that has caught up."""

    def leap(self) -> timedelta:
        """How far the machine's clock is ahead of `now`, where that is not believed; else zero."""

    def believe(self, leap: timedelta) -> None:
        """That much time has passed unseen: the machine slept, or was no machine for a while."""

    def doubt(self, leap: timedelta) -> None:
        """At a start: so far ahead is the machine's clock, as whoever served before found."""


def _wall() -> datetime:
    return datetime.now(UTC)


def passed() -> float:
    """Seconds on a clock that nobody sets; where there is one, that counts the machine's sleep.

    https://man7.org/linux/man-pages/man2/clock_gettime.2.html
    """
    return time.clock_gettime(_COUNTS_SLEEP) if _COUNTS_SLEEP is not None else time.monotonic()


_COUNTS_SLEEP: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class SystemClock:
    """The machine's clock, made monotone, and doubted when it leaps.

    When the machine's time goes back, this one goes on by the time that really passes: standing
    still would give everybody who holds access that much more of it. It may wait for the machine's
    clock to catch up only while nothing hangs on the time (`rest`). When the machine's time leaps
    forward by more than LIMIT, this one goes on by the time that really passes as well, until the
    leap is confirmed (`believe`) or taken back.
    """

    def __init__(
        self,
        *,
        wall: Callable[[], datetime] = _wall,
        passed: Callable[[], float] = passed,
    ) -> None:
        """`passed`: seconds, on a clock that nobody sets."""
        self._wall, self._passed = wall, passed
        self._lock = threading.Lock()
        self._resting = False
        self._leap = _NONE
        self._latest = self._anchor = wall()
        self._anchored = passed()

    def now(self) -> datetime:
        """The machine's time; where it went astray, the latest told and what has passed since."""
        with self._lock:
            return self._told()

    def raise_to(self, moment: datetime) -> None:
        """From now on tell no time before `moment`."""
        with self._lock:
            if moment > self._latest:
                self._latest = self._anchor = moment
                self._anchored = self._passed()

    def rest(self, *, allowed: bool) -> None:
        """Whether it may stand still until the machine's clock has caught up."""
        with self._lock:
            self._resting = allowed

    def leap(self) -> timedelta:
        """How far the machine's clock is ahead of what has passed, where that is not believed."""
        with self._lock:
            self._told()
            return self._leap

    def believe(self, leap: timedelta) -> None:
        """Go on from where the machine's clock leapt to. If it leapt on since, that is doubted."""
        with self._lock:
            self._anchor += leap

    def doubt(self, leap: timedelta) -> None:
        """Begin anew that much before the machine's clock."""
        with self._lock:
            self._anchor, self._anchored = self._wall() - leap, self._passed()
            self._latest = self._anchor

    def _told(self) -> datetime:
        # In this order: a pause in between must not make what has passed look longer, nor a leap.
        wall, passed = self._wall(), self._passed()
        due = self._anchor + timedelta(seconds=passed - self._anchored)
        ahead = wall - due
        self._leap = ahead if ahead > LIMIT else _NONE
        if self._leap:
            self._latest = max(self._latest, due)
            return self._latest
        due = self._latest if self._resting else max(self._latest, due)
        if wall >= due or self._resting:
            self._anchor, self._anchored = max(wall, due), passed
        self._latest = max(wall, due)
        return self._latest


class ManualClock:
    """A clock that moves only when told to, for tests and simulation."""

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("a clock needs an aware datetime")
        self._lock = threading.Lock()
        self._now = start.astimezone(UTC)
        self._leap = _NONE

    def now(self) -> datetime:
        """The moment it was last set to."""
        with self._lock:
            return self._now

    def advance(self, step: timedelta) -> datetime:
        """Move forward by `step` and tell the new time."""
        if step < timedelta(0):
            raise ValueError("time does not run backwards")
        with self._lock:
            self._now += step
            return self._now

    def raise_to(self, moment: datetime) -> None:
        """From now on tell no time before `moment`."""
        with self._lock:
            self._now = max(self._now, moment)

    def rest(self, *, allowed: bool) -> None:
        """It moves only when told to anyway."""

    def leap(self) -> timedelta:
        """As far as it was told to be ahead, beyond LIMIT."""
        with self._lock:
            return self._leap if self._leap > LIMIT else _NONE

    def believe(self, leap: timedelta) -> None:
        """Move forward by what is believed."""
        with self._lock:
            self._now += leap
            self._leap = max(_NONE, self._leap - leap)

    def doubt(self, leap: timedelta) -> None:
        """Move back, before anybody has asked."""
        with self._lock:
            self._now -= leap
            self._leap = leap
