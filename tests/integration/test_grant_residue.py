"""The search for what is left of a role finds what the server's own bookkeeping has lost."""

import psycopg
import pytest
from psycopg import sql

from db_grants.postgres import PostgresEngine, links, residue
from tests.fixtures_postgres import Shop

PLACES = {
    "a table": ("GRANT SELECT ON app.orders TO jit_ghost", "pg_class.relacl"),
    "a column": ("GRANT SELECT (id) ON app.orders TO jit_ghost", "pg_attribute.attacl"),
    "a schema": ("GRANT USAGE ON SCHEMA app TO jit_ghost", "pg_namespace.nspacl"),
    "the database": ("GRANT TEMPORARY ON DATABASE {} TO jit_ghost", "pg_database.datacl"),
    "a function": ("GRANT EXECUTE ON FUNCTION pg_ls_dir(text) TO jit_ghost", "pg_proc.proacl"),
    "what is granted by default": (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO jit_ghost",
        "pg_default_acl.defaclacl",
    ),
}


@pytest.fixture
def engine(shop: Shop) -> PostgresEngine:
    return shop.engine()  # type: ignore[no-any-return]


@pytest.mark.parametrize("place", PLACES)
def test_a_privilege_of_a_role_that_is_gone_is_found(shop: Shop, place: str) -> None:
    given, column = PLACES[place]
    with shop.connect() as admin:
        oid = _ghost(admin, given.format(shop.database))
        assert _found(shop, oid) == (f"1 in {column}",)


def test_several_are_proven_by_one_search(shop: Shop, engine: PostgresEngine) -> None:
    """Whatever one of many left is found by the search for all of them, wherever it stands."""
    for given, _ in PLACES.values():
        with shop.connect() as admin:
            oid = _ghost(admin, given.format(shop.database))
        with engine._links.link() as link:
            search = residue.search(link)
            assert _asked(link, search, [oid, 99999998]) != []
            assert _asked(link, search, [99999997, 99999998]) == []


ODD = {
    "an owner": (
        "CREATE TABLE app.odd (id int); ALTER TABLE app.odd OWNER TO jit_ghost",
        "relowner",
    ),
    "a policy": (
        "CREATE TABLE app.odd (id int); CREATE POLICY odd ON app.odd TO jit_ghost",
        "pg_policy.polroles",
    ),
    "a setting": ("ALTER ROLE jit_ghost SET work_mem = '1MB'", "pg_db_role_setting.setrole"),
    "a member": ("CREATE ROLE jit_odd; GRANT jit_odd TO jit_ghost", "pg_auth_members.member"),
    "one who is its member": (
        "CREATE ROLE jit_odd; GRANT jit_ghost TO jit_odd",
        "pg_auth_members.roleid",
    ),
    "a large object": (
        "SELECT lo_create(4242); ALTER LARGE OBJECT 4242 OWNER TO jit_ghost",
        "pg_largeobject_metadata.lomowner",
    ),
    "a right to set": ("GRANT SET ON PARAMETER work_mem TO jit_ghost", "pg_parameter_acl.paracl"),
}


@pytest.mark.parametrize("place", ODD)
def test_what_else_mentions_a_role_that_is_gone_is_found(
    shop: Shop, engine: PostgresEngine, place: str
) -> None:
    given, column = ODD[place]
    with shop.connect() as admin:
        oid = _ghost(admin, given)
    try:
        (found,) = [line for line in _found(shop, oid) if column in line]
        assert found.startswith("1 in ")
        with engine._links.link() as link:
            assert _asked(link, residue.search(link), [oid, 99999998]) != []
    finally:
        with shop.connect() as admin:
            _forget(admin, oid)


@pytest.mark.parametrize("place", PLACES)
def test_it_is_found_long_after_and_frozen(shop: Shop, engine: PostgresEngine, place: str) -> None:
    given, column = PLACES[place]
    with shop.connect() as admin:
        oid = _ghost(admin, given.format(shop.database))
        relation = column.split(".")[0]
        admin.execute(sql.SQL("VACUUM (FREEZE) pg_catalog.{}").format(sql.Identifier(relation)))
        for _ in range(20):
            admin.execute("SELECT pg_current_xact_id()")
    assert _found(shop, oid) == (f"1 in {column}",)


def test_a_role_named_like_the_number_looked_for_is_no_residue(shop: Shop) -> None:
    with shop.connect() as admin:
        admin.execute('CREATE ROLE "99999999"; GRANT SELECT ON app.orders TO "99999999"')
        try:
            assert _found(shop, 99999999) == ()
        finally:
            admin.execute('DROP OWNED BY "99999999"; DROP ROLE "99999999"')


def _ghost(admin: psycopg.Connection, given: str) -> int:
    """A role that vanished from the catalogue and from the dependencies, though not from an ACL."""
    with admin.transaction():
        admin.execute(f"CREATE ROLE jit_ghost; {given}")
        (oid,) = admin.execute("DELETE FROM pg_authid WHERE rolname = 'jit_ghost' RETURNING oid")
        admin.execute("DELETE FROM pg_shdepend WHERE refobjid = %s", oid)
    return int(oid[0])


def _asked(link: links.Link, search: residue.Search, oids: list[int]) -> links.Rows:
    link.ready(search.quick(oids))
    return link.ask(search.asked(oids))[-1]


def _forget(admin: psycopg.Connection, oid: int) -> None:
    """What stands in catalogues of the whole cluster would be found by the next test's search."""
    admin.execute("DELETE FROM pg_db_role_setting WHERE setrole = %s", [oid])
    admin.execute("DELETE FROM pg_auth_members WHERE %s IN (roleid, member, grantor)", [oid])
    admin.execute("DELETE FROM pg_parameter_acl WHERE paracl::text LIKE %s", [f"%{oid}%"])
    admin.execute("DROP ROLE IF EXISTS jit_odd")


def _found(shop: Shop, oid: int) -> tuple[str, ...]:
    engine = shop.engine()
    with engine._links.link() as link:
        return residue.search(link).of_role(link, oid)
