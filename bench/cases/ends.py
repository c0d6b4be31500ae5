"""G7 to G11: how late access ends; bursts, crashes, downtime, replicas, and the kill switch."""

import contextlib
import functools
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import sqlalchemy as sa
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler

from bench import core, measure, openbao, place, ways
from bench.measure import Line, at_least, at_most
from bench.stage import Stage, Told
from bot import model, store

_KINDS = ("sqlite", "postgresql")
_ALONE = 20  # single ends measured for lateness


def lateness(stage: Stage) -> Iterator[Told]:
    """G7: one end at a time, while many others wait."""
    for kind in _KINDS:
        with (
            core.state(stage.folder, kind, stage.at) as url,
            core.running(stage.at, url) as made,
        ):
            core.record(made.store, stage.at, stage.sizes.waiting, core.soon(86400), real=False)
            made.service.start()
            late: list[float] = []
            for _ in range(_ALONE + 2):
                ids = core.record(made.store, stage.at, 1, core.soon(1.0))
                made.service.wake()
                core.wait(lambda ids=ids: not _live(made.store, ids), 20, 0.05)
                late += core.ended(made.store, ids)[0]
            kept = late[2:]
        waiting = stage.sizes.waiting
        yield measure.line("lateness-of-one", f"ours/{kind}", waiting, kept, rate=None)
        worst = measure.percentile(kept, 99) * 1000
        yield at_most("G7", f"one end among {waiting:,}, {kind}: p99 late", worst, 50, " ms")
    yield _sweeper()


def _sweeper() -> Line:
    """S4 needs no run: what is due waits for the next minute, evenly spread."""
    return Line(
        case="lateness-of-one",
        impl="sweeper-60s",
        n=0,
        p50_ms=30_000,
        p95_ms=57_000,
        facts={"how": "worked out, not run: half of the interval, 95 % of it"},
    )


def bursts(stage: Stage) -> Iterator[Told]:
    """G8: many ends in one instant, by ours and by one APScheduler job a grant."""
    for count in stage.sizes.bursts:
        raw = _raw_burst(stage, count)
        yield raw
        for kind in _KINDS:
            with (
                core.state(stage.folder, kind, stage.at) as url,
                core.running(stage.at, url) as made,
            ):
                yield from _burst(stage, made, count, kind, raw)
        for grace in (1, None):
            yield _jobs(stage, count, grace, down=0)
        if stage.bao is not None:
            yield _bao_burst(stage, stage.bao, count)
        stage.at.clear()


def _burst(stage: Stage, made: core.Core, count: int, kind: str, raw: Line) -> Iterator[Told]:
    made.service.start()
    lead = 1.5 + count / 300
    deadline = core.soon(lead)
    ids = core.record(made.store, stage.at, count, deadline)
    assert datetime.now(UTC) < deadline, "setting up took longer than the time to the deadline"
    core.wait(lambda: not _live(made.store, ids), 60 + count / 10, 0.1)
    clean = (datetime.now(UTC) - deadline).total_seconds()
    late, lost, doubled = core.ended(made.store, ids)
    left = stage.at.live()
    yield measure.line(
        "burst",
        f"ours/{kind}",
        count,
        late,
        rate=round(count / max(late), 1),
        lost=lost + left,
        doubled=doubled,
        facts={"all_removed_s": round(clean, 2), "raw_max_ms": raw.max_ms},
    )
    bound = (raw.max_ms or 0) / 1000 * 1.3
    yield at_most(
        "G8",
        f"{count:,} at once, {kind}: last door over 1.3 × raw",
        max(late),
        round(bound, 2),
        " s",
    )
    yield at_most("G8", f"{count:,} at once, {kind}: lost or doubled", lost + left + doubled, 0)


def _raw_burst(stage: Stage, count: int) -> Line:
    """What two workers with raw SQL need to shut, cut and drop so many."""
    names = [f"jit_{each}" for each in stage.at.fill(_ids(count), core.soon(3600))]
    with ways.opened(ways.Raw(stage.at), ways.Raw(stage.at)):
        pass
    began = time.perf_counter()
    ends: list[float] = []

    def work(mine: Sequence[str]) -> None:
        way = ways.Raw(stage.at)
        for name in mine:
            way.end(ways.named(name))
            ends.append(time.perf_counter() - began)
        way.close()

    threads = [threading.Thread(target=work, args=(names[n::2],)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return measure.line("burst", "raw", count, ends, rate=round(count / max(ends), 1))


def _jobs(stage: Stage, count: int, grace: int | None, *, down: float) -> Line:
    """S3: one persistent APScheduler job a grant, each ending by raw SQL; `down`: seconds of absence."""
    ids = _ids(count)
    stage.at.fill(ids, core.soon(3600))
    path = stage.folder / f"jobs-{count}-{grace}-{down}.sqlite3"
    due = datetime.now(UTC) + timedelta(seconds=1.5 + count / 300)
    _Jobs.begin(stage.at, due)
    first = _scheduler(path, grace)
    first.start(paused=True)
    for each in ids:
        first.add_job(
            _Jobs.end, "date", run_date=due, args=[f"jit_{each}"], misfire_grace_time=grace
        )
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


class _Jobs:
    """What the jobs of S3 share: a job is a function's path and its arguments."""

    way: Any = None
    due = datetime.min.replace(tzinfo=UTC)
    late: ClassVar[list[float]] = []

    @classmethod
    def begin(cls, at: place.Place, due: datetime) -> None:
        cls.way, cls.due, cls.late = ways.Raw(at), due, []

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


def _bao_burst(stage: Stage, bao: openbao.Bao, count: int) -> Line:
    """P1: leases spread over their creation, so its ends are too; looked at every 20 ms."""
    ttl = max(5, count // 25)
    role = bao.expiring(stage.at, ttl)
    due: dict[str, float] = {}
    before = _roles(stage.at)
    for _ in range(count):
        bao.lease(role)
        now = time.time()
        for name in _roles(stage.at) - before - due.keys():
            due[name] = now + ttl
    late: dict[str, float] = {}
    end = time.time() + ttl + 60
    while len(late) < count and time.time() < end:
        there = _roles(stage.at)
        late |= {n: time.time() - due[n] for n in due.keys() - there - late.keys()}
        time.sleep(0.02)
    seen = list(late.values()) or [0.0]
    return measure.line(
        "burst",
        openbao.MEMBERSHIP,
        count,
        seen,
        lost=count - len(late),
        rate=None,
        facts={"how": "leases made one after the other end one after the other"},
    )


def _roles(at: place.Place) -> set[str]:
    return {
        row[0] for row in at.ask("SELECT rolname::text FROM pg_roles WHERE rolname LIKE %s", "v-%")
    }


def crashes(stage: Stage) -> Iterator[Told]:
    """G9 and G10: killed in the middle, ten minutes down, several processes on one record."""
    yield from _killed(stage)
    yield from _down(stage)
    yield from _replicas(stage)


def _killed(stage: Stage) -> Iterator[Told]:
    count, kills = stage.sizes.killed, 0
    with core.state(stage.folder, "sqlite", stage.at) as url, _record(url) as kept:
        ids = core.record(kept, stage.at, count, core.soon(4 + count / 200))
        process = core.spawn(stage.at, url)
        deadline = kept.grant(ids[0]).expires_at
        for part in (0.2, 0.5, 0.8):
            core.wait(lambda part=part: over(kept, ids) >= count * part, 120, 0.02)
            process.kill()
            process.wait()
            kills += 1
            process = core.spawn(stage.at, url)
        core.wait(lambda: not _live(kept, ids), 120, 0.1)
        took = (datetime.now(UTC) - deadline).total_seconds()
        core.finish(process)
        late, lost, doubled = core.ended(kept, ids)
        ok = kept.verify_chain().ok
    lost += stage.at.live()
    yield measure.line(
        "killed",
        "ours/sqlite",
        count,
        late,
        rate=None,
        lost=lost,
        doubled=doubled,
        facts={"kills": kills, "all_over_s": round(took, 2), "chain": ok},
    )
    yield at_most("G9", f"{count} ends, killed {kills} times: lost or doubled", lost + doubled, 0)


def _down(stage: Stage) -> Iterator[Told]:
    """The deadline passed ten minutes before the start."""
    count = stage.sizes.bursts[0]
    for kind in _KINDS:
        with core.state(stage.folder, kind, stage.at) as url, core.running(stage.at, url) as made:
            past = datetime.now(UTC) - timedelta(minutes=10)
            ids = core.record(made.store, stage.at, count, past)
            began = datetime.now(UTC)
            made.service.start()
            core.wait(lambda made=made, ids=ids: not _live(made.store, ids), 120, 0.05)
            grants = [made.store.grant(each) for each in ids]
            took = [
                (g.access_ended_at - began).total_seconds() for g in grants if g.access_ended_at
            ]
            _, lost, doubled = core.ended(made.store, ids)
        lost += stage.at.live()
        yield measure.line(
            "downtime", f"ours/{kind}", count, took, rate=None, lost=lost, doubled=doubled
        )
        yield at_most(
            "G9", f"ten minutes down, {kind}: lost or doubled of {count}", lost + doubled, 0
        )
        yield at_most(
            "G9",
            f"ten minutes down, {kind}: all doors shut after the start",
            max(took),
            1 + count / 50,
            " s",
        )
    for grace in (1, None):
        yield _jobs(stage, count, grace, down=3.0)


def _replicas(stage: Stage) -> Iterator[Told]:
    """G10: several processes serve one record on PostgreSQL."""
    count, rates = stage.sizes.bursts[-1], {}
    for number in (1, 2, 4):
        with core.state(stage.folder, "postgresql", stage.at) as url, _record(url) as kept:
            processes = [core.spawn(stage.at, url) for _ in range(number)]
            deadline = core.soon(1.5 + count / 250)
            ids = core.record(kept, stage.at, count, deadline)
            core.wait(lambda kept=kept, ids=ids: not _live(kept, ids), 120, 0.1)
            dead = sum(process.poll() is not None for process in processes)
            for process in processes:
                core.finish(process)
            late, lost, doubled = core.ended(kept, ids)
        lost += stage.at.live()
        rates[number] = count / max(late)
        yield measure.line(
            "replicas",
            f"ours×{number}",
            count,
            late,
            rate=round(rates[number], 1),
            lost=lost,
            doubled=doubled,
            failed=dead,
        )
        yield at_most(
            "G10",
            f"{number} processes on one record: lost, doubled or dead",
            lost + doubled + dead,
            0,
        )
    yield at_least("G10", "rate of four over the rate of one", rates[4] / rates[1], 0.9)


def kill_switch(stage: Stage) -> Iterator[Told]:
    """G11: `jit revoke --all` on a running service, and OpenBao's revoke-prefix."""
    count = stage.sizes.switch
    rates: dict[str, float] = {}
    for kind in _KINDS:
        with core.state(stage.folder, kind, stage.at) as url, core.running(stage.at, url) as made:
            ids = core.record(made.store, stage.at, count, core.soon(3600))
            made.service.start()
            began = datetime.now(UTC)
            _revoke_all(stage, url)
            core.wait(lambda made=made, ids=ids: not _live(made.store, ids), 240, 0.1)
            over = (datetime.now(UTC) - began).total_seconds()
            grants = [made.store.grant(each) for each in ids]
            shut = max(
                (g.access_ended_at - began).total_seconds() for g in grants if g.access_ended_at
            )
            _, lost, doubled = core.ended(made.store, ids)
        lost += stage.at.live()
        rates[kind] = count / over
        yield Line(
            case="kill-switch",
            impl=f"ours/{kind}",
            n=count,
            rate=round(count / over, 1),
            lost=lost,
            doubled=doubled,
            facts={"no_access_s": round(shut, 2), "all_removed_s": round(over, 2)},
        )
        yield at_most("G11", f"kill switch, {kind}: lost or doubled of {count}", lost + doubled, 0)
    if stage.bao is not None:
        yield from _bao_switch(stage, stage.bao, rates)


def _bao_switch(stage: Stage, bao: openbao.Bao, rates: dict[str, float]) -> Iterator[Told]:
    for name, count, bound in (
        (openbao.MEMBERSHIP, stage.sizes.switch, 2.0),
        (openbao.DIRECT, min(100, stage.sizes.switch), 50.0),
    ):
        for _ in range(count):
            bao.lease(f"{name}-10")
        took = measure.timed(functools.partial(bao.revoke_all, f"{name}-10"))
        left = len(_roles(stage.at))
        yield Line(case="kill-switch", impl=name, n=count, rate=round(count / took, 1), lost=left)
        best = max(rates.values())
        yield at_least("G11", f"ends/s over {name}", best / (count / took), bound)


def _revoke_all(stage: Stage, url: str) -> None:
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(
            [sys.executable, "-m", "bot", "revoke", "--all"],
            env={**os.environ, "JIT_DATABASE_URL": url, "PYTHONPATH": str(_ROOT)},
            cwd=empty,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-300:]
    assert stage is not None


def _live(kept: store.Store, ids: Sequence[str]) -> bool:
    """Whether one of them is not over. A crowd is alone on its record, and the look must be cheap:
    it is taken in the process that is measured.
    """
    if len(ids) == 1:
        return kept.grant(ids[0]).status in _OPEN
    return bool(kept.grants(status=_OPEN, limit=1))


def over(kept: store.Store, ids: Sequence[str]) -> int:
    """How many of them are over."""
    return len(ids) - len(kept.grants(status=_OPEN, limit=len(ids)))


@contextlib.contextmanager
def _record(url: str) -> Iterator[store.Store]:
    from bot import clock

    with store.open_store(url, clock.SystemClock()) as kept:
        yield kept


def _ids(count: int) -> list[str]:
    return [place.fresh_id() for _ in range(count)]


_OPEN = model.LIVE_GRANT
_ROOT = Path(__file__).parent.parent.parent
