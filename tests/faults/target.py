"""One target under faults: who comes to it how, and what must be true of every operation on it."""

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from bot.demo import postgres
from db_grants import errors
from db_grants.postgres import PostgresEngine
from db_grants.spec import Credential, ManagedRole
from tests.fixtures_postgres import SETTINGS, Shop

DEADLINE = 2.0
SLACK = 2.0  # on a busy machine
Made = TypeVar("Made")
UNREACHED = (errors.TargetUnavailable, errors.OutcomeUnknown)


def small_server(folder: Path) -> Iterator[postgres.Server]:
    """A server for one module, which may stop, fill and restart it."""
    server = postgres.Server.start(folder, settings=SETTINGS | {"max_connections": "20"})
    yield server
    server.resume()
    server.discard()


def credential(shop: Shop, engine: PostgresEngine, role: ManagedRole) -> Credential:
    return engine.reveal(role, datetime.now(UTC) + timedelta(hours=1), shop.database)


def managed_roles(shop: Shop) -> list[str]:
    with shop.connect() as admin:
        rows = admin.execute("SELECT rolname FROM pg_roles WHERE rolname ~ '^jit_fau'").fetchall()
    return [name for (name,) in rows]


def sessions_of(shop: Shop, role: ManagedRole) -> int:
    with shop.connect() as admin:
        query = "SELECT count(*) FROM pg_stat_activity WHERE usesysid = %s"
        return int(admin.execute(query, [role.oid]).fetchone()[0])  # type: ignore[index]


def in_time(operation: Callable[[], object], *expected: type[errors.DbGrantsError]) -> None:
    """It fails as expected, and within the engine's deadline."""
    began = time.monotonic()
    with pytest.raises(expected or UNREACHED):
        operation()
    assert time.monotonic() - began < DEADLINE + SLACK


def tried_again(step: Callable[[], Made]) -> Made:
    """Where all is well, two seconds are enough; not always on a machine that does much else."""
    for _ in range(3):
        with contextlib.suppress(*UNREACHED):
            return step()
    return step()


def ends(engine: PostgresEngine, shop: Shop, role: ManagedRole) -> None:
    """As the service does it: access ends and nothing is left."""
    tried_again(lambda: engine.close(role))
    assert tried_again(lambda: engine.remove(role)).clean
    assert managed_roles(shop) == []
