"""G7 and G8: how late access ends, of one and of many in one instant."""

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg

from bench import core, jobs, measure, openbao, place, ways
from bench.measure import Line, Verdict, at_most
from bench.stage import GOAL, Stage, Told

_ALONE = 20  # single ends measured for lateness
_APART, _SETTING_UP = timedelta(seconds=0.5), 2.0
_WITHIN = {1_000: 1.0, 10_000: 9.0}  # seconds for so many at once
_OF_THE_MOST = 4  # times that the biggest burst is repeated
_FILLED = 700  # grants a second that a record and a server are filled with, at least
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
        worst, size = max(late) * 1000, (waiting, GOAL.waiting[-1])
        words = f"one end among {waiting:,}, {kind}: the latest of {len(late)}"
        yield at_most("G7", words, worst, 50, " ms", size=size)
        words = f"exponent of growth with those waiting, {kind}"
        yield at_most("G7", words, growth or 0, 0.1, size=size)
    yield from jobs.sweeper(stage)


def _late_one_by_one(stage: Stage, kind: str, waiting: int) -> list[float]:
    """Each has its own moment, half a second after the one before."""
    with (
        core.state(stage.folder, kind, stage.at) as url,
        core.running(stage.at, url, crowd=waiting) as made,
    ):
        made.service.start()
        made.service.lanes.wait_idle(300)  # the first look at each target; the next is in 5 minutes
        first = core.soon(_SETTING_UP)
        moments = [first + _APART * n for n in range(_ALONE + 2)]
        ids = core.record_each(made.store, stage.at, moments)
        assert datetime.now(UTC) < first, "setting up took longer than the time to the deadline"
        made.service.wake()
        for each in ids:
            core.wait(lambda each=each: not core.live(made.store, [each]), 60, 0.05)
        late, lost, doubled = core.ended(made.store, ids)
        assert not lost + doubled, f"{lost} lost, {doubled} doubled"
    return late[2:]


def bursts(stage: Stage) -> Iterator[Told]:
    """G8: many ends in one instant, by ours and by one APScheduler job a grant."""
    lasts: dict[str, dict[int, Sequence[float]]] = {kind: {} for kind in core.KINDS}
    for count in stage.sizes.bursts:
        raws = _raws(stage.at, count, "burst")
        yield from raws
        found = _by_turns(stage, stage.at, count, core.KINDS)
        for kind, bursts in found.items():
            yield from _told(stage, stage.at, kind, raws, bursts)
            lasts[kind][count] = [each.last for each in bursts]
        if count <= _PEERS_MOST:
            for grace in (1, None):
                yield jobs.due(stage, count, grace, down=0)
        for bao in stage.baos:
            if bao.kept == openbao.MEMORY and count <= _PEERS_MOST:
                yield _bao_burst(stage, bao, count)
    size = (stage.sizes.bursts[-1], GOAL.bursts[-1])
    for kind, by_size in lasts.items():
        words = f"exponent of growth with the number due, {kind}"
        yield at_most("G8", words, measure.growth(by_size), 1.05, size=size)
    if stage.older is not None:
        count = stage.sizes.bursts[1]
        raws = _raws(stage.older, count, "burst/pg15")
        yield from raws
        for kind, bursts in _by_turns(stage, stage.older, count, ("sqlite",)).items():
            yield from _told(stage, stage.older, kind, raws, bursts)


def _raws(at: place.Place, count: int, case: str) -> list[Line]:
    """As a superuser, one by one and by the batch; and as the bot, whom ten thousand take minutes."""
    chosen = [ways.Raw] if count <= _PEERS_MOST else []
    return [jobs.raw(at, w, count, case) for w in (*chosen, ways.RawSuperuser, ways.RawBatches)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Burst:
    """What came of so many deadlines in one instant. Seconds after it."""

    late: Sequence[float]  # each door
    clean: float  # until all were removed and recorded
    lost: int
    doubled: int

    @property
    def last(self) -> float:
        """The last door of all: no login, and no session."""
        return max(self.late)


def _by_turns(
    stage: Stage, at: place.Place, count: int, kinds: Sequence[str]
) -> dict[str, list[_Burst]]:
    """The same several times over, the kinds of record by turns."""
    found: dict[str, list[_Burst]] = {kind: [] for kind in kinds}
    most = stage.sizes.repeats if count <= _PEERS_MOST else _OF_THE_MOST
    for kind in measure.by_turns(min(most, stage.sizes.repeats), kinds):
        found[kind].append(_burst(stage, at, count, kind))
        at.clear()
    return found


def _burst(stage: Stage, at: place.Place, count: int, kind: str) -> _Burst:
    with core.state(stage.folder, kind, at) as url, core.running(at, url) as made:
        made.service.start()
        deadline = core.soon(3 + count / _FILLED)
        ids = core.record(made.store, at, count, deadline)
        assert datetime.now(UTC) < deadline, "setting up took longer than the time to the deadline"
        core.wait(lambda: not core.live(made.store, ids), 90 + count / 10, 0.1)
        clean = (datetime.now(UTC) - deadline).total_seconds()
        late, lost, doubled = core.ended(made.store, ids)
        return _Burst(late=late, clean=clean, lost=lost + at.live(), doubled=doubled)


def _told(
    stage: Stage, at: place.Place, kind: str, raws: Sequence[Line], bursts: Sequence[_Burst]
) -> Iterator[Told]:
    count = raws[0].n
    last = statistics.median(each.last for each in bursts)
    lost, doubled = sum(each.lost for each in bursts), sum(each.doubled for each in bursts)
    yield measure.line(
        raws[0].case,
        f"ours/{kind}",
        count,
        [seconds for each in bursts for seconds in each.late],
        rate=round(count / last, 1),
        ratios={raw.impl: round(last * 1000 / (raw.max_ms or 1), 2) for raw in raws},
        lost=lost,
        doubled=doubled,
        facts={
            "all_removed_s": round(statistics.median(each.clean for each in bursts), 2),
            "last door s, by turn": ", ".join(f"{each.last:.2f}" for each in bursts),
        },
    )
    where = kind if at is stage.at else f"{kind}, PostgreSQL 15"
    yield from _judged(count, where, bursts, raws)
    yield at_most("G8", f"{count:,} at once, {where}: lost or doubled", lost + doubled, 0)


def _judged(
    count: int, where: str, bursts: Sequence[_Burst], raws: Sequence[Line]
) -> Iterator[Verdict]:
    """By the last door: beside raw SQL the usual one, against the clock the latest there was."""
    last = statistics.median(each.last for each in bursts)
    most = {raw.impl: (raw.max_ms or 0) / 1000 for raw in raws}
    for impl, who in (("raw", "the bot"), ("raw-superuser", "a superuser")):
        if impl in most:
            words = f"{count:,} at once, {where}: last door, 1.3 × raw SQL one by one as {who}"
            yield at_most("G8", words, last, round(most[impl] * 1.3, 2), " s")
    if count in _WITHIN:
        words = f"{count:,} at once, {where}: no access any more, the latest of {len(bursts)} times"
        yield at_most("G8", words, max(each.last for each in bursts), _WITHIN[count], " s")


def _bao_burst(stage: Stage, bao: openbao.Bao, count: int) -> Line:
    """P1: leases spread over their creation, so its ends are too; looked at every 20 ms."""
    ttl = max(5, count // 30)
    role, due, late = bao.expiring(stage.at, ttl), dict[str, float](), dict[str, float]()
    with stage.at.connect() as link:
        before = _roles(link)
        for _ in range(count):
            bao.lease(role)
            due |= dict.fromkeys(_roles(link) - before - due.keys(), time.time() + ttl)
        end = time.time() + ttl + 60
        while len(late) < count and time.time() < end:
            gone = due.keys() - _roles(link) - late.keys()
            late |= {name: time.time() - due[name] for name in gone}
            time.sleep(0.02)
    seen = list(late.values()) or [0.0]
    return measure.line(
        "burst",
        openbao.named(bao, openbao.MEMBERSHIP),
        count,
        seen,
        lost=count - len(late),
        rate=None,
        facts={"how": "leases made one after the other end one after the other"},
    )


def _roles(link: psycopg.Connection) -> set[str]:
    """OpenBao's, as they are there now."""
    query = "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'v-%'"
    return {row[0] for row in link.execute(query).fetchall()}
