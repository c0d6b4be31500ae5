"""The end of access on a real server, against holders who do not want it to end."""

import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from db_grants import naming
from db_grants.postgres import PostgresEngine
from db_grants.spec import Credential, GrantSpec, ManagedRole, Removed
from tests.fixtures_postgres import ON_BOTH_SERVERS, Shop
from tests.holders import is_cut, log_in

pytestmark = ON_BOTH_SERVERS


def given(
    shop: Shop, engine: PostgresEngine, name: str = "read_customer_data", grant_id: str = "h0st1le1"
) -> tuple[ManagedRole, Credential]:
    expires_at = datetime.now(UTC) + timedelta(minutes=30)
    role = engine.create(
        GrantSpec(
            grant_id=grant_id,
            role_name=naming.managed_role(grant_id),
            scope=shop.scope(name),
            expires_at=expires_at,
            connection_limit=20,
        )
    )
    return role, engine.reveal(role, expires_at, shop.database)


@pytest.fixture
def snapshot(shop: Shop) -> Iterator[Any]:
    """Every row of the catalogues that can tell of a role, taken before; equal after the test."""
    before = catalogue(shop)
    yield before
    assert catalogue(shop) == before


def catalogue(shop: Shop) -> dict[str, list[Any]]:
    queries = {
        "roles": "SELECT rolname, rolconfig FROM pg_roles ORDER BY 1",
        "members": "SELECT roleid::regrole::text, member::regrole::text, grantor::regrole::text,"
        " admin_option FROM pg_auth_members ORDER BY 1, 2, 3",
        "settings": "SELECT setdatabase, setrole::regrole::text, setconfig FROM pg_db_role_setting"
        " ORDER BY 1, 2",
        "comments": "SELECT objoid, description FROM pg_shdescription ORDER BY 1, 2",
        "dependencies": "SELECT dbid, classid, objid, objsubid, refobjid, deptype FROM pg_shdepend"
        " ORDER BY 1, 2, 3, 4, 5, 6",
        "relations": "SELECT oid, relname, relowner, relacl::text FROM pg_class"
        " WHERE relnamespace::regnamespace::text !~ '^pg_toast|^pg_temp' ORDER BY 1",
        "columns": "SELECT attrelid, attname, attacl::text FROM pg_attribute"
        " WHERE attacl IS NOT NULL ORDER BY 1, 2",
        "functions": "SELECT oid, proowner, proacl::text FROM pg_proc ORDER BY 1",
        "schemas": "SELECT nspname, nspowner, nspacl::text FROM pg_namespace"
        " WHERE nspname !~ '^pg_toast|^pg_temp' ORDER BY 1",
        "databases": "SELECT datname, datacl::text FROM pg_database ORDER BY 1",
        "defaults": "SELECT defaclrole, defaclacl::text FROM pg_default_acl ORDER BY 1, 2",
        "large objects": "SELECT oid, lomowner FROM pg_largeobject_metadata ORDER BY 1",
        "prepared": "SELECT gid FROM pg_prepared_xacts ORDER BY 1",
    }
    with shop.connect() as admin:
        return {name: admin.execute(query).fetchall() for name, query in queries.items()}


def ended(engine: PostgresEngine, role: ManagedRole) -> Removed:
    engine.close(role)
    return engine.remove(role)


@pytest.mark.fault(
    "H-01", "nothing unusual", how="-", expects="the whole system catalogue is as before"
)
def test_a_plain_grant_leaves_the_whole_catalogue_as_it_was(
    shop: Shop, engine: PostgresEngine, snapshot: Any
) -> None:
    role, credential = given(shop, engine)
    log_in(shop, credential).close()
    assert ended(engine, role).clean


def test_an_idle_session_is_cut_and_told_of(shop: Shop, engine: PostgresEngine) -> None:
    role, credential = given(shop, engine)
    with closing(log_in(shop, credential, application_name="idle")) as connection:
        closed = engine.close(role)
        assert [session.application for session in closed.sessions_cut] == ["idle"]
        assert is_cut(connection)


@pytest.mark.fault(
    "H-02",
    "a holder with cursors, SET ROLE, a prepared statement, a borrowed application name",
    how="open sessions",
    expects="all cut",
)
def test_sessions_in_every_posture_are_cut(
    shop: Shop, engine: PostgresEngine, snapshot: Any
) -> None:
    role, credential = given(shop, engine)
    connections = [log_in(shop, credential) for _ in range(5)]
    cursor, held, prepared, become, renamed = connections
    cursor.execute("BEGIN")
    cursor.execute("DECLARE c CURSOR FOR SELECT * FROM app.orders")
    held.execute("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT * FROM app.orders; COMMIT")
    prepared.execute("PREPARE p AS SELECT count(*) FROM app.orders")
    with suppress(psycopg.errors.InsufficientPrivilege):  # before 16 it works
        become.execute(f"SET ROLE {naming.scope_role('read_customer_data', shop.database)}")
    renamed.execute("SET application_name = 'jit-access-bot'")
    assert len(engine.close(role).sessions_cut) == 5
    for connection in connections:
        assert is_cut(connection)
        connection.close()
    assert engine.remove(role).clean


@pytest.mark.fault("H-03", "a large COPY runs at the deadline", how="COPY TO STDOUT", expects="cut")
def test_a_running_copy_is_cut(shop: Shop, engine: PostgresEngine) -> None:
    role, credential = given(shop, engine)
    query = "COPY (SELECT a.name FROM app.customers a, app.customers b, app.customers c) TO STDOUT"
    with closing(log_in(shop, credential)) as connection:
        rows = 0
        with suppress(psycopg.OperationalError), connection.cursor().copy(query) as copy:
            for _ in copy:
                rows += 1
                if rows == 1000:
                    engine.close(role)
        assert connection.broken
        assert 1000 <= rows < 240**3
    assert engine.remove(role).clean


@pytest.mark.fault("H-04", "a statement that catches every error", how="DO block", expects="cut")
def test_a_statement_that_catches_every_error_is_cut(shop: Shop, engine: PostgresEngine) -> None:
    role, credential = given(shop, engine)
    stubborn = (
        "DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(1);"
        " EXCEPTION WHEN OTHERS OR query_canceled THEN NULL; END; END LOOP; END $$"
    )
    with closing(log_in(shop, credential)) as connection:
        caught: list[Exception] = []

        def run() -> None:
            try:
                connection.execute(stubborn)
            except psycopg.Error as error:
                caught.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        wait_until(
            shop,
            "SELECT count(*) = 1 FROM pg_stat_activity WHERE usesysid = %s AND state = 'active'",
            role,
        )
        assert len(engine.close(role).sessions_cut) == 1
        thread.join(10)
        assert [error.sqlstate for error in caught] == ["57P01"]


def wait_until(shop: Shop, question: str, role: ManagedRole) -> None:
    """Ask the server until it says yes, at most five seconds."""
    with shop.connect() as admin:
        for _ in range(1000):
            if admin.execute(question, [role.oid]).fetchone() == (True,):
                return
            admin.execute("SELECT pg_sleep(0.005)")
    raise AssertionError(question)


@pytest.mark.fault(
    "H-05",
    "a holder reconnects hundreds of times a second",
    how="threads",
    expects="no session survives",
)
@pytest.mark.parametrize("attempt", range(3))
def test_a_storm_of_reconnections_leaves_no_survivor(
    shop: Shop, engine: PostgresEngine, attempt: int
) -> None:
    role, credential = given(shop, engine, grant_id=f"st0rm{attempt}")
    survivors: list[psycopg.Connection] = []
    going, over = threading.Barrier(5), threading.Event()

    def storm() -> None:
        going.wait(10)
        while not over.is_set():
            try:
                connection = log_in(shop, credential)
            except psycopg.OperationalError:
                continue
            survivors.append(connection)

    threads = [threading.Thread(target=storm, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        going.wait(10)
        wait_until(shop, "SELECT count(*) > 0 FROM pg_stat_activity WHERE usesysid = %s", role)
        engine.close(role)
        removed = engine.remove(role)
    finally:
        over.set()
        for thread in threads:
            thread.join(10)
        alive = [connection for connection in survivors if not is_cut(connection)]
        for connection in survivors:
            connection.close()
    assert removed.clean
    assert survivors
    assert alive == []


@pytest.mark.fault(
    "H-06",
    "a prepared transaction",
    how="PREPARE TRANSACTION",
    expects="rolled back, its locks gone",
)
def test_a_prepared_transaction_is_rolled_back_with_the_door_and_its_locks_go(
    shop: Shop, engine: PostgresEngine, snapshot: Any
) -> None:
    role, credential = given(shop, engine, "write_orders")
    with closing(log_in(shop, credential)) as connection:
        connection.execute("BEGIN")
        connection.execute("UPDATE app.orders SET total = 0")
        connection.execute("PREPARE TRANSACTION 'later''s'")
    engine.close(role)
    with shop.connect() as admin:
        with pytest.raises(psycopg.errors.UndefinedObject):
            admin.execute("COMMIT PREPARED 'later''s'")
        admin.execute("SET lock_timeout = '1s'; UPDATE app.orders SET total = total WHERE id = 1")
    assert engine.remove(role).clean


IN_QUARANTINE = """
    SELECT pg_describe_object(classid, objid, 0) FROM pg_shdepend
     WHERE refobjid = 'jit_quarantine'::regrole AND deptype = 'o'
       AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@pytest.mark.fault(
    "F-33",
    "a holder owns objects at the end",
    how="CREATE with privileges given by hand",
    expects="quarantined without power, stripped of onward grants, listed",
)
def test_what_the_holder_made_is_quarantined_stripped_and_told_of(
    shop: Shop, engine: PostgresEngine
) -> None:
    with shop.connect() as admin:
        admin.execute("GRANT CREATE ON SCHEMA public TO PUBLIC; CREATE ROLE jit_friend LOGIN")
    role, credential = given(shop, engine)
    with closing(log_in(shop, credential)) as connection:
        connection.execute("CREATE TABLE public.loot AS SELECT name FROM app.customers")
        connection.execute("GRANT SELECT ON public.loot TO PUBLIC")
        connection.execute("GRANT SELECT (name) ON public.loot TO jit_friend")
        connection.execute(
            "CREATE FUNCTION public.door() RETURNS bigint LANGUAGE sql SECURITY DEFINER"
            " AS 'SELECT count(*) FROM app.customers'"
        )
        connection.execute("CREATE TYPE public.mood AS ENUM ('sly')")
        connection.execute("CREATE SEQUENCE public.steps")
        connection.execute("GRANT ALL ON SEQUENCE public.steps TO jit_friend WITH GRANT OPTION")
        connection.execute("SELECT lo_from_bytea(0, 'secret')")
        connection.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")
        connection.execute(f"ALTER ROLE {role.name} SET work_mem = '1MB'")
        connection.execute("CREATE TEMP TABLE passing (id int)")
    removed = ended(engine, role)
    assert removed.residue == ()
    told = " ".join(removed.quarantined)
    for part in (
        "table public.loot",
        "public.door()",
        "public.mood",
        "public.steps",
        "large object",
    ):
        assert part in told, told
    with shop.connect() as admin:
        admin.execute("SET search_path = pg_catalog")  # names in full, as the engine tells them
        kept = {f"{row[0]} in {shop.database}" for row in admin.execute(IN_QUARANTINE).fetchall()}
        assert set(removed.quarantined) == kept  # and nothing else is said to be there
        admin.execute("SET ROLE jit_friend")
        for statement in (
            "SELECT * FROM public.loot",
            "SELECT public.door()",
            "SELECT nextval('public.steps')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                admin.execute(statement)
        admin.execute("RESET ROLE")
        assert admin.execute("SELECT count(*) FROM public.loot").fetchone() == (240,)
        admin.execute("DROP OWNED BY jit_quarantine")


@pytest.mark.fault(
    "F-33b",
    "a holder owns objects in a second database",
    how="CREATE there",
    expects="found, quarantined, listed",
)
def test_objects_in_a_second_database_are_found_and_quarantined(
    shop: Shop, engine: PostgresEngine
) -> None:
    other = f"{shop.database}_other"
    with shop.connect() as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(other)))
    try:
        url = shop.server.url_for_admin(other)
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
        role, credential = given(shop, engine)
        with closing(log_in(shop, replace(credential, database=other))) as connection:
            connection.execute("CREATE TABLE public.stash (id int)")
        removed = ended(engine, role)
        assert removed.clean
        assert removed.quarantined == (f"table public.stash in {other}",)
    finally:
        with shop.connect() as admin:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
            admin.execute(drop.format(sql.Identifier(other)))


def test_grants_made_and_ended_side_by_side_do_not_disturb_each_other(
    shop: Shop, engine: PostgresEngine, snapshot: Any
) -> None:
    scope = replace(shop.scope(), tables=shop.scope().tables[1:], narrowed=True)
    failures: list[BaseException] = []

    def live(number: int) -> None:
        try:
            for round_ in range(5):
                grant_id = f"side{number}{round_}"
                spec = GrantSpec(
                    grant_id=grant_id,
                    role_name=naming.managed_role(grant_id),
                    scope=scope if round_ % 2 else shop.scope(),
                    expires_at=datetime.now(UTC) + timedelta(minutes=5),
                )
                assert ended(engine, engine.create(spec)).clean
        except BaseException as error:  # noqa: BLE001 - told to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=live, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
