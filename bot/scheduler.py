"""The clock's bell: rings at the next deadline, every second, and when something was committed.

It holds no truth. Whatever is due stands in the record, and every ring looks there again: a ring
that is lost costs a second, never a revocation. APScheduler runs in memory for that reason; its
persistent store drops what it missed (misfire_grace_time), and unpickles what it reads.
https://apscheduler.readthedocs.io/en/3.x/userguide.html

Two threads look. The sweeper sees only to what is due and whom it concerns at once; everything that
can be a moment late is a chore of the other, and no chore delays an end.
"""

import functools
import threading
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from bot import clock as clocks
from bot import errors, model, store, work
from bot.asking import access, grants
from bot.comparing import reconcile
from bot.telling import digests
from bot.telling import outbox as outboxes
from bot.watching import status

_log = structlog.get_logger(__name__)

SWEEP_EVERY = timedelta(seconds=1)
LOOK_AT_LEAST_EVERY = timedelta(seconds=2)  # what a dead replica had claimed is free unannounced
HEARTBEAT_EVERY = timedelta(seconds=10)
HEARTBEAT = status.HEARTBEAT
_SILENCE = 5.0  # seconds without a ring after which the bell is taken for broken
_POLL = 0.025  # seconds between looks whether another process has committed something
_PAUSE, _LONGEST_PAUSE = 0.1, 0.5  # seconds from one whole look at such a thing to the next
_MANY = 20  # ends in one batch, from which on a second worker is worth it
_CLOSE, _CLEAN = work.Urgency.CLOSE, work.Urgency.CLEAN
_CLOSING, _CLEANING, _TOO = "closing", "cleaning", " too"  # what workers are at
_CROWD = timedelta(seconds=10)  # for so long after they began ends are made room for
_CHORES_EVERY = 1.0  # seconds
_CHORES_APART = 0.2  # seconds, at least, however much is committed; a rush leaves them as rare
_SWEEPS_WITHIN = 30.0  # seconds; a sweeper that hangs for longer has no heartbeat
_ROOM = 5.0  # times as long as a look takes, the next one waits
_MOST_ROOM = 0.25  # seconds; at rest a look takes milliseconds
_MOST = 5000  # grants to be made that are handed out in one sweep


class Scheduler:
    """Rings, and hands what is due to the lanes."""

    def __init__(
        self,
        *,
        store: store.Store,
        access: access.Access,
        grants: grants.Grants,
        outbox: outboxes.Outbox,
        lanes: work.Lanes,
        digests: digests.Digests,
        reconciler: reconcile.Reconciler,
        clock: clocks.Clock,
    ) -> None:
        self._store = store
        self._access = access
        self._grants = grants
        self._outbox = outbox
        self._lanes = lanes
        self._digests = digests
        self._reconciler = reconciler
        self._clock = clock
        self._rung = threading.Event()
        self._hurry = threading.Event()  # a deadline is there: leave no room
        self._chores_rung = threading.Event()
        self._closing = threading.Event()
        self._sweeper: threading.Thread | None = None
        self._chores: threading.Thread | None = None
        self._bell: BackgroundScheduler | None = None
        self._woken = True
        self._marker: int | None = None
        self._unseen = self._unseen_ends = False  # what others committed since, for ends
        self._pause = _PAUSE
        self._rested = float("-inf")  # until this of `time.monotonic()` none for such a thing
        self._deadline: datetime | None = None  # as of the last look
        self._looked = datetime.min.replace(tzinfo=clock.now().tzinfo)
        self._beaten, self._beat_at = self._looked, 0.0  # the latter of `time.monotonic()`
        self._swept = time.monotonic()

    def start(self) -> None:
        """Take up whatever the record says is unfinished, then ring on."""
        self.sweep(everything=True)
        self._hang_bell()
        self._start_threads()

    def stop(self, deadline: float) -> None:
        """Ring no more; a sweep in progress ends by `time.monotonic()` `deadline` or is abandoned."""
        self._closing.set()
        for event in (self._rung, self._hurry, self._chores_rung):
            event.set()
        if self._bell is not None:
            self._bell.shutdown(wait=False)
            self._bell = None
        for thread in (self._sweeper, self._chores):
            if thread is not None:
                thread.join(max(0.0, deadline - time.monotonic()))

    def wake(self) -> None:
        """Something was committed: look now."""
        self._woken = True
        self._rung.set()
        self._outbox.wake()

    def hand_over(self, grant: model.Grant) -> None:
        """A grant to be made goes to its target's lane at once: no sweep has to find it."""
        if self._sweeper is not None:  # running
            self._make(grant)
        self._outbox.wake()

    def alive(self) -> bool:
        """Whether whoever sweeps and does the chores lives."""
        return _lives(self._sweeper) and _lives(self._chores)

    def sweep(self, *, everything: bool = False) -> None:
        """Look at the record once and hand out what is due; `everything`: also what waits to retry."""
        if everything:
            self._step("forget_pauses", self._store.forget_pauses)
        self._sweep_urgent()
        self._do_chores()

    def _sweep_urgent(self) -> None:
        self._step("leap", self._grants.judge_leap)
        self._step("begin_due", self._begin_due)
        self._step("ends", self._hand_out_ends)
        self._step("room", self._make_room)
        self._step("activations", self._hand_out_activations)
        self._step("arm", self._arm)

    def _do_chores(self) -> None:
        self._step("deadlines", self._move_deadlines)
        self._step("lapse", self._access.lapse)
        self._step("watch", self._grants.watch)
        self._step("skew", self._measure_clocks)
        self._step("reconcile", self._reconcile)
        self._step("digest", self._digests.say_if_due)
        self._outbox.wake()

    def _start_threads(self) -> None:
        if not _lives(self._sweeper):
            self._sweeper = threading.Thread(target=self._run, name="sweeper", daemon=True)
            self._sweeper.start()
        if not _lives(self._chores):
            self._chores = threading.Thread(target=self._run_chores, name="chores", daemon=True)
            self._chores.start()

    def _run(self) -> None:
        heard = time.monotonic()
        while not self._closing.is_set():
            rung = self._rung.wait(min(_POLL, _SILENCE))
            self._rung.clear()
            if self._closing.is_set():
                return
            began = time.monotonic()
            silent = not rung and began - heard > _SILENCE
            if silent:
                self._repair_bell()
            heard = began if rung or silent else heard
            self._ring(forced=silent)
            self._leave_room(time.monotonic() - began)

    def _run_chores(self) -> None:
        while not self._closing.is_set():
            self._chores_rung.wait(_CHORES_EVERY)
            self._chores_rung.clear()
            if self._closing.wait(_CHORES_EVERY if self._lanes.rush.is_on() else _CHORES_APART):
                return
            self._do_chores()
            self._step("beat", self._beat)

    def _leave_room(self, took: float) -> None:
        """A thousand ends commit, and so ring, several thousand times: looking must not keep the
        workers from their work. What is rung for meanwhile is seen in one look.
        """
        self._hurry.wait(min(took * _ROOM, _MOST_ROOM))
        self._hurry.clear()

    def _ring(self, *, forced: bool) -> None:
        """Look, if that is worth it."""
        try:
            if self._worth_a_look() or forced:
                self._sweep_urgent()
                self._chores_rung.set()
        except Exception:  # noqa: BLE001 - the top of a thread: it must outlive a locked store
            _log.exception("sweep_failed")
        self._swept = time.monotonic()

    def _worth_a_look(self) -> bool:
        """A record that cannot be read is no reason to look away: what is due must end."""
        try:
            return self._changed()
        except (errors.Busy, errors.StoreError) as error:
            _log.error("store_unreadable", why=str(error))
            return True

    def _changed(self) -> bool:
        """Whether a whole look is worth it: woken, committed to by anybody, a deadline, or long ago.

        What commits again and again without a word is looked at less and less; but whether it began
        ends is seen at once, by a look at those alone.
        """
        now, marker = self._clock.now(), self._store.version_marker()
        woken, self._woken = self._woken, False
        if marker != self._marker:
            self._unseen = self._unseen_ends = True
        self._marker = marker
        rested = time.monotonic() >= self._rested
        called = (
            woken
            or now - self._looked >= LOOK_AT_LEAST_EVERY
            or (self._deadline is not None and self._deadline <= now)
        )
        if called or (self._unseen and rested):
            self._rest_after(called=called)
            self._looked = now
            return True
        if self._unseen_ends and not self._lanes.rush.is_on():
            self._unseen_ends = False
            self._step("ends", self._hand_out_ends)
        elif rested:
            self._pause = _PAUSE
        return False

    def _rest_after(self, *, called: bool) -> None:
        """A whole look follows."""
        self._unseen = self._unseen_ends = False
        if not called:
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            self._rested = time.monotonic() + self._pause

    def _hand_out_ends(self) -> None:
        for each in self._store.ends_waiting(self._clock.now()):
            self._work_on(each.target, _CLOSING if each.open else _CLEANING, again=each.open)

    def _make_room(self) -> None:
        """Of several replicas those that have no part in a crowd of ends keep their words and chores
        for later: they would take time from those that have.
        """
        if self._lanes.rush.is_on():
            return
        open_ = self._store.ends_under_way(self._clock.now() - _CROWD)
        if open_ is not None:
            self._lanes.rush.see_elsewhere(_CLOSE if open_ else _CLEAN)

    def _hand_out_activations(self) -> None:
        for grant in self._store.activating(self._clock.now(), _MOST):
            self._make(grant)

    def _make(self, grant: model.Grant) -> None:
        make = functools.partial(self._grants.activate, grant.id)
        self._submit(grant.target, grant.id, make, work.Urgency.GRANT)

    def _begin_due(self) -> None:
        """Batch by batch, and the first doors are shut while the last ends are being recorded."""
        for target in dict.fromkeys(door.target for door in self._grants.begin_due(self._close_on)):
            shut = functools.partial(self._grants.shut_due, target)
            self._submit(target, "shutting", shut, _CLOSE)

    def _close_on(self, targets: Collection[str]) -> None:
        """Whoever is at it there may have looked just before these were begun."""
        for target in targets:
            self._work_on(target, _CLOSING, again=True)

    def _work_on(self, target: str, phase: str, too: str = "", *, again: bool = False) -> None:
        """A worker to the doors or the removals there; `too`: another."""
        do, urgency = (self._clean, _CLEAN) if phase == _CLEANING else (self._close, _CLOSE)
        self._submit(target, phase + too, functools.partial(do, target, too), urgency, again=again)

    def _close(self, target: str, too: str) -> None:
        """Until no more waits; where there are many, by two workers from the first batch on."""
        while self._grants.close_some(target, functools.partial(self._call, target, _CLOSING, too)):
            pass

    def _clean(self, target: str, too: str) -> None:
        """One batch; then it is the turn of what is more urgent there. Where many wait, by two."""
        if self._grants.clean_some(target, functools.partial(self._call, target, _CLEANING, too)):
            self._work_on(target, _CLEANING, too, again=True)

    def _call(self, target: str, phase: str, too: str, taken: int) -> None:
        """The other one, where there are many."""
        if taken >= _MANY:
            self._work_on(target, phase, "" if too else _TOO)

    def _submit(
        self,
        target: str,
        subject: str,
        job: Callable[[], object],
        urgency: work.Urgency,
        *,
        again: bool = False,
    ) -> None:
        try:
            self._lanes.target(target).submit(subject, job, urgency, again=again)
        except errors.Busy:  # the next sweep hands it out
            _log.warning("lane_full", target=target)

    def _move_deadlines(self) -> None:
        """Beside the grant's own place in the lane, so that its end waits for nothing."""
        for grant in self._grants.deadlines.behind():
            move = functools.partial(self._grants.deadlines.move, grant.id)
            self._submit(grant.target, f"deadline:{grant.id}", move, work.Urgency.GRANT)

    def _clock_urgency(self) -> work.Urgency:
        """Ends may hang on what a target's clock says."""
        return _CLOSE if self._clock.leap() else _CLEAN

    def _measure_clocks(self) -> None:
        for target in self._grants.skew.due():
            look = functools.partial(self._grants.skew.look, target)
            self._submit(target, "clock", look, self._clock_urgency())

    def _reconcile(self) -> None:
        """Each target in its own lane, after whatever is urgent there."""
        for target in self._reconciler.due():
            look = functools.partial(self._reconciler.look, target)
            self._submit(target, "reconcile", look, _CLEAN)

    def _step(self, name: str, step: Callable[[], object]) -> None:
        """One part of a sweep; its failure must not keep the others from being done."""
        try:
            step()
        except Exception:  # noqa: BLE001 - revocation collects errors and goes on
            _log.exception("sweep_step_failed", step=name)

    def _hang_bell(self) -> None:
        bell = BackgroundScheduler(
            timezone="UTC",
            executors={"default": ThreadPoolExecutor(2)},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        bell.add_job(
            self._toll, IntervalTrigger(seconds=int(SWEEP_EVERY.total_seconds())), id="sweep"
        )
        bell.start()
        self._bell = bell

    def _toll(self) -> None:
        """Ring, and see that somebody hears it: the bell and the sweeper watch one another."""
        self._rung.set()
        if self._sweeper is not None and not self.alive() and not self._closing.is_set():
            _log.critical("sweeper_died")
            self._start_threads()

    def _repair_bell(self) -> None:
        """APScheduler's thread can die unseen (a job of another process vanishing under it)."""
        _log.error("bell_silent")
        if self._bell is not None:
            self._bell.shutdown(wait=False)
        self._hang_bell()

    def _arm(self) -> None:
        """Ring at the next deadline to the moment, not to the second."""
        self._deadline = deadline = self._store.next_deadline()
        self._clock.rest(allowed=deadline is None and not self._store.is_any_live())
        if self._bell is None or deadline is None:
            return
        now = self._clock.now()
        if now < deadline <= now + timedelta(days=1):
            moment = datetime.now(UTC) + (deadline - now)  # the bell goes by the machine's clock
            self._bell.add_job(
                self._strike, DateTrigger(moment), id="deadline", replace_existing=True
            )

    def _strike(self) -> None:
        self._woken = True
        self._rung.set()
        self._hurry.set()

    def _beat(self) -> None:
        """Show that we live: in the log, and in the store for a monitor to read."""
        now, passed = self._clock.now(), time.monotonic()
        while_resting = timedelta(seconds=passed - self._beat_at)  # then the clock tells nothing
        young = max(now - self._beaten, while_resting) < HEARTBEAT_EVERY
        if young or passed - self._swept >= _SWEEPS_WITHIN:
            return
        self._beaten, self._beat_at = now, passed
        with self._grants.outcry.watching(HEARTBEAT):
            self._store.put(HEARTBEAT, now.isoformat())
        self._store.beat(self._grants.claims.name)
        self._store.remember_time()
        if not (self._outbox.alive() and self._lanes.alive() and self._grants.claims.alive()):
            _log.critical("worker_died")
        _log.debug("heartbeat")


def _lives(thread: threading.Thread | None) -> bool:
    return thread is not None and thread.is_alive()
