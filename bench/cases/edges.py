"""G14 to G17: start, audit and digest."""

import functools
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from bench import core, history, measure, place
from bench.measure import Line, at_least, at_most
from bench.stage import GOAL, Stage, Told
from bot import clock, store
from bot.audit import digest

_APPENDS = 400  # rounds
_READS = 6  # rounds
_IMPORTS = 24  # rounds
_DAYS = timedelta(days=8)  # that a long chain's events are spread over


def start(stage: Stage) -> Iterator[Told]:
    """G14: how long an import takes, beside the five libraries alone, and memory."""
    turns = {
        "libraries": lambda: {"import": _import(stage, _LIBRARIES)},
        "ours": lambda: {"import": _import(stage, "bot.app, bot.slack, bot.service")},
    }
    found = measure.interleave(_IMPORTS, turns)["import"]
    yield from measure.compared("import", 1, found)
    ratio = measure.ratio(found["ours"], found["libraries"])
    yield at_most("G14", "import, over the five libraries alone", ratio, 1.5)
    live = stage.sizes.in_memory
    with core.state(stage.folder, "sqlite", stage.at) as url, core.running(stage.at, url) as made:
        core.record(made.store, stage.at, live, core.soon(86400))
        process = core.spawn(stage.at, url)
        time.sleep(3)
        used = _resident(process.pid)
        core.finish(process)
    yield Line(case="memory", impl="ours", n=live, facts={"resident_mb": used})
    words, sizes = f"memory with {live:,} live grants", (live, GOAL.in_memory)
    yield at_most("G14", words, used, 120, " MB", size=sizes)


def _import(stage: Stage, modules: str) -> float:
    """All of it compiled by the round that is left out, as an installation has it."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env = {**kept, "PYTHONPYCACHEPREFIX": str(stage.folder / "compiled")}
    command = [sys.executable, "-c", f"import {modules}"]
    return measure.timed(lambda: subprocess.run(command, check=True, cwd=_ROOT, env=env))


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
            _fill(stage, long, count)
            core.settle(long)
            turns: dict[str, measure.Turn] = {
                "raw": functools.partial(_timed, insert),
                "short": functools.partial(_timed, functools.partial(_append, short)),
                "long": functools.partial(_timed, functools.partial(_append, long)),
            }
            found = measure.interleave(_APPENDS, turns)["append"]
            total, _ = long.chain_head()
            reads = measure.interleave(_READS, {"ours": functools.partial(_read, long)})
        took = {name: by["ours"] for name, by in reads.items()}
        verified = measure.ratio([total] * len(took["verify"]), took["verify"])
        p50 = {name: statistics.median(seconds) for name, seconds in found.items()}
        for size, name in ((1, "short"), (count, "long")):
            line = functools.partial(measure.line, f"append/{kind}", "ours", size, found[name])
            yield line(base=p50["raw"])
        yield measure.line(f"append/{kind}", "raw", 1, found["raw"])
        yield Line(case=f"verify/{kind}", impl="ours", n=total, rate=round(verified.value, 1))
        day, hour = (statistics.median(took[name]) for name in ("day", "hour"))
        for name, seconds in (("day", day), ("hour", hour)):
            case = f"digest-of-{name}/{kind}"
            yield Line(case=case, impl="ours", n=total, p50_ms=round(seconds * 1000, 1))
        of, most = (count, GOAL.events), 2 if kind == "sqlite" else 5
        grown = measure.ratio(found["long"], found["short"])
        over = measure.ratio(found["long"], found["raw"])
        what = f"append at {count:,} events over empty, {kind}"
        yield at_most("G15", what, grown, 1.3, size=of)
        yield at_most("G15", f"append over a bare insert, {kind}", over, most, size=of)
        what = f"events verified per second, {kind}"
        yield at_least("G16", what, verified, 150_000, size=of)
        among = f"among {total:,} events of {_DAYS.days} days, {kind}"
        yield at_most("G17", f"digest of a day {among}", day, 0.5, " s", size=of)
        yield at_most("G17", f"digest of an hour {among}", hour * 1000, 30, " ms", size=of)


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


def _fill(stage: Stage, kept: store.Store, count: int) -> None:
    """Lives that were lived, evenly over the last days."""
    mould = history.mould(core.catalog_text(stage.at.database), over=True)
    lives = count // len(mould.events)
    first, step = datetime.now(UTC) - _DAYS - mould.lasted, _DAYS / lives
    history.write(
        kept,
        mould,
        (
            history.Life(id=place.fresh_id(), asked_at=first + step * n, oid=5_000_000 + n)
            for n in range(lives)
        ),
        chatter=False,
    )


def _read(kept: store.Store) -> dict[str, float]:
    """By turns, so that what makes the machine slow for a while slows no figure alone."""
    return {
        "verify": measure.timed(functools.partial(_verified, kept)),
        "day": measure.timed(functools.partial(_digest, kept, timedelta(days=1))),
        "hour": measure.timed(functools.partial(_digest, kept, timedelta(hours=1))),
    }


def _verified(kept: store.Store) -> None:
    assert kept.verify_chain().ok


def _digest(kept: store.Store, since: timedelta) -> None:
    now = datetime.now(UTC)
    assert digest.of_period(kept, since=now - since, until=now, zone="UTC", now=now)


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


_LIBRARIES = "slack_bolt, sqlalchemy.orm, psycopg, apscheduler.schedulers.background, jinja2"
_EVENT = {"target": "bench", "role_name": "jit_b0123456789ab", "duration": 1800, "why": "x" * 60}
_ROOT = Path(__file__).parent.parent.parent
