"""G1, G2, G4 and G5: one grant, its end, and what grows with tables and with live grants."""

import contextlib
import functools
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from psycopg import sql

from bench import core, measure, openbao, place, ways, wire
from bench.measure import Line, Verdict, at_least, at_most
from bench.stage import GOAL, Stage, Told

_CLOSED = "access-ended"  # nobody can log in, nobody is logged in, and that is on the record
_WALKS = 4  # rounds of raw SQL as the bot among many live grants
_DIRECT = {ways.VaultSql.name, openbao.DIRECT}
_RAWS = {"raw": "the bot", "raw-superuser": "a superuser"}
_LEAST = "raw SQL with the least record"
_JUDGED = (  # goal, step, the step of raw SQL it is measured by, bound
    ("G1", "grant", "grant", 1.5),
    ("G2", "end", "end", 3.0),
    ("G2", _CLOSED, "end", 3.0),
)


def makers(stage: Stage, at: place.Place) -> dict[str, Callable[[], ways.Way]]:
    """What makes each way that keeps no record of ours, by its name."""
    plain: list[Any] = [
        ways.Raw,
        ways.RawSuperuser,
        ways.Ours,
        ways.VaultSql,
        ways.TeleportSql,
    ]
    found: dict[str, Callable[[], ways.Way]] = {
        way.name: functools.partial(way, at) for way in plain
    }
    if at is stage.at:
        for bao, role in itertools.product(stage.baos, (openbao.MEMBERSHIP, openbao.DIRECT)):
            found[openbao.named(bao, role)] = functools.partial(openbao.Way, bao, role)
    return found


def _turn(way: ways.Way, size: int) -> Any:
    def turn() -> Mapping[str, float]:
        began = time.perf_counter()
        held = way.grant(size)
        granted = time.perf_counter()
        way.end(held)
        return {"grant": granted - began, "end": time.perf_counter() - granted}

    return turn


def interleaved(
    at: place.Place, rounds: int, turns: Mapping[str, measure.Turn]
) -> dict[str, dict[str, list[float]]]:
    """By turns; apart from the rest, and after it, what changes privileges of tables themselves.

    Each such end rewrites the catalogue's rows of all tables of the schema: what is proven of others
    by reading these would take longer while that goes on, in our ways alone.
    """
    changing = {name for name in turns if name.split("/")[0] in _DIRECT}
    at.clear()
    found = measure.interleave(rounds, {n: t for n, t in turns.items() if n not in changing})
    for step, by in measure.interleave(
        rounds, {n: turns[n] for n in turns if n in changing}
    ).items():
        found[step] |= by
    at.clear()
    return found


def overhead(stage: Stage) -> Iterator[Told]:
    """G1 and G2: a grant and its end, beside the physical limit and the usual ways."""
    for at in (stage.at, stage.older):
        if at is None:
            continue
        with (
            ways.opened(*(make() for make in makers(stage, at).values())) as all_ways,
            contextlib.closing(ways.RawRecorded(at, _least(stage, at))) as least,
            core.state(stage.folder, "sqlite", at) as url,
            core.running(at, url) as made,
        ):
            turns = {name: _turn(way, 10) for name, way in all_ways.items()}
            turns[core.Served.name] = _served(core.Served(made))
            turns[least.name] = functools.partial(_in_steps, least)
            rounds = stage.sizes.rounds if at is stage.at else stage.sizes.rounds // 3
            found = interleaved(at, rounds, turns)
        for step, seconds in found.items():
            yield from measure.compared(f"{step}/pg{at.version}", 10, seconds)
        if at is stage.at:
            yield from _judged(found)
            yield from _turns(at)


def _served(way: core.Served) -> measure.Turn:
    """The same with record and audit: from the decision on, and to the proven end."""

    def turn() -> Mapping[str, float]:
        way.approve(1)
        return _in_steps(way)

    return turn


def _least(stage: Stage, at: place.Place) -> Path:
    return stage.folder / f"recorded-{at.version}.sqlite3"


def _in_steps(way: ways.Stepped) -> Mapping[str, float]:
    """What keeps a record tells too when access has ended."""
    began = time.perf_counter()
    held = way.grant(10)
    granted = time.perf_counter()
    way.shut(held)
    closed = time.perf_counter()
    way.drop(held)
    took = time.perf_counter() - granted
    return {"grant": granted - began, "end": took, _CLOSED: closed - granted}


def _judged(found: Mapping[str, Mapping[str, list[float]]]) -> Iterator[Verdict]:
    """A service can do no better than the least that is recorded."""
    for goal, step, whole, bound in _JUDGED:
        what = f"{step}, {{}}: time over raw SQL{'' if step == whole else ' for all of it'} as {{}}"
        by, least = found[step], ways.RawRecorded.name
        for name, (raw, who) in itertools.product(("ours", "ours-service"), _RAWS.items()):
            if name in by:
                base = found[whole][raw]
                limit = measure.ratio(by[least], base).value if name != "ours" else None
                over, words = measure.ratio(by[name], base), what.format(name, who)
                yield at_most(goal, words, over, bound, limit=limit, by=_LEAST)
        for raw, who in _RAWS.items():
            over = measure.ratio(by[least], found[whole][raw])
            yield measure.told(goal, what.format(_LEAST, who), over.value)


def _turns(at: place.Place) -> Iterator[Verdict]:
    """Waits for the network, once connections are made and queries prepared."""
    counts: dict[str, int] = {}
    with (
        wire.relayed(at.server.port) as relay,
        ways.opened(ways.Ours(at, relay.url(at.bot_url))) as w,
    ):
        held: list[Any] = []
        for _ in range(2):
            counts["G1"] = wire.counted(at, relay, lambda: held.append(w["ours"].grant(10))).turns
            counts["G2"] = wire.counted(at, relay, lambda: w["ours"].end(held.pop())).turns
    yield at_most("G1", "grant, ours: turns on the target's wire", counts["G1"], 4, exact=True)
    yield measure.told("G2", "end, ours: turns on the target's wire", counts["G2"])


def tables(stage: Stage) -> Iterator[Told]:
    """G4: what a grant and its end cost for 1, 10, 100 and 1,000 tables."""
    chosen: list[ways.Way] = [ways.Raw(stage.at), ways.Ours(stage.at), ways.VaultSql(stage.at)]
    with ways.opened(*chosen) as all_ways:
        turns = {
            f"{name}/{size}": _turn(way, size)
            for name, way in all_ways.items()
            for size in place.SIZES
            if name != "vault-sql" or size <= 100 or stage.sizes.rounds > 20
        }
        found = interleaved(stage.at, max(4, stage.sizes.rounds // 3), turns)
    for step, by in found.items():
        for name in all_ways:
            sizes = {s: by[f"{name}/{s}"] for s in place.SIZES if f"{name}/{s}" in by}
            growth = measure.slope({s: statistics.median(v) for s, v in sizes.items()})
            for size, seconds in sizes.items():
                base = statistics.median(by[f"raw/{size}"])
                yield measure.line(
                    f"{step}-by-tables", name, size, seconds, base=base, growth=growth
                )
    few, many = (_whole(found, f"ours/{size}") for size in (place.SIZES[0], place.SIZES[-1]))
    yield at_most("G4", "grant and end, 1,000 tables over one", measure.ratio(many, few), 1.3)


def _whole(found: Mapping[str, Mapping[str, list[float]]], name: str) -> list[float]:
    """Grant and end together, round by round."""
    return [a + b for a, b in zip(found["grant"][name], found["end"][name], strict=True)]


def live_grants(stage: Stage) -> Iterator[Told]:
    """G5: what one more grant costs among many, and what an ACL grows by."""
    with stage.fresh() as at:
        yield from _among_others(stage, at)


def _among_others(stage: Stage, at: place.Place) -> Iterator[Told]:
    totals: dict[str, dict[int, list[float]]] = {}
    before, sizes = at.acl_bytes(), stage.sizes.live
    for count in sizes:
        more = [place.fresh_id() for _ in range(count - at.live())]
        at.fill(more, core.soon(3600), administered=True)
        found = _in_turn(at, max(5, stage.sizes.rounds // 5), ways.RawSuperuser, ways.Ours)
        # The walk through them all takes seconds, and leaves the others' caches cold.
        for step, by in _in_turn(at, _WALKS, ways.Raw).items():
            found[step] |= by
        for step, by in found.items():
            yield from measure.compared(f"{step}-by-live-grants", count, by)
        for name in found["grant"]:
            totals.setdefault(name, {})[count] = _whole(found, name)
    growth: dict[str, float] = {}
    for name, by_size in totals.items():
        medians = {count: statistics.median(seconds) for count, seconds in by_size.items()}
        growth[name] = measure.slope(medians)
        facts = {f"ms at {count:,}": round(v * 1000, 2) for count, v in medians.items()}
        case = "growth-by-live-grants"
        yield Line(case=case, impl=name, n=sizes[-1], growth=growth[name], facts=facts)
    words, size = (
        f"grant and end, {sizes[-1]:,} live grants over {sizes[0]}",
        (sizes[-1], GOAL.live[-1]),
    )
    over = {name: measure.ratio(by[sizes[-1]], by[sizes[0]]) for name, by in totals.items()}
    limit = over["raw-superuser"].value
    yield at_most("G5", words, over["ours"], 1.5, size=size, limit=limit)
    for name, who in _RAWS.items():
        yield measure.told("G5", f"the same in raw SQL as {who}", over[name].value)
    what = "exponent of growth with live grants"
    yield at_most("G5", what, growth["ours"], 0.1, size=size)
    yield at_most("G5", "bytes that all ACLs grew by", at.acl_bytes() - before, 0, size=size)


def _in_turn(at: place.Place, rounds: int, *chosen: Any) -> dict[str, dict[str, list[float]]]:
    with ways.opened(*(way(at) for way in chosen)) as all_ways:
        turns = {name: _turn(way, 10) for name, way in all_ways.items()}
        return measure.interleave(rounds, turns)


def at_once(stage: Stage) -> Iterator[Told]:
    """G5: thousands of simultaneous grants on one table, by ours and by direct grants."""
    with stage.fresh() as at:
        yield from _crowded(stage, at)
        yield from _direct_at_once(at, stage.sizes.at_once)


def _crowded(stage: Stage, at: place.Place) -> Iterator[Told]:
    count, before = stage.sizes.at_once, at.acl_bytes()
    with ways.opened(ways.Ours(at)) as found:
        made = at.fill([place.fresh_id() for _ in range(count - 20)], core.soon(3600), 1)
        more = [found["ours"].grant(1) for _ in range(20)]
        live = at.live()
        grown = at.acl_bytes() - before
        for held in more:
            found["ours"].end(held)
    yield Line(case="at-once", impl="ours", n=count, lost=count - live, facts={"acl_bytes": grown})
    size, together = (count, GOAL.at_once), len(made) + len(more)
    what = "simultaneous grants on one table"
    yield at_least("G5", what, together, count, exact=True, size=size)
    yield at_most("G5", "bytes that all ACLs grew by under them", grown, 0, size=size)


def _direct_at_once(at: place.Place, count: int) -> Iterator[Told]:
    """Where direct grants end: pg_class has no TOAST table."""
    made, why = 0, ""
    with at.connect() as admin:
        admin.execute("CREATE TABLE app.crowded (id int)")
        try:
            for made in range(count):
                admin.execute(sql.SQL(_CROWD).format(n=sql.SQL(str(made))))
        except Exception as error:
            why = str(error).splitlines()[0]
        admin.execute("DROP TABLE app.crowded")
    yield Line(case="at-once", impl="vault-sql", n=count, lost=count - made, facts={"why": why})


_CROWD = "CREATE ROLE raw_crowd_{n} NOLOGIN; GRANT SELECT ON app.crowded TO raw_crowd_{n}"
