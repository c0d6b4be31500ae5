"""What must still be said in Slack: delivered in order a lane, tried again, never in anybody's way.

Rows are written with the change they tell of (see `notices`) and are delivered after the commit,
each lane strictly in order, one at a time. Slack being down delays words, never deeds.

Of several replicas one delivers a row: it claims it for a while, and renews that while it waits for
Slack. One that was paused for longer and wakes takes back what it said twice.
"""

import functools
import threading
import time
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

import structlog

from bot import clock as clocks
from bot import errors, faults, model, retry, store, work
from bot.telling.notices import Alarm, Kind, Line

__all__ = ["Alarm", "Kind", "Later", "Line", "Never", "Outbox", "Poster"]

_log = structlog.get_logger(__name__)

_AT_ONCE = 4  # messages on their way at the same time
LEASE = timedelta(seconds=15)  # a killed replica's messages are taken over so soon
_RENEW_EVERY = 4.0  # seconds
_MARGIN = 1.0  # seconds before its end from which on a claim is taken for lost
_POISON = 8  # times a row may break the poster before it is given up
_AT_LEAST_EVERY = 1.0  # seconds between looks, woken or not
_ROOM = 0.05  # seconds between looks whether a rush is over
# one goes at a time for so long after a pause: Slack counts by minutes
_WARY = timedelta(seconds=60)
_SILENT = 4  # Homes in a row, of different people, that Slack does not answer about: it is down
_SHARED = {  # where many rows go, of many lanes: when one must wait there, so must all
    "approvals": frozenset({Kind.CARD, Kind.THREAD, Kind.SUMMARY}),
    "audit": frozenset({Kind.AUDIT, Kind.ALARM, Kind.FINDING, Kind.DIGEST}),
    "homes": frozenset({Kind.HOME}),
}
_PLACE_OF = {str(kind): place for place, kinds in _SHARED.items() for kind in kinds}


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

    def withdraw(self, message: model.MessageRef) -> None:
        """Take back a message that another replica has posted too. Raises Later, Never."""


class _Held(NamedTuple):
    """What we know of a row that we have claimed."""

    fence: int
    until: float  # ours, by `time.monotonic()`
    place: str  # it is bound for


class Outbox:
    """Takes rows from the store to the poster."""

    def __init__(
        self,
        *,
        store: store.Store,
        poster: Poster,
        clock: clocks.Clock,
        rush: work.Rush | None = None,
    ) -> None:
        """Words wait while there is a `rush`: ends go first."""
        self._store = store
        self._rush = rush or work.Rush()
        self._poster = poster
        self._clock = clock
        self._lock = threading.Lock()
        self._hand: dict[int, _Held] = {}  # rows claimed
        self._renewed = time.monotonic()
        self._paused: dict[str, datetime] = {}  # shared places, and until when we must wait
        self._silent: set[str] = set()  # lanes of Homes unanswered since one was last drawn
        self._broken: dict[int, int] = {}  # rows that broke the poster, and how often
        self._bell = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._workers: work.Lane | None = None

    def pump(self) -> int:
        """Deliver here and now until nothing is due; how many rows were settled."""
        settled = 0
        while batch := self._claimed(_AT_ONCE):
            try:
                settled += sum(self._deliver(row) for row in batch)
            finally:
                self._put_down(batch)
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
                self._renew()
                if self._rush.is_on():
                    time.sleep(_ROOM)
                    self._bell.set()
                    continue
                self._hand_out()
            except Exception:  # noqa: BLE001 - the top of a thread: a locked store must not end it
                _log.exception("outbox_look_failed")

    def _hand_out(self) -> None:
        """Claim no more than can be said at once: what waits here could be said by others."""
        with self._lock:
            free = _AT_ONCE - len(self._hand)
        if free <= 0 or self._closing.is_set() or self._workers is None:
            return
        for row in self._claimed(free):
            if not self._submit(row, self._workers):
                self._put_down([row])

    def _submit(self, row: store.OutboxRow, workers: work.Lane) -> bool:
        try:
            return workers.submit(str(row.id), functools.partial(self._carry, row))
        except errors.Busy:  # stopping, or Slack is slow; the next look hands it out
            return False

    def _carry(self, row: store.OutboxRow) -> None:
        try:
            if self._deliver(row):
                self._forget(row)
        finally:
            self._put_down([row])
            self._bell.set()  # the next of its lane may go

    def _forget(self, row: store.OutboxRow) -> None:
        """It is settled or put off, and its claim ended with that: there is nothing to release."""
        with self._lock:
            self._hand.pop(row.id, None)

    def _claimed(self, most: int) -> list[store.OutboxRow]:
        """Rows for us to say now. What is bound for where we must wait is left where it is.

        Where we were asked to wait a while ago one goes at a time: the others would be refused with it.
        """
        found: list[store.OutboxRow] = []
        while len(found) < most:
            closed, narrow = self._narrowed(self._clock.now())
            found += (batch := self._claim(1 if narrow else most - len(found), closed))
            if not batch or not narrow:
                break
        return found

    def _narrowed(self, now: datetime) -> tuple[set[Kind], bool]:
        """Kinds that nothing more may be said of just now; whether we were asked to wait lately."""
        with self._lock:
            lately = {place for place, until in self._paused.items() if now < until + _WARY}
            busy = {held.place for held in self._hand.values()}
            shut = {place for place in lately if place in busy or now < self._paused[place]}
        return {kind for place in shut for kind in _SHARED[place]}, bool(lately)

    def _claim(self, most: int, closed: Collection[str]) -> tuple[store.OutboxRow, ...]:
        ours_until = _ours_until()  # taken before: it must not seem later than the record's
        batch = self._store.outbox_claim(self._clock.now(), most, LEASE, but=closed)
        held = {row.id: _Held(row.fence, ours_until, destination(row)) for row in batch}
        with self._lock:
            self._hand |= held
        return batch

    def _renew(self) -> None:
        """Keep what Slack is slow to take."""
        if time.monotonic() - self._renewed < _RENEW_EVERY:
            return
        self._renewed, ours_until = time.monotonic(), _ours_until()
        with self._lock:
            hand = self._hand.items()
            fences = {row_id: held.fence for row_id, held in hand if _lasts(held.until)}
        if not fences:
            return
        self._store.outbox_renew(fences, LEASE)
        with self._lock:
            for row_id in fences.keys() & self._hand.keys():
                self._hand[row_id] = self._hand[row_id]._replace(until=ours_until)

    def _put_down(self, rows: Sequence[store.OutboxRow]) -> None:
        """We no longer say these. Those that are not settled may be said by anybody."""
        for row in rows:
            with self._lock:
                held = self._hand.pop(row.id, None)
            if held is None:
                continue
            try:
                self._store.outbox_release(row.id, row.fence)
            except (errors.Busy, errors.StoreError) as error:  # the claim runs out
                _log.warning("outbox_not_released", kind=row.kind, why=str(error))

    def _is_ours(self, row: store.OutboxRow) -> bool:
        with self._lock:
            held = self._hand.get(row.id)
        return held is not None and held.fence == row.fence and _lasts(held.until)

    def _waits(self, place: str) -> bool:
        """Whether we were asked to wait with what goes there."""
        now = self._clock.now()
        with self._lock:
            return self._paused.get(place, now) > now

    def _deliver(self, row: store.OutboxRow) -> bool:
        """Try once; whether the row is settled."""
        if self._waits(destination(row)):  # told to another since this was taken up
            return False
        try:
            story = self._store.story(row.request_id) if row.request_id else None
            if not self._is_ours(row):  # we were paused
                return False
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
        if row.kind == Kind.HOME:
            with self._lock:
                self._silent.clear()
        return self._done(row, message)

    def _done(self, row: store.OutboxRow, message: model.MessageRef | None) -> bool:
        try:
            self._store.outbox_done(row.id, message=message, fence=row.fence)
        except errors.Conflict:
            self._said_late(row, message)
            return False
        return True

    def _said_late(self, row: store.OutboxRow, message: model.MessageRef | None) -> None:
        """We were paused on the way, and another replica says it or has said it.

        What was posted twice is taken back. What was edited may now show something old: draw it anew.
        """
        _log.warning("outbox_fenced_off", kind=row.kind, lane=row.lane)
        if message is None:
            with self._store.begin(store.SYSTEM) as tx:
                tx.say(row.kind, row.request_id, row.lane, row.data)
            return
        try:
            self._poster.withdraw(message)
        except (Later, Never) as error:
            _log.warning("outbox_said_twice", kind=row.kind, lane=row.lane, why=str(error))

    def _wait(self, row: store.OutboxRow, later: Later) -> None:
        now = self._clock.now()
        own = retry.pause(row.attempts + 1)
        until = now + (timedelta(seconds=later.seconds) if later.seconds is not None else own)
        if later.seconds is not None or not self._is_about_one(row):
            self._pause(destination(row), until)
        _log.warning("outbox_waits", kind=row.kind, lane=row.lane, why=str(later))
        self._put_off(row, until, str(later))

    def _is_about_one(self, row: store.OutboxRow) -> bool:
        """Whether it is a Home of somebody whom alone Slack does not tell us of.

        When it answers about nobody, all Homes wait together: each by itself would be asked for, and
        logged, twice a minute, for as long as Slack is down.
        """
        if row.kind != Kind.HOME:
            return False
        with self._lock:
            self._silent.add(row.lane)
            return len(self._silent) < _SILENT

    def _pause(self, place: str, until: datetime) -> None:
        """Say nothing there until then, or until what we were told before, if that is later."""
        if place in _SHARED:  # nobody else goes to any other, and the row itself is put off
            with self._lock:
                self._paused[place] = max(until, self._paused.get(place, until))

    def _put_off(self, row: store.OutboxRow, until: datetime, why: str) -> None:
        try:
            self._store.outbox_retry(row.id, until, why, fence=row.fence)
        except errors.Conflict:
            return
        self._forget(row)

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
            self._store.outbox_drop(row.id, why, fence=row.fence)
        except errors.Conflict:
            return False
        return True


def _ours_until() -> float:
    return time.monotonic() + LEASE.total_seconds() - _MARGIN


def _lasts(until: float) -> bool:
    return time.monotonic() < until


def destination(row: store.OutboxRow) -> str:
    """Where a row goes, as far as Slack's limits care: a channel, all App Homes, or one person."""
    return _PLACE_OF.get(row.kind, f"{row.kind}:{row.lane}")
