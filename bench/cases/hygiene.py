"""G18: what a target's catalogues grow by, with autovacuum taking its turns."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from bench import measure, place, ways
from bench.measure import Line, at_most
from bench.stage import GOAL, Stage, Told

CATALOGUES = ("pg_authid", "pg_auth_members", "pg_shdepend")
NAPTIME = "15s"  # why not the default minute, the method says
TURNS = 4  # of autovacuum that have to fall into it
_CLIENTS = 4  # that grant and end at the same time
_PATIENCE = 120.0  # seconds until that many have come
_LOOK = 0.2  # seconds between two looks at the sizes
_WITHOUT = 5  # such a part of the cycles is run with autovacuum off


def hygiene(stage: Stage) -> Iterator[Told]:
    """G18: what the target's catalogue grows by over many grants and ends."""
    count = stage.sizes.cycles
    with stage.fresh() as at, at.connect() as admin:
        yield from _written(at, admin, count // _WITHOUT)
        found = _Cycles(asked=count)
        _cycled(at, admin, found)
    yield from _told(found)


@dataclass(kw_only=True)
class _Cycles:
    """What came of them. Sizes in bytes, of the catalogues with their indexes."""

    asked: int
    took: list[float] = field(default_factory=list)  # seconds, in the order in which they were over
    failed: int = 0
    turns: int = 0  # of autovacuum at the catalogue that most is written to
    at_first: int = 0  # size, freshly rewritten
    halfway: int = 0
    at_last: int = 0
    rewritten: int = 0  # the same rows as at last

    @property
    def enough(self) -> bool:
        """So many as were asked for, and autovacuum had its turns."""
        return len(self.took) + self.failed >= self.asked and self.turns >= TURNS


def _written(at: place.Place, admin: psycopg.Connection, count: int) -> Iterator[Told]:
    """What a cycle leaves for autovacuum to find, in ours and in the least there is."""
    _switch(admin, "off")
    for way, who in ((ways.Ours, "ours"), (ways.RawSuperuser, "raw SQL as a superuser")):
        before, found = _rewritten(admin), _Cycles(asked=count)
        with _cycling(way(at), found):
            while len(found.took) + found.failed < count:
                time.sleep(_LOOK)
        done = len(found.took)
        each = round((size(admin) - before) / done)
        yield Line(case="cycles without autovacuum", impl=way.name, n=done, facts={"bytes": each})
        yield measure.told("G18", f"bytes a cycle until autovacuum comes: {who}", each)


def _cycled(at: place.Place, admin: psycopg.Connection, found: _Cycles) -> None:
    """Until it is enough."""
    _switch(admin, "on")
    found.at_first = found.halfway = _rewritten(admin)
    before, end = turns(admin), time.monotonic() + _PATIENCE
    with _cycling(ways.Ours(at), found):
        while not found.enough and time.monotonic() < end:
            time.sleep(_LOOK)
            found.turns = turns(admin) - before
            if len(found.took) < found.asked / 2:
                found.halfway = size(admin)
    found.at_last = size(admin)
    found.rewritten = _rewritten(admin)


@contextmanager
def _cycling(way: ways.Way, found: _Cycles) -> Iterator[None]:
    """Several clients grant and end for the time of a block."""
    over = threading.Event()

    def cycle() -> None:
        while not over.is_set():
            try:
                found.took.append(measure.timed(lambda: way.end(way.grant(10))))
            except Exception:
                found.failed += 1

    threads = [threading.Thread(target=cycle) for _ in range(_CLIENTS)]
    with ways.opened(way):
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()


def size(admin: psycopg.Connection) -> int:
    """Bytes of the catalogues with their indexes."""
    return int(_one(admin, _SIZE))


def turns(admin: psycopg.Connection) -> int:
    """How often autovacuum has been at the catalogue that most is written to."""
    return int(_one(admin, _AUTOVACUUMED))


def _rewritten(admin: psycopg.Connection) -> int:
    """The size that they have with no dead row in them."""
    admin.execute(sql.SQL("VACUUM FULL {}").format(_LISTED))
    return size(admin)


def _switch(admin: psycopg.Connection, to: str) -> None:
    """Autovacuum, with its pause."""
    admin.execute(sql.SQL("ALTER SYSTEM SET autovacuum = {}").format(sql.Literal(to)))
    admin.execute(sql.SQL("ALTER SYSTEM SET autovacuum_naptime = {}").format(sql.Literal(NAPTIME)))
    admin.execute("SELECT pg_reload_conf()")


def _one(admin: psycopg.Connection, query: str) -> int:
    row = admin.execute(sql.SQL(query).format(_NAMES)).fetchone()
    assert row is not None
    return int(row[0])


def _told(found: _Cycles) -> Iterator[Told]:
    done, grown = len(found.took), found.at_last - found.at_first
    every = round(done / max(1, found.turns))
    part = max(20, done // 20)
    ratio = measure.ratio(found.took[-part:], found.took[part : 2 * part])
    facts = {
        "clients": _CLIENTS,
        "autovacuum_naptime": NAPTIME,
        "turns of autovacuum": found.turns,
        "cycles from one to the next": every,
        "bytes freshly rewritten, before": found.at_first,
        "halfway": found.halfway,
        "after": found.at_last,
        "the same rows freshly rewritten": found.rewritten,
    }
    yield measure.line(
        "cycles", "ours", done, found.took, rate=None, failed=found.failed, facts=facts
    )
    sizes = (done if found.turns >= TURNS else 0, GOAL.cycles)
    what = f"bytes by {done:,} cycles, with a turn of autovacuum each {every:,}"
    yield at_most("G18", what, grown, 1_000_000, size=sizes)
    yield measure.told("G18", "bytes by the second half of them", found.at_last - found.halfway)
    yield at_most("G18", f"failed of {done:,} cycles", found.failed, 0, size=sizes)
    yield at_most("G18", "last cycles over the first", ratio, 1.3, size=sizes)


_NAMES = sql.SQL(", ").join(map(sql.Literal, CATALOGUES))
_LISTED = sql.SQL(", ").join(map(sql.Identifier, CATALOGUES))
_SIZE = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relname IN ({})"
_AUTOVACUUMED = "SELECT max(autovacuum_count) FROM pg_stat_sys_tables WHERE relname IN ({})"
