"""Signals to `jit serve`, in a process of its own: none is lost, whatever the main thread is in."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

SIGNALS = 30_000
APART = 5e-6  # seconds
WITHIN = 8.0  # seconds; less than until it is ended anyway
LISTENS = """
import signal
from bot.cli import serve

orders = serve._Orders()
orders.listen()
"""
WAITS = """
print("listening", flush=True)
while orders.again():
    pass
"""
BEGINS_TO_WAIT = """
with orders._told._cond:  # as `threading.Event.wait` does first
    signal.raise_signal(signal.SIGTERM)
assert not orders.again()
"""


@contextlib.contextmanager
def running(program: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", LISTENS + program],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.fault(
    "F-54g",
    "a signal comes just when the bot begins to wait for one",
    how="SIGTERM while the main thread holds what it waits with; some 30,000 signals in a second",
    expects="each is taken; SIGTERM ends it in order",
)
def test_a_signal_that_comes_as_it_begins_to_wait_is_taken() -> None:
    with running(BEGINS_TO_WAIT) as process:
        _, said = process.communicate(timeout=WITHIN)
        assert (process.returncode, said) == (0, b"")


def test_many_signals_do_not_deafen_it() -> None:
    with running(WAITS) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"listening\n"
        for _ in range(SIGNALS):
            process.send_signal(signal.SIGHUP)
            until = time.perf_counter() + APART
            while time.perf_counter() < until:
                pass
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=WITHIN)
        assert (process.returncode, said) == (0, b"")
