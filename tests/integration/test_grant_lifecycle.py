"""A grant on a real server: what its holder can and cannot do, and that nothing is left of it."""

from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from db_grants import errors, naming
from db_grants.postgres import PostgresEngine
from db_grants.spec import (
    Credential,
    Evidence,
    Finding,
    GrantSpec,
    ManagedRole,
    Scope,
    Severity,
    TableScope,
)
from tests.fixtures_postgres import ON_BOTH_SERVERS, READ, WRITE, Shop, table
from tests.holders import log_in, refused

pytestmark = ON_BOTH_SERVERS


def errors_of(findings: tuple[Finding, ...]) -> list[Finding]:
    return [finding for finding in findings if finding.severity is Severity.ERROR]


def spec_of(scope: Scope, grant_id: str = "l1fecyc1", **changes: Any) -> GrantSpec:
    spec = GrantSpec(
        grant_id=grant_id,
        role_name=naming.managed_role(grant_id),
        scope=scope,
        expires_at=datetime.now(UTC) + timedelta(minutes=30),
    )
    return replace(spec, **changes)


def given(engine: PostgresEngine, scope: Scope, **changes: Any) -> tuple[ManagedRole, Credential]:
    role = engine.create(spec_of(scope, **changes))
    credential = engine.reveal(role, datetime.now(UTC) + timedelta(minutes=30), scope.database)
    return role, credential


@pytest.fixture
def session(shop: Shop, engine: PostgresEngine) -> Iterator[tuple[ManagedRole, psycopg.Connection]]:
    role, credential = given(engine, shop.scope())
    with closing(log_in(shop, credential)) as connection:
        yield role, connection


def test_the_holder_reads_what_was_granted(session: Any) -> None:
    _, connection = session
    assert connection.execute("SELECT count(name) FROM app.customers").fetchone() == (240,)
    assert connection.execute("SELECT count(*) FROM app.orders").fetchone() == (600,)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT ssn FROM app.customers",
        "SELECT * FROM app.customers",
        "SELECT name FROM app.customers ORDER BY card_number",
        "SELECT * FROM app.payments",
        "UPDATE app.orders SET total = 0",
        "DELETE FROM app.orders",
        "INSERT INTO app.logs (at, level, message) VALUES (now(), 'info', 'x')",
        "CREATE TABLE app.mine (id int)",
        "CREATE TABLE public.mine (id int)",
        "CREATE ROLE mine",
        "SET ROLE jit_bot",
        "SET ROLE jit_quarantine",
        "SET log_statement = 'none'",
        "SELECT * FROM jit_admin.statement_logs('{jit_l1fecyc1}', '{2026-01-01}')",
        "COPY app.payments TO STDOUT",
        "SELECT pg_read_file('PG_VERSION')",
        "ALTER ROLE jit_l1fecyc1 CONNECTION LIMIT 50",
        "COMMENT ON ROLE jit_l1fecyc1 IS 'mine'",
    ],
)
def test_the_holder_is_refused_everything_else(session: Any, statement: str) -> None:
    _, connection = session
    assert refused(connection, statement)


def test_the_holder_cannot_become_the_scope_role(shop: Shop, session: Any) -> None:
    _, connection = session
    if connection.info.server_version < 160000:
        pytest.skip("before 16 PostgreSQL cannot forbid it: see test_grant_scope_roles.py")
    scope = shop.scope()
    assert refused(connection, f"SET ROLE {naming.scope_role(scope.name, scope.database)}")
    assert refused(connection, "SET ROLE jit_managed")


def test_the_holder_cannot_put_off_the_end(session: Any) -> None:
    role, connection = session
    statement = f"ALTER ROLE {role.name} VALID UNTIL 'infinity'"
    assert refused(connection, statement)


def test_logging_cannot_be_reset_by_the_holder(shop: Shop, session: Any) -> None:
    role, connection = session
    with suppress(psycopg.Error):
        connection.execute(f"ALTER ROLE {role.name} RESET ALL")
    with shop.connect() as admin:
        row = admin.execute(
            "SELECT rolconfig FROM pg_roles WHERE rolname = %s", [role.name]
        ).fetchone()
    assert row == (["log_statement=all"],)


def test_the_bot_itself_reads_no_data_while_a_grant_lives(shop: Shop, session: Any) -> None:
    with psycopg.connect(shop.bot_url, autocommit=True) as bot:
        assert refused(bot, "SELECT count(*) FROM app.orders")
        assert refused(bot, "SELECT name FROM app.customers")


def test_the_bot_reads_no_data_after_it_closed_a_grant(
    shop: Shop, engine: PostgresEngine, session: Any
) -> None:
    role, _ = session
    engine.close(role)
    with psycopg.connect(shop.bot_url, autocommit=True) as bot:
        assert refused(bot, "SELECT count(*) FROM app.orders")


def test_a_writer_writes_with_the_sequence_behind_the_key(
    shop: Shop, engine: PostgresEngine
) -> None:
    _, credential = given(engine, shop.scope("write_orders"))
    with log_in(shop, credential) as connection:
        connection.execute(
            "INSERT INTO app.orders (customer_id, status, total, placed_at)"
            " VALUES (1, 'new', 1, now())"
        )
        connection.execute("UPDATE app.orders SET status = 'paid' WHERE id = 601")
        connection.execute("DELETE FROM app.orders WHERE id = 601")
        assert refused(connection, "DELETE FROM app.logs")


def test_more_connections_than_allowed_are_refused(shop: Shop, engine: PostgresEngine) -> None:
    _, credential = given(engine, shop.scope(), connection_limit=1)
    with log_in(shop, credential), pytest.raises(psycopg.OperationalError, match="too many"):
        log_in(shop, credential)


def test_a_narrowed_grant_allows_only_its_part(shop: Shop, engine: PostgresEngine) -> None:
    scope = replace(shop.scope(), tables=(table("orders"),), narrowed=True)
    role, credential = given(engine, scope)
    with closing(log_in(shop, credential)) as connection:
        assert connection.execute("SELECT count(*) FROM app.orders").fetchone() == (600,)
        assert refused(connection, "SELECT name FROM app.customers")
    engine.close(role)
    assert engine.remove(role).clean


def test_the_role_of_a_narrowed_scope_is_shared_and_goes_with_its_last_grant(
    shop: Shop, engine: PostgresEngine
) -> None:
    scope = replace(shop.scope(), tables=(table("orders"),), narrowed=True)
    roles = [engine.create(spec_of(scope, grant_id=f"narrow0{number}")) for number in (1, 2)]
    assert len(subsets(shop)) == 1
    for role, left in zip(roles, (1, 0), strict=True):
        engine.close(role)
        engine.remove(role)
        assert len(subsets(shop)) == left


def subsets(shop: Shop) -> list[Any]:
    with shop.connect() as admin:
        return admin.execute(
            "SELECT rolname FROM pg_roles WHERE starts_with(rolname, 'jit_u_')"
        ).fetchall()


def test_create_completes_a_half_made_role(shop: Shop, engine: PostgresEngine) -> None:
    spec = spec_of(shop.scope())
    role = engine.create(spec)
    granted = naming.scope_role(spec.scope.name, shop.database)
    other = naming.scope_role("write_orders", shop.database)
    with shop.connect() as admin:
        admin.execute(f"ALTER ROLE {role.name} NOLOGIN CONNECTION LIMIT 99 VALID UNTIL 'infinity'")
        admin.execute(f"REVOKE {granted} FROM {role.name}")
        admin.execute(f"GRANT {other} TO {role.name}")
        admin.execute(f"COMMENT ON ROLE {role.name} IS NULL")
    assert engine.create(spec) == role
    credential = engine.reveal(role, spec.expires_at, shop.database)
    with log_in(shop, credential) as connection:
        assert connection.execute("SELECT count(*) FROM app.orders").fetchone() == (600,)
        assert refused(connection, "DELETE FROM app.orders")
    (found,) = engine.managed()
    assert found.expires_at == spec.expires_at


def test_an_entitlement_role_that_carries_more_than_declared_is_not_granted(
    shop: Shop, engine: PostgresEngine
) -> None:
    scope = shop.scope("read_orders")
    with shop.connect() as admin:
        (more,) = admin.execute(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'jit_a_customers%%'"
        ).fetchone() or ("",)
        admin.execute(f"GRANT {more} TO {naming.scope_role(scope.name, shop.database)}")
    with pytest.raises(errors.NotPrepared, match="something else"):
        engine.create(spec_of(scope))


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/New_York"])
def test_no_time_zone_of_the_bot_moves_the_deadline(shop: Shop, zone: str) -> None:
    with shop.connect() as admin:
        admin.execute(sql.SQL("ALTER ROLE jit_bot SET timezone = {}").format(sql.Literal(zone)))
    try:
        spec = spec_of(shop.scope())
        shop.engine().create(spec)
        with shop.connect() as admin:
            row = admin.execute(
                "SELECT rolvaliduntil FROM pg_roles WHERE rolname = %s", [spec.role_name]
            ).fetchone()
        assert row == (spec.expires_at,)
    finally:
        with shop.connect() as admin:
            admin.execute("ALTER ROLE jit_bot RESET timezone")


def test_the_password_never_reaches_the_server(shop: Shop, engine: PostgresEngine) -> None:
    with shop.connect() as admin:
        admin.execute("ALTER ROLE jit_bot SET log_statement = 'all'")
    try:
        _, credential = given(shop.engine(), shop.scope())
    finally:
        with shop.connect() as admin:
            admin.execute("ALTER ROLE jit_bot RESET log_statement")
    logs = list((shop.server.config.data_dir / "log").iterdir())
    text = "".join(path.read_text(errors="replace") for path in logs)
    assert credential.role in text
    assert credential.password not in text


def test_the_summary_tells_sessions_statements_refusals_and_tables(
    shop: Shop, engine: PostgresEngine
) -> None:
    since = datetime.now(UTC) - timedelta(seconds=2)
    role, credential = given(engine, shop.scope(), grant_id="act1v1ty")
    with closing(log_in(shop, credential, application_name="the pane")) as connection:
        connection.execute("SELECT count(name) FROM app.customers")
        connection.execute("SELECT total FROM app.orders WHERE id = %s", [7])
        assert refused(connection, "SELECT ssn FROM app.customers")
        with pytest.raises(psycopg.errors.SyntaxError):
            connection.execute('SELEC \'Grüße\n"user":"jit_other"\'')
        engine.close(role)
    activity = engine.activity(role, since)
    assert activity.evidence is Evidence.STATEMENT_LOG
    assert activity.note == ""
    assert dict(activity.counts) == {"SELECT": 2, "refused": 1, "OTHER": 1}
    assert dict(activity.tables) == {"app.customers": 1, "app.orders": 1}  # refused: not touched
    (seen,) = activity.sessions
    assert (seen.application, seen.client) == ("the pane", "127.0.0.1")
    assert seen.ended_at is not None
    assert [statement.error is None for statement in activity.statements] == [
        True,
        True,
        False,
        False,
    ]


def test_without_the_log_the_counters_speak_and_say_so(shop: Shop, engine: PostgresEngine) -> None:
    with shop.connect() as admin:
        admin.execute("DROP FUNCTION jit_admin.statement_logs")
    role, credential = given(engine, shop.scope(), grant_id="c0unters")
    with log_in(shop, credential) as connection:
        connection.execute("SELECT count(*) FROM app.orders")
    engine.close(role)
    activity = engine.activity(role, datetime.now(UTC) - timedelta(minutes=1))
    assert activity.evidence is Evidence.COUNTERS
    assert "no times" in activity.note
    assert dict(activity.counts)["SELECT"] >= 1
    assert dict(activity.tables)["app.orders"] == 1


def test_with_neither_log_nor_counters_the_statements_are_unknown(
    shop: Shop, engine: PostgresEngine
) -> None:
    with shop.connect() as admin:
        admin.execute("DROP FUNCTION jit_admin.statement_logs; DROP EXTENSION pg_stat_statements")
    role, _ = given(engine, shop.scope())
    activity = engine.activity(role, datetime.now(UTC) - timedelta(minutes=1))
    assert activity.evidence is Evidence.NONE
    assert activity.note.startswith("statements unknown")


ODD = 'Odd."Näme" ; --\n%s {x}'
LONG = "ü" * 31 + "x"  # 63 bytes


@pytest.mark.parametrize("name", [ODD, LONG, "SELECT", "x'y$$", " "])
def test_identifiers_of_any_legal_kind_work(shop: Shop, name: str) -> None:
    odd = sql.Identifier(name)
    with shop.connect() as admin:
        admin.execute(sql.SQL("CREATE SCHEMA {}").format(odd))
        admin.execute(
            sql.SQL("CREATE TABLE {0}.{0} ({0} serial PRIMARY KEY, secret text)").format(odd)
        )
    part = TableScope(schema=name, table=name, columns=(name,), privileges=READ)
    whole = TableScope(schema=name, table=name, privileges=READ | WRITE)
    for number, scope_table in enumerate((part, whole)):
        scope = Scope(name=f"odd {name}", database=shop.database, tables=(scope_table,))
        engine = shop.engine()
        with shop.connect() as admin:
            admin.execute(engine.bootstrap([scope]))
        assert errors_of(engine.check([scope])) == []
        role, credential = given(engine, scope, grant_id=f"odd0000{number}")
        with log_in(shop, credential) as connection:
            connection.execute(sql.SQL("SELECT {0} FROM {0}.{0}").format(odd))
            whole_row = sql.SQL("SELECT * FROM {0}.{0}").format(odd).as_string(connection)
            assert refused(connection, whole_row) is (scope_table is part)
            if scope_table is whole:
                connection.execute(sql.SQL("INSERT INTO {0}.{0} DEFAULT VALUES").format(odd))
        engine.close(role)
        assert engine.remove(role).clean
