"""What the doctor sees of damage done by hand, and that the bootstrap SQL repairs it."""

import contextlib
from dataclasses import replace

import psycopg
import pytest

from db_grants import errors, naming
from db_grants.postgres import PostgresEngine
from db_grants.spec import (
    Scope,
)
from tests.fixtures_postgres import ON_BOTH_SERVERS, SCOPES, Shop
from tests.integration.test_grant_lifecycle import errors_of

pytestmark = ON_BOTH_SERVERS


def all_scopes(shop: Shop) -> list[Scope]:
    return [shop.scope(name) for name in SCOPES]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("REVOKE SELECT ON app.orders FROM {orders}", "lacks SELECT on table app.orders"),
        ("REVOKE USAGE ON SCHEMA app FROM {orders}", "lacks USAGE on schema app"),
        ("REVOKE {orders} FROM {scope}", "carries something else"),
        ("DROP OWNED BY {orders}; DROP ROLE {orders}", "is missing"),
        ("REVOKE ALL ON SCHEMA jit_admin FROM jit_bot", "log cannot be read"),
        ("ALTER ROLE jit_bot CREATEROLE", "has CREATEROLE and needs it no more"),
        ("GRANT {orders} TO jit_bot WITH ADMIN OPTION", "may hand out roles by itself"),
        ("REVOKE ALL ON jit_admin.scope_roles FROM jit_bot", "may not create roles"),
        ("REVOKE ALL ON FUNCTION jit_admin.mend_role FROM jit_bot", "may not create roles"),
        ("DELETE FROM jit_admin.listing WHERE name = '{scope}'", "may not hand this role out"),
        ("UPDATE jit_admin.listing SET role = 10 WHERE name = '{scope}'", "may not hand this"),
        ("ALTER ROLE jit_bot SUPERUSER", "is a superuser"),
        ("REVOKE jit_quarantine FROM jit_bot", "jit_quarantine"),
    ],
)
def test_what_is_taken_away_by_hand_is_reported_and_brought_back(
    shop: Shop, engine: PostgresEngine, damage: str, told: str
) -> None:
    scopes = all_scopes(shop)
    healthy = engine.check(scopes)
    assert errors_of(healthy) == []
    assert not any(told in finding.message for finding in healthy)
    with shop.connect() as admin:
        (orders,) = admin.execute(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'jit_a_orders_r%%'"
        ).fetchone() or ("",)
        scope = naming.scope_role("read_orders", shop.database)
        admin.execute(damage.format(orders=orders, scope=scope))
    assert any(told in finding.message for finding in engine.check(scopes))
    with shop.connect() as admin:
        admin.execute(engine.bootstrap(scopes))
    assert engine.check(scopes) == healthy


def test_more_than_declared_is_reported(shop: Shop, engine: PostgresEngine) -> None:
    with shop.connect() as admin:
        (orders,) = admin.execute(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'jit_a_orders_r%%'"
        ).fetchone() or ("",)
        admin.execute(f"GRANT UPDATE ON app.payments TO {orders}")
    (finding,) = errors_of(engine.check(all_scopes(shop)))
    assert "holds more: UPDATE on table app.payments" in finding.message


def test_the_bootstrap_of_another_database_is_refused(shop: Shop, engine: PostgresEngine) -> None:
    elsewhere = replace(shop.scope(), database="elsewhere")
    with pytest.raises(errors.InvalidScope):
        engine.bootstrap([elsewhere])
    with shop.connect() as admin, pytest.raises(psycopg.errors.RaiseException):
        admin.execute(engine.bootstrap([]).replace(shop.database, "elsewhere"))


def test_a_remedy_in_sql_can_be_run_as_it_stands(shop: Shop) -> None:
    name = 'Shop.Ünï "1" '
    quoted = '"Shop.Ünï ""1"" "'
    with shop.connect() as admin:
        admin.execute(f"CREATE DATABASE {quoted}")
        try:
            with contextlib.ExitStack() as stack:
                engine = PostgresEngine(shop.server.url_for_admin(name))
                stack.callback(engine.dispose)
                remedies = [each.remedy for each in engine.check([])]
                (remedy,) = [each for each in remedies if "TEMPORARY" in each]
                admin.execute(remedy)
                assert not any("TEMPORARY" in each.remedy for each in engine.check([]))
        finally:
            admin.execute(f"DROP DATABASE {quoted} WITH (FORCE)")
