"""The processes of this machine, as far as ending a server left behind needs them."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

_GONE_SECONDS = 20.0


def is_server_of(pid: int, home: Path) -> bool:
    """Whether that process is a server on the data folder `home`."""
    return any(known == pid and str(home) in args for known, _, args in _processes())


def children_of(pid: int) -> Sequence[int]:
    """The processes a process has started."""
    return [child for child, parent, _ in _processes() if parent == pid]


def _processes() -> Iterator[tuple[int, int, str]]:
    """Pid, parent's pid and command line of every process: from /proc, or where there is none, ps."""
    if not Path("/proc/self/stat").exists():
        yield from _processes_by_ps()
        return
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            args = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
            yield int(folder.name), int(fields[1]), args.decode(errors="replace")


def _processes_by_ps() -> Iterator[tuple[int, int, str]]:
    said = subprocess.run(
        ["/bin/ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=False
    ).stdout
    for line in said.splitlines():
        pid, parent, args = line.split(maxsplit=2)
        yield int(pid), int(parent), args


def wait_gone(pids: Sequence[int]) -> None:
    """Wait until none of these is there, at most twenty seconds."""
    deadline = time.monotonic() + _GONE_SECONDS
    while time.monotonic() < deadline and any(_alive(pid) for pid in pids):
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
