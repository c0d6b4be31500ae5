"""The service core over a real record and a real target, with people and messages that cost nothing."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from bench import place
from bot import catalog as catalogs
from bot import clock as clocks
from bot import errors, model, service, store
from db_grants import naming

TARGET = "bench"
_CATALOG = """
channels: {approvals: "#db-access", audit: "#db-audit"}
targets: {bench: {url_env: BENCH_URL, environment: production, database: DATABASE}}
entitlements:
  read_10:
    target: bench
    scope: [TABLES]
    requesters: [everyone]
    approval: owners
rules:
  owners: {approvers: [U0BO]}
"""
PEOPLE = {
    each: model.Person(id=each, team_id="T0ACME", name=each, email=f"{each}@acme.test".lower())
    for each in ("U0ANA", "U0BO", "U0CLEO")
}


class Directory:
    """Slack's answers about people, at once."""

    def person(self, user_id: str, *, fresh: bool = False) -> model.Person:  # noqa: ARG002
        if user_id not in PEOPLE:
            raise errors.NotFound
        return PEOPLE[user_id]

    def members(self, ref: str, *, fresh: bool = False) -> frozenset[str] | None:  # noqa: ARG002
        return frozenset({ref}) if ref in PEOPLE else frozenset()

    def resolve_channel(self, ref: str) -> str | None:
        return ref

    def reason(self, ref: str) -> str | None:  # noqa: ARG002
        return None


class Silent:
    """A poster whose Slack answers at once."""

    def __init__(self) -> None:
        self.said = 0

    def deliver(self, row: store.OutboxRow, story: model.Story | None) -> model.MessageRef | None:
        self.said += 1
        if row.kind != "card" or story is None or story.message("card"):
            return None
        ts = f"{1_700_000_000 + row.id}.000100"
        return model.MessageRef(
            request_id=story.request.id, kind="card", channel_id="C0ACCESS", ts=ts
        )

    def withdraw(self, message: model.MessageRef) -> None:
        """Nothing was posted."""


def catalog(at: place.Place) -> catalogs.Catalog:
    """One entitlement: reading ten tables of the place."""
    tables = ", ".join(f"{{table: app.t{n}, can: read}}" for n in range(10))
    return catalogs.loads(_CATALOG.replace("TABLES", tables).replace("DATABASE", at.database))


@contextmanager
def state(folder: Path, kind: str, at: place.Place) -> Iterator[str]:
    """The URL of an empty state database, on SQLite or on the target's own server."""
    name = f"state_{secrets.token_hex(4)}"
    if kind == "sqlite":
        yield f"sqlite:///{folder / name}.sqlite3"
        return
    with psycopg.connect(at.server.admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield at.server.url_for_admin(name)
    with psycopg.connect(at.server.admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


class Core:
    """One service over one record and one target."""

    def __init__(self, at: place.Place, url: str, *, engine: Any = None) -> None:
        self.at = at
        self.clock = clocks.SystemClock()
        self.store = store.open_store(url, self.clock)
        self.engine = engine or at.engine()
        self.catalog = catalog(at)
        self.service = service.Service(
            store=self.store,
            engines={TARGET: self.engine},
            catalog=lambda: self.catalog,
            directory=Directory(),
            poster=lambda _service: Silent(),
            clock=self.clock,
        )
        self.grants = self.service.grants

    def close(self) -> None:
        """Stop what runs and let go of everything."""
        self.service.stop(10)
        self.store.close()
        self.engine.dispose()

    def approved(self) -> str:
        """A request that is approved, its grant still to be made; by the use cases themselves."""
        draft = model.Draft(
            requester_id="U0ANA",
            entitlement="read_10",
            duration=timedelta(minutes=30),
            justification=f"bench {secrets.token_hex(4)}",
        )
        request_id = self.service.access.submit(draft).request.id
        self.service.access.review(request_id, "U0BO", model.Answer.APPROVE, source=None)
        return request_id


@contextmanager
def running(at: place.Place, url: str, **more: Any) -> Iterator[Core]:
    """A core, closed in the end."""
    made = Core(at, url, **more)
    try:
        yield made
    finally:
        made.close()


def record(
    kept: store.Store, at: place.Place, count: int, expires_at: datetime, *, real: bool = True
) -> list[str]:
    """Put so many active grants that end at one moment on the record, with their roles; their ids."""
    ids = [place.fresh_id() for _ in range(count)]
    oids = at.fill(ids, expires_at) if real else dict.fromkeys(ids, 4_000_000_000)
    scope = catalogs.scope_to_json(catalogs.scope_of(catalog(at).entitlements["read_10"]))
    for first in range(0, count, 500):
        with kept.begin(store.SYSTEM) as tx:
            for grant_id in ids[first : first + 500]:
                request = _request(grant_id, scope, tx.at)
                tx.add_request(request)
                tx.settle_request(grant_id, model.RequestStatus.APPROVED, decided_by="U0BO")
                tx.add_grant(_grant(request, tx.at, expires_at))
                tx.move_grant(
                    grant_id,
                    model.GrantStatus.ACTIVATING,
                    model.GrantStatus.ACTIVE,
                    role_oid=oids[grant_id],
                    activated_at=tx.at,
                )
    return ids


def ended(kept: store.Store, ids: Sequence[str]) -> tuple[list[float], int, int]:
    """Seconds from each deadline to the proven end of access; how many were lost, how many doubled."""
    grants = [kept.grant(each) for each in ids]
    late = [
        (
            grant.access_ended_at
            - (min(grant.expires_at, grant.revoking_since or grant.expires_at))
        ).total_seconds()
        for grant in grants
        if grant.access_ended_at is not None
    ]
    finals = {model.GrantStatus.ENDED, model.GrantStatus.REVOKED}
    lost = sum(grant.status not in finals for grant in grants)
    told = [e.type for each in ids for e in kept.events_of(each)] if len(ids) <= 2000 else []
    doubled = sum(told.count(kind) - len(ids) for kind in ("grant.access_ended",) if told)
    return late, lost, max(0, doubled)


def wait(condition: Any, seconds: float, pause: float = 0.01) -> float:
    """Wait for a condition; the seconds it took, or TimeoutError."""
    began = time.perf_counter()
    while not condition():
        if time.perf_counter() - began > seconds:
            raise TimeoutError
        time.sleep(pause)
    return time.perf_counter() - began


def spawn(at: place.Place, url: str) -> subprocess.Popen[bytes]:
    """A service in a process of its own, to be killed; it says `ready` and ends with its input."""
    given = {"BENCH_URL": at.bot_url, "BENCH_STATE": url, "BENCH_DATABASE": at.database}
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.victim"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **given},
        cwd=Path(__file__).parent.parent,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n", "the service did not start"
    return process


def finish(process: subprocess.Popen[bytes]) -> None:
    """Let a spawned service go in order, or kill it after a while."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


def _request(grant_id: str, scope: Any, now: datetime) -> model.AccessRequest:
    return model.AccessRequest(
        id=grant_id,
        status=model.RequestStatus.PENDING,
        requester_id="U0ANA",
        requester_name="Ana Lima",
        requester_tz="Europe/Berlin",
        team_id="T0ACME",
        target=TARGET,
        environment="production",
        entitlement="read_10",
        tables=(),
        scope=scope,
        scope_hash="5c0be",
        catalog_version="ca7",
        duration=timedelta(minutes=30),
        justification="INC-4412: export stuck",
        ticket=None,
        verdict=model.Verdict.NEEDS_APPROVAL,
        rule="owners",
        reasons=("because it is production",),
        approvers=("U0BO",),
        needs=1,
        created_at=now,
        decide_by=now + timedelta(hours=1),
    )


def _grant(request: model.AccessRequest, now: datetime, expires_at: datetime) -> model.Grant:
    return model.Grant(
        id=request.id,
        status=model.GrantStatus.ACTIVATING,
        target=TARGET,
        requester_id=request.requester_id,
        role_name=naming.managed_role(request.id),
        duration=request.duration,
        created_at=now,
        expires_at=expires_at,
        activate_by=now + timedelta(minutes=10),
    )


def soon(seconds: float) -> datetime:
    """A moment so many seconds from now."""
    return datetime.now(UTC) + timedelta(seconds=seconds)
