"""`make bench-smoke`: only what noise cannot touch. Exact counts, so a slow machine never fails it.

Turns on the wire, transactions that wrote, bytes of ACLs, and what was lost, doubled or failed.
"""

import logging
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import structlog
from psycopg import sql

from bench import core, place, ways, wire
from bot import clock, store
from bot.asking import grants as grants_
from db_grants.postgres import PostgresEngine
from db_grants.spec import ManagedRole

Found = tuple[str, int, int]  # what, how many, at most

# Turns and writing transactions of each operation on the target, of the engine alone.
ENGINE = {
    "create": (1, 1),
    "reveal": (1, 1),
    "close": (1, 1),
    "remove": (1, 1),
}
# Turns on the record's wire and transactions that write to it, of each use case.
RECORD = {"activate": (7, 2), "reveal": (5, 1), "close": (12, 3), "clean": (7, 2)}
TARGET = {"activate": 1, "reveal": 1}  # turns on the target's wire meanwhile
_MANY = 40


def main() -> int:
    """Print every count with its bound; 1 when one is above it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    bad = 0
    with (
        tempfile.TemporaryDirectory(prefix="jit-smoke-") as folder,
        place.serving(Path(folder) / "server") as server,
    ):
        with psycopg.connect(server.admin_url, autocommit=True) as admin:
            admin.execute("ALTER SYSTEM SET autovacuum = off")  # it takes numbers too
            admin.execute("SELECT pg_reload_conf()")
        at = place.Place(server, "bench", tables=100)
        for found in (
            _engine(at),
            _record(at, Path(folder)),
            _many(at),
            _ends(at, Path(folder)),
        ):
            for what, count, most in found:
                bad += count > most
                print(f"{'ok ' if count <= most else 'NOT'} {what}: {count} (at most {most})")
    return 1 if bad else 0


def _engine(at: place.Place) -> Iterator[Found]:
    with wire.relayed(at.server.port) as relay:
        engine = at.engine(relay.url(at.bot_url))
        for size in (1, 100):
            for _ in range(2):  # the first time connections are made and queries prepared
                made = _one(at, relay, engine, size)
            for step, (turns, commits) in ENGINE.items():
                yield f"{step}, {size} tables: turns on the target's wire", made[step].turns, turns
                yield f"{step}, {size} tables: writing transactions", made[step].commits, commits
        engine.dispose()


def _one(
    at: place.Place, relay: wire.Relay, engine: PostgresEngine, size: int
) -> dict[str, wire.Count]:
    spec = at.spec(size)
    roles: list[ManagedRole] = []
    return {
        "create": wire.counted(at, relay, lambda: roles.append(engine.create(spec))),
        "reveal": wire.counted(
            at, relay, lambda: engine.reveal(roles[0], spec.expires_at, at.database)
        ),
        "close": wire.counted(at, relay, lambda: engine.close(roles[0])),
        "remove": wire.counted(at, relay, lambda: engine.remove(roles[0])),
    }


def _record(at: place.Place, folder: Path) -> Iterator[Found]:
    """The record's share, on a server of its own, so that the target's writes do not count."""
    with (
        place.serving(folder / "record") as other,
        wire.relayed(other.port) as relay,
        wire.relayed(at.server.port) as target,
    ):
        with psycopg.connect(other.admin_url, autocommit=True) as admin:
            admin.execute("ALTER SYSTEM SET autovacuum = off")
            admin.execute("SELECT pg_reload_conf()")
            admin.execute(sql.SQL("CREATE DATABASE state"))
        kept = _Server(other.url_for_admin("state"))
        url, engine = relay.url(other.url_for_admin("state")), at.engine(target.url(at.bot_url))

        def counted(step: Callable[[], object]) -> tuple[wire.Count, int]:
            before = target.turns
            return wire.counted(kept, relay, step), target.turns - before

        with core.running(at, url, engine=engine) as made:
            for _ in range(2):
                steps = _steps(made.grants, made.approved())
                found = {name: counted(step) for name, step in steps.items()}
        for step, (turns, commits) in RECORD.items():
            record, _ = found[step]
            yield f"{step}: turns on the record's wire", record.turns, turns
            yield f"{step}: writing transactions on the record", record.commits, commits
        for step, turns in TARGET.items():
            yield f"{step}, by the service: turns on the target's wire", found[step][1], turns


def _steps(grants: grants_.Grants, grant_id: str) -> dict[str, Callable[[], object]]:
    def close() -> None:
        grants.revoke_as_operator(grant_id, "smoke")
        grants.close(grant_id)

    return {
        "activate": lambda: grants.activate(grant_id),
        "reveal": lambda: grants.reveal(grant_id, "U0ANA"),
        "close": close,
        "clean": lambda: grants.clean(grant_id),
    }


class _Server:
    """As much of a place as counting needs."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, query: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self._url, autocommit=True) as admin:
            return admin.execute(sql.SQL(query)).fetchall()


def _many(at: place.Place) -> Iterator[Found]:
    """Lifecycles by four clients at once: none fails, nothing stays, no ACL grows."""
    before, failed = at.acl_bytes(), []
    with ways.opened(ways.Ours(at)) as found:
        way = found["ours"]

        def live() -> None:
            try:
                for _ in range(_MANY // 4):
                    way.end(way.grant(10))
            except Exception as error:
                failed.append(error)

        held = [way.grant(10) for _ in range(4)]
        yield "bytes of ACLs by live grants", at.acl_bytes() - before, 0
        threads = [threading.Thread(target=live) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for each in held:
            way.end(each)
    yield f"failures of {_MANY} lifecycles by four clients", len(failed), 0
    yield "roles left", at.live(), 0
    yield "bytes of ACLs after all", at.acl_bytes() - before, 0


def _ends(at: place.Place, folder: Path) -> Iterator[Found]:
    """A burst of ends during which the service is killed: nothing lost, nothing doubled."""
    with (
        core.state(folder, "sqlite", at) as url,
        store.open_store(url, clock.SystemClock()) as kept,
    ):
        ids = core.record(kept, at, _MANY, core.soon(2.5))
        process = core.spawn(at, url)
        core.wait(lambda: core.over(kept, ids) >= _MANY // 3, 60, 0.02)
        process.kill()
        process.wait()
        process = core.spawn(at, url)
        core.wait(lambda: core.over(kept, ids) == _MANY, 60, 0.05)
        core.finish(process)
        _, lost, doubled = core.ended(kept, ids)
        yield f"lost of {_MANY} ends with a kill between", lost, 0
        yield "doubled", doubled, 0
        yield "roles left that can log in", at.live(), 0
        yield "faults of the audit chain", int(not kept.verify_chain().ok), 0


if __name__ == "__main__":
    sys.exit(main())
