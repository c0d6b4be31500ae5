"""G2, for information: a grant and its end beside others who give tables directly, in one database."""

import functools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import psycopg
from psycopg import sql

from bench import measure, place, ways
from bench.stage import Stage, Told

_BLOCKS = 3  # of each neighbour, in turn, every one from vacuumed catalogues on
_ALONE, _DIRECT = "nobody", "direct grants"
_ROLE = "raw_neighbour"  # a name that `Place.clear` drops
_TEN = ", ".join(f"app.t{n}" for n in range(10))
# What a direct grant and its revocation consist of, each by itself.
_PARTS = {
    "USAGE on the schema": (
        f"GRANT USAGE ON SCHEMA app TO {_ROLE}",
        f"REVOKE USAGE ON SCHEMA app FROM {_ROLE}",
    ),
    "SELECT on ten tables": (
        f"GRANT SELECT ON {_TEN} TO {_ROLE}",
        f"REVOKE SELECT ON {_TEN} FROM {_ROLE}",
    ),
    "REVOKE on all tables": (f"REVOKE ALL ON ALL TABLES IN SCHEMA app FROM {_ROLE}",),
}
_Seconds = dict[str, dict[str, list[float]]]  # by step and implementation


def beside(stage: Stage) -> Iterator[Told]:
    """G2: a grant and its end beside direct grants that come and go, and which part of those costs it."""
    rounds = max(4, stage.sizes.rounds // _BLOCKS)
    found: dict[str, _Seconds] = {}
    with (
        ways.opened(ways.RawSuperuser(stage.at), ways.Ours(stage.at)) as chosen,
        ways.opened(ways.VaultSql(stage.at)) as others,
        stage.at.connect() as admin,
    ):
        neighbours = _neighbours(others["vault-sql"], admin)
        for _ in range(_BLOCKS):
            for name, neighbour in neighbours.items():
                _prepared(stage.at, admin)
                turns = {way: _turn(each, neighbour) for way, each in chosen.items()}
                _add(found.setdefault(name, {}), measure.interleave(rounds, turns))
        stage.at.clear()
    for name, seconds in found.items():
        for step, by in seconds.items():
            yield from measure.compared(f"{step}, beside {name}", 10, by)
    yield from _told(found)


def _neighbours(direct: ways.Way, admin: psycopg.Connection) -> Mapping[str, Callable[[], None]]:
    def parts(statements: tuple[str, ...]) -> None:
        for each in statements:
            admin.execute(sql.SQL(each))

    def whole() -> None:
        direct.end(direct.grant(10))

    each = {name: functools.partial(parts, steps) for name, steps in _PARTS.items()}
    return {_ALONE: lambda: None, **each, _DIRECT: whole}


def _prepared(at: place.Place, admin: psycopg.Connection) -> None:
    """Catalogues without dead rows, and somebody to whom parts are given."""
    at.clear()
    admin.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(_ROLE)))


def _turn(way: ways.Way, neighbour: Callable[[], None]) -> measure.Turn:
    """One grant and its end; before each, somebody else's came and went."""

    def turn() -> Mapping[str, float]:
        neighbour()
        began = time.perf_counter()
        held: Any = way.grant(10)
        granted = time.perf_counter()
        neighbour()
        ending = time.perf_counter()
        way.end(held)
        return {"grant": granted - began, "end": time.perf_counter() - ending}

    return turn


def _add(found: _Seconds, more: _Seconds) -> None:
    for step, by in more.items():
        for way, seconds in by.items():
            found.setdefault(step, {}).setdefault(way, []).extend(seconds)


def _told(found: Mapping[str, _Seconds]) -> Iterator[Told]:
    alone = found[_ALONE]["end"]
    for name, seconds in found.items():
        if name == _ALONE:
            continue
        for way, words in (("ours", "ours"), ("raw-superuser", "raw SQL as a superuser")):
            over = measure.ratio(seconds["end"][way], alone[way]).value
            what = f"end beside {name}, {words}: time over the same beside nobody"
            yield measure.told("G2", what, over)
    by = found[_DIRECT]["end"]
    over = statistics.median(by["ours"]) / statistics.median(by["raw-superuser"])
    what = f"end beside {_DIRECT}, ours: time over raw SQL as a superuser beside them"
    yield measure.told("G2", what, over)
