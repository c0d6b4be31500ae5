"""From 16 on a plain end looks at scope roles once a minute, save where its holder could act as one."""

import pytest

from db_grants.postgres import PostgresEngine, lasting
from tests.fixtures_postgres import ON_BOTH_SERVERS, Shop
from tests.integration.test_grant_end import ended, given
from tests.integration.test_grant_scope_roles import amiss, scope_role

pytestmark = ON_BOTH_SERVERS


@pytest.fixture
def engine(shop: Shop) -> PostgresEngine:
    """One whose connection has looked at scope roles just now."""
    made = shop.engine()
    assert ended(made, given(shop, made, grant_id="before01")[0]).clean
    return made


def _spoil(shop: Shop) -> None:
    with shop.connect() as admin:
        admin.execute(f"ALTER ROLE {scope_role(shop)} SET work_mem = '1MB'")


def test_what_an_administrator_laid_on_a_scope_role_is_found_within_a_minute(
    shop: Shop, engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    roles = [given(shop, engine, "write_orders", f"seld0m{n}")[0] for n in range(2)]
    _spoil(shop)
    with shop.connect() as admin:
        before_16 = admin.info.server_version < 160000
    undone = ended(engine, roles[0]).undone
    assert bool(undone) == before_16
    assert bool(amiss(shop)) != before_16
    monkeypatch.setattr(lasting, "_EVERY", 0.0)  # a minute later
    undone += ended(engine, roles[1]).undone
    assert ["settings" in line for line in undone] == [True]
    assert amiss(shop) == []


def test_who_could_act_as_a_scope_role_does_not_end_without_a_look(
    shop: Shop, engine: PostgresEngine
) -> None:
    """A grant of a server that was 15 then, or a membership somebody gave by hand."""
    role, _ = given(shop, engine, "write_orders")
    with shop.connect() as admin:
        if admin.info.server_version >= 160000:
            admin.execute(f"GRANT {scope_role(shop)} TO {role.name} WITH SET TRUE")
        admin.execute(f"ALTER ROLE {scope_role(shop)} SET work_mem = '1MB'")
    removed = ended(engine, role)
    assert removed.clean
    assert ["settings" in line for line in removed.undone] == [True]
    assert amiss(shop) == []
