"""The one source of time. Aware UTC datetimes only; it never runs backwards.

A step back of the machine's clock must not lengthen anybody's access, so a Clock remembers the
latest time it has told, and `raise_to` lets a restarted process learn what an earlier one had told.
"""

import threading
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What tells the time."""

    def now(self) -> datetime:
        """The present moment, UTC, never earlier than any moment told before."""

    def raise_to(self, moment: datetime) -> None:
        """From now on tell no time before `moment`."""


class SystemClock:
    """The machine's clock, made monotone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest = datetime.min.replace(tzinfo=UTC)

    def now(self) -> datetime:
        """The machine's time, or the latest told if the machine's time went back."""
        with self._lock:
            self._latest = max(self._latest, datetime.now(UTC))
            return self._latest

    def raise_to(self, moment: datetime) -> None:
        """From now on tell no time before `moment`."""
        with self._lock:
            self._latest = max(self._latest, moment)


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
