"""`jit serve`: the bot, in the foreground, until it is told to stop."""

import gc
import os
import signal
import sys
import threading

import structlog
import typer

from bot import errors, logs
from bot.cli import desk
from db_grants import lookup

_log = structlog.get_logger(__name__)

STOP_WITHIN = 8.0  # seconds to finish what is in hand
DEAD_AFTER = 9.5  # seconds after which we end whatever still hangs
_STOP, _ANEW = b".", b"+"


def serve(ctx: typer.Context) -> None:
    """Run the bot. SIGTERM or Ctrl-C stops it in order; what is unfinished stands in the record.

    SIGHUP starts it anew in its own place, once catalog and settings are found in order.
    """
    from bot import app as apps

    opened = desk.desk(ctx)
    chosen = opened.settings(slack=True)
    logs.never_block()
    lookup.limit_process()
    logs.configure(chosen.log_level, as_json=chosen.log_json)
    orders = _Orders()
    orders.listen()
    bot = apps.build(chosen)
    keep_for_good()
    bot.start()
    while orders.again():
        if _in_order(opened):
            bot.stop(STOP_WITHIN)
            orders.start_anew()
            return
    bot.stop(STOP_WITHIN)


def keep_for_good() -> None:
    """What exists by now is there to stay: modules, most of all. Python's collector would go through it
    all again and again, and stop everything for a tenth of a second, perhaps just when access is to end.
    """
    gc.collect()
    gc.freeze()


class _Orders:
    """What signals have told us to do.

    A signal is handled in the middle of whatever the main thread does, also while that holds the lock
    of what it waits for. So a handler takes no lock: it writes to a pipe, and another thread reads.
    """

    def __init__(self) -> None:
        self._told = threading.Event()
        self._stop = False
        self._heard, self._ear = os.pipe()  # neither outlives a start in place

    def listen(self) -> None:
        """Take orders from now on."""
        threading.Thread(target=self._take, name="orders", daemon=True).start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        if not sys.stdin or not sys.stdin.isatty():  # a terminal that is closed means: stop
            signal.signal(signal.SIGHUP, lambda *_: self._hear(_ANEW))

    def _on_stop(self, *_: object) -> None:
        self._stop = True
        self._hear(_STOP)

    def _hear(self, order: bytes) -> None:
        os.write(self._ear, order)

    def _take(self) -> None:
        ending = False
        while orders := os.read(self._heard, 1024):
            if _STOP in orders and not ending:
                ending = True
                _end_anyway(DEAD_AFTER)  # from now on: we may still be looking for Slack
            self._told.set()

    def again(self) -> bool:
        """Wait for an order: whether it is to start anew, and not to stop."""
        self._told.wait()
        self._told.clear()
        return not self._stop

    def start_anew(self) -> None:
        """Become the same program again: one process for whoever watches it. Unless told to stop."""
        if self._stop:
            return
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the new one listens
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - ourselves, without a shell


def _in_order(opened: desk.Desk) -> bool:
    """Whether a start would serve everything. If not, we go on by what was read before."""
    from bot import app as apps

    try:
        apps.examine(opened.settings(slack=True))
    except errors.OperatorError as wrong:
        _log.error("reload_refused", why=str(wrong))
        return False
    _log.info("reloading")
    return True


def _end_anyway(seconds: float) -> None:
    """A thread that hangs in a library must not keep the process alive: the record is complete."""
    last = threading.Timer(seconds, os._exit, args=(0,))
    last.daemon = True
    last.start()
