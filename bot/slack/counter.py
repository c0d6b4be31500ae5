"""Where deliveries are taken in: acknowledged, handed to workers once, and never left unanswered.

Two pools: `doors` opens windows, which Slack allows for three seconds after a click, and so never
waits for a database; `work` does the rest.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import Any

import structlog

from bot import errors, work
from bot.slack import answers, blocks, forms, modals
from bot.slack.origin import Origin

_log = structlog.get_logger(__name__)

Job = Callable[[], object]
Opened = tuple[str, str]  # view id, hash
Ack = Callable[..., Any]

PATIENCE = 2.2  # seconds a sent window waits for its outcome; Slack waits three for the answer
REMEMBERED = 600.0  # seconds in which the same delivery counts once
_MOST = 20_000


class Once:
    """Deliveries seen lately."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, float] = OrderedDict()

    def first(self, key: str) -> bool:
        """Whether this is the first delivery of that deed."""
        with self._lock:
            oldest = self._now() - REMEMBERED
            while self._seen and (
                next(iter(self._seen.values())) < oldest or len(self._seen) > _MOST
            ):
                self._seen.popitem(last=False)
            known = key in self._seen
            self._seen.setdefault(key, self._now())
            return not known


class Turns:
    """One at a time a window, and only the newest choice is drawn."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: OrderedDict[str, tuple[float, threading.Lock]] = OrderedDict()

    def take(self, view_id: str, action_ts: str) -> Callable[[Job], None]:
        """A runner for this choice: does nothing when a newer one has come meanwhile."""
        moment = float(action_ts or 0)
        with self._lock:
            before, mutex = self._newest.get(view_id, (0.0, threading.Lock()))
            self._newest[view_id] = (max(before, moment), mutex)
            while len(self._newest) > 1000:  # noqa: PLR2004
                self._newest.popitem(last=False)

        def run(job: Job) -> None:
            with mutex:
                if self._newest.get(view_id, (moment, mutex))[0] <= moment:
                    job()

        return run


class Counter:
    """Takes deliveries in."""

    def __init__(
        self, *, doors: work.Pool, interactive: work.Pool, answers: answers.Answers
    ) -> None:
        self._doors = doors
        self._work = interactive
        self._answers = answers
        self._once = Once()
        self._turns = Turns()

    def first(self, origin: Origin) -> bool:
        """Whether this deed has not been taken in before."""
        return self._once.first(origin.key)

    def private(self, origin: Origin, doing: str, job: Job) -> None:
        """Do it; what goes wrong is told to the person alone. Raises Busy."""
        self._work.submit(lambda: self._told(origin, doing, job))

    def window(
        self, origin: Origin, doing: str, view: blocks.Block, fill: Callable[[Opened], object]
    ) -> None:
        """Open a window at once, then fill it; what goes wrong is told in it. Raises Busy."""
        self._doors.submit(lambda: self._open(origin, doing, view, fill))

    def quietly(self, doing: str, job: Job) -> None:
        """Do it for nobody in particular; what goes wrong is logged. Raises Busy."""
        self._work.submit(lambda: self._logged(doing, job))

    def say(self, origin: Origin, text: str) -> None:
        """Tell only this person."""
        self._answers.private(origin, text)

    def busy(self, origin: Origin) -> None:
        """Say that there is too much going on, if even that is possible."""
        try:
            self._doors.submit(lambda: self._answers.private(origin, answers.BUSY))
        except errors.Busy:
            _log.warning("too_busy_to_say_so", user=origin.user_id)

    def choice(self, origin: Origin, draw: Callable[[], blocks.Block]) -> None:
        """Redraw a window after a choice in it. Raises Busy."""
        turn = self._turns.take(origin.view_id, origin.action_ts)
        draw_it = lambda: self._answers.update(origin.view_id, draw())  # noqa: E731
        self._work.submit(lambda: self._told(origin, "choice", lambda: turn(draw_it)))

    def answer(self, doing: str, job: Callable[[], Any], fallback: Any) -> Any:
        """What `job` finds within Slack's patience; otherwise `fallback`."""
        found: Future[Any] = Future()
        try:
            self._work.submit(lambda: _settle(found, job))
            return found.result(PATIENCE)
        except errors.Busy:
            return fallback
        except Exception:  # noqa: BLE001 - the answer to a delivery: there must be one
            _log.warning("answer_failed", doing=doing, exc_info=True)
            return fallback

    def sent(
        self,
        origin: Origin,
        doing: str,
        job: Callable[[], Any],
        done: Callable[[Any], blocks.Block | None],
    ) -> Mapping[str, Any]:
        """How to acknowledge a sent window: its outcome, or a promise that is kept later.

        A window that `job` returns is put over the one sent. `done` draws what stands in that one when
        it could not be closed in time.
        """
        found: Future[Any] = Future()
        try:
            self._work.submit(lambda: _settle(found, job))
        except errors.Busy:
            return _refusal(origin, errors.Busy(), doing)
        if not wait([found], PATIENCE).done:
            found.add_done_callback(lambda _: self._late(origin, doing, found, done))
            return {"response_action": "update", "view": modals.waiting("One moment")}
        error = found.exception()
        if isinstance(error, Exception):
            return _refusal(origin, error, doing)
        over = found.result()
        return {"response_action": "push", "view": over} if isinstance(over, dict) else {}

    def _late(
        self,
        origin: Origin,
        doing: str,
        found: "Future[Any]",
        done: Callable[[Any], blocks.Block | None],
    ) -> None:
        time.sleep(0.2)  # the acknowledgement that shows the promise must arrive before its end
        error = found.exception()
        if isinstance(error, Exception):
            view: blocks.Block | None = modals.saying("Not done", answers.words_for(error, doing))
        else:
            over = found.result()
            view = over if isinstance(over, dict) else done(over)
        self._answers.update(origin.view_id, view or modals.saying("Done", "Done."))

    def _told(self, origin: Origin, doing: str, job: Job) -> None:
        try:
            job()
        except Exception as error:  # noqa: BLE001 - whatever it is, the person gets an answer
            self._answers.private(origin, answers.words_for(error, doing))

    def _logged(self, doing: str, job: Job) -> None:
        try:
            job()
        except errors.JitError as error:
            _log.info("not_done", doing=doing, why=str(error))

    def _open(
        self, origin: Origin, doing: str, view: blocks.Block, fill: Callable[[Opened], object]
    ) -> None:
        opened = self._answers.open(origin, view)
        if not opened[0]:
            self._answers.private(origin, "Slack did not open the window. Press again.")
            return
        try:
            self._work.submit(lambda: self._fill(origin, doing, opened, fill))
        except errors.Busy:
            self._answers.update(opened[0], modals.saying("Too busy", answers.BUSY))

    def _fill(
        self, origin: Origin, doing: str, opened: Opened, fill: Callable[[Opened], object]
    ) -> None:
        try:
            fill(opened)
        except Exception as error:  # noqa: BLE001 - whatever it is, the person gets an answer
            text = answers.words_for(error, doing)
            if not self._answers.update(opened[0], modals.saying("Not possible", text)):
                self._answers.private(origin, text)


def _settle(found: "Future[Any]", job: Callable[[], Any]) -> None:
    try:
        found.set_result(job())
    except Exception as error:  # noqa: BLE001 - carried to whoever waits for it
        found.set_exception(error)


def _refusal(origin: Origin, error: Exception, doing: str) -> Mapping[str, Any]:
    """The acknowledgement of a window whose deed was refused: errors beside fields, or words."""
    if isinstance(error, errors.InvalidDraft):
        beside = forms.errors_beside(error.fields, origin.view)
        return {"response_action": "errors", "errors": beside}
    text = answers.words_for(error, doing)
    if doing == "request":
        beside = forms.errors_beside({"entitlement": text}, origin.view)
        return {"response_action": "errors", "errors": beside}
    return {"response_action": "update", "view": modals.saying("Not possible", text)}
