"""Worker lanes: who works on what, so that nothing slow stands in the way of anything urgent.

People's clicks go to one bounded pool. Every target has a lane of its own, with one worker kept
free for urgent work (ending access), so neither a dead target nor a slow clean-up delays an end
elsewhere; and one for tidying up, so that people do not wait for that. Only where there is much of it
another helps: while the one records what it removed, the other removes. A lane never works on one
subject (a grant) twice at a time.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import structlog

from bot import errors

_log = structlog.get_logger(__name__)

Job = Callable[[], object]

_MOST_PER_TARGET = 10_000  # what does not fit is handed out again by the next sweep
_QUICK = 1.0  # seconds in which something is done where nothing but our own work delays it
_LONGEST = 10.0  # seconds for which a crowd of ends is made room for
_BETWEEN = 0.02  # seconds from one step of an end to the next
_SEEN = 0.6  # seconds for which what another process was seen at is taken to go on
_APART = 1.0  # seconds of quiet after which the next ends are another crowd
_ROOM = 0.05  # seconds between looks whether a rush is over


class Urgency(IntEnum):
    """What goes first in a lane."""

    CLOSE = 0  # somebody may still have access that they should not have
    GRANT = 1  # somebody is waiting
    CLEAN = 2  # nobody has access, something is to be tidied


_TIDYING = (Urgency.CLEAN,)


class Rush:
    """Ends under way just now, anywhere: what can wait makes room for them. Thread-safe.

    One that takes long waits for its target, and room would not help it; and nothing waits for ever,
    however many there are.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began: dict[int, tuple[Urgency, float]] = {}  # by number
        self._number = 0
        self._since = float("-inf")  # the present crowd of them
        self._ended = float("-inf")
        self._elsewhere = (Urgency.CLEAN, float("-inf"))  # seen last, and when

    @contextlib.contextmanager
    def on(self, urgency: Urgency) -> Iterator[None]:
        """In this block something of that urgency is done."""
        now = time.monotonic()
        with self._lock:
            self._number += 1
            number = self._number
            self._note_crowd(now)
            self._began[number] = (urgency, now)
        try:
            yield
        finally:
            with self._lock:
                del self._began[number]
                self._ended = time.monotonic()

    def see_elsewhere(self, urgency: Urgency) -> None:
        """Another process was just seen at something of that urgency: it has the cores and the record."""
        now = time.monotonic()
        with self._lock:
            self._note_crowd(now)
            self._elsewhere = (urgency, now)
            self._ended = now

    def is_on(self, than: Urgency | None = None) -> bool:
        """Whether to make room for something, or only for what is more urgent `than` that."""
        with self._lock:
            now = time.monotonic()
            if now - self._since > _LONGEST:
                return False
            if than is None and now - self._ended < _BETWEEN:
                return True
            seen, at = self._elsewhere
            lately = [(seen, now - at < _SEEN)]
            lately += [(urgency, now - began < _QUICK) for urgency, began in self._began.values()]
            return any(so and (than is None or urgency < than) for urgency, so in lately)

    def is_tidying(self) -> bool:
        """Whether roles are being removed here, and no door has to be shut."""
        with self._lock:
            now = time.monotonic()
            under_way = self._began.values()
            tidying = [each is Urgency.CLEAN and now - at < _QUICK for each, at in under_way]
            return bool(tidying) and all(tidying)

    def _note_crowd(self, now: float) -> None:
        if not self._began and now - self._ended > _APART:
            self._since = now


@dataclass(frozen=True, slots=True)
class _Task:
    urgency: int
    subject: str
    job: Job


class Lane:
    """Workers over one queue. Work is taken by urgency, then in order of arrival."""

    def __init__(
        self,
        name: str,
        *,
        workers: int,
        reserved: int = 0,
        tidying: int = 0,
        limit: int = 1000,
        rush: Rush | None = None,
    ) -> None:
        """Beside the `workers`, `reserved` ones take only work of urgency CLOSE, and `tidying` ones
        only of CLEAN. `limit`: waiting at most.

        Work of urgency CLEAN waits while there is a `rush` of doors.
        """
        self.name = name
        self._limit = limit
        self._rush = rush or Rush()
        self._changed = threading.Condition()
        self._waiting: dict[int, dict[str, _Task]] = {each: {} for each in Urgency}  # by subject
        self._busy: dict[str, int] = {}  # subject: urgency of the work in hand
        self._open = True
        self._tidiers = tidying  # those of them that are free
        takes = [tuple(Urgency)] * workers
        takes += [(Urgency.CLOSE,)] * reserved + [_TIDYING] * tidying
        self._threads = [
            threading.Thread(
                target=self._work,
                args=(urgencies,),
                name=f"{name}-{n}",
                daemon=True,  # abandoned, not waited for, when a target hangs at the very end
            )
            for n, urgencies in enumerate(takes)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self, subject: str, job: Job, urgency: Urgency = Urgency.GRANT, *, again: bool = False
    ) -> bool:
        """Queue a job; false if work of that urgency waits or is in hand for that subject.

        `again`: what is in hand may not have seen what this is about, so it is done once more.
        Raises Busy when the queue is full or closed.
        """
        with self._changed:
            if not self._open or self._depth() >= self._limit:
                raise errors.Busy
            in_hand = self._busy.get(subject) == urgency and not again
            if in_hand or subject in self._waiting[urgency]:
                return False
            self._waiting[urgency][subject] = _Task(int(urgency), subject, job)
            self._changed.notify_all()
            return True

    def working_on(self, subject: str) -> bool:
        """Whether a worker has that subject in hand."""
        with self._changed:
            return subject in self._busy

    def idle(self) -> bool:
        """Whether nothing waits and nobody works."""
        with self._changed:
            return self._is_idle()

    def wait_idle(self, timeout: float) -> bool:
        """Wait until idle, at most `timeout` seconds; whether it is so."""
        with self._changed:
            return self._changed.wait_for(self._is_idle, timeout)

    def alive(self) -> bool:
        """Whether every worker lives."""
        return all(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        """Take no more, drop what waits, let what runs finish. The record has all of it."""
        with self._changed:
            self._open = False
            for waiting in self._waiting.values():
                waiting.clear()
            self._changed.notify_all()

    def join(self, deadline: float) -> bool:
        """Wait for the workers until `time.monotonic()` is `deadline`; whether all are gone."""
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _depth(self) -> int:
        return sum(map(len, self._waiting.values()))

    def _is_idle(self) -> bool:
        return not self._depth() and not self._busy

    def _work(self, takes: Sequence[Urgency]) -> None:
        while (task := self._take(takes)) is not None:
            try:
                task.job()
            except Exception:  # noqa: BLE001 - the top of a thread: the next job must still run
                _log.exception("job_failed", lane=self.name, subject=task.subject)
            finally:
                self._put_down(task, takes)

    def _take(self, takes: Sequence[Urgency]) -> _Task | None:
        with self._changed:
            while self._open:
                task = self._next(takes)
                if task is not None:
                    del self._waiting[task.urgency][task.subject]
                    self._busy[task.subject] = task.urgency
                    self._tidiers -= takes == _TIDYING
                    return task
                held_up = Urgency.CLEAN in takes and self._waiting[Urgency.CLEAN]
                self._changed.wait(_ROOM if held_up else None)
            return None

    def _next(self, takes: Sequence[Urgency]) -> _Task | None:
        """Only what is in hand is passed over, so the look is short however much waits."""
        for urgency in takes:
            if urgency is Urgency.CLEAN and self._is_for_others(takes):
                return None
            waiting = self._waiting[urgency].values()
            task = next((each for each in waiting if each.subject not in self._busy), None)
            if task is not None:
                return task
        return None

    def _is_for_others(self, takes: Sequence[Urgency]) -> bool:
        """Whether what is to be tidied waits, or is left to who does nothing else."""
        return self._rush.is_on(Urgency.CLEAN) or (takes != _TIDYING and self._tidiers > 0)

    def _put_down(self, task: _Task, takes: Sequence[Urgency]) -> None:
        with self._changed:
            self._tidiers += takes == _TIDYING
            self._busy.pop(task.subject, None)
            self._changed.notify_all()


class Pool:
    """A bounded pool for what people wait for."""

    def __init__(self, name: str, *, workers: int, limit: int = 1000) -> None:
        self._lane = Lane(name, workers=workers, limit=limit)
        self._lock = threading.Lock()
        self._number = 0

    def submit(self, job: Job) -> None:
        """Queue a job. Raises Busy when too much waits."""
        with self._lock:
            self._number += 1
            subject = str(self._number)
        self._lane.submit(subject, job)

    @property
    def lane(self) -> Lane:
        """The workers behind it."""
        return self._lane


class Lanes:
    """Every worker of the service: `interactive` for clicks, one lane for each target."""

    def __init__(self, *, interactive: int = 8) -> None:
        self.rush = Rush()
        self.interactive = Pool("interactive", workers=interactive)
        self._lock = threading.Lock()
        self._targets: dict[str, Lane] = {}
        self._open = True

    def target(self, name: str) -> Lane:
        """The lane of that target. Raises Busy once stopped."""
        with self._lock:
            if not self._open:
                raise errors.Busy
            if name not in self._targets:
                self._targets[name] = Lane(
                    f"target-{name}",
                    workers=1,
                    reserved=1,
                    tidying=1,
                    limit=_MOST_PER_TARGET,
                    rush=self.rush,
                )
            return self._targets[name]

    def alive(self) -> bool:
        """Whether every worker lives."""
        return all(lane.alive() for lane in self._all())

    def wait_idle(self, timeout: float) -> bool:
        """Wait until nobody works, at most `timeout` seconds; whether it is so."""
        deadline = time.monotonic() + timeout
        return all(lane.wait_idle(max(0.0, deadline - time.monotonic())) for lane in self._all())

    def stop(self, timeout: float) -> bool:
        """Take no more and finish what runs, or abandon it after `timeout` seconds."""
        with self._lock:
            self._open = False
        deadline = time.monotonic() + timeout
        lanes = self._all()
        for lane in lanes:
            lane.close()
        return all(lane.join(deadline) for lane in lanes)

    def _all(self) -> list[Lane]:
        with self._lock:
            return [self.interactive.lane, *self._targets.values()]
