"""A PostgreSQL server of our own: made, started, killed and taken up again, without its wrapper.

It listens on 127.0.0.1 alone and asks every client for SCRAM; there is no socket in the file system
and no trusted connection. It ends with the process that started it, also when that is killed.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, Self
from urllib.parse import quote

from bot import errors
from bot.demo import binaries, processes

find_binaries = binaries.find_binaries

_START_SECONDS = 30.0
_STOP_SECONDS = 20.0
_PORT_TRIES = 5
_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "logging_collector": "on",
    "log_destination": "jsonlog",
    "log_directory": "log",
    "log_filename": "postgresql-%Y%m%d_%H%M%S.log",
    "log_rotation_size": "10MB",
    "log_connections": "on",
    "log_disconnections": "on",
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.max": "5000",
    "shared_buffers": "32MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "100",
    "password_encryption": "scram-sha-256",
}


class ServerFailed(errors.OperatorError):
    """The PostgreSQL server did not start."""


class ServerBusy(errors.OperatorError):
    """Another process runs a server on this data folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What a server was started with."""

    data_dir: Path  # where the cluster really lies
    bin_dir: Path
    port: int
    settings: Mapping[str, str]
    account: binaries.Account


class Server:
    """A running server. Make one with `Server.start`; it is a context manager that stops itself."""

    def __init__(
        self, config: Config, process: subprocess.Popen[bytes], lock: IO[str], password: str
    ) -> None:
        self.config = config
        self._process = process
        self._lock = lock
        self._password = password
        self._leash = _tie_to_us(process.pid, config.account)

    @classmethod
    def start(
        cls,
        data_dir: Path,
        *,
        bin_dir: Path | None = None,
        port: int = 0,
        settings: Mapping[str, str] | None = None,
    ) -> "Server":
        """Start a server on `data_dir`, made first if there is none; return when it takes clients.

        A server left behind on the same folder is stopped first. `port` 0 chooses a free one;
        `settings` are server parameters. Raises NoPostgres, ServerBusy, ServerFailed.
        """
        account = binaries.server_account()
        programs = binaries.reachable(bin_dir or find_binaries(), account)
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        lock = _locked(data_dir.with_name(f"{data_dir.name}.lock"))
        try:
            home = _home_for(data_dir.resolve(), account)
            password = _make_cluster(data_dir, home, programs, account)
            _stop_leftover(home)
            config, process = _launch(home, programs, account, port, settings or {})
        except BaseException:
            lock.close()
            raise
        return cls(config, process, lock, password)

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        return self._process.pid

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1."""
        return self.config.port

    @property
    def admin_url(self) -> str:
        """A superuser's URL, to the database `postgres`."""
        return self.url_for_admin("postgres")

    def url_for_admin(self, dbname: str) -> str:
        """A superuser's URL, to the database `dbname`."""
        return self.url(dbname, "postgres", self._password)

    def url(self, dbname: str, user: str, password: str) -> str:
        """A connection URL for anybody."""
        who = f"{quote(user, safe='')}:{quote(password, safe='')}"
        return f"postgresql://{who}@127.0.0.1:{self.port}/{quote(dbname, safe='')}"

    @property
    def running(self) -> bool:
        """Whether the postmaster is alive."""
        return self._process.poll() is None

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """End the server; data stay. Twice is the same as once."""
        if self.running:
            self._process.send_signal(signal.SIGCONT)  # a paused server cannot hear
            self._process.send_signal(_SIGNALS[mode])
        self._reap()

    def kill(self) -> None:
        """End the server as a power cut would: SIGKILL, to its children as well."""
        children = processes.children_of(self.pid)
        self._process.kill()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self._reap()

    def discard(self) -> None:
        """End the server and delete its data."""
        self.stop("immediate")
        shutil.rmtree(self.config.data_dir, ignore_errors=True)

    def pause(self) -> None:
        """Stop the postmaster and its children in their tracks (SIGSTOP): connected, and silent."""
        for pid in (self.pid, *processes.children_of(self.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        for pid in (self.pid, *processes.children_of(self.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _reap(self) -> None:
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._leash.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._leash.stdin.close()
        self._leash.wait()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop("immediate")


def _locked(path: Path) -> IO[str]:
    """An open file that holds the folder for this process; the lock goes when the process does."""
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ServerBusy(f"Another process runs a server on {path.with_suffix('')}.") from None
    return file


def _home_for(data_dir: Path, account: binaries.Account) -> Path:
    """`data_dir`, or a stand-in for it that the account can reach."""
    if account.is_us or account.can_enter(data_dir.parent):
        return data_dir
    name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return binaries.private_folder(f"jit-pg-data-{os.geteuid()}") / name


def _make_cluster(data_dir: Path, home: Path, programs: Path, account: binaries.Account) -> str:
    """Run initdb unless a complete cluster is there; return the superuser's password."""
    secret = data_dir.with_name(f"{data_dir.name}.password")
    if (home / "jit.conf").exists() and secret.exists():
        _same_version(home, programs)
        return secret.read_text().strip()
    shutil.rmtree(home, ignore_errors=True)  # half made: initdb itself would refuse it
    home.mkdir(mode=0o700)
    password = secrets.token_urlsafe(24)
    given = home.with_name(f"{home.name}.initdb")
    try:
        _write_private(given, password, account)
        os.chown(home, account.uid, account.gid)
        _run_initdb(programs, home, given, account)
    finally:
        given.unlink(missing_ok=True)
    _write_settings(home, account)
    _write_private(secret, password, None)
    return password


def _same_version(home: Path, programs: Path) -> None:
    made_by = (home / "PG_VERSION").read_text().strip()
    if made_by != str(binaries.version(programs)):
        raise ServerFailed(
            f"{home} was made by PostgreSQL {made_by} and this is {binaries.version(programs)}:"
            " delete that folder, or choose the other server with JIT_PG_BIN."
        )


def _write_private(path: Path, text: str, account: binaries.Account | None) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        if account is not None:
            os.fchown(file.fileno(), account.uid, account.gid)


def _run_initdb(programs: Path, home: Path, given: Path, account: binaries.Account) -> None:
    auth = ["--auth-local=reject", "--auth-host=scram-sha-256", f"--pwfile={given}"]
    shape = ["--username=postgres", "--encoding=UTF8", "--no-locale", "--no-sync"]
    done = subprocess.run(  # noqa: S603 - a fixed argument list
        [programs / "initdb", "-D", home, *auth, *shape],
        capture_output=True,
        text=True,
        check=False,
        **_as(account),
    )
    if done.returncode != 0:
        raise ServerFailed(f"initdb failed: {done.stderr.strip()[-500:]}")


def _write_settings(home: Path, account: binaries.Account) -> None:
    """`jit.conf` beside the server's own file; its presence says that the cluster is complete."""
    lines = [f"{name} = '{value}'\n" for name, value in _SETTINGS.items()]
    path = home / "jit.conf"
    _write_private(path, "".join(lines), account)
    with (home / "postgresql.conf").open("a") as file:
        file.write("\ninclude_if_exists = 'jit.conf'\n")


def _launch(
    home: Path, programs: Path, account: binaries.Account, port: int, settings: Mapping[str, str]
) -> tuple[Config, subprocess.Popen[bytes]]:
    """Start the postmaster; when we chose the port and somebody was quicker, choose another."""
    for _ in range(_PORT_TRIES if port == 0 else 1):
        chosen = port or _free_port()
        process = _spawn(home, programs, account, chosen, settings)
        if _became_ready(process, home):
            config = Config(
                data_dir=home, bin_dir=programs, port=chosen, settings=settings, account=account
            )
            return config, process
        if "could not bind" not in _last_words(home):
            break
    raise ServerFailed(f"PostgreSQL did not start: {_last_words(home)}")


def _spawn(
    home: Path, programs: Path, account: binaries.Account, port: int, settings: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    (home / "postmaster.pid").unlink(missing_ok=True)  # ours alone: the folder is locked
    given = [f"--{name}={value}" for name, value in {**settings, "port": str(port)}.items()]
    with (home / "startup.txt").open("wb") as said:
        return subprocess.Popen(  # noqa: S603 - a fixed program
            [programs / "postgres", "-D", home, *given],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us; we then stop the server in order
            **_as(account),
        )


def _became_ready(process: subprocess.Popen[bytes], home: Path) -> bool:
    """Wait until the postmaster says `ready` in its pid file (as pg_ctl does) or has died."""
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None:
        if _status(home) == "ready":
            return True
        if time.monotonic() > deadline:
            process.kill()
            process.wait()
            return False
        time.sleep(0.02)
    return False


def _status(home: Path) -> str:
    with contextlib.suppress(OSError):
        lines = (home / "postmaster.pid").read_text().splitlines()
        if len(lines) > 7:  # noqa: PLR2004 - LOCK_FILE_LINE_PM_STATUS of miscadmin.h
            return lines[7].strip()
    return ""


def _last_words(home: Path) -> str:
    """What it said before it died: at first aloud, then in its log, whose writer is a moment behind."""
    deadline = time.monotonic() + 1.0
    said = ""
    while not said and time.monotonic() < deadline:
        time.sleep(0.02)
        said = "; ".join(_logged(home))
    if not said:
        with contextlib.suppress(OSError):
            said = (home / "startup.txt").read_text(errors="replace")
    return said.strip()[-500:] or "it said nothing."


def _logged(home: Path) -> list[str]:
    """The last records of the newest log."""
    with contextlib.suppress(OSError, ValueError):
        newest = max((home / "log").glob("*.json"), key=lambda path: path.stat().st_mtime)
        records = map(json.loads, newest.read_text(errors="replace").splitlines()[-10:])
        return [record["message"] for record in records]
    return []


def _stop_leftover(home: Path) -> None:
    """End a server that outlived its owner on this folder, which we have just locked."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pid = int((home / "postmaster.pid").read_text().splitlines()[0])
        if not processes.is_server_of(pid, home):
            return
        children = processes.children_of(pid)
        for victim in (pid, *children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        processes.wait_gone((pid, *children))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _tie_to_us(pid: int, account: binaries.Account) -> subprocess.Popen[bytes]:
    """A shell that ends the server when our end of its pipe closes, however we came to die."""
    script = f'trap "" INT TERM HUP; read -r _; kill -QUIT {pid} 2>/dev/null'
    return subprocess.Popen(  # noqa: S603 - a fixed script and a number
        ["/bin/sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        **_as(account),
    )


def _as(account: binaries.Account) -> dict[str, Any]:
    """Popen's arguments that run a program as `account`, from a folder it can enter."""
    common: dict[str, Any] = {"cwd": "/", "env": {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}}
    if account.is_us:
        return common
    return {**common, "user": account.uid, "group": account.gid, "extra_groups": []}
