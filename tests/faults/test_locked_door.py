"""A holder's own lock on their role must not keep the door open."""

import contextlib
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import sql

from db_grants import errors, naming
from db_grants.postgres import PostgresEngine
from db_grants.spec import GrantSpec, ManagedRole
from tests.fixtures_postgres import Shop
from tests.holders import is_cut

pytestmark = pytest.mark.faults

HOUR = timedelta(hours=1)


@pytest.fixture
def engine(shop: Shop) -> PostgresEngine:
    return shop.engine(deadline=4.0)  # type: ignore[no-any-return]


@pytest.fixture
def role(shop: Shop, engine: PostgresEngine) -> ManagedRole:
    name = naming.managed_role("d00r0001")
    deadline = datetime.now(UTC) + HOUR
    return engine.create(
        GrantSpec(grant_id="d00r0001", role_name=name, scope=shop.scope(), expires_at=deadline)
    )


def holder(shop: Shop, engine: PostgresEngine, role: ManagedRole) -> psycopg.Connection:
    given = engine.reveal(role, datetime.now(UTC) + HOUR, shop.database)
    return psycopg.connect(shop.server.url(shop.database, given.role, given.password))


def keep_the_row(connection: psycopg.Connection, role: ManagedRole) -> None:
    """Change one's own password, and do not say whether to keep that."""
    statement = sql.SQL("ALTER ROLE {} PASSWORD 'mine'")
    connection.execute(statement.format(sql.Identifier(role.name)))


@pytest.mark.fault(
    "F-32b",
    "a holder locks their own role",
    how="ALTER ROLE in an open transaction",
    expects="they are cut and out",
)
def test_a_holder_who_locks_their_own_role_is_cut_and_out(
    shop: Shop, engine: PostgresEngine, role: ManagedRole
) -> None:
    with contextlib.closing(holder(shop, engine, role)) as connection:
        keep_the_row(connection, role)
        assert len(engine.close(role).sessions_cut) >= 1
        assert is_cut(connection)
    assert engine.remove(role).clean


@pytest.mark.fault(
    "F-32c",
    "a holder locks their own role by a prepared transaction",
    how="PREPARE TRANSACTION",
    expects="it is rolled back, they are out, nothing remains",
)
def test_a_holder_who_prepares_that_lock_is_out_as_well(
    shop: Shop, engine: PostgresEngine, role: ManagedRole
) -> None:
    with contextlib.closing(holder(shop, engine, role)) as connection:
        keep_the_row(connection, role)
        connection.execute("PREPARE TRANSACTION 'mine'")
    engine.close(role)
    assert engine.remove(role).clean


@pytest.mark.fault(
    "F-32d",
    "somebody else locks a holder's role",
    how="an open transaction of a superuser",
    expects="told as such; the holder has no session and no privilege meanwhile",
)
def test_somebody_elses_lock_delays_the_door_and_the_holder_is_powerless_meanwhile(
    shop: Shop, engine: PostgresEngine, role: ManagedRole
) -> None:
    with (
        contextlib.closing(holder(shop, engine, role)) as connection,
        psycopg.connect(shop.admin_url) as other,
    ):
        keep_the_row(other, role)
        with pytest.raises(errors.TargetUnavailable, match="lock"):
            engine.close(role)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT count(*) FROM app.orders")
        found = next(one for one in engine.survey().managed if one.oid == role.oid)
        assert (found.can_login, found.member_of, found.sessions) == (True, (), 0)
        other.rollback()
    engine.close(role)
    assert engine.remove(role).clean
