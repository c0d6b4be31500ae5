"""The clock's bell: rings at the next deadline, every second, and when something was committed.

It holds no truth. Whatever is due stands in the record, and every ring looks there again: a ring
that is lost costs a second, never a revocation. APScheduler runs in memory for that reason; its
persistent store drops what it missed (misfire_grace_time), and unpickles what it reads.
https://apscheduler.readthedocs.io/en/3.x/userguide.html
"""

import functools
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from bot import access, digests, errors, grants, model, reconcile, status, store, work
from bot import clock as clocks
from bot import outbox as outboxes

_log = structlog.get_logger(__name__)

SWEEP_EVERY = timedelta(seconds=1)
LOOK_AT_LEAST_EVERY = timedelta(seconds=2)  # what a dead replica had claimed is free unannounced
HEARTBEAT_EVERY = timedelta(seconds=10)
HEARTBEAT = status.HEARTBEAT
_SILENCE = 5.0  # seconds without a ring after which the bell is taken for broken
_ROOM = 2.0  # times as long as a look takes, the next one waits
_MOST_ROOM = 0.25  # seconds; at rest a look takes milliseconds
_MOST = 5000  # grants handed out in one sweep


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
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._bell: BackgroundScheduler | None = None
        self._woken = True
        self._marker: int | None = None
        self._looked = datetime.min.replace(tzinfo=clock.now().tzinfo)
        self._beaten = self._looked

    def start(self) -> None:
        """Take up whatever the record says is unfinished, then ring on."""
        self.sweep(everything=True)
        self._hang_bell()
        self._start_sweeper()

    def stop(self, deadline: float) -> None:
        """Ring no more; a sweep in progress ends by `time.monotonic()` `deadline` or is abandoned."""
        self._closing.set()
        self._rung.set()
        self._hurry.set()
        if self._bell is not None:
            self._bell.shutdown(wait=False)
            self._bell = None
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))

    def wake(self) -> None:
        """Something was committed: look now."""
        self._woken = True
        self._rung.set()
        self._outbox.wake()

    def hand_over(self, grant: model.Grant) -> None:
        """The next step of that grant goes to its target's lane at once: no sweep has to find it."""
        if self._thread is not None:  # running
            self._dispatch(grant, *self._next_step(grant))
        self._outbox.wake()

    def alive(self) -> bool:
        """Whether the sweeper lives."""
        return self._thread is not None and self._thread.is_alive()

    def sweep(self, *, everything: bool = False) -> None:
        """Look at the record once and hand out what is due; `everything`: also what waits to retry."""
        now = self._clock.now()
        self._step("leap", self._grants.judge_leap)
        self._step("begin_due", self._begin_due)
        for moving in (model.GrantStatus.REVOKING, model.GrantStatus.ACTIVATING):
            hand_out = functools.partial(self._hand_out, moving, now, everything=everything)
            self._step(f"hand_out_{moving}", hand_out)
        self._step("deadlines", self._move_deadlines)
        self._step("lapse", self._access.lapse)
        self._step("watch", self._grants.watch)
        self._step("skew", self._measure_clocks)
        self._step("reconcile", self._reconcile)
        self._step("digest", self._digests.say_if_due)
        self._step("arm", self._arm)
        self._outbox.wake()

    def _start_sweeper(self) -> None:
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._closing.is_set():
            rung = self._rung.wait(_SILENCE)
            self._rung.clear()
            if self._closing.is_set():
                return
            if not rung:
                self._repair_bell()
            began = time.monotonic()
            try:
                self._ring(forced=not rung)
            except Exception:  # noqa: BLE001 - the top of a thread: it must outlive a locked store
                _log.exception("sweep_failed")
            self._leave_room(time.monotonic() - began)

    def _leave_room(self, took: float) -> None:
        """A thousand ends commit, and so ring, several thousand times: looking must not keep the
        workers from their work. What is rung for meanwhile is seen in one look.
        """
        self._hurry.wait(min(took * _ROOM, _MOST_ROOM))
        self._hurry.clear()

    def _ring(self, *, forced: bool) -> None:
        if forced or self._worth_a_look():
            self.sweep()
        self._beat()

    def _worth_a_look(self) -> bool:
        """A record that cannot be read is no reason to look away: what is due must end."""
        try:
            return self._changed()
        except (errors.Busy, errors.StoreError) as error:
            _log.error("store_unreadable", why=str(error))
            return True

    def _changed(self) -> bool:
        """Whether a look is worth it: woken, committed to by anybody, a deadline, or long ago."""
        now, marker = self._clock.now(), self._store.version_marker()
        woken, self._woken = self._woken, False
        deadline = self._store.next_deadline()
        worth = (
            woken
            or marker != self._marker
            or now - self._looked >= LOOK_AT_LEAST_EVERY
            or (deadline is not None and deadline <= now)
        )
        self._marker = marker
        if worth:
            self._looked = now
        return worth

    def _hand_out(self, status: model.GrantStatus, now: datetime, *, everything: bool) -> None:
        if everything:
            found = self._store.grants(status={status}, limit=_MOST)
        elif status is model.GrantStatus.REVOKING:
            found = self._store.revoking(now, _MOST)
        else:
            found = self._store.activating(now, _MOST)
        for grant in found:
            self._dispatch(grant, *self._next_step(grant))

    def _begin_due(self) -> None:
        for grant in self._grants.begin_due():
            self._dispatch(grant, self._grants.shut, work.Urgency.CLOSE)

    def _move_deadlines(self) -> None:
        """Beside the grant's own place in the lane, so that its end waits for nothing."""
        for grant in self._grants.deadlines.behind():
            move = functools.partial(self._grants.deadlines.move, grant.id)
            try:
                lane = self._lanes.target(grant.target)
                lane.submit(f"deadline:{grant.id}", move, work.Urgency.GRANT)
            except errors.Busy:
                _log.warning("lane_full", target=grant.target)

    def _clock_urgency(self) -> work.Urgency:
        """Ends may hang on what a target's clock says."""
        return work.Urgency.CLOSE if self._clock.leap() else work.Urgency.CLEAN

    def _measure_clocks(self) -> None:
        for target in self._grants.skew.due():
            look = functools.partial(self._grants.skew.look, target)
            try:
                self._lanes.target(target).submit("clock", look, self._clock_urgency())
            except errors.Busy:
                _log.warning("lane_full", target=target)

    def _reconcile(self) -> None:
        """Each target in its own lane, after whatever is urgent there."""
        for target in self._reconciler.due():
            look = functools.partial(self._reconciler.look, target)
            try:
                self._lanes.target(target).submit("reconcile", look, work.Urgency.CLEAN)
            except errors.Busy:
                _log.warning("lane_full", target=target)

    def _dispatch(
        self, grant: model.Grant, job: Callable[[str], object], urgency: work.Urgency
    ) -> None:
        try:
            lane = self._lanes.target(grant.target)
            lane.submit(grant.id, functools.partial(job, grant.id), urgency)
        except errors.Busy:  # the next sweep hands it out
            _log.warning("lane_full", target=grant.target)

    def _next_step(self, grant: model.Grant) -> tuple[Callable[[str], object], work.Urgency]:
        if grant.status is model.GrantStatus.ACTIVATING:
            return self._grants.activate, work.Urgency.GRANT
        if grant.access_ended_at is None:
            return self._grants.close, work.Urgency.CLOSE
        return self._grants.clean, work.Urgency.CLEAN

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
        if self._thread is not None and not self.alive() and not self._closing.is_set():
            _log.critical("sweeper_died")
            self._start_sweeper()

    def _repair_bell(self) -> None:
        """APScheduler's thread can die unseen (a job of another process vanishing under it)."""
        _log.error("bell_silent")
        if self._bell is not None:
            self._bell.shutdown(wait=False)
        self._hang_bell()

    def _arm(self) -> None:
        """Ring at the next deadline to the moment, not to the second."""
        deadline = self._store.next_deadline()
        if self._bell is None or deadline is None:
            return
        now = self._clock.now()
        if now < deadline <= now + timedelta(days=1):
            moment = datetime.now(UTC) + (deadline - now)  # the bell goes by the machine's clock
            self._bell.add_job(
                self._deadline, DateTrigger(moment), id="deadline", replace_existing=True
            )

    def _deadline(self) -> None:
        self._woken = True
        self._rung.set()
        self._hurry.set()

    def _beat(self) -> None:
        """Show that we live: in the log, and in the store for a monitor to read."""
        now = self._clock.now()
        if now - self._beaten < HEARTBEAT_EVERY:
            return
        self._beaten = now
        with self._grants.outcry.watching(HEARTBEAT):
            self._store.put(HEARTBEAT, now.isoformat())
        self._store.beat(self._grants.claims.name)
        self._store.remember_time()
        self._clock.rest(allowed=self._store.next_deadline() is None)
        if not (self._outbox.alive() and self._lanes.alive() and self._grants.claims.alive()):
            _log.critical("worker_died")
        _log.debug("heartbeat")
