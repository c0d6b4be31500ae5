"""How others end many: raw SQL by two workers; S3, one APScheduler job a grant; S4, a sweep each minute."""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import sqlalchemy as sa
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from psycopg import sql

from bench import core, measure, place, ways
from bench.measure import Line
from bench.stage import Stage

SWEEP = 60.0  # seconds between two sweeps of S4
SHORTER = 20  # times as often as that it is really run here
_SWEPT = 60  # grants


def raw(at: place.Place, way: type[ways.Raw], count: int, case: str) -> Line:
    """What two workers with raw SQL need to shut, cut and drop so many."""
    ids = _ids(count)
    at.fill(ids, core.soon(3600), administered=not way.as_owner)
    names = [ways.named(f"jit_{each}") for each in ids]
    ends: list[float] = []
    gate = threading.Barrier(2)
    began = [0.0]

    def work(mine: Sequence[sql.Identifier]) -> None:
        own = way(at)
        assert own.link, "connected"
        gate.wait()
        began[0] = began[0] or time.perf_counter()
        for first in range(0, len(mine), way.by):
            some = mine[first : first + way.by]
            own.end_all(some)
            ends.extend([time.perf_counter() - began[0]] * len(some))
        own.close()

    threads = [threading.Thread(target=work, args=(names[n::2],)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return measure.line(case, way.name, count, ends, rate=round(count / max(ends), 1))


def due(stage: Stage, count: int, grace: int | None, *, down: float) -> Line:
    """S3: one persistent APScheduler job a grant, each ending by raw SQL; `down`: seconds of absence."""
    ids = _ids(count)
    stage.at.fill(ids, core.soon(3600))
    path = stage.folder / f"jobs-{count}-{grace}-{down}.sqlite3"
    first = _scheduler(path, grace)
    first.start(paused=True)
    due = _added(first, ids, grace)
    _Jobs.begin(stage.at, due)
    second = first
    if down:
        first.shutdown()
        time.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()) + down)
        second = _scheduler(path, grace)
        second.start()
    else:
        first.resume()
    with contextlib.suppress(TimeoutError):
        core.wait(lambda: not second.get_jobs(), 30 + count / 20, 0.2)
    second.shutdown(wait=True)
    ended = _Jobs.finish()
    left = stage.at.live()
    stage.at.clear()
    name = f"apscheduler/{'default' if grace else 'unlimited'}"
    late = ended or [0.0]
    return measure.line(
        "downtime" if down else "burst",
        name,
        count,
        late,
        lost=left,
        doubled=len(ended) - (count - left),
        rate=None,
    )


def _added(scheduler: BackgroundScheduler, ids: Sequence[str], grace: int | None) -> datetime:
    """One job each, all due at one moment, which comes when they are all there."""
    lead = 1.0 + len(ids) / 300
    while True:
        due = core.soon(lead)
        for each in ids:
            scheduler.add_job(
                _Jobs.end,
                "date",
                id=each,
                replace_existing=True,
                run_date=due,
                args=[f"jit_{each}"],
                misfire_grace_time=grace,
            )
        if datetime.now(UTC) < due:
            return due
        lead *= 2


class _Jobs:
    """What the jobs of S3 share: a job is a function's path and its arguments."""

    way: Any = None
    due = datetime.min.replace(tzinfo=UTC)
    late: ClassVar[list[float]] = []

    @classmethod
    def begin(cls, at: place.Place, due: datetime) -> None:
        cls.way, cls.due, cls.late = ways.RawSuperuser(at), due, []

    @classmethod
    def end(cls, role: str) -> None:
        cls.way.end(ways.named(role))
        cls.late.append((datetime.now(UTC) - cls.due).total_seconds())

    @classmethod
    def finish(cls) -> list[float]:
        cls.way.close()
        return cls.late


def _scheduler(path: Path, grace: int | None) -> BackgroundScheduler:
    kept = SQLAlchemyJobStore(engine=sa.create_engine(f"sqlite:///{path}"))
    defaults = {"misfire_grace_time": grace, "coalesce": True}
    return BackgroundScheduler(
        jobstores={"default": kept},
        timezone="UTC",
        job_defaults=defaults,
        executors={"default": ThreadPoolExecutor(2)},
    )


def sweeper(stage: Stage) -> Iterator[Line]:
    """S4: run with a twentieth of its interval, deadlines spread evenly; and what that means."""
    interval, began = SWEEP / SHORTER, time.time()
    names = [
        f"jit_{each}" for each in stage.at.fill(_ids(_SWEPT), core.soon(3600), administered=True)
    ]
    waiting = {name: began + 0.5 + n * 3 * interval / _SWEPT for n, name in enumerate(names)}
    late: list[float] = []
    way = ways.RawSuperuser(stage.at)
    while waiting:
        time.sleep(interval)
        for name, due_at in list(waiting.items()):
            if due_at <= time.time():
                way.end(ways.named(name))
                late.append(time.time() - waiting.pop(name))
    way.close()
    found = measure.line("lateness-of-one", "sweeper-3s", _SWEPT, late, rate=None)
    yield found
    yield Line(
        case="lateness-of-one",
        impl="sweeper-60s",
        n=_SWEPT,
        p50_ms=round(SHORTER * (found.p50_ms or 0), 3),
        p95_ms=round(SHORTER * (found.p95_ms or 0), 3),
        facts={"how": f"worked out: {SHORTER} times what was measured of one each {interval:g} s"},
    )


def _ids(count: int) -> list[str]:
    return [place.fresh_id() for _ in range(count)]
