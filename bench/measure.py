"""Timing: interleaved rounds, and what is told of them. Only ratios within one run mean anything."""

import math
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

RAW = "raw"

Turn = Callable[[], Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What was measured of one implementation in one case. Times in milliseconds."""

    case: str
    impl: str
    n: int  # the size of the case: tables, live grants, clients, ends …
    samples: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    max_ms: float | None = None
    rate: float | None = None  # per second
    ratios: Mapping[str, float] = field(default_factory=dict)  # to raw and to each peer
    growth: float | None = None  # slope of log time over log n
    lost: int = 0
    doubled: int = 0
    failed: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)  # what only this case can tell

    def told(self) -> dict[str, Any]:
        """As JSON, without what is not known."""
        return {key: value for key, value in asdict(self).items() if value not in (None, {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a goal is met, with its figure. `met` None: it could not be measured here."""

    goal: str
    what: str
    figure: str
    bound: str
    met: bool | None

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def interleave(rounds: int, turns: Mapping[str, Turn]) -> dict[str, dict[str, list[float]]]:
    """Seconds by step and implementation, the first tenth of the rounds left out.

    Every round runs every implementation once, each time beginning with another, so that whatever
    slows the machine for a while slows all alike. A turn returns the seconds of each of its steps.
    """
    found: dict[str, dict[str, list[float]]] = {}
    names = list(turns)
    skipped = math.ceil(rounds / 10)
    for number in range(rounds + skipped):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            took = turns[name]()
            if number >= skipped:
                for step, seconds in took.items():
                    found.setdefault(step, {}).setdefault(name, []).append(seconds)
    return found


def line(
    case: str,
    impl: str,
    n: int,
    seconds: Sequence[float],
    *,
    base: float | None = None,
    **more: Any,
) -> Line:
    """Median and p95 of single operations; `base`: raw's median in seconds, for the ratio."""
    p50 = statistics.median(seconds)
    ratios = dict(more.pop("ratios", {}))
    if base:
        ratios[RAW] = round(p50 / base, 2)
    return Line(
        case=case,
        impl=impl,
        n=n,
        samples=len(seconds),
        p50_ms=_ms(p50),
        p95_ms=_ms(percentile(seconds, 95)),
        max_ms=_ms(max(seconds)),
        ratios=ratios,
        **{"rate": round(1 / p50, 1) if p50 else None, **more},
    )


def compared(case: str, n: int, found: Mapping[str, Sequence[float]], **more: Any) -> list[Line]:
    """A line for each implementation, with its ratio to every other's median (ours is told last)."""
    medians = {name: statistics.median(seconds) for name, seconds in found.items()}
    return [
        line(
            case,
            name,
            n,
            seconds,
            ratios={
                other: round(medians[name] / m, 2) for other, m in medians.items() if other != name
            },
            **more,
        )
        for name, seconds in found.items()
    ]


def percentile(seconds: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` of all do not exceed."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, math.ceil(len(ordered) * percent / 100) - 1)]


def slope(points: Mapping[int, float]) -> float:
    """The exponent by which a time grows with its size: least squares over the logarithms."""
    xs = [math.log(size) for size in points]
    ys = [math.log(value) for value in points.values()]
    mean_x, mean_y = statistics.fmean(xs), statistics.fmean(ys)
    over = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return round(over / sum((x - mean_x) ** 2 for x in xs), 3)


def timed(work: Callable[[], Any]) -> float:
    """Seconds that `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def together(
    clients: int, seconds: float, work: Callable[[int], None]
) -> tuple[float, int, list[str]]:
    """Let `clients` threads repeat `work(client)`: done per second, how many failed, and of what."""
    done, errors = [0] * clients, []
    gate = threading.Barrier(clients + 1)
    end = [math.inf]

    def run(client: int) -> None:
        gate.wait()
        while time.perf_counter() < end[0]:
            try:
                work(client)
                done[client] += 1
            except Exception as error:
                errors.append(f"{type(error).__name__}: {error}".splitlines()[0])

    threads = [threading.Thread(target=run, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    began = time.perf_counter()
    end[0] = began + seconds
    gate.wait()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - began), len(errors), errors[:3]


def at_most(goal: str, what: str, value: float, bound: float, unit: str = "") -> Verdict:
    """The goal that a figure is not above a bound."""
    return _judged(goal, what, value, f"≤ {bound:g}{unit}", unit, met=value <= bound)


def at_least(goal: str, what: str, value: float, bound: float, unit: str = "") -> Verdict:
    """The goal that a figure is not below a bound."""
    return _judged(goal, what, value, f"≥ {bound:g}{unit}", unit, met=value >= bound)


def _judged(goal: str, what: str, value: float, bound: str, unit: str, *, met: bool) -> Verdict:
    figure = f"{value:,.2f}".removesuffix(".00")
    return Verdict(goal=goal, what=what, figure=f"{figure}{unit}", bound=bound, met=met)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
