"""Timing: interleaved rounds, and what is told of them. Only ratios within one run mean anything."""

import math
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

RAW = "raw"
_DRAWS = 400
_CLOSE = 0.05  # of the bound

Turn = Callable[[], Mapping[str, float]]
Name = TypeVar("Name")


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


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Ratio:
    """One median over another, and where 95 of 100 repetitions of the rounds would find it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a goal is met, with its figure and what has to be known to read it.

    `met` None: undecided, or told for information (then there is no bound), or not to be measured here
    (then there is no figure).
    """

    goal: str
    what: str
    figure: str
    bound: str
    met: bool | None
    note: str = ""

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {key: value for key, value in asdict(self).items() if key != "note" or value}


def standing(told: Mapping[str, Any]) -> str:
    """In a word, what a verdict says, as it is told."""
    if told["met"] is not None:
        return "met" if told["met"] else "not met"
    if not told["figure"]:
        return "not measured"
    return "undecided" if told["bound"] else "for information"


def by_turns(rounds: int, names: Sequence[Name]) -> Iterator[Name]:
    """Each name once in every round, each round beginning with another."""
    for number in range(rounds):
        first = number % len(names)
        yield from (*names[first:], *names[:first])


def interleave(rounds: int, turns: Mapping[str, Turn]) -> dict[str, dict[str, list[float]]]:
    """Seconds by step and implementation, the first tenth of the rounds left out.

    Every round runs every implementation once, each time beginning with another, so that whatever
    slows the machine for a while slows all alike. A turn returns the seconds of each of its steps.
    """
    found: dict[str, dict[str, list[float]]] = {}
    names = list(turns)
    skipped = math.ceil(rounds / 10)
    for number, name in enumerate(by_turns(rounds + skipped, names)):
        took = turns[name]()
        if number >= skipped * len(names):
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
    return round(_slope(points), 3)


def growth(by_size: Mapping[int, Sequence[float]]) -> Ratio:
    """That exponent of the medians; its interval as `ratio` has it."""
    dice, drawn = random.Random(len(by_size)), []
    for _ in range(_DRAWS):
        found = {n: statistics.median(dice.choices(s, k=len(s))) for n, s in by_size.items()}
        drawn.append(_slope(found))
    value = _slope({size: statistics.median(seconds) for size, seconds in by_size.items()})
    return Ratio(value=value, low=percentile(drawn, 2.5), high=percentile(drawn, 97.5))


def _slope(points: Mapping[int, float]) -> float:
    xs = [math.log(size) for size in points]
    ys = [math.log(value) for value in points.values()]
    mean_x, mean_y = statistics.fmean(xs), statistics.fmean(ys)
    over = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return over / sum((x - mean_x) ** 2 for x in xs)


def timed(work: Callable[[], Any]) -> float:
    """Seconds that `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def together(clients: int, seconds: float, work: Callable[[int], None]) -> tuple[float, list[str]]:
    """Let `clients` threads repeat `work(client)`: done per second, and why others failed.

    Each has done it once before the time begins, so that nobody connects in it.
    """
    done, errors = [0] * clients, []
    began = [0.0]
    gate = threading.Barrier(clients, action=lambda: began.append(time.perf_counter()))

    def once(client: int) -> None:
        try:
            work(client)
            done[client] += 1
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}".splitlines()[0])

    def run(client: int) -> None:
        once(client)
        done[client] = 0
        gate.wait()
        while time.perf_counter() < began[-1] + seconds:
            once(client)

    threads = [threading.Thread(target=run, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - began[-1]), errors


def ratio(over: Sequence[float], under: Sequence[float]) -> Ratio:
    """The ratio of two medians over the same rounds; its interval by drawing rounds again and again."""
    dice, drawn = random.Random(len(over)), []
    for _ in range(_DRAWS):
        rounds = [dice.randrange(len(over)) for _ in over]
        drawn.append(_of([over[n] for n in rounds], [under[n % len(under)] for n in rounds]))
    low, high = percentile(drawn, 2.5), percentile(drawn, 97.5)
    return Ratio(value=_of(over, under), low=low, high=high)


def _of(over: Sequence[float], under: Sequence[float]) -> float:
    below = statistics.median(under)
    return statistics.median(over) / below if below else math.inf


def at_most(
    goal: str, what: str, value: float | Ratio, bound: float, unit: str = "", **more: Any
) -> Verdict:
    """The goal that a figure is not above a bound; `more` as in `_judged`."""
    met = (value.value if isinstance(value, Ratio) else value) <= bound
    return _judged(goal, what, value, bound, f"≤ {_number(bound)}{unit}", unit, met=met, **more)


def at_least(
    goal: str, what: str, value: float | Ratio, bound: float, unit: str = "", **more: Any
) -> Verdict:
    """The goal that a figure is not below a bound; `more` as in `_judged`."""
    met = (value.value if isinstance(value, Ratio) else value) >= bound
    return _judged(goal, what, value, bound, f"≥ {_number(bound)}{unit}", unit, met=met, **more)


def told(goal: str, what: str, value: float, unit: str = "", note: str = "") -> Verdict:
    """What helps to read a goal, without a bound of its own."""
    return Verdict(
        goal=goal, what=what, figure=f"{_number(value)}{unit}", bound="", met=None, note=note
    )


def _judged(
    goal: str,
    what: str,
    value: float | Ratio,
    bound: float,
    words: str,
    unit: str,
    *,
    met: bool,
    exact: bool = False,
    size: tuple[int, int] | None = None,
    limit: float | None = None,
    by: str = "raw SQL itself",
) -> Verdict:
    """`exact`: counted, not timed. `size`: the one it was run at, and the one the goal names. `limit`:
    what raw SQL reaches, `by` which way, and so the most, or least, that can be had at all.

    Undecided is what was met at a smaller size than the goal's, and a time or rate that noise may have
    put on its side of the bound: the bound is in its interval, or where it has none, within 5 % of it.
    """
    notes, decided = [], met if exact or not _is_close(value, bound) else None
    if decided is None:
        notes.append("too close to its bound for one run")
    if size is not None and size[0] < size[1]:
        notes.append(f"run with {size[0]:,}, the goal is for {size[1]:,}")
        decided = False if decided is False else None
    side = "above" if words.startswith("≥") else "below"
    if limit is not None and (bound > limit if side == "above" else bound < limit):
        notes.append(f"the goal lies {side} what {by} reaches here, {_number(limit)}")
    figure = f"{_number(value.value if isinstance(value, Ratio) else value)}{unit}"
    if isinstance(value, Ratio):
        figure += f" ({_number(value.low)} to {_number(value.high)})"
    return Verdict(
        goal=goal, what=what, figure=figure, bound=words, met=decided, note="; ".join(notes)
    )


def _is_close(value: float | Ratio, bound: float) -> bool:
    if isinstance(value, Ratio):
        return value.low <= bound <= value.high
    return abs(value - bound) < _CLOSE * bound


def _number(value: float) -> str:
    return f"{value:,.2f}".removesuffix(".00")


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
