"""An alarm that needs no record, for when it is the record that cannot be used.

Every other alarm stands in the record and goes out by its outbox. This one is kept in memory, by
each replica for itself, and goes straight to the log, the audit channel and the webhook.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta

import structlog

from bot import clock as clocks
from bot import errors

_log = structlog.get_logger(__name__)

PATIENCE = timedelta(seconds=20)  # a record that is merely busy comes back by itself
REPEAT_EVERY = timedelta(minutes=15)  # as every alarm, until it is over or somebody knows
TRY_EVERY = timedelta(seconds=30)  # while nobody could be told
KIND = "unrecorded"
_ENDS = "ends"

Way = Callable[[Mapping[str, object]], None]


class Untold(errors.JitError):
    """Nobody heard it by this way."""


class Outcry:
    """Cries once, again while it lasts, and when it is over. Thread-safe; never waits, never raises."""

    def __init__(self, *, clock: clocks.Clock) -> None:
        self._clock = clock
        self._ways: tuple[Way, ...] = ()
        self._lock = threading.Lock()
        self._broken: set[str] = set()  # what does not work
        self._since: datetime | None = None
        self._heard_at: datetime | None = None
        self._cried_at: datetime | None = None

    def by(self, *ways: Way) -> None:
        """How it reaches people: each posts it at once, or raises Untold."""
        self._ways += ways

    @contextmanager
    def watching(self, what: str, *, at_once: bool = False) -> Iterator[None]:
        """Around something that writes to the record: note whether it could."""
        try:
            yield
        except errors.StoreError as error:
            self.broken(what, str(error), at_once=at_once)
            raise
        except errors.Busy as error:
            self.broken(what, str(error))
            raise
        self.well(what)

    def about_ends(self, why: str | None, waiting: int) -> None:
        """Why ends that are due cannot be recorded, and how many; None: they can be."""
        if why is None:
            self.well(_ENDS)
        else:
            self.broken(_ENDS, why, waiting=waiting)

    def broken(self, what: str, why: str, *, waiting: int = 0, at_once: bool = False) -> None:
        """`what` failed for want of the record; `waiting`: ends that it therefore does not know of."""
        now = self._clock.now()
        with self._lock:
            self._broken.add(what)
            self._since = self._since or now
            if not at_once and now - self._since < PATIENCE:
                return
            if not self._is_time(now):
                return
            state = "repeated" if self._heard_at else "raised"
            since, self._cried_at = self._since, now
        self._cry(state, since, why, waiting)

    def well(self, what: str) -> None:
        """`what` works (again)."""
        with self._lock:
            self._broken.discard(what)
            if self._broken or self._since is None:
                return
            since, cried = self._since, self._cried_at is not None
            self._since = self._heard_at = self._cried_at = None
        if cried:
            self._cry("over", since, "", 0)

    def _is_time(self, now: datetime) -> bool:
        if self._heard_at is not None:
            return now - self._heard_at >= REPEAT_EVERY
        return self._cried_at is None or now - self._cried_at >= TRY_EVERY

    def _cry(self, state: str, since: datetime, why: str, waiting: int) -> None:
        level = logging.WARNING if state == "over" else logging.CRITICAL
        begun = since.isoformat()
        _log.log(level, "record_unusable", state=state, since=begun, waiting=waiting, why=why)
        told = _told(state, since, why, waiting) | {"at": self._clock.now().isoformat()}
        threading.Thread(target=self._tell, args=[told], name="outcry", daemon=True).start()

    def _tell(self, told: Mapping[str, object]) -> None:
        heard = not self._ways
        for way in self._ways:
            try:
                way(told)
                heard = True
            except Untold as silence:
                _log.error("outcry_untold", why=str(silence))
        if heard and told["state"] != "over":
            with self._lock:
                self._heard_at = self._cried_at


def sentence(told: Mapping[str, object]) -> str:
    """What people read."""
    if told["over"]:
        return "Over: the record can be written again; what was done meanwhile is being told to it."
    why = f"The record cannot be written: {told['error']}"
    waiting = f" {told['count']} ends wait to be recorded." if told["count"] else ""
    return f"{why} Nothing new is granted. Access ends all the same.{waiting}"


def _told(state: str, since: datetime, why: str, waiting: int) -> dict[str, object]:
    """As every alarm is told; see `ringing.told`."""
    return {
        "id": KIND,
        "alarm": KIND,
        "state": state,
        "over": state == "over",
        "target": "the record",
        "since": since.isoformat(),
        "count": waiting,
        "error": why,
        "by": None,
        "grants": [],
    }
