"""Ending a grant where others have had a hand in it: foreign grants, names, OIDs and sessions."""

from contextlib import closing
from dataclasses import replace

import psycopg
import pytest

from db_grants import errors
from db_grants.postgres import PostgresEngine
from tests.fixtures_core import wait_for
from tests.fixtures_postgres import ON_BOTH_SERVERS, Shop
from tests.holders import log_in
from tests.integration.test_grant_end import ended, given

pytestmark = ON_BOTH_SERVERS


@pytest.mark.fault(
    "H-07",
    "somebody granted the role more by hand",
    how="GRANT by a superuser",
    expects="told as residue, no login; clean once it is taken back",
)
def test_what_somebody_else_granted_by_hand_is_residue_and_told(
    shop: Shop, engine: PostgresEngine
) -> None:
    role, credential = given(shop, engine)
    with shop.connect() as admin:
        admin.execute(f"GRANT SELECT ON app.payments TO {role.name}")
    removed = ended(engine, role)
    assert not removed.clean
    assert any("pg_class.relacl" in line for line in removed.residue)
    with pytest.raises(psycopg.OperationalError):
        log_in(shop, credential)
    with shop.connect() as admin:
        admin.execute(f"REVOKE SELECT ON app.payments FROM {role.name}")
    assert engine.remove(role).clean


def test_removing_while_a_session_lives_is_refused(shop: Shop, engine: PostgresEngine) -> None:
    role, credential = given(shop, engine)
    with closing(log_in(shop, credential)), pytest.raises(errors.StillAlive):
        engine.remove(role)


@pytest.mark.fault(
    "H-08", "another role has taken the name", how="CREATE ROLE by hand", expects="left alone"
)
def test_a_role_of_the_same_name_made_later_is_left_alone(
    shop: Shop, engine: PostgresEngine
) -> None:
    role, _ = given(shop, engine)
    ended(engine, role)
    with shop.connect() as admin:
        admin.execute(f"CREATE ROLE {role.name} LOGIN")
    assert ended(engine, role).clean
    with shop.connect() as admin:
        row = admin.execute(
            "SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", [role.name]
        ).fetchone()
    assert row == (True,)


def test_another_role_under_that_oid_is_never_touched(shop: Shop, engine: PostgresEngine) -> None:
    role, _ = given(shop, engine)
    with shop.connect() as admin:
        admin.execute(f"ALTER ROLE {role.name} RENAME TO jit_elsewhere")
    with pytest.raises(errors.ForeignRole):
        engine.close(role)
    with pytest.raises(errors.ForeignRole):
        engine.remove(role)


def sessions_under(shop: Shop, oid: int) -> int:
    with shop.connect() as admin:
        query = "SELECT count(*) FROM pg_stat_activity WHERE usesysid = %s"
        (count,) = admin.execute(query, [oid]).fetchone() or (0,)
        return int(count)


def test_a_session_that_outlived_its_role_is_not_called_closed(
    shop: Shop, engine: PostgresEngine
) -> None:
    role, credential = given(shop, engine)
    with closing(log_in(shop, credential)):
        with shop.connect() as admin:
            admin.execute(f"DROP ROLE {role.name}")
        with pytest.raises(errors.StillAlive):
            engine.close(role)
    wait_for(lambda: not sessions_under(shop, role.oid))  # its process is a moment behind
    engine.close(role)


@pytest.mark.fault(
    "H-09", "a holder changed their own password", how="ALTER ROLE", expects="out all the same"
)
def test_a_holder_who_changed_their_password_is_out_as_well(
    shop: Shop, engine: PostgresEngine
) -> None:
    role, credential = given(shop, engine)
    with closing(log_in(shop, credential)) as connection:
        connection.execute(f"ALTER ROLE {role.name} PASSWORD 'mine'")
    engine.close(role)
    for password in ("mine", credential.password):
        with pytest.raises(psycopg.OperationalError):
            log_in(shop, replace(credential, password=password))


def test_what_the_holder_made_where_the_bot_may_do_nothing_is_stripped_too(
    shop: Shop, engine: PostgresEngine
) -> None:
    with shop.connect() as admin:
        admin.execute("GRANT CREATE ON SCHEMA app TO PUBLIC")
    role, credential = given(shop, engine)
    with closing(log_in(shop, credential)) as connection:
        connection.execute("CREATE TABLE app.loot AS SELECT name FROM app.customers")
        connection.execute("GRANT SELECT ON app.loot TO PUBLIC")
        connection.execute("CREATE FUNCTION app.door() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    removed = ended(engine, role)
    assert removed.residue == ()
    told = " ".join(removed.quarantined)
    assert "table app.loot" in told
    assert "function app.door()" in told
    with shop.connect() as admin:
        left = admin.execute(
            "SELECT has_table_privilege('public', 'app.loot', 'SELECT'),"
            " has_function_privilege('public', 'app.door()', 'EXECUTE')"
        ).fetchone()
        admin.execute("DROP OWNED BY jit_quarantine")
    assert left == (False, False)


def test_a_function_of_that_name_that_is_a_strangers_is_not_called(
    shop: Shop, engine: PostgresEngine
) -> None:
    """In a database that was never prepared anybody may have made one, who may create schemas there."""
    other = f"{shop.database}_other"
    with shop.connect() as admin:
        admin.execute(f"CREATE DATABASE {other}".encode())
    try:
        with psycopg.connect(shop.server.url_for_admin(other), autocommit=True) as admin:
            admin.execute("GRANT CREATE ON SCHEMA public TO PUBLIC; CREATE ROLE jit_mallory")
            admin.execute(f"GRANT CREATE ON DATABASE {other} TO jit_mallory".encode())
            admin.execute(
                "SET ROLE jit_mallory; CREATE SCHEMA jit_admin;"
                " GRANT USAGE ON SCHEMA jit_admin TO PUBLIC;"
                " CREATE FUNCTION jit_admin.strip_quarantined() RETURNS void LANGUAGE plpgsql"
                " SECURITY DEFINER AS $$ BEGIN RAISE EXCEPTION 'called'; END $$"
            )
        role, credential = given(shop, engine)
        with closing(log_in(shop, replace(credential, database=other))) as connection:
            connection.execute("CREATE TABLE public.stash (id int)")
            connection.execute("GRANT SELECT ON public.stash TO PUBLIC")
        assert ended(engine, role).clean
    finally:
        with shop.connect() as admin:
            admin.execute(f"DROP DATABASE {other} WITH (FORCE)".encode())
            admin.execute("DROP ROLE IF EXISTS jit_mallory")
