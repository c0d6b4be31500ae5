"""Many grants on one table at one moment: PostgreSQL refuses two GRANTs on a table at once.

"tuple concurrently updated" (XX000) is what the second of them gets. Nobody who asks for access
meets it: a grant is a membership, and what the server calls a collision is tried again.
"""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Self

import psycopg
import pytest
from psycopg import sql

from db_grants import naming
from db_grants.postgres import PostgresEngine, atoms, failures, inspect
from db_grants.spec import GrantSpec, ManagedRole
from tests.fixtures_core import wait_for
from tests.fixtures_postgres import ON_BOTH_SERVERS, Shop

pytestmark = [pytest.mark.faults, ON_BOTH_SERVERS]

THREADS = 8
ROUNDS = 6
HOUR = timedelta(hours=1)
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ %s"


def specified(shop: Shop, number: int, *, narrowed: bool = False) -> GrantSpec:
    """Everybody wants the same table; some want nothing but it."""
    grant_id, scope = f"many{number:04d}", shop.scope()
    if narrowed:
        (orders,) = (each for each in scope.tables if each.table == "orders")
        scope = replace(scope, tables=(orders,), narrowed=True)
    return GrantSpec(
        grant_id=grant_id,
        role_name=naming.managed_role(grant_id),
        scope=scope,
        expires_at=datetime.now(UTC) + HOUR,
    )


class Dba:
    """Somebody who grants and takes back on the same table all the while."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._grants, daemon=True)
        self.rounds = 0

    def _grants(self) -> None:
        with self._shop.connect() as admin:
            while not self._stop.is_set():
                admin.execute("GRANT SELECT ON app.orders TO pg_monitor")
                admin.execute("REVOKE SELECT ON app.orders FROM pg_monitor")
                self.rounds += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join(10)


@pytest.mark.fault(
    "F-31",
    "many grants on one table are made and ended at once, while a DBA grants on it too",
    how="eight threads over two engines",
    expects="no failure reaches anybody; nothing is left",
)
def test_many_at_once_on_one_table_meet_no_failure(shop: Shop) -> None:
    replicas = [shop.engine(deadline=20.0), shop.engine(deadline=20.0)]
    numbers = itertools.count()
    together = threading.Barrier(THREADS, timeout=60)

    def works(place: int) -> int:
        engine: PostgresEngine = replicas[place % 2]
        for _ in range(ROUNDS):
            together.wait()
            role = engine.create(specified(shop, next(numbers), narrowed=place % 4 == 0))
            engine.reveal(role, datetime.now(UTC) + HOUR, shop.database)
            together.wait()
            engine.close(role)
            assert engine.remove(role).clean
        return ROUNDS

    with Dba(shop) as dba, ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(works, range(THREADS))) == THREADS * ROUNDS
    assert dba.rounds > ROUNDS
    assert replicas[0].survey().managed == ()


@pytest.mark.fault(
    "F-31b",
    "the server refuses a creation because another made the same role just now",
    how="the other's transaction commits while ours waits for it",
    expects="tried again, and the one role is found",
)
def test_a_collision_told_by_the_server_is_tried_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    met: list[object] = []
    real = failures.translated

    def told(error: psycopg.Error, *, committing: bool) -> Exception:
        met.append(real(error, committing=committing))
        return met[-1]  # type: ignore[return-value]

    monkeypatch.setattr(failures, "translated", told)
    spec = specified(shop, 1)
    engine = shop.engine()
    wanted = (
        spec.role_name,
        atoms.role_to_grant(spec.scope),
        spec.connection_limit,
        spec.expires_at,
        inspect.marker(spec.grant_id, spec.expires_at),
        spec.log_statements,
    )
    with psycopg.connect(shop.bot_url) as other, ThreadPoolExecutor(1) as pool:
        other.execute("SELECT jit_admin.make_role(%s, %s, %s, %s, %s, %s)", wanted)
        made = pool.submit(engine.create, spec)
        with shop.connect() as admin:
            wait_for(lambda: admin.execute(WAITING, [spec.role_name]).fetchone() == (1,))
        other.commit()
        role: ManagedRole = made.result(10)
    assert [type(each) for each in met] == [failures.Collision]
    assert [found.oid for found in engine.survey().managed] == [role.oid]


def test_what_the_server_says_of_two_grants_on_one_table_is_a_collision(shop: Shop) -> None:
    grant = sql.SQL("GRANT SELECT ON app.orders TO {}")
    with (
        psycopg.connect(shop.admin_url) as first,
        shop.connect() as second,
        ThreadPoolExecutor(1) as pool,
    ):
        first.execute(grant.format(sql.Identifier("pg_monitor")))
        late = pool.submit(second.execute, grant.format(sql.Identifier("pg_signal_backend")))
        with shop.connect() as admin:
            wait_for(lambda: admin.execute(WAITING, ["pg_signal_backend"]).fetchone() == (1,))
        first.commit()
        error = late.exception(10)
    assert isinstance(error, psycopg.Error)
    assert (error.sqlstate, isinstance(refused(error), failures.Collision)) == ("XX000", True)


def refused(error: psycopg.Error) -> Exception:
    return failures.translated(error, committing=False)
