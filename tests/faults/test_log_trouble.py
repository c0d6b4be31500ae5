"""A log that cannot be written: no room on its disk, nobody reads it, its reader died, it is closed.

The bot is a real process over a real target; whatever becomes of its words, it grants and it ends.
"""

import fcntl
import os
import pathlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bot import model
from tests.fixtures_core import wait_for
from tests.fixtures_served import PATIENCE, Served

pytestmark = pytest.mark.faults

ENDS_WITHIN = 10.0  # seconds; 15 are promised


@contextmanager
def running(served: Served, stderr: int | None) -> Iterator["subprocess.Popen[bytes]"]:
    """`jit serve` with this as its standard error; none: it has none."""
    command = [sys.executable, "-m", "bot.cli.demo_child"]
    if stderr is None:
        command = ["sh", "-c", 'exec "$@" 2>&-', "sh", *command]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        cwd=served.folder,
        env={**os.environ, **served.environ, "JIT_LOG": "debug"},
        start_new_session=True,
    )
    try:
        served.workspace.wait_for(lambda: served.workspace.connected, timeout=PATIENCE)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        finally:
            process.kill()
            process.wait()
            assert process.stdin is not None
            process.stdin.close()


def grants_and_ends(served: Served) -> None:
    before = {grant.id for grant in served.store.grants()}
    served.ask()

    def live() -> list[model.Grant]:
        return [
            grant
            for grant in served.store.grants(status={model.GrantStatus.ACTIVE})
            if grant.id not in before
        ]

    wait_for(live, PATIENCE)
    (grant,) = live()
    began = time.monotonic()
    served.end_now()
    wait_for(lambda: served.store.grant(grant.id).status is model.GrantStatus.ENDED, PATIENCE)
    assert time.monotonic() - began < ENDS_WITHIN
    assert served.roles() == []
    wait_for(lambda: served.store.outbox_depth() == 0, PATIENCE)


@pytest.mark.fault(
    "F-52",
    "no room on the disk of the log",
    how="/dev/full as standard error of a real process",
    expects="grants and ends as if nothing was",
)
def test_a_full_log_disk_stops_nothing(served: Served) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with running(served, full) as process:
        os.close(full)
        grants_and_ends(served)
        assert process.poll() is None
    assert process.returncode == 0


@pytest.mark.fault(
    "F-52b",
    "whoever read the log died",
    how="the reading end of its pipe is closed under a real process",
    expects="grants and ends as if nothing was",
)
def test_a_reader_of_the_log_that_dies_stops_nothing(served: Served) -> None:
    read, write = os.pipe()
    with running(served, write) as process:
        os.close(write)
        os.close(read)
        grants_and_ends(served)
        assert process.poll() is None
    assert process.returncode == 0


@pytest.mark.fault(
    "F-52c",
    "whoever reads the log stands still",
    how="a pipe that is full before a real process starts",
    expects="grants and ends on time; later the log says how many lines are missing",
)
def test_a_log_that_nobody_reads_stops_nothing_and_tells_later_what_is_missing(
    served: Served,
) -> None:
    read, write = os.pipe()
    fill(write)
    with running(served, write) as process:
        os.close(write)
        grants_and_ends(served)
        assert process.poll() is None
        said = Reader(read)
        grants_and_ends(served)
        wait_for(lambda: b"log_lost" in said.text, PATIENCE)
    said.thread.join(5)
    assert b"stopped" in said.text
    assert process.returncode == 0


@pytest.mark.fault(
    "F-52d",
    "the bot is started without a standard error",
    how="descriptor 2 is closed for a real process",
    expects="grants and ends as if nothing was; no file is mistaken for the log",
)
def test_a_bot_without_a_log_works(served: Served) -> None:
    with running(served, None) as process:
        grants_and_ends(served)
        assert pathlib.Path(f"/proc/{process.pid}/fd/2").readlink() == pathlib.Path(os.devnull)
    assert process.returncode == 0


def fill(write: int) -> None:
    """Not a byte more goes into this pipe."""
    flags = fcntl.fcntl(write, fcntl.F_GETFL)
    fcntl.fcntl(write, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    for size in (4096, 1):
        try:
            while True:
                os.write(write, b"x" * size)
        except BlockingIOError:
            pass
    fcntl.fcntl(write, fcntl.F_SETFL, flags)


class Reader:
    """Reads a pipe to its end."""

    def __init__(self, read: int) -> None:
        self.text = b""
        self._read = read
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while piece := os.read(self._read, 65536):
            self.text += piece
        os.close(self._read)
