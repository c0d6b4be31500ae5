"""The bot as a process of its own, so that it can be killed and started again like a real one."""

import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Mapping

from bot import errors

_READY_WITHIN = 30.0  # seconds


class BotProcess:
    """`jit serve` with its own environment and log file."""

    def __init__(self, environ: Mapping[str, str], log: pathlib.Path, folder: pathlib.Path) -> None:
        self._environ = {**os.environ, **environ}
        self._log = log
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None and self.alive else None

    def start(self) -> None:
        """Start it and wait until it says it is ready. Raises OperatorError with its last words."""
        if self.alive:
            return
        with self._log.open("ab") as log:
            begin = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bot.cli.demo_child"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env=self._environ,
                start_new_session=True,  # Ctrl-C is for the demo, which ends us in order
            )
        self._wait_ready(begin)

    def _wait_ready(self, begin: int) -> None:
        deadline = time.monotonic() + _READY_WITHIN
        while time.monotonic() < deadline:
            said = self._log.read_bytes()[begin:]
            if b"ready" in said:
                return
            if not self.alive:
                break
            time.sleep(0.05)
        last = self._log.read_bytes()[begin:].decode(errors="replace").strip().splitlines()
        self.stop()
        raise errors.OperatorError(
            f"The bot did not start: {last[-1] if last else 'it said nothing'} (all of it: {self._log})"
        )

    def kill(self) -> None:
        """End it as a crash would: no goodbye."""
        self._end(hard=True)

    def stop(self) -> None:
        """End it in order; after ten seconds, anyway."""
        self._end(hard=False)

    def _end(self, *, hard: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill() if hard else process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()
