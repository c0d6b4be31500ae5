"""`jit serve`: the bot, in the foreground, until it is told to stop."""

import os
import signal
import threading

import typer

from bot import logs
from bot.cli import desk
from db_grants import lookup

STOP_WITHIN = 8.0  # seconds to finish what is in hand
DEAD_AFTER = 9.5  # seconds after which we end whatever still hangs


def serve(ctx: typer.Context) -> None:
    """Run the bot. SIGTERM or Ctrl-C stops it in order; what is unfinished stands in the record."""
    from bot import app as apps

    chosen = desk.desk(ctx).settings(slack=True)
    logs.never_block()
    lookup.limit_process()
    logs.configure(chosen.log_level, as_json=chosen.log_json)
    told = threading.Event()

    def stop(*_: object) -> None:
        if not told.is_set():
            _end_anyway(DEAD_AFTER)  # from now on: we may still be looking for Slack
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    bot = apps.build(chosen)
    bot.start()
    told.wait()
    bot.stop(STOP_WITHIN)


def _end_anyway(seconds: float) -> None:
    """A thread that hangs in a library must not keep the process alive: the record is complete."""
    last = threading.Timer(seconds, os._exit, args=(0,))
    last.daemon = True
    last.start()
