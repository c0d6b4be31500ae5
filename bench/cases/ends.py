"""G7 to G11: how late access ends; bursts, crashes, downtime, replicas, and the kill switch."""

import functools
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench import core, jobs, measure, openbao, place, ways
from bench.measure import Line, at_least, at_most
from bench.stage import Stage, Told

_ALONE = 20  # single ends measured for lateness
_PEERS_MOST = 1000  # due in one instant by other ways: what they show, they show by then


def lateness(stage: Stage) -> Iterator[Told]:
    """G7: one end at a time, while many others wait."""
    for kind in core.KINDS:
        medians: dict[int, float] = {}
        for waiting in stage.sizes.waiting:
            late = _late_one_by_one(stage, kind, waiting)
            medians[waiting] = statistics.median(late)
            growth = measure.slope(medians) if len(medians) > 1 else None
            impl = f"ours/{kind}"
            yield measure.line("lateness-of-one", impl, waiting, late, rate=None, growth=growth)
        worst = measure.percentile(late, 99) * 1000
        yield at_most("G7", f"one end among {waiting:,}, {kind}: p99 late", worst, 50, " ms")
        yield at_most("G7", f"exponent of growth with those waiting, {kind}", growth or 0, 0.1)
    yield from jobs.sweeper(stage)


def _late_one_by_one(stage: Stage, kind: str, waiting: int) -> list[float]:
    late: list[float] = []
    with (
        core.state(stage.folder, kind, stage.at) as url,
        core.running(stage.at, url, crowd=waiting) as made,
    ):
        made.service.start()
        made.service.lanes.wait_idle(300)  # the first look at each target; the next is in 5 minutes
        for _ in range(_ALONE + 2):
            ids = core.record(made.store, stage.at, 1, core.soon(1.0))
            made.service.wake()
            core.wait(lambda ids=ids: not core.live(made.store, ids), 60, 0.05)
            late += core.ended(made.store, ids)[0]
    return late[2:]


def bursts(stage: Stage) -> Iterator[Told]:
    """G8: many ends in one instant, by ours and by one APScheduler job a grant."""
    lasts: dict[str, dict[int, float]] = {kind: {} for kind in core.KINDS}
    for count in stage.sizes.bursts:
        raw = _raw_burst(stage.at, count)
        yield raw
        for kind in core.KINDS:
            last = yield from _burst(stage, stage.at, count, kind, raw)
            lasts[kind][count] = last
        if count <= _PEERS_MOST:
            for grace in (1, None):
                yield jobs.due(stage, count, grace, down=0)
        if stage.bao is not None and count <= _PEERS_MOST:
            yield _bao_burst(stage, stage.bao, count)
    for kind, by_size in lasts.items():
        growth = measure.slope(by_size)
        yield at_most("G8", f"exponent of growth with the number due, {kind}", growth, 1.05)
    if stage.older is not None:
        count = stage.sizes.bursts[1]
        raw = _raw_burst(stage.older, count, "burst/pg15")
        yield raw
        yield from _burst(stage, stage.older, count, "sqlite", raw)


def _burst(
    stage: Stage, at: place.Place, count: int, kind: str, raw: Line
) -> Generator[Told, None, float]:
    with core.state(stage.folder, kind, at) as url, core.running(at, url) as made:
        made.service.start()
        deadline = core.soon(3 + count / 200)
        ids = core.record(made.store, at, count, deadline)
        assert datetime.now(UTC) < deadline, "setting up took longer than the time to the deadline"
        core.wait(lambda: not core.live(made.store, ids), 90 + count / 10, 0.1)
        clean = (datetime.now(UTC) - deadline).total_seconds()
        late, lost, doubled = core.ended(made.store, ids)
        left = at.live()
    yield measure.line(
        raw.case,
        f"ours/{kind}",
        count,
        late,
        rate=round(count / max(late), 1),
        ratios={measure.RAW: round(max(late) * 1000 / (raw.max_ms or 1), 2)},
        lost=lost + left,
        doubled=doubled,
        facts={"all_removed_s": round(clean, 2), "raw_max_ms": raw.max_ms},
    )
    where = kind if at is stage.at else f"{kind}, PostgreSQL 15"
    bound = round((raw.max_ms or 0) / 1000 * 1.3, 2)
    yield at_most(
        "G8", f"{count:,} at once, {where}: last door, at most 1.3 × raw", max(late), bound, " s"
    )
    if count == 1000:
        yield at_most("G8", f"1,000 at once, {where}: no access any more", max(late), 1, " s")
    yield at_most("G8", f"{count:,} at once, {where}: lost or doubled", lost + left + doubled, 0)
    return max(late)


def _raw_burst(at: place.Place, count: int, case: str = "burst") -> Line:
    """What two workers with raw SQL need to shut, cut and drop so many."""
    names = [f"jit_{each}" for each in at.fill(_ids(count), core.soon(3600))]
    ends: list[float] = []
    gate = threading.Barrier(2)
    began = [0.0]

    def work(mine: Sequence[str]) -> None:
        way = ways.Raw(at)
        assert way.link, "connected"
        gate.wait()
        began[0] = began[0] or time.perf_counter()
        for name in mine:
            way.end(ways.named(name))
            ends.append(time.perf_counter() - began[0])
        way.close()

    threads = [threading.Thread(target=work, args=(names[n::2],)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return measure.line(case, "raw", count, ends, rate=round(count / max(ends), 1))


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


def kill_switch(stage: Stage) -> Iterator[Told]:
    """G11: `jit revoke --all` on a running service, and OpenBao's revoke-prefix."""
    count = stage.sizes.switch
    rates: dict[str, float] = {}
    for kind in core.KINDS:
        with core.state(stage.folder, kind, stage.at) as url, core.running(stage.at, url) as made:
            ids = core.record(made.store, stage.at, count, core.soon(3600))
            made.service.start()
            began = datetime.now(UTC)
            _revoke_all(stage, url)
            core.wait(lambda made=made, ids=ids: not core.live(made.store, ids), 240, 0.1)
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


def _ids(count: int) -> list[str]:
    return [place.fresh_id() for _ in range(count)]


_ROOT = Path(__file__).parent.parent.parent
