"""The log: one line an event, to stderr, a constant verb with fields. Never a body, never a secret.

A log that takes no more (its disk is full, whoever reads it stands still or died) must not keep the
bot from ending access: what cannot be written at once is dropped, and counted.
"""

import io
import json
import logging
import os
import select
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

_PIECE = 4096  # bytes: a pipe that can be written to takes so many without blocking (PIPE_BUF)
_PATIENCE = 0.2  # seconds for a reader that is merely slow
_STDERR = 2


class Unblocking(io.TextIOBase):
    """A text stream to a descriptor that neither blocks nor fails. Thread-safe.

    Asks before each piece whether it will be taken (poll), because a descriptor of our own that does
    not block would make it so for everybody who shares the terminal or the pipe.
    https://man7.org/linux/man-pages/man7/pipe.7.html
    """

    def __init__(self, descriptor: int) -> None:
        self.lost_line: Callable[[int], str] = lambda count: f"log_lost lines={count}\n"
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._lock = threading.Lock()
        self._begun = threading.local()  # what this thread has said of a line so far
        self._lost = 0
        self._stuck = False
        self._broken_off = False

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, text: str, /) -> int:
        """Write what ends with a newline; what does not waits for the rest of its line."""
        said = getattr(self._begun, "text", "") + text
        whole = said.endswith("\n")
        self._begun.text = "" if whole else said
        if whole:
            with self._lock:
                self._say(said)
        return len(text)

    def _say(self, line: str) -> None:
        if self._lost and self._send(self._missing()):
            self._lost = 0
        if self._lost or not self._send(line):
            self._lost += 1

    def _missing(self) -> str:
        return ("\n" if self._broken_off else "") + self.lost_line(self._lost)

    def _send(self, line: str) -> bool:
        """Whether all of it was taken."""
        left = line.encode(errors="backslashreplace")
        begun = False
        try:
            while left and self._is_ready():
                left = left[os.write(self._descriptor, left[:_PIECE]) :]
                begun = True
        except OSError:  # no room, or nobody there; perhaps there is again for a later line
            pass
        self._broken_off = bool(left) and (begun or self._broken_off)
        return not left

    def _is_ready(self) -> bool:
        """Waits a moment, but not for each line while nothing is taken at all."""
        end = time.monotonic() + (0 if self._stuck else _PATIENCE)
        ready = self._poll.poll(max(0.0, end - time.monotonic()) * 1000)
        self._stuck = not ready
        return bool(ready)


def never_block() -> None:
    """From now on nothing that Python says on stderr can stop or fail who says it."""
    # as long as 0 to 2 are free: else the record, say, would be 2
    while (nowhere := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        continue
    if sys.stderr is None:  # we were started without one
        sys.stderr = Unblocking(nowhere)
    else:
        os.close(nowhere)
        sys.stderr = Unblocking(_STDERR)


def configure(level: str, *, as_json: bool) -> None:
    """Send every log line, ours and the libraries', to stderr in one shape."""
    stream = sys.stderr if sys.stderr is not None else io.StringIO()  # started without one
    if isinstance(stream, Unblocking) and as_json:
        stream.lost_line = _lost_line
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        else [
            structlog.dev.ConsoleRenderer(
                colors=stream.isatty(),
                exception_formatter=structlog.dev.plain_traceback,  # the rich one prints local values
            )
        ]
    )
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        )
    )
    # Libraries tell of bodies and addresses below WARNING, so they are heard from there on only.
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def _lost_line(count: int) -> str:
    now = datetime.now(UTC).isoformat()
    told = {"event": "log_lost", "lines": count, "level": "warning", "timestamp": now}
    return f"{json.dumps(told)}\n"
