"""G1 to G6: one grant, its end, many at once, and what grows with tables and with live grants."""

import functools
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from psycopg import sql

from bench import core, measure, openbao, place, ways
from bench.measure import Line, Verdict, at_least, at_most
from bench.stage import Stage, Told


def _ways(stage: Stage, at: place.Place) -> list[ways.Way]:
    found: list[Any] = [ways.Raw(at), ways.Ours(at), ways.VaultSql(at), ways.TeleportSql(at)]
    if stage.bao is not None and at is stage.at:
        found += [
            openbao.Way(stage.bao, openbao.MEMBERSHIP),
            openbao.Way(stage.bao, openbao.DIRECT),
        ]
    return found


def _turn(way: ways.Way, size: int) -> Any:
    def turn() -> Mapping[str, float]:
        began = time.perf_counter()
        held = way.grant(size)
        granted = time.perf_counter()
        way.end(held)
        return {"grant": granted - began, "end": time.perf_counter() - granted}

    return turn


def overhead(stage: Stage) -> Iterator[Told]:
    """G1 and G2: a grant and its end, beside the physical limit and the usual ways."""
    for at in (stage.at, stage.older):
        if at is None:
            continue
        with (
            ways.opened(*_ways(stage, at)) as all_ways,
            core.state(stage.folder, "sqlite", at) as url,
            core.running(at, url) as made,
        ):
            turns = {name: _turn(way, 10) for name, way in all_ways.items()}
            turns["ours-service"] = _served(made)
            rounds = stage.sizes.rounds if at is stage.at else stage.sizes.rounds // 3
            found = measure.interleave(rounds, turns)
        for step, seconds in found.items():
            yield from measure.compared(f"{step}/pg{at.version}", 10, seconds)
        if at is stage.at:
            yield from _judged(found)


def _served(made: core.Core) -> Any:
    """The same with record and audit: from the decision on, and to the proven end."""

    def turn() -> Mapping[str, float]:
        grant_id = made.approved()
        began = time.perf_counter()
        made.grants.activate(grant_id)
        made.grants.reveal(grant_id, "U0ANA")
        granted = time.perf_counter()
        made.grants.revoke_as_operator(grant_id, "bench")
        made.grants.close(grant_id)
        closed = time.perf_counter()
        made.grants.clean(grant_id)
        took = time.perf_counter() - granted
        return {"grant": granted - began, "end": took, "access-ended": closed - granted}

    return turn


def _judged(found: Mapping[str, Mapping[str, list[float]]]) -> Iterator[Verdict]:
    medians = {
        step: {name: statistics.median(seconds) for name, seconds in by.items()}
        for step, by in found.items()
    }
    grant, end = medians["grant"], medians["end"]
    for name in ("ours", "ours-service"):
        yield at_most("G1", f"grant, {name}: time over raw", grant[name] / grant["raw"], 1.5)
        yield at_most("G2", f"end, {name}: time over raw", end[name] / end["raw"], 3.0)


def lifecycles(stage: Stage) -> Iterator[Told]:
    """G3 and G6: whole lives of grants by 1, 4 and 16 clients; by 4 on the oldest server too."""
    rates: dict[tuple[str, int], float] = {}
    bad = 0
    for clients in (1, 4, 16):
        for line in _lived(stage, stage.at, clients):
            rates[line.impl, clients] = line.rate or 0
            bad += line.failed if line.impl == "ours" else 0
            yield replace(line, ratios=_over(rates, line.impl, clients))
    yield from _peers(stage, rates)
    gain = max(rates["ours", 4], rates["ours", 16]) / rates["ours", 1]
    yield at_least("G6", "rate at 4 or 16 clients over the rate at one", gain, 1.5)
    yield at_most("G6", "failures at any number of clients", bad, 0)
    if stage.older is not None:
        older = list(_lived(stage, stage.older, 4))
        yield from (replace(line, case=f"{line.case}/pg{stage.older.version}") for line in older)


def _lived(stage: Stage, at: place.Place, clients: int) -> Iterator[Line]:
    for way in _ways(stage, at):
        with ways.opened(way):
            way.end(way.grant(10))
            live = functools.partial(_live, way)
            rate, errors, why = measure.together(clients, stage.sizes.seconds, live)
        facts = {"errors": why} if why else {}
        yield Line(
            case="lifecycles",
            impl=way.name,
            n=clients,
            rate=round(rate, 1),
            failed=errors,
            facts=facts,
        )
        at.clear()


def _live(way: ways.Way, _client: int) -> None:
    way.end(way.grant(10))


def _over(rates: Mapping[tuple[str, int], float], name: str, clients: int) -> dict[str, float]:
    """A rate as a multiple of those measured before it with as many clients."""
    return {
        other: round(rates[name, clients] / rate, 2)
        for (other, number), rate in rates.items()
        if number == clients and other != name and rate
    }


def _peers(stage: Stage, rates: Mapping[tuple[str, int], float]) -> Iterator[Verdict]:
    if stage.bao is None:
        yield Verdict(goal="G3", what="beside OpenBao", figure="no wheel", bound="", met=None)
        return
    ours = rates["ours", 4]
    member, direct = rates[openbao.MEMBERSHIP, 4], rates[openbao.DIRECT, 4]
    yield at_least("G3", "lifecycles/s over OpenBao's best, 4 clients", ours / member, 2.5)
    yield at_least("G3", "lifecycles/s over OpenBao as documented", ours / direct, 6.0)


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
        found = measure.interleave(max(4, stage.sizes.rounds // 3), turns)
    for step, by in found.items():
        for name in all_ways:
            sizes = {s: by[f"{name}/{s}"] for s in place.SIZES if f"{name}/{s}" in by}
            growth = measure.slope({s: statistics.median(v) for s, v in sizes.items()})
            for size, seconds in sizes.items():
                base = statistics.median(by[f"raw/{size}"])
                yield measure.line(
                    f"{step}-by-tables", name, size, seconds, base=base, growth=growth
                )
    total = {
        size: statistics.median(
            [
                a + b
                for a, b in zip(
                    found["grant"][f"ours/{size}"], found["end"][f"ours/{size}"], strict=True
                )
            ]
        )
        for size in place.SIZES
    }
    yield at_most("G4", "grant and end, 1,000 tables over one", total[1000] / total[1], 1.3)


def live_grants(stage: Stage) -> Iterator[Told]:
    """G5: what one more grant costs among many, and what an ACL grows by."""
    with stage.fresh() as at:
        yield from _among_others(stage, at)


def _among_others(stage: Stage, at: place.Place) -> Iterator[Told]:
    totals: dict[int, float] = {}
    raws: dict[int, float] = {}
    before = at.acl_bytes()
    for count in stage.sizes.live:
        at.fill([place.fresh_id() for _ in range(count - at.live())], core.soon(3600))
        with ways.opened(ways.Raw(at), ways.Ours(at)) as all_ways:
            turns = {name: _turn(way, 10) for name, way in all_ways.items()}
            found = measure.interleave(max(5, stage.sizes.rounds // 5), turns)
        for step, by in found.items():
            yield from measure.compared(f"{step}-by-live-grants", count, by)
        sums = {
            name: statistics.median(
                [a + b for a, b in zip(found["grant"][name], found["end"][name], strict=True)]
            )
            for name in all_ways
        }
        totals[count], raws[count] = sums["ours"], sums["raw"]
    few, many = stage.sizes.live[0], stage.sizes.live[-1]
    for name, by_size in (("ours", totals), ("raw", raws)):
        yield Line(
            case="growth-by-live-grants",
            impl=name,
            n=many,
            growth=measure.slope(by_size),
            facts={str(k): round(v * 1000, 2) for k, v in by_size.items()},
        )
    words = f"grant and end, {many:,} live grants over {few}"
    yield at_most("G5", words, totals[many] / totals[few], 1.5)
    yield at_most("G5", "exponent of growth with live grants", measure.slope(totals), 0.1)
    yield at_most("G5", "the same in raw SQL, as the same bot", raws[many] / raws[few], 1.5)
    yield at_most("G5", "bytes that all ACLs grew by", at.acl_bytes() - before, 0)


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
    yield at_least("G5", "simultaneous grants on one table", len(made) + len(more), count)
    yield at_most("G5", "bytes that all ACLs grew by under them", grown, 0)


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
