"""G3 and G6: whole lives of grants by many clients at once, beside OpenBao on disk and in memory."""

import contextlib
import functools
import itertools
import statistics
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

from bench import core, measure, openbao, place, ways
from bench.cases import grants
from bench.measure import Line, Verdict, at_least, at_most
from bench.stage import Stage, Told

_TURNS = 3
_MOST = 250  # lives a second of ours with its record, for which requests are approved beforehand
_Rates = Mapping[str, list[float]]
_JUDGED = 4  # clients
_RATE = f"lifecycles/s, {_JUDGED} clients"
_SET_UPS: tuple[tuple[str, str, float | None], ...] = (  # bound
    (openbao.MEMBERSHIP, "by membership", 2.5),
    (openbao.DIRECT, "as documented", 6.0),
    (openbao.SPREAD, "by membership, spread", None),
)
_ALIKE, _EXTREME = "like with like", "extreme"
_FAIR = {  # by what OpenBao keeps: what it is to judge ours by it
    openbao.DURABLE: {
        "ours-service": (_ALIKE, "ours-service, durable,"),
        "ours": ("in our favour", "ours, which keeps no record,"),
    },
    openbao.MEMORY: {
        "ours": (_ALIKE, "ours, which keeps no record,"),
        "ours-service": (_EXTREME, "ours-service, durable,"),
    },
}
_RAWS = {
    "raw-scram": "raw SQL, a fresh verifier for each",
    "raw-superuser": "raw SQL, one verifier for all",
}


def lifecycles(stage: Stage) -> Iterator[Told]:
    """G3 and G6: whole lives of grants by 1, 4 and 16 clients; by 4 on the oldest server too."""
    rates: dict[int, _Rates] = {}
    for clients in (1, 4, 16):
        rates[clients] = yield from _lived(stage, stage.at, clients, "lifecycles")
    yield from _peers(stage.baos, rates[_JUDGED])
    most = {
        name: max(measure.ratio(rates[n][name], rates[1][name]) for n in (4, 16))
        for name in ("ours", "raw-superuser")
    }
    limit = most["raw-superuser"].value
    what = "rate at 4 or 16 clients over the rate at one"
    yield at_least("G6", what, most["ours"], 1.5, limit=limit)
    yield measure.told("G6", f"{what}: raw SQL as a superuser", limit)
    if stage.older is not None:
        yield from _lived(stage, stage.older, 4, f"lifecycles/pg{stage.older.version}")


def _lived(stage: Stage, at: place.Place, clients: int, case: str) -> Generator[Told, None, _Rates]:
    """By turns, each beginning with another; the rates of each turn by implementation."""
    errors: dict[str, list[str]] = {}
    seconds = stage.sizes.seconds / _TURNS

    def turn(make: Callable[[], ways.Way]) -> Mapping[str, float]:
        with ways.opened(way := make()):
            rate, why = measure.together(clients, seconds, functools.partial(_live, way))
        errors.setdefault(way.name, []).extend(why)
        return {"rate": rate}

    with _makers(stage, at, clients, clients + round(_MOST * seconds)) as makers:
        turns = {name: functools.partial(turn, make) for name, make in makers.items()}
        found = grants.interleaved(at, _TURNS, turns)["rate"]
    yield from _compared(case, clients, found, errors)
    if at is stage.at:
        failed = sum(len(errors.get(name, ())) for name in ("ours", core.Served.name))
        words = f"failures of {clients} {'client' if clients == 1 else 'clients'}"
        yield at_most("G6", words, failed, 0)
    return found


@contextlib.contextmanager
def _makers(
    stage: Stage, at: place.Place, clients: int, waiting: int
) -> Iterator[Mapping[str, Callable[[], ways.Way]]]:
    """What is there to be judged alone runs where it is judged. `waiting`: for ours with its record."""
    made = grants.makers(stage, at) | {
        ways.RawScram.name: functools.partial(ways.RawScram, at),
        **{
            openbao.named(bao, openbao.SPREAD): functools.partial(openbao.Spread, bao)
            for bao in stage.baos
        },
    }
    if at is not stage.at or clients != _JUDGED:
        only = (f"{openbao.SPREAD}/", f"{openbao.DIRECT}/{openbao.DURABLE}")
        yield {name: make for name, make in made.items() if not name.startswith(only)}
        return
    with core.state(stage.folder, "sqlite", at) as url, core.running(at, url) as service:
        served = core.Served(service)
        yield made | {served.name: functools.partial(_ready, served, waiting)}


def _ready(way: core.Served, waiting: int) -> ways.Way:
    """The decisions are taken before the time begins."""
    way.approve(waiting)
    return way


def _live(way: ways.Way, _client: int) -> None:
    way.end(way.grant(10))


def _compared(
    case: str, clients: int, found: _Rates, errors: Mapping[str, Sequence[str]]
) -> Iterator[Line]:
    """Each with its rate as a multiple of every other's."""
    rates = {name: statistics.median(each) for name, each in found.items()}
    for name, rate in rates.items():
        yield Line(
            case=case,
            impl=name,
            n=clients,
            samples=_TURNS,
            rate=round(rate, 1),
            ratios={other: round(rate / r, 2) for other, r in rates.items() if other != name and r},
            failed=len(errors[name]),
            facts={"errors": ", ".join(sorted(set(errors[name])))} if errors[name] else {},
        )


def _peers(baos: Sequence[openbao.Bao], rates: _Rates) -> Iterator[Verdict]:
    """G3: like with like, and what else there is; and what the statements alone reach of it, for no
    order of our own work gets beyond that.
    """
    if not baos:
        what = "lifecycles/s beside OpenBao, whose wheel cannot be had here"
        yield Verdict(goal="G3", what=what, figure="", bound="", met=None)
        return
    for (role, set_up, bound), bao in itertools.product(_SET_UPS, baos):
        yield from _beside(bao, role, set_up, bound, rates)


def _beside(
    bao: openbao.Bao, role: str, set_up: str, bound: float | None, rates: _Rates
) -> Iterator[Verdict]:
    theirs = rates[openbao.named(bao, role)]
    limit = measure.ratio(rates["raw-scram"], theirs).value
    over = f"over {openbao.WORDS[bao.kept]}, {set_up}: {_RATE}"
    for name, (fair, words) in _FAIR[bao.kept].items():
        what, found = f"{fair}: {words} {over}", measure.ratio(rates[name], theirs)
        if bound is not None and fair != _EXTREME:
            yield at_least("G3", what, found, bound, limit=limit, by=_RAWS["raw-scram"])
        elif bound is not None or fair == _ALIKE:
            yield measure.told("G3", what, found.value)
    if bound is not None and bao.kept == openbao.MEMORY:
        for name, words in _RAWS.items():
            yield measure.told("G3", f"{words}, {over}", measure.ratio(rates[name], theirs).value)
