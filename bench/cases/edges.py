"""G12 to G18: the Slack side, start, audit, digest, and what a target's catalogue grows by."""

import functools
import resource
import secrets
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from bench import core, measure, ways
from bench.measure import Line, at_least, at_most
from bench.stage import Stage, Told
from bot import catalog as catalogs
from bot import clock, model, service, slack, store
from bot.audit import digest
from bot.demo.workspace import acts, server
from bot.slack import client, identity
from db_grants.postgres import PostgresEngine

_CATALOG = """
channels: {approvals: "#db-access", audit: "#db-audit"}
targets:
  bench: {url_env: BENCH_URL, environment: production, database: DATABASE}
entitlements:
ENTITLEMENTS
rules:
  owners: {approvers: ["@data-owners"]}
"""
_ASKED = 8  # entitlements, so that many requests at once are not the same one
_APPENDS = 400  # rounds
_SLOW = 2.0  # seconds that each call to the slow target takes


class _Slow:
    """A target that takes its time."""

    def __init__(self, engine: PostgresEngine, seconds: float) -> None:
        self._engine = engine
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._engine, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            time.sleep(self._seconds)
            return real(*args, **kwargs)

        return call


@contextmanager
def _bot(stage: Stage, seconds: float) -> Iterator[tuple[acts.Workspace, store.Store]]:
    """A whole bot in the local workspace, on a target that takes so long."""
    listed = "\n".join(
        f"  read_{n}: {{target: bench, scope: [{{table: app.t{n}, can: read}}],"
        " requesters: [everyone], approval: owners}"
        for n in range(_ASKED)
    )
    catalog = catalogs.loads(
        _CATALOG.replace("DATABASE", stage.at.database).replace("ENTITLEMENTS", listed)
    )
    scopes = [catalogs.scope_of(each) for each in catalog.entitlements.values()]
    engine = stage.at.engine()
    with stage.at.connect() as admin:
        admin.execute(engine.bootstrap(scopes))
    running = server.Server(acts.Workspace())
    with running, core.state(stage.folder, "sqlite", stage.at) as url:
        kept = store.open_store(url, clock.SystemClock())
        web = client.web_client(running.workspace.bot_token, running.api_url)
        directory = identity.Directory(web)
        slacks: list[slack.Slack] = []

        def connect(made: service.Service) -> Any:
            slacks.append(
                slack.create(
                    client=web,
                    app_token=running.workspace.app_token,
                    access=made.access,
                    grants=made.grants,
                    store=kept,
                    directory=directory,
                    lanes=made.lanes,
                    catalog=lambda: catalog,
                    clock=clock.SystemClock(),
                )
            )
            return slacks[0].poster

        made = service.Service(
            store=kept,
            engines={"bench": _Slow(engine, seconds) if seconds else engine},
            catalog=lambda: catalog,
            directory=directory,
            poster=connect,
            clock=clock.SystemClock(),
        )
        slacks[0].start()
        made.start()
        try:
            running.workspace.wait_for(lambda: running.workspace.connected)
            yield running.workspace, kept
        finally:
            slacks[0].stop()
            made.stop(5)
            kept.close()
            engine.dispose()
    stage.at.clear()


def chat(stage: Stage) -> Iterator[Told]:
    """G12 and G13: commands in one instant with a slow target, and the click that grants."""
    count = stage.sizes.commands
    with _bot(stage, _SLOW) as (workspace, kept):
        _busy_target(workspace, kept)
        acks, failed = _commands(workspace, count)
    yield measure.line("acks", "ours", count, acks or [0.0], rate=None, failed=failed)
    worst = measure.percentile(acks or [9.0], 99)
    yield at_most("G12", f"{count} commands, slow target: p99 acknowledged", worst, 1, " s")
    yield at_most("G12", "over 3 s, or not at all", failed + sum(a > 3 for a in acks), 0)
    with _bot(stage, 0) as (workspace, kept):
        clicks = [_click(workspace, kept, n % _ASKED) for n in range(12)][2:]
    yield measure.line("click-to-active", "ours", 1, clicks, rate=None)
    yield at_most(
        "G13", "click to active at rest, p50", statistics.median(clicks) * 1000, 100, " ms"
    )


def _busy_target(workspace: acts.Workspace, kept: store.Store) -> None:
    """The target has work in hand while the commands come."""
    workspace.slash("U0ANA", "C0GENERAL", "/jit read_0 30m the export is stuck again")
    workspace.wait_for(lambda: _cards(workspace))
    workspace.click("U0BO", _cards(workspace)[-1], "Approve 30 min")
    assert kept is not None


def _commands(workspace: acts.Workspace, count: int) -> tuple[list[float], int]:
    acks: list[float] = []
    failed = [0]
    gate = threading.Barrier(count)

    def ask() -> None:
        gate.wait()
        began = time.perf_counter()
        try:
            workspace.slash("U0ANA", "C0GENERAL", "/jit help")
            acks.append(time.perf_counter() - began)
        except Exception:
            failed[0] += 1

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return acks, failed[0]


def _click(workspace: acts.Workspace, kept: store.Store, number: int) -> float:
    """From the approver's click to a grant that is active on the record."""
    before = len(_cards(workspace))
    workspace.slash("U0ANA", "C0GENERAL", f"/jit read_{number} 30m {secrets.token_hex(4)} stuck")
    card = workspace.wait_for(lambda: _cards(workspace)[before:])[0]
    newest = kept.requests(limit=1)[0].id
    began = time.perf_counter()
    clicked = threading.Thread(target=workspace.click, args=("U0BO", card, "Approve 30 min"))
    clicked.start()
    core.wait(lambda: _status(kept, newest) is model.GrantStatus.ACTIVE, 20, 0.002)
    took = time.perf_counter() - began
    clicked.join()
    return took


def _status(kept: store.Store, grant_id: str) -> model.GrantStatus | None:
    found = kept.find_grant(grant_id)
    return found.status if found else None


def _cards(workspace: acts.Workspace) -> list[Any]:
    return [m for m in workspace.messages("C0ACCESS") if m.thread_ts in (None, m.ts)]


def start(stage: Stage) -> Iterator[Told]:
    """G14: how long an import takes, beside the five libraries alone, and memory."""
    turns = {
        "libraries": lambda: {"import": _import(_LIBRARIES)},
        "ours": lambda: {"import": _import("bot.app, bot.slack, bot.service")},
    }
    found = measure.interleave(7, turns)["import"]
    yield from measure.compared("import", 1, found)
    ratio = statistics.median(found["ours"]) / statistics.median(found["libraries"])
    yield at_most("G14", "import, over the five libraries alone", ratio, 1.5)
    live = stage.sizes.live[-1]
    with core.state(stage.folder, "sqlite", stage.at) as url, core.running(stage.at, url) as made:
        core.record(made.store, stage.at, live, core.soon(86400))
        process = core.spawn(stage.at, url)
        time.sleep(3)
        used = _resident(process.pid)
        core.finish(process)
    yield Line(case="memory", impl="ours", n=live, facts={"resident_mb": used})
    yield at_most("G14", f"memory with {live:,} live grants", used, 120, " MB")


def _import(modules: str) -> float:
    code = f"import {modules}"
    return measure.timed(
        lambda: subprocess.run([sys.executable, "-c", code], check=True, cwd=_ROOT)
    )


def _resident(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * resource.getpagesize() / 1e6, 1)


def audit(stage: Stage) -> Iterator[Told]:
    """G15 to G17: appending, verifying and summing up a long chain."""
    count = stage.sizes.events
    for kind in ("sqlite", "postgresql"):
        with (
            _opened(stage, kind) as (short, _),
            _opened(stage, kind) as (long, url),
            _bare(stage, url) as insert,
        ):
            _fill(long, count)
            turns: dict[str, measure.Turn] = {
                "raw": functools.partial(_timed, insert),
                "short": functools.partial(_timed, functools.partial(_append, short)),
                "long": functools.partial(_timed, functools.partial(_append, long)),
            }
            found = measure.interleave(_APPENDS, turns)["append"]
            verify = functools.partial(_verified, long)
            took = statistics.median(measure.timed(verify) for _ in range(3))
            day = measure.timed(functools.partial(_digest, long))
            total, _ = long.chain_head()
        p50 = {name: statistics.median(seconds) for name, seconds in found.items()}
        for size, name in ((1, "short"), (count, "long")):
            line = functools.partial(measure.line, f"append/{kind}", "ours", size, found[name])
            yield line(base=p50["raw"])
        yield measure.line(f"append/{kind}", "raw", 1, found["raw"])
        yield Line(case=f"verify/{kind}", impl="ours", n=total, rate=round(total / took, 1))
        yield Line(case=f"digest/{kind}", impl="ours", n=total, p50_ms=round(day * 1000, 1))
        grown, over = p50["long"] / p50["short"], p50["long"] / p50["raw"]
        yield at_most("G15", f"append at {count:,} events over empty, {kind}", grown, 1.3)
        most = 2 if kind == "sqlite" else 5
        yield at_most("G15", f"append over a bare insert, {kind}", over, most)
        yield at_least("G16", f"events verified per second, {kind}", total / took, 150_000)
        yield at_most(
            "G17", f"digest of a quiet day among {total:,} events, {kind}", day, 0.5, " s"
        )


@contextmanager
def _opened(stage: Stage, kind: str) -> Iterator[tuple[store.Store, str]]:
    """An empty record of that kind, and its URL."""
    with (
        core.state(stage.folder, kind, stage.at) as url,
        store.open_store(url, clock.SystemClock()) as kept,
    ):
        yield kept, url


def _append(kept: store.Store) -> None:
    with kept.begin(store.SYSTEM) as tx:
        tx.record("bench.event", None, _EVENT)


def _timed(append: Callable[[], object]) -> dict[str, float]:
    return {"append": measure.timed(append)}


def _fill(kept: store.Store, count: int) -> None:
    for _ in range(count // 1000):
        with kept.begin(store.SYSTEM) as tx:
            for _ in range(1000):
                tx.record("bench.event", None, _EVENT)


def _verified(kept: store.Store) -> None:
    assert kept.verify_chain().ok


def _digest(kept: store.Store) -> None:
    now = datetime.now(UTC)
    yesterday = now - timedelta(days=1)
    digest.of_period(kept, since=yesterday, until=now, zone="UTC", now=now)


@contextmanager
def _bare(stage: Stage, url: str) -> Iterator[Callable[[], object]]:
    """One row, one commit, on a database of the same kind."""
    if url.startswith("sqlite"):
        link: Any = sqlite3.connect(stage.folder / "bare.sqlite3", isolation_level=None)
        for pragma in ("journal_mode = WAL", "synchronous = FULL"):
            link.execute(f"PRAGMA {pragma}")
    else:
        link = psycopg.connect(url, autocommit=True)
    link.execute("CREATE TABLE bare (body text)")
    yield lambda: link.execute("INSERT INTO bare VALUES ('x')")
    link.close()


def hygiene(stage: Stage) -> Iterator[Told]:
    """G18: what the target's catalogue grows by over many grants and ends."""
    count, tables = stage.sizes.cycles, "'pg_authid', 'pg_auth_members', 'pg_shdepend'"
    size = f"SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relname IN ({tables})"
    before = int(stage.at.ask(size)[0][0])
    with ways.opened(ways.Ours(stage.at)) as found:
        way = found["ours"]
        took = [measure.timed(lambda: way.end(way.grant(10))) for _ in range(count)]
    grown = int(stage.at.ask(size)[0][0]) - before
    part = max(20, count // 20)
    ratio = statistics.median(took[-part:]) / statistics.median(took[part : 2 * part])
    yield measure.line("cycles", "ours", count, took, facts={"catalogue_bytes": grown})
    yield at_most("G18", f"bytes by {count:,} cycles", grown, 1_000_000)
    yield at_most("G18", "last cycles over the first", ratio, 1.3)


_LIBRARIES = "slack_bolt, sqlalchemy.orm, psycopg, apscheduler.schedulers.background, jinja2"
_EVENT = {"target": "bench", "role_name": "jit_b0123456789ab", "duration": 1800, "why": "x" * 60}
_ROOT = Path(__file__).parent.parent.parent
