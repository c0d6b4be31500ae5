"""A bot gone bad has no power over roles but by the bootstrap's functions, and those refuse all but ours."""

import secrets
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from db_grants import naming
from db_grants.postgres import scram
from db_grants.spec import GrantSpec, ManagedRole
from tests.fixtures_postgres import ON_BOTH_SERVERS, Shop

pytestmark = ON_BOTH_SERVERS

NOTE = '{"grant": "x"}'
MADE = "4, now() + '1 hour', '" + NOTE + "', true"
FOREIGN = "jit_s_payroll_0123456789abcdef"
NAMES = [
    "postgres",
    "jit_bot",
    "jit_quarantine",
    "jit_managed",
    "pg_read_all_data",
    "dba",
    FOREIGN,
    "jit_team2026",
    'jit_x"; DROP ROLE dba; --',
    "jit_x'; DROP ROLE dba; --",
    "",
    None,
]
REFUSED = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.NullValueNotAllowed,
    psycopg.errors.UndefinedObject,
    psycopg.errors.DuplicateObject,
    psycopg.errors.SyntaxError,  # a name of no length
    psycopg.errors.ReservedName,
)


@pytest.fixture
def strangers(shop: Shop) -> Iterator[None]:
    """Roles of somebody else's, some with names like ours."""
    strangers = ["dba", "jit_team2026", FOREIGN]
    with shop.connect() as admin:
        for name in strangers:
            admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'theirs'")
    yield
    with shop.connect() as admin:
        for name in strangers:
            admin.execute(f"DROP ROLE IF EXISTS {name}")


@pytest.fixture
def bot(shop: Shop) -> Iterator[psycopg.Connection]:
    with closing(psycopg.connect(shop.bot_url, autocommit=True)) as connection:
        yield connection


def live(shop: Shop, grant_id: str = "aaaa1111") -> ManagedRole:
    spec = GrantSpec(
        grant_id=grant_id,
        role_name=naming.managed_role(grant_id),
        scope=shop.scope(),
        expires_at=datetime.now(UTC) + timedelta(minutes=30),
    )
    return shop.engine().create(spec)


def roles(shop: Shop) -> list[Any]:
    """All there is to roles: what they are, hold and remember."""
    with shop.connect() as admin:
        return [
            admin.execute(f"SELECT x::text FROM {catalog} x ORDER BY 1").fetchall()
            for catalog in (
                "pg_authid",
                "pg_auth_members",
                "pg_db_role_setting",
                "pg_shdescription",
            )
        ]


def listed(shop: Shop, kind: str) -> list[str]:
    with shop.connect() as admin:
        rows = admin.execute(
            "SELECT name FROM jit_admin.scope_roles WHERE kind = %s ORDER BY 1", [kind]
        ).fetchall()
    return [name for (name,) in rows]


def refused(bot: psycopg.Connection, call: str, *values: object) -> None:
    with pytest.raises(REFUSED):
        bot.execute(call.encode(), values)


def test_it_has_no_power_over_roles_of_its_own(shop: Shop, bot: psycopg.Connection) -> None:
    role, scope = live(shop), shop.engine().carries(shop.scope())
    before = roles(shop)
    for statement in (
        "CREATE ROLE mine",
        f"ALTER ROLE {role.name} CONNECTION LIMIT 99",
        f"ALTER ROLE {role.name} PASSWORD 'mine'",
        f"COMMENT ON ROLE {role.name} IS 'mine'",
        f"DROP ROLE {role.name}",
        f"GRANT {role.name} TO jit_bot",
        f"GRANT {scope} TO jit_bot",
        f"GRANT {scope} TO {role.name}",
        f"REVOKE {scope} FROM {role.name}",
        f"GRANT {listed(shop, 'atom')[0]} TO {role.name}",
        "GRANT jit_managed TO jit_bot",
        "GRANT jit_quarantine TO pg_monitor",
        f"SET ROLE {scope}",
        "SET log_statement = 'none'",
        "DELETE FROM jit_admin.listing",
        "INSERT INTO jit_admin.listing VALUES (10, 'postgres', 'entitlement', 1)",
        "SELECT count(*) FROM app.orders",
        *(
            f"SELECT jit_admin.{call}"
            for call in (
                "require_temporary('{x}', true)",
                "furnish_role('CREATE ROLE %I', 'x', 'x', 1, now(), 'x', true)",
                f"take_memberships('{{{role.name}}}', NULL, NULL)",
                f"require_scope_role('{scope}')",
            )
        ),
    ):
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.SyntaxError)):
            bot.execute(statement.encode())
    assert roles(shop) == before


@pytest.mark.usefixtures("strangers")
@pytest.mark.parametrize("name", NAMES)
def test_no_function_touches_a_role_by_such_a_name(
    shop: Shop, bot: psycopg.Connection, name: str | None
) -> None:
    role, scope = live(shop), shop.engine().carries(shop.scope())
    before = roles(shop)
    given = "%s, now() + '1 hour', '" + NOTE + "'"
    for verb in ("make_role", "mend_role"):
        refused(bot, f"SELECT jit_admin.{verb}(%s, '{scope}', {MADE})", name)
    for target in ("jit_bbbb1111", role.name):
        verb = "mend_role" if target == role.name else "make_role"
        refused(bot, f"SELECT jit_admin.{verb}('{target}', %s, {MADE})", name)
    refused(bot, "SELECT jit_admin.set_password(%s, %s)", name, scram.verifier("x"))
    refused(bot, f"SELECT jit_admin.set_deadline({given})", name)
    for verb in ("shut_roles", "take_over_roles", "drop_roles", "lend_roles"):
        for names in ([name], [role.name, name], [name, role.name]):
            refused(bot, f"SELECT jit_admin.{verb}(%s::text[])", names)
    if name != naming.BOOKKEEPING:  # that one is listed
        for verb in ("shut_scope_role", "return_scope_role"):
            refused(bot, f"SELECT jit_admin.{verb}(%s)", name)
        refused(bot, "SELECT jit_admin.reset_scope_role(%s, NULL)", name)
    refused(bot, "SELECT jit_admin.lend_scope_role(%s)", name)
    refused(bot, "SELECT jit_admin.make_narrowed_role(%s)", [name])
    refused(bot, "SELECT jit_admin.make_narrowed_role(%s)", [*listed(shop, "atom"), name])
    for given_by in (name, scope, role.name):
        refused(bot, "SELECT jit_admin.take_back_membership(%s, %s, %s)", given_by, name, "dba")
    refused(bot, "SELECT jit_admin.take_back_membership(%s, %s, %s)", name, scope, role.name)
    assert roles(shop) == before


@pytest.mark.parametrize(
    "call",
    [
        "make_role('jit_bbbb1111', '{scope}', NULL, now() + '1 hour', '{note}', true)",
        "make_role('jit_bbbb1111', '{scope}', 4, NULL, '{note}', true)",
        "make_role('jit_bbbb1111', '{scope}', 4, now(), NULL, true)",
        "make_role('jit_bbbb1111', '{scope}', 4, now(), '{note}', NULL)",
        "make_role('jit_bbbb1111', '{scope}', 4, '-infinity', '{note}', true)",
        "mend_role('{role}', '{scope}', 4, 'infinity', '{note}', true)",
        "mend_role('jit_bbbb1111', '{scope}', 4, now(), '{note}', true)",
        "make_role('{role}', '{scope}', 4, now(), '{note}', true)",
        "make_role('jit_bbbb1111', '{atom}', 4, now(), '{note}', true)",
        "make_role('jit_bbbb1111', 'jit_managed', 4, now(), '{note}', true)",
        "make_role('jit_bbbb1111', '{role}', 4, now(), '{note}', true)",
        "set_password('{role}', NULL)",
        "set_deadline('{role}', NULL, '{note}')",
        "set_deadline('{role}', now(), NULL)",
        "shut_roles(NULL)",
        "take_over_roles(NULL)",
        "drop_roles(NULL)",
        "drop_roles('{{}}')",
        "drop_roles('{{{role},{role}}}')",
        "make_narrowed_role(NULL)",
        "make_narrowed_role('{{}}')",
        "make_narrowed_role('{{NULL}}')",
        "make_narrowed_role('{{{atom},{atom}}}')",
        "make_narrowed_role('{{{scope}}}')",
        "make_narrowed_role('{{{role}}}')",
        "lend_scope_role('{scope}')",
        "lend_scope_role('{atom}')",
        "take_back_membership('postgres', '{scope}', '{role}')",
        "take_back_membership('{scope}', '{atom}', '{scope}')",
    ],
)
def test_nor_is_anything_else_done_with_ours(
    shop: Shop, bot: psycopg.Connection, call: str
) -> None:
    names = {"scope": shop.engine().carries(shop.scope()), "atom": listed(shop, "atom")[0]}
    role, before = live(shop), roles(shop)
    with pytest.raises(psycopg.Error):
        bot.execute(f"SELECT jit_admin.{call.format(role=role.name, note=NOTE, **names)}".encode())
    assert roles(shop) == before


@pytest.mark.parametrize("empty", ["shut_roles", "take_over_roles"])
def test_no_names_are_nothing_done(shop: Shop, bot: psycopg.Connection, empty: str) -> None:
    before = roles(shop)
    bot.execute(f"SELECT jit_admin.{empty}('{{}}')".encode())
    bot.execute("SELECT jit_admin.drop_narrowed_roles()")
    assert roles(shop) == before


def test_only_whoever_is_listed_is_handed_out_not_who_took_the_name(
    shop: Shop, bot: psycopg.Connection
) -> None:
    scope = shop.engine().carries(shop.scope())
    make = f"SELECT jit_admin.make_role('jit_bbbb1111', '{scope}', {MADE})"
    with shop.connect() as admin:
        admin.execute(f"DROP OWNED BY {scope}; DROP ROLE {scope}; CREATE ROLE {scope}")
    refused(bot, make)
    for verb in ("shut_scope_role", "return_scope_role", "lend_scope_role"):
        refused(bot, f"SELECT jit_admin.{verb}(%s)", scope)


def test_nor_whoever_is_listed_by_another_name(shop: Shop, bot: psycopg.Connection) -> None:
    scope, renamed = shop.engine().carries(shop.scope()), "jit_s_renamed_0123456789abcdef"
    with shop.connect() as admin:
        admin.execute(f"ALTER ROLE {scope} RENAME TO {renamed}")
    for name in (scope, renamed):
        refused(bot, f"SELECT jit_admin.make_role('jit_bbbb1111', '{name}', {MADE})")


@pytest.mark.parametrize("power", ["SUPERUSER", "CREATEROLE", "BYPASSRLS"])
def test_a_scope_role_with_power_is_neither_handed_out_nor_lent(
    shop: Shop, bot: psycopg.Connection, power: str
) -> None:
    scope = shop.engine().carries(shop.scope())
    with shop.connect() as admin:
        admin.execute(f"ALTER ROLE {scope} {power}; SET ROLE {scope}; SELECT lo_create(0)")
    refused(bot, f"SELECT jit_admin.make_role('jit_bbbb1111', '{scope}', {MADE})")
    refused(bot, "SELECT jit_admin.lend_scope_role(%s)", scope)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_what_was_true_once_is_no_leave(shop: Shop, bot: psycopg.Connection, level: str) -> None:
    """A snapshot from before a bootstrap would still show what that took off the list."""
    role, scope = live(shop), shop.engine().carries(shop.scope())
    for call in (
        f"make_role('jit_bbbb1111', '{scope}', {MADE})",
        f"mend_role('{role.name}', '{scope}', {MADE})",
        f"make_narrowed_role('{{{listed(shop, 'atom')[0]}}}')",
        "drop_narrowed_roles()",
    ):
        bot.execute(f"BEGIN ISOLATION LEVEL {level}".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="READ COMMITTED"):
            bot.execute(f"SELECT jit_admin.{call}".encode())
        bot.execute("ROLLBACK")


def test_in_a_copy_of_the_database_nothing_is_listed(shop: Shop) -> None:
    scope, copy = shop.engine().carries(shop.scope()), f"copy_{secrets.token_hex(4)}"
    with psycopg.connect(shop.server.admin_url, autocommit=True) as admin:
        names = {"copy": sql.Identifier(copy), "shop": sql.Identifier(shop.database)}
        admin.execute(sql.SQL("CREATE DATABASE {copy} TEMPLATE {shop}").format(**names))
        try:
            url = shop.bot_url.replace(f"/{shop.database}", f"/{copy}")
            with psycopg.connect(url, autocommit=True) as bot:
                refused(bot, f"SELECT jit_admin.make_role('jit_bbbb1111', '{scope}', {MADE})")
                assert bot.execute("SELECT * FROM jit_admin.scope_roles").fetchall() == []
        finally:
            admin.execute(sql.SQL("DROP DATABASE {copy} WITH (FORCE)").format(**names))


def test_a_name_of_a_narrowed_role_says_what_it_carries(
    shop: Shop, bot: psycopg.Connection
) -> None:
    atoms = listed(shop, "atom")[:2]
    name = naming.subset_role(atoms)
    with shop.connect() as admin:  # somebody was there first
        admin.execute(f"CREATE ROLE {name}")
        refused_here = (psycopg.errors.DuplicateObject,)
        with pytest.raises(refused_here):
            bot.execute("SELECT jit_admin.make_narrowed_role(%s)", [atoms])
        admin.execute(f"DROP ROLE {name}")
    bot.execute("SELECT jit_admin.make_narrowed_role(%s)", [atoms[::-1]])
    bot.execute("SELECT jit_admin.make_narrowed_role(%s)", [atoms])
    assert listed(shop, "narrowed") == [name]
    bot.execute("SELECT jit_admin.drop_narrowed_roles()")
    assert listed(shop, "narrowed") == []


@pytest.mark.parametrize("whose", ["the schema", "a table", "a function"])
def test_a_bootstrap_does_not_build_on_what_somebody_else_has_put_there(
    shop: Shop, whose: str
) -> None:
    with shop.connect() as admin:
        admin.execute("CREATE ROLE mallory")
        try:
            admin.execute(
                {
                    "the schema": "ALTER SCHEMA jit_admin OWNER TO mallory",
                    "a table": "ALTER TABLE jit_admin.listing OWNER TO mallory",
                    "a function": "ALTER FUNCTION jit_admin.drop_narrowed_roles OWNER TO mallory",
                }[whose]
            )
            with pytest.raises(psycopg.errors.RaiseException, match="belongs to somebody else"):
                admin.execute(sql.SQL(shop.script))
            admin.execute("ROLLBACK")
        finally:
            admin.execute("REASSIGN OWNED BY mallory TO postgres; DROP ROLE mallory")
