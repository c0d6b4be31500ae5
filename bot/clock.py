"""The one source of time. Aware UTC datetimes only; it never runs backwards.

A step back of the machine's clock must not lengthen anybody's access, so a Clock remembers the
latest time it has told, and `raise_to` lets a restarted process learn what an earlier one had told.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What tells the time."""

    def now(self) -> datetime:
        """The present moment, UTC, never earlier than any moment told before."""

    def raise_to(self, moment: datetime) -> None:
        """From now on tell no time before `moment`."""

    def rest(self, *, allowed: bool) -> None:
        """Whether a clock ahead of its machine's may stand still until that has caught up."""


def _wall() -> datetime:
    return datetime.now(UTC)


class SystemClock:
    """The machine's clock, made monotone.

    When the machine's time goes back, this one goes on by the time that really passes: standing
    still would give everybody who holds access that much more of it. It may wait for the machine's
    clock to catch up only while nothing hangs on the time (`rest`).
    """

    def __init__(
        self,
        *,
        wall: Callable[[], datetime] = _wall,
        passed: Callable[[], float] = time.monotonic,
    ) -> None:
        """`passed`: seconds, on a clock that nobody sets."""
        self._wall, self._passed = wall, passed
        self._lock = threading.Lock()
        self._resting = False
        self._latest = self._anchor = datetime.min.replace(tzinfo=UTC)
        self._anchored = passed()

    def now(self) -> datetime:
        """The machine's time; where it went back, the latest told and what has passed since."""
        with self._lock:
            # In this order: a pause in between must not make what has passed look longer.
            wall, passed = self._wall(), self._passed()
            since = timedelta(seconds=passed - self._anchored)
            due = self._latest if self._resting else max(self._latest, self._anchor + since)
            if wall >= due or self._resting:
                self._anchor, self._anchored = max(wall, due), passed
            self._latest = max(wall, due)
            return self._latest

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


class ManualClock:
    """A clock that moves only when told to, for tests and simulation."""

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("a clock needs an aware datetime")
        self._lock = threading.Lock()
        self._now = start.astimezone(UTC)

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
