"""What must still be said in Slack: delivered in order a lane, tried again, never in anybody's way.

Rows are written with the change they tell of (see `notices`) and are delivered after the commit,
each lane strictly in order, one at a time. Slack being down delays words, never deeds.
"""

import functools
import threading
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from bot import clock as clocks
from bot import errors, faults, model, retry, store, work
from bot.notices import Alarm, Kind, Line

__all__ = ["Alarm", "Kind", "Later", "Line", "Never", "Outbox", "Poster"]

_log = structlog.get_logger(__name__)

_AT_ONCE = 4  # messages on their way at the same time
_BATCH = 100
_POISON = 8  # times a row may break the poster before it is given up
_AT_LEAST_EVERY = 1.0  # seconds between looks, woken or not
_IN_CHANNEL = frozenset({Kind.CARD, Kind.THREAD, Kind.SUMMARY})
_IN_AUDIT = frozenset({Kind.AUDIT, Kind.ALARM, Kind.FINDING, Kind.DIGEST})


class Later(errors.JitError):
    """Slack cannot take this message now."""

    def __init__(self, seconds: float | None = None, reason: str = "Slack asks us to wait") -> None:
        """`seconds`: do not try again before; none: as long as our own patience grows."""
        super().__init__(reason)
        self.seconds = seconds


class Never(errors.JitError):
    """Slack will not take this message, ever."""


class Poster(Protocol):
    """What turns a row into a message."""

    def deliver(self, row: store.OutboxRow, story: model.Story | None) -> model.MessageRef | None:
        """Post or edit; return what was posted, or none for an edit or a view.

        `story` is the record as it is now; none when the row belongs to no request. Raises Later,
        Never.
        """


class Outbox:
    """Takes rows from the store to the poster."""

    def __init__(self, *, store: store.Store, poster: Poster, clock: clocks.Clock) -> None:
        self._store = store
        self._poster = poster
        self._clock = clock
        self._lock = threading.Lock()
        self._busy: set[str] = set()  # lanes with a message on its way
        self._paused: dict[str, datetime] = {}  # destinations that asked us to wait
        self._broken: dict[int, int] = {}  # rows that broke the poster, and how often
        self._bell = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._workers: work.Lane | None = None

    def pump(self) -> int:
        """Deliver here and now until nothing is due; how many rows were settled."""
        settled = 0
        while batch := self._due():
            settled += sum(self._deliver(row) for row in batch)
        return settled

    def start(self) -> None:
        """Deliver from now on, in threads of our own."""
        self._workers = work.Lane("outbox", workers=_AT_ONCE)
        self._thread = threading.Thread(target=self._run, name="outbox-pump", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There may be something to say."""
        self._bell.set()

    def alive(self) -> bool:
        """Whether the pump and its workers live."""
        pumping = self._thread is not None and self._thread.is_alive()
        return pumping and self._workers is not None and self._workers.alive()

    def stop(self, deadline: float) -> bool:
        """Finish what is on its way until `time.monotonic()` is `deadline`; whether it is finished."""
        self._closing.set()
        self._bell.set()
        if self._workers is None:
            return True
        self._workers.close()
        return self._workers.join(deadline)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._bell.wait(_AT_LEAST_EVERY)
            self._bell.clear()
            try:
                self._hand_out()
            except Exception:  # noqa: BLE001 - the top of a thread: a locked store must not end it
                _log.exception("outbox_look_failed")

    def _hand_out(self) -> None:
        with self._lock:  # before the look: what it finds of these may be said by now
            busy = frozenset(self._busy)
        for row in self._due():
            if row.lane in busy or self._closing.is_set() or self._workers is None:
                continue
            with self._lock:
                self._busy.add(row.lane)
            if not self._submit(row, self._workers):
                self._release(row)

    def _submit(self, row: store.OutboxRow, workers: work.Lane) -> bool:
        try:
            return workers.submit(str(row.id), functools.partial(self._carry, row))
        except errors.Busy:  # stopping, or Slack is slow; the next look hands it out
            return False

    def _carry(self, row: store.OutboxRow) -> None:
        try:
            self._deliver(row)
        finally:
            self._release(row)
            self._bell.set()  # the next of its lane may go

    def _release(self, row: store.OutboxRow) -> None:
        with self._lock:
            self._busy.discard(row.lane)

    def _due(self) -> list[store.OutboxRow]:
        """Rows that may go now. Those bound for where we must wait are put off."""
        now = self._clock.now()
        due = self._store.outbox_due(now, _BATCH)
        return [row for row in due if not self._waits(row, now)]

    def _waits(self, row: store.OutboxRow, now: datetime) -> bool:
        """Whether the place it is bound for asked us to wait; then it is put off until then."""
        until = self._paused.get(destination(row))
        if until is None or until <= now:
            return False
        self._put_off(row, until, "waiting with others for the same place")
        return True

    def _deliver(self, row: store.OutboxRow) -> bool:
        """Try once; whether the row is settled."""
        if self._waits(row, self._clock.now()):  # since it was taken up, another has been told so
            return False
        try:
            story = self._store.story(row.request_id) if row.request_id else None
            message = self._poster.deliver(row, story)
        except Later as later:
            self._wait(row, later)
            return False
        except Never as never:
            return self._drop(row, str(never))
        except Exception as error:  # noqa: BLE001 - the top of a delivery: one row must not stop all
            return self._broke(row, error)
        faults.checkpoint("message-posted")
        self._broken.pop(row.id, None)
        return self._done(row, message)

    def _done(self, row: store.OutboxRow, message: model.MessageRef | None) -> bool:
        try:
            self._store.outbox_done(row.id, message=message)
        except errors.Conflict:  # another pump was faster
            return False
        return True

    def _wait(self, row: store.OutboxRow, later: Later) -> None:
        now = self._clock.now()
        own = retry.pause(row.attempts + 1)
        until = now + (timedelta(seconds=later.seconds) if later.seconds is not None else own)
        self._paused[destination(row)] = until
        _log.warning("outbox_waits", kind=row.kind, lane=row.lane, why=str(later))
        self._put_off(row, until, str(later))

    def _put_off(self, row: store.OutboxRow, until: datetime, why: str) -> None:
        try:
            self._store.outbox_retry(row.id, until, why)
        except errors.Conflict:
            return

    def _broke(self, row: store.OutboxRow, error: Exception) -> bool:
        """The poster has a fault with this row: a few more tries, then the others get their turn."""
        times = self._broken.get(row.id, 0) + 1
        self._broken[row.id] = times
        _log.exception("outbox_delivery_failed", kind=row.kind, lane=row.lane, times=times)
        name = type(error).__name__
        if times >= _POISON:
            return self._drop(row, name)
        self._put_off(row, self._clock.now() + retry.pause(times), name)
        return False

    def _drop(self, row: store.OutboxRow, why: str) -> bool:
        _log.error("outbox_dropped", kind=row.kind, lane=row.lane, why=why)
        self._broken.pop(row.id, None)
        try:
            self._store.outbox_drop(row.id, why)
        except errors.Conflict:
            return False
        return True


def destination(row: store.OutboxRow) -> str:
    """Where a row goes, as far as Slack's limits care: one channel, or one person."""
    if row.kind in _IN_CHANNEL:
        return "approvals"
    if row.kind in _IN_AUDIT:
        return "audit"
    return f"{row.kind}:{row.lane}"
