"""Ending a grant where others have had a hand in it: foreign grants, names, OIDs and sessions."""

from contextlib import closing
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from db_grants import errors
from db_grants.postgres import PostgresEngine
from tests.fixtures_core import wait_for
from tests.fixtures_postgres import Shop
from tests.integration.test_grant_end import ended, given, login


@pytest.fixture(params=["postgres_server", "installed_server"])
def shop_server(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@pytest.fixture
def engine(shop: Shop) -> PostgresEngine:
    return shop.engine()


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
        login(shop, credential)
    with shop.connect() as admin:
        admin.execute(f"REVOKE SELECT ON app.payments FROM {role.name}")
    assert engine.remove(role).clean


def test_removing_while_a_session_lives_is_refused(shop: Shop, engine: PostgresEngine) -> None:
    role, credential = given(shop, engine)
    with closing(login(shop, credential)), pytest.raises(errors.StillAlive):
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
    with closing(login(shop, credential)):
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
    with closing(login(shop, credential)) as connection:
        connection.execute(f"ALTER ROLE {role.name} PASSWORD 'mine'")
    engine.close(role)
    for password in ("mine", credential.password):
        with pytest.raises(psycopg.OperationalError):
            login(shop, replace(credential, password=password))
