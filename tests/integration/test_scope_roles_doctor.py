"""What the doctor says of scope roles that have what they should not, and of ways in."""

import pytest

from db_grants.postgres import PostgresEngine
from db_grants.spec import Severity
from tests.fixtures_postgres import ON_BOTH_SERVERS, SCOPES, Shop
from tests.integration.test_grant_scope_roles import prepare, scope_role

pytestmark = ON_BOTH_SERVERS


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("SET ROLE {scope}; SELECT lo_create(0)", "objects owned by {scope}"),
        ("ALTER ROLE {scope} SET work_mem = '1MB'", "settings of {scope}: work_mem=1MB"),
        ("ALTER ROLE {scope} PASSWORD 'mine'", "has a password"),
        ("ALTER ROLE {scope} LOGIN", "can log in"),
        ("ALTER ROLE jit_managed LOGIN", "jit_managed can log in"),
    ],
)
def test_the_doctor_reports_what_scope_roles_should_not_have(
    shop: Shop, engine: PostgresEngine, damage: str, told: str
) -> None:
    scopes = [shop.scope(name) for name in SCOPES]
    scope = scope_role(shop)
    with shop.connect() as admin:
        admin.execute(damage.format(scope=scope))
    try:
        (finding,) = [one for one in engine.check(scopes) if one.severity is Severity.ERROR]
    finally:
        with shop.connect() as admin:
            admin.execute("ALTER ROLE jit_managed NOLOGIN")
    assert told.format(scope=scope) in finding.message


def test_the_doctor_reports_a_transaction_prepared_as_a_scope_role(
    shop: Shop, engine: PostgresEngine
) -> None:
    with shop.connect() as admin:
        admin.execute(f"SET ROLE {scope_role(shop)}")
        prepare(admin, "old", "UPDATE app.orders SET total = 0")
    found = [one for one in engine.check([]) if one.severity is Severity.ERROR]
    assert ["transaction old" in one.message for one in found] == [True]


def test_the_doctor_says_plainly_what_a_holder_may_do_before_16(
    shop: Shop, engine: PostgresEngine, old: bool
) -> None:
    messages = " ".join(one.message for one in engine.check([]))
    assert ("holders may SET ROLE to their scope's roles" in messages) == old


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("host all all 192.0.2.0/24 trust", True),
        ("host all +jit_managed 192.0.2.0/24 peer", None),
        ("host all all 192.0.2.0/24 ident", True),
        ("host elsewhere all 192.0.2.0/24 trust", False),
        ("host all alice 192.0.2.0/24 trust", False),
        ("host all all 192.0.2.0/24 scram-sha-256", False),
        ("host all all 192.0.2.0/24 reject", False),
    ],
)
def test_the_doctor_warns_of_ways_in_without_a_password_if_it_may_look(
    shop: Shop, engine: PostgresEngine, line: str, told: bool | None
) -> None:
    if told is None:
        line, told = line.replace("host", "local", 1).replace(" 192.0.2.0/24", ""), True
    path = shop.server.config.data_dir / "pg_hba.conf"
    text = path.read_text()
    path.write_text(f"{text}\n{line}\n")
    try:
        assert not any("pg_hba.conf" in one.message for one in engine.check([]))
        with shop.connect() as admin:
            admin.execute(
                "GRANT SELECT ON pg_hba_file_rules TO jit_bot;"
                "GRANT EXECUTE ON FUNCTION pg_hba_file_rules() TO jit_bot"
            )
        warned = [one for one in engine.check([]) if "pg_hba.conf" in one.message]
        assert [one.severity for one in warned] == [Severity.WARNING] * told
    finally:
        path.write_text(text)
        with shop.connect() as admin:
            admin.execute(
                "REVOKE ALL ON pg_hba_file_rules FROM jit_bot;"
                "REVOKE ALL ON FUNCTION pg_hba_file_rules() FROM jit_bot"
            )
