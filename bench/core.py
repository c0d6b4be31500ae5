"""The service core over a real record and a real target, with people and messages that cost nothing."""

import gc
import os
import secrets
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from bench import cast, history, place
from bot import catalog as catalogs
from bot import clock as clocks
from bot import model, service, store
from bot.cli import serve
from db_grants import memory
from proof import invariants, reality

KINDS = ("sqlite", "postgresql")  # of records
PER_TARGET = 5000  # grants of a crowd on one target
_FEW = 50
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


def catalog(at: place.Place) -> catalogs.Catalog:
    """One entitlement: reading ten tables of the place."""
    return catalogs.loads(catalog_text(at.database))


def catalog_text(database: str) -> str:
    """The same as it is written."""
    tables = ", ".join(f"{{table: app.t{n}, can: read}}" for n in range(10))
    return _CATALOG.replace("TABLES", tables).replace("DATABASE", database)


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

    def __init__(self, at: place.Place, url: str, *, engine: Any = None, crowd: int = 0) -> None:
        """`crowd`: so many grants on other targets are live for the next day."""
        self.at = at
        self.clock = clocks.SystemClock()
        self.store = store.open_store(url, self.clock)
        self.engine = engine or at.engine()
        self.catalog = catalog(at)
        self.others = gather(self.store, at, crowd, soon(86400)) if crowd else {}
        if crowd:
            settle(self.store)
        self.service = service.Service(
            store=self.store,
            engines={cast.TARGET: self.engine, **self.others},
            catalog=lambda: self.catalog,
            directory=cast.Directory(),
            poster=lambda _service: cast.Silent(),
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


class Served:
    """Ours with record, audit and messages as one of the ways to be compared: from the decision on, by
    the use cases themselves, to the proven end.
    """

    name = "ours-service"

    def __init__(self, made: Core) -> None:
        self._made = made
        self._approved: list[str] = []

    def approve(self, count: int) -> None:
        """See to it that so many grants are waiting to be made."""
        self._approved += [self._made.approved() for _ in range(count - len(self._approved))]

    def grant(self, _size: int) -> str:
        """Ten tables; where none is waiting, from the request on."""
        grant_id = self._approved.pop() if self._approved else self._made.approved()
        self._made.grants.activate(grant_id)
        self._made.grants.reveal(grant_id, "U0ANA")
        return grant_id

    def end(self, held: str) -> None:
        self.shut(held)
        self.drop(held)

    def shut(self, held: str) -> None:
        """Nobody can log in, nobody is logged in, and that is on the record."""
        self._made.grants.revoke_as_operator(held, "bench")
        self._made.grants.close(held)

    def drop(self, held: str) -> None:
        """The role is gone, which is proven."""
        self._made.grants.clean(held)

    def close(self) -> None:
        """The core is closed by whoever opened it."""


@contextmanager
def running(at: place.Place, url: str, **more: Any) -> Iterator[Core]:
    """A core, closed in the end; what it leaves behind must be right."""
    made = Core(at, url, **more)
    serve.keep_for_good()  # as a bot that starts
    try:
        yield made
        made.service.stop(10)
        prove(made.store, at, made.others)
    finally:
        gc.unfreeze()
        made.close()


def record(
    kept: store.Store, at: place.Place, count: int, expires_at: datetime, *, chatter: bool = True
) -> list[str]:
    """Put so many active grants that end at one moment on the record, with their roles; their ids.

    `chatter`: with what was said about each.
    """
    ids = record_each(kept, at, [expires_at] * count, chatter=chatter)
    settle(kept)
    return ids


def record_each(
    kept: store.Store, at: place.Place, moments: Sequence[datetime], *, chatter: bool = True
) -> list[str]:
    """The same, each with its own deadline."""
    due = {place.fresh_id(): moment for moment in moments}
    oids = at.fill_each(due)
    mould = history.mould(catalog_text(at.database), over=False)
    asked = min(datetime.now(UTC), *moments) - mould.lasted
    server = at.identity()
    lives = (
        history.Life(id=each, asked_at=asked, expires_at=moment, oid=oids[each], server=server)
        for each, moment in due.items()
    )
    history.write(kept, mould, lives, chatter=chatter)
    return list(due)


def settle(kept: store.Store) -> None:
    """Leave the record as its database keeps one that stands: vacuumed, with statistics, and with
    nothing left to be copied from its log. Just after it was filled all that would come by chance, some
    of it while something is measured, and until then the server would plan as for empty tables.
    """
    with kept.begin(store.SYSTEM) as tx:
        url = tx.connection.engine.url
    if url.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(str(url.database))) as file:
            file.execute("PRAGMA wal_checkpoint(PASSIVE)")
        return
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as link:
        for each in ("VACUUM ANALYZE", "CHECKPOINT"):
            link.execute(sql.SQL(each))


def gather(
    kept: store.Store, at: place.Place, count: int, expires_at: datetime
) -> dict[str, memory.MemoryEngine]:
    """So many active grants on other targets, which are in memory; these targets."""
    mould = history.mould(catalog_text(at.database), over=False)
    scope, asked = at.scope(), datetime.now(UTC) - timedelta(hours=1)
    engines = {f"crowd_{n:02}": memory.MemoryEngine() for n in range(-(-count // PER_TARGET))}

    def lives() -> Iterator[history.Life]:
        for number in range(count):
            name = f"crowd_{number // PER_TARGET:02}"
            spec = place.spec_of(place.fresh_id(), scope, expires_at)
            yield history.Life(
                id=spec.grant_id,
                asked_at=asked,
                expires_at=expires_at,
                oid=engines[name].create(spec).oid,
                target=name,
            )

    history.write(kept, mould, lives(), chatter=False)
    return engines


def prove(
    kept: store.Store, at: place.Place, others: Mapping[str, memory.MemoryEngine] | None = None
) -> None:
    """Raise AssertionError unless every invariant holds on the record and the targets, as they are."""
    targets = [reality.postgres(cast.TARGET, at.admin_url, privileges=False)]
    targets += [reality.in_memory(name, engine) for name, engine in (others or {}).items()]
    recorded = reality.record(kept, datetime.now(UTC), dump=False)
    invariants.check(recorded, targets, reality.Transcript())


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
    ours = frozenset(ids)
    told = Counter(
        event.request_id
        for event in _events(kept, ids)
        if event.type == "grant.access_ended" and event.request_id in ours
    )
    return late, lost, sum(told.values()) - len(told)


def _events(kept: store.Store, ids: Sequence[str]) -> Iterator[model.AuditEvent]:
    """What the chain tells of them; a few are looked up, for the record may be that of a crowd."""
    if len(ids) > _FEW:
        return iter(kept.all_events())
    return (event for each in ids for event in kept.events_of(each))


@contextmanager
def opened(url: str) -> Iterator[store.Store]:
    """A record beside the processes that serve it."""
    with store.open_store(url, clocks.SystemClock()) as kept:
        yield kept


def live(kept: store.Store, ids: Sequence[str]) -> bool:
    """Whether one of them is not over. A crowd is alone on its record, and the look must be cheap:
    it is taken in the process that is measured.
    """
    if any(kept.grant(each).status in model.LIVE_GRANT for each in (ids[0], ids[-1])):
        return True  # without a look at all that are
    return len(ids) > 1 and bool(kept.grants(status=model.LIVE_GRANT, limit=1))


def over(kept: store.Store, ids: Sequence[str]) -> int:
    """How many of them are over."""
    return len(ids) - len(kept.grants(status=model.LIVE_GRANT, limit=len(ids)))


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
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.victim"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=told,
            env={**os.environ, **given},
            cwd=Path(__file__).parent.parent,
        )
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            process.wait(15)
            told.seek(0)
            words = told.read().decode(errors="replace").strip()
            raise AssertionError(f"the service did not start: {words[-600:]}")
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


def soon(seconds: float) -> datetime:
    """A moment so many seconds from now."""
    return datetime.now(UTC) + timedelta(seconds=seconds)
