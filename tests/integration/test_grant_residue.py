"""The search for what is left of a role finds what the server's own bookkeeping has lost."""

import psycopg
import pytest

from db_grants.postgres import residue
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


@pytest.mark.parametrize("place", PLACES)
def test_a_privilege_of_a_role_that_is_gone_is_found(shop: Shop, place: str) -> None:
    given, column = PLACES[place]
    with shop.connect() as admin:
        oid = _ghost(admin, given.format(shop.database))
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


def _found(shop: Shop, oid: int) -> tuple[str, ...]:
    engine = shop.engine()
    with engine._links.link() as link:
        return residue.search(link).of_role(link, oid)
