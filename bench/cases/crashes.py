"""G9 and G10: killed in the middle of it, ten minutes down, several processes on one record."""

import functools
import statistics
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bench import core, jobs, measure, place
from bench.measure import at_least, at_most
from bench.stage import GOAL, Stage, Told
from bot import store

_PROCESSES = (1, 2, 4)
_ROUNDS = 3  # of starting so many of them
_IN_A_ROW = 4  # bursts that they end each time: a single one is over in a quarter of a second
_FILLED = 700  # grants a second that a record and a server are filled with, at least


def crashes(stage: Stage) -> Iterator[Told]:
    """G9 and G10: killed in the middle, ten minutes down, several processes on one record."""
    yield from _killed(stage)
    yield from _down(stage)
    yield from _replicas(stage)


def _killed(stage: Stage) -> Iterator[Told]:
    """Once while doors are being shut, then while roles are being removed."""
    count = stage.sizes.killed
    with _due_soon(stage, count) as (kept, ids, service):
        deadline = kept.grant(ids[0]).expires_at
        shut: list[int] = []  # at each kill
        for part in (0.0, 0.2, 0.5, 0.8):
            enough = functools.partial(_enough, kept, ids, part)
            core.wait(enough, 120 + count / 100, 0.02)
            service.kill()
            shut.append(_shut(kept, count))
            service.start()
        core.wait(lambda: not core.live(kept, ids), 120, 0.1)
        took = (datetime.now(UTC) - deadline).total_seconds()
        service.close()
        late, lost, doubled = core.ended(kept, ids)
        core.prove(kept, stage.at)
    lost += stage.at.live()
    yield measure.line(
        "killed",
        "ours/sqlite",
        count,
        late,
        rate=None,
        lost=lost,
        doubled=doubled,
        facts={
            "kills": len(shut),
            "shut at each": ", ".join(map(str, shut)),
            "all over s": round(took, 2),
        },
    )
    words, size = f"{count:,} ends, killed {len(shut)} times: lost or doubled", (count, GOAL.killed)
    yield at_most("G9", words, lost + doubled, 0, size=size)


class _Service:
    """A service in a process of its own, which does not outlive the case."""

    def __init__(self, at: place.Place, url: str) -> None:
        self._at = at
        self._url = url
        self.start()

    def start(self) -> None:
        """Serve the record; returns when it does."""
        self._process = core.spawn(self._at, self._url)

    def kill(self) -> None:
        """End it as a crash would: no goodbye."""
        self._process.kill()
        self.close()

    def close(self) -> None:
        """End it in order, unless it is dead."""
        core.finish(self._process)


@contextmanager
def _due_soon(stage: Stage, count: int) -> Iterator[tuple[store.Store, list[str], _Service]]:
    """A record of so many that are not due yet, and the service that will end them.

    A busy machine may take longer for that than until they are due. Then it is given twice the time.
    """
    seconds = 4 + count / 300
    while True:
        with core.state(stage.folder, "sqlite", stage.at) as url, core.opened(url) as kept:
            deadline = core.soon(seconds)
            ids = core.record(kept, stage.at, count, deadline)
            with closing(_Service(stage.at, url)) as service:
                if datetime.now(UTC) < deadline:
                    yield kept, ids, service
                    return
        stage.at.clear()
        seconds *= 2


def _enough(kept: store.Store, ids: Sequence[str], part: float) -> bool:
    """Whether it is time to kill: when the first door is shut, or so many are over and done with."""
    return core.over(kept, ids) >= len(ids) * part if part else _shut(kept, len(ids)) > 0


def _shut(kept: store.Store, most: int) -> int:
    """How many have lost their access by now; nobody else's is on that record."""
    return sum(each.access_ended_at is not None for each in kept.grants(limit=most))


def _down(stage: Stage) -> Iterator[Told]:
    """The deadline passed ten minutes before the start."""
    count = stage.sizes.bursts[0]
    for kind in core.KINDS:
        with core.state(stage.folder, kind, stage.at) as url, core.running(stage.at, url) as made:
            past = datetime.now(UTC) - timedelta(minutes=10)
            ids = core.record(made.store, stage.at, count, past)
            began = datetime.now(UTC)
            made.service.start()
            core.wait(lambda made=made, ids=ids: not core.live(made.store, ids), 120, 0.05)
            grants = [made.store.grant(each) for each in ids]
            took = [
                (g.access_ended_at - began).total_seconds() for g in grants if g.access_ended_at
            ]
            _, lost, doubled = core.ended(made.store, ids)
        lost += stage.at.live()
        yield measure.line(
            "downtime", f"ours/{kind}", count, took, rate=None, lost=lost, doubled=doubled
        )
        size = (count, GOAL.bursts[0])
        words = f"ten minutes down, {kind}, {count} due: lost or doubled"
        yield at_most("G9", words, lost + doubled, 0, size=size)
        words = f"ten minutes down, {kind}: all doors shut after the start"
        yield at_most("G9", words, max(took), 1 + count / 50, " s", size=size)
    for grace in (1, None):
        yield jobs.due(stage, count, grace, down=3.0)


def _replicas(stage: Stage) -> Iterator[Told]:
    """G10: several processes serve one record on PostgreSQL; one and four by turns, and two."""
    count, size = stage.sizes.bursts[1], (stage.sizes.bursts[1], GOAL.bursts[1])
    found: dict[int, list[_Served]] = {number: [] for number in _PROCESSES}
    rounds = min(_ROUNDS, stage.sizes.repeats)
    for number in (*measure.by_turns(rounds, _PROCESSES[::2]), _PROCESSES[1]):
        found[number].append(_served(stage, number, count))
    lasts = {
        number: [max(late) for each in served for late in each.late]
        for number, served in found.items()
    }
    for number, served in found.items():
        trouble = [each.lost + each.doubled + each.dead for each in served]
        yield measure.line(
            "replicas",
            f"ours×{number}",
            count,
            [seconds for each in served for late in each.late for seconds in late],
            rate=round(count / statistics.median(lasts[number]), 1),
            lost=sum(each.lost for each in served),
            doubled=sum(each.doubled for each in served),
            failed=sum(each.dead for each in served),
            facts={"last door s, by turn": ", ".join(f"{last:.2f}" for last in lasts[number])},
        )
        many = "process" if number == 1 else "processes"
        words = f"{number} {many} on one record: lost, doubled or dead"
        yield at_most("G10", words, sum(trouble), 0, size=size)
    four = measure.ratio(lasts[1], lasts[4])
    yield at_least("G10", "rate of four over the rate of one", four, 0.9, size=size)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Served:
    """What came of some bursts."""

    late: Sequence[Sequence[float]]  # burst by burst
    lost: int
    doubled: int
    dead: int  # processes


def _served(stage: Stage, number: int, count: int) -> _Served:
    """So many processes end so many grants in one instant, again and again. The first time they connect
    and prepare what they have to say, which is not what is compared.
    """
    with core.state(stage.folder, "postgresql", stage.at) as url, core.opened(url) as kept:
        processes = [core.spawn(stage.at, url) for _ in range(number)]
        bursts = [_ended_at_once(stage, kept, count) for _ in range(1 + _IN_A_ROW)]
        dead = sum(process.poll() is not None for process in processes)
        for process in processes:
            core.finish(process)
        found = [core.ended(kept, ids) for ids in bursts]
        core.prove(kept, stage.at)
    left = stage.at.live()
    stage.at.clear()
    return _Served(
        late=[late for late, _, _ in found[1:]],
        lost=sum(lost for _, lost, _ in found) + left,
        doubled=sum(doubled for _, _, doubled in found),
        dead=dead,
    )


def _ended_at_once(stage: Stage, kept: store.Store, count: int) -> list[str]:
    """So many that were due in one instant and are over. A busy machine may take longer to set them up
    than until they are due: then others, with twice the time.
    """
    seconds = 2 + count / _FILLED
    while True:
        deadline = core.soon(seconds)
        ids = core.record(kept, stage.at, count, deadline)
        in_time = datetime.now(UTC) < deadline
        core.wait(functools.partial(_over, kept, ids), 120, 0.05)
        if in_time:
            return ids
        seconds *= 2


def _over(kept: store.Store, ids: Sequence[str]) -> bool:
    return not core.live(kept, ids)
