"""Locks and sessions of others must not keep a scope role's traces, nor the door, for ever."""

from dataclasses import replace

import psycopg
import pytest

from db_grants.postgres import PostgresEngine
from tests.fixtures_postgres import ON_BOTH_SERVERS, Shop
from tests.holders import log_in
from tests.integration.test_grant_end import ended, given
from tests.integration.test_grant_scope_roles import acting, amiss, scope_role

pytestmark = ON_BOTH_SERVERS


@pytest.mark.fault(
    "F-32e",
    "a holder locks their own role by a transaction prepared as their scope's role",
    how="ALTER ROLE, SET ROLE, PREPARE TRANSACTION",
    expects="rolled back, also when another grant shares that role: the holder is out",
)
def test_a_door_locked_as_a_scope_role_is_shut_all_the_same(
    shop: Shop, engine: PostgresEngine
) -> None:
    role, credential = given(shop, engine, "write_orders")
    other, _ = given(shop, engine, "write_orders", "sec0nd01")
    with acting(shop, credential, scope_role(shop)) as connection:
        connection.execute("RESET ROLE")
        connection.execute("BEGIN")
        connection.execute(f"ALTER ROLE {role.name} PASSWORD 'mine'")
        connection.execute(f"SET ROLE {scope_role(shop)}")
        connection.execute("PREPARE TRANSACTION 'door'")
    closed = engine.close(role)
    assert ["transaction door" in line for line in closed.undone] == [True]
    assert engine.remove(role).clean
    with pytest.raises(psycopg.OperationalError):
        log_in(shop, replace(credential, password="mine"))
    assert ended(engine, other).clean


def test_a_lock_on_a_scope_role_stops_neither_the_end_nor_an_honest_word(
    shop: Shop, engine: PostgresEngine
) -> None:
    role, credential = given(shop, engine, "write_orders")
    _, theirs = given(shop, engine, "write_orders", "sec0nd01")
    name = scope_role(shop)
    with acting(shop, credential, name) as connection:
        connection.execute(f"ALTER ROLE {name} SET work_mem = '1MB'")
    with acting(shop, theirs, name) as other:
        other.execute("BEGIN")
        other.execute(f"ALTER ROLE {name} SET work_mem = '2MB'")
        removed = ended(engine, role)
        other.execute("ROLLBACK")
    assert removed.residue[0] == f"settings of {name}: work_mem=1MB"
    assert any("lock" in line for line in removed.residue)
    assert not any(role.name in line for line in removed.residue)
    assert engine.remove(role).clean
    assert amiss(shop) == []


def test_a_temporary_table_of_a_session_that_goes_on_is_left_alone(
    shop: Shop, engine: PostgresEngine, old: bool
) -> None:
    if not old:
        pytest.skip("from 16 on no other holder can have one")
    role, _ = given(shop, engine, "write_orders")
    other, credential = given(shop, engine, "write_orders", "sec0nd01")
    with acting(shop, credential, scope_role(shop)) as connection:
        connection.execute("CREATE TEMPORARY TABLE passing AS SELECT 1 AS number")
        removed = ended(engine, role)
        assert removed == replace(removed, quarantined=(), residue=(), undone=())
        assert connection.execute("TABLE passing").fetchone() == (1,)
    removed = ended(engine, other)
    assert removed == replace(removed, quarantined=(), residue=(), undone=())
