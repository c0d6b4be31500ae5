"""What the server is told when access ends: the door first, and no more than is needed."""

import threading
from collections.abc import Callable
from contextlib import closing

import psycopg
import pytest
from psycopg import sql

from db_grants.postgres import PostgresEngine
from db_grants.postgres import closing as shutting
from db_grants.spec import ManagedRole
from tests.fixtures_core import wait_for
from tests.fixtures_postgres import ON_BOTH_SERVERS, Shop
from tests.holders import log_in
from tests.integration.test_grant_end import given
from tests.integration.test_grant_end_strangers import sessions_under

pytestmark = ON_BOTH_SERVERS


def _looked(engine: PostgresEngine, role: ManagedRole) -> shutting.Look:
    with engine._links.link() as link:
        link.ready(*shutting._LOOK)
        return shutting._seen(link.ask(*shutting._questions([role])))


def told_to_the_server(shop: Shop, act: Callable[[PostgresEngine], object]) -> str:
    """The server's log while `act` is done by an engine all of whose statements are logged."""
    with shop.connect() as admin:
        admin.execute("ALTER ROLE jit_bot SET log_statement = 'all'")
    try:
        engine = shop.engine()
        act(engine)
        engine.dispose()
    finally:
        with shop.connect() as admin:
            admin.execute("ALTER ROLE jit_bot RESET log_statement")
    logs = sorted((shop.server.config.data_dir / "log").glob("*.json"))
    return "".join(path.read_text(errors="replace") for path in logs)


def test_the_door_is_shut_and_committed_before_the_first_session_is_cut(
    shop: Shop, engine: PostgresEngine
) -> None:
    role, credential = given(shop, engine, grant_id="0rder001")
    with closing(log_in(shop, credential)):
        text = told_to_the_server(shop, lambda logged: logged.close(role))
    shut = text.index(f"EXECUTE shut_roles('{{{role.name}}}')")
    committed = text.index("COMMIT", shut)
    revoked = text.index(f"EXECUTE take_over_roles('{{{role.name}}}')", committed)
    cutting = text.index(f"usesysid = ANY ('{{{role.oid}}}'", shut)
    assert shut < committed < revoked < text.index("pg_terminate_backend", shut) < cutting
    assert "pg_terminate_backend" not in text[text.rindex("as_named", 0, shut) : shut]


def test_where_nobody_is_the_door_is_all_that_is_changed(
    shop: Shop, engine: PostgresEngine
) -> None:
    role, _ = given(shop, engine, grant_id="0rder002")
    text = told_to_the_server(shop, lambda logged: logged.close(role))
    shut = text.index(f"EXECUTE shut_roles('{{{role.name}}}')")
    assert text.index("EXECUTE look", text.index("COMMIT", shut))
    assert "pg_terminate_backend" not in text[shut:]
    assert "EXECUTE take_over_roles" not in text[shut:]


def test_a_login_under_way_is_seen_before_it_is_a_session(
    shop: Shop, engine: PostgresEngine
) -> None:
    """Held up where a login reads its role's settings: it has passed the door, and nobody shows yet."""
    role, credential = given(shop, engine, grant_id="0rder003")
    there: list[psycopg.Connection] = []
    thread = threading.Thread(target=lambda: there.append(log_in(shop, credential)))
    assert not _looked(engine, role).arriving
    with psycopg.connect(shop.admin_url) as admin:
        admin.execute("LOCK TABLE pg_db_role_setting IN ACCESS EXCLUSIVE MODE")
        thread.start()
        wait_for(lambda: admin.execute(_HELD_UP).fetchone() == (1,))
        seen = _looked(engine, role)
        assert seen.arriving
        assert seen.sessions == {}
    thread.join()
    with closing(there[0]):
        seen = _looked(engine, role)
        assert (seen.arriving, list(seen.sessions)) == (False, [role.oid])


def test_who_is_on_their_way_is_read_before_who_is_there(engine: PostgresEngine) -> None:
    """Whatever the planner thinks: what sessions are asked for is not known before."""
    look, _ = shutting._LOOK
    with engine._links.link() as link:
        link.ready(look)
        rows = link.ask(sql.SQL("EXPLAIN (VERBOSE) {}").format(look.run([1])))[0]
    calls = [
        row["QUERY PLAN"]
        for row in rows
        if "Function Call: pg_stat_get_activity" in row["QUERY PLAN"]
    ]
    assert len(calls) == 1
    assert "NULLIF(count(*), count(*))" in calls[0]


@pytest.mark.fault(
    "H-16",
    "a holder leaves a function and a view with their own privileges behind, and logs out",
    how="CREATE with privileges given by hand, SECURITY DEFINER",
    expects="nobody gets anything by them from the moment access has ended",
)
def test_what_the_holder_made_gives_nothing_to_others_once_access_has_ended(
    shop: Shop, engine: PostgresEngine
) -> None:
    with shop.connect() as admin:
        admin.execute("GRANT CREATE ON SCHEMA public TO PUBLIC; CREATE ROLE jit_friend")
    role, credential = given(shop, engine)
    with closing(log_in(shop, credential)) as connection:
        connection.execute(
            "CREATE FUNCTION public.door() RETURNS bigint LANGUAGE sql SECURITY DEFINER"
            " AS 'SELECT count(*) FROM app.orders'"
        )
        connection.execute("CREATE VIEW public.window AS SELECT id FROM app.orders")
        connection.execute("GRANT SELECT ON public.window TO PUBLIC")
    wait_for(lambda: not sessions_under(shop, role.oid))
    asked = ("SELECT public.door()", "SELECT count(*) FROM public.window")
    with shop.connect() as admin:
        admin.execute("SET ROLE jit_friend")
        assert [admin.execute(one).fetchone() for one in asked] == [(600,), (600,)]
        assert engine.close(role).sessions_cut == ()
        for one in asked:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                admin.execute(one)
    assert engine.remove(role).clean
    with shop.connect() as admin:
        admin.execute("DROP OWNED BY jit_quarantine")


def test_what_is_prepared_while_its_session_is_cut_is_rolled_back_as_well(
    shop: Shop, engine: PostgresEngine
) -> None:
    role, credential = given(shop, engine, "write_orders")
    with (
        closing(log_in(shop, credential)) as connection,
        closing(log_in(shop, credential)) as other,
    ):
        for number, each in enumerate((connection, other)):
            each.execute("BEGIN")
            each.execute("SELECT lo_create(0)")
            if number:
                each.execute("PREPARE TRANSACTION 'early'")
        assert len(engine.close(role).sessions_cut) == 2
    with shop.connect() as admin:
        assert admin.execute("SELECT gid FROM pg_prepared_xacts").fetchall() == []
    assert engine.remove(role).clean


_HELD_UP = (
    "SELECT count(*) FROM pg_locks WHERE relation = 'pg_db_role_setting'::regclass AND NOT granted"
)
