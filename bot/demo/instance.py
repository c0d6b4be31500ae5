"""One demo's folder: who holds it, and what an earlier demo that was killed may have left running.

A demo takes the first free folder `.demo/1`, `.demo/2`, …; a lock the kernel releases when its
holder dies decides which is free, so a second demo runs beside the first and a killed one is
simply taken over. Every run starts from nothing: the workspace keeps its conversation in memory,
so a state database from an earlier run would speak of messages that no longer exist.
"""

import fcntl
import os
import pathlib
import shutil
from dataclasses import dataclass
from typing import TextIO

from bot import errors

_MOST_BESIDE_EACH_OTHER = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A folder held by this process for as long as it lives."""

    folder: pathlib.Path
    lock: TextIO

    @property
    def state_url(self) -> str:
        """Where the bot keeps its state."""
        return f"sqlite:///{self.folder / 'state.sqlite3'}"

    @property
    def log(self) -> pathlib.Path:
        """What the bot says."""
        return self.folder / "bot.log"

    @property
    def settings(self) -> pathlib.Path:
        """What a `jit` command needs to act on this demo."""
        return self.folder / ".env"

    @property
    def cluster(self) -> pathlib.Path:
        """Where PostgreSQL keeps its data."""
        return self.folder / "postgres"

    def wipe(self) -> None:
        """Remove what an earlier run left."""
        for path in self.folder.iterdir():
            if path.name == "lock":
                continue
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def release(self) -> None:
        """Let the next demo have the folder."""
        self.lock.close()


def take(root: pathlib.Path) -> Instance:
    """Hold the first free folder under `root`. Raises OperatorError when none can be had."""
    for number in range(1, _MOST_BESIDE_EACH_OTHER + 1):
        folder = root / str(number)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = (folder / "lock").open("a")
        except OSError as error:
            raise errors.OperatorError(
                f"The demo keeps its files in {root}, which cannot be written: {error.strerror}. "
                "Name another folder with --folder."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        return Instance(folder=folder.resolve(), lock=lock)
    raise errors.OperatorError(
        f"{_MOST_BESIDE_EACH_OTHER} demos are running already; end one with Ctrl-C."
    )
