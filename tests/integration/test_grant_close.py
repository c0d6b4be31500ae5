"""What the server is told when access ends: the door first, and no more than is needed."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from db_grants.postgres import PostgresEngine
from tests.fixtures_postgres import Shop
from tests.integration.test_grant_end import given, login


@pytest.fixture(params=["postgres_server", "installed_server"])
def shop_server(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@pytest.fixture
def engine(shop: Shop) -> PostgresEngine:
    return shop.engine()


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
    with closing(login(shop, credential)):
        text = told_to_the_server(shop, lambda logged: logged.close(role))
    shut = text.index(f'ALTER ROLE \\"{role.name}\\" NOLOGIN')
    committed = text.index("COMMIT", shut)
    revoked = text.index("REVOKE", committed)
    cutting = text.index(f"usesysid = ANY ('{{{role.oid}}}'", shut)
    assert shut < committed < revoked < text.index("pg_terminate_backend", shut) < cutting
    assert "pg_terminate_backend" not in text[text.index("as_named") : shut]


def test_where_nobody_is_the_door_is_all_that_is_changed(
    shop: Shop, engine: PostgresEngine
) -> None:
    role, _ = given(shop, engine, grant_id="0rder002")
    text = told_to_the_server(shop, lambda logged: logged.close(role))
    shut = text.index(f'ALTER ROLE \\"{role.name}\\" NOLOGIN')
    assert text.index("EXECUTE arriving", text.index("COMMIT", shut))
    assert "pg_terminate_backend" not in text[shut:]
    assert "REVOKE" not in text[shut:]


def test_what_is_prepared_while_its_session_is_cut_is_rolled_back_as_well(
    shop: Shop, engine: PostgresEngine
) -> None:
    role, credential = given(shop, engine, "write_orders")
    with closing(login(shop, credential)) as connection, closing(login(shop, credential)) as other:
        for number, each in enumerate((connection, other)):
            each.execute("BEGIN")
            each.execute("SELECT lo_create(0)")
            if number:
                each.execute("PREPARE TRANSACTION 'early'")
        assert len(engine.close(role).sessions_cut) == 2
    with shop.connect() as admin:
        assert admin.execute("SELECT gid FROM pg_prepared_xacts").fetchall() == []
    assert engine.remove(role).clean
