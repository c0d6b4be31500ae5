"""The search for what is left of a role finds what the server's own bookkeeping has lost."""

import json
import re
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import sql

from db_grants import naming
from db_grants.postgres import PostgresEngine, links, queries, residue
from db_grants.spec import GrantSpec, ManagedRole, Removed
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


def _hide(admin: psycopg.Connection, role: ManagedRole) -> None:
    """Let the server forget that anything depends on a role, so that it can be dropped."""
    admin.execute("DELETE FROM pg_shdepend WHERE refobjid = %s", [role.oid])


def _created(shop: Shop, engine: PostgresEngine, grant_id: str) -> ManagedRole:
    until = datetime.now(UTC) + timedelta(minutes=30)
    name = naming.managed_role(grant_id)
    return engine.create(
        GrantSpec(grant_id=grant_id, role_name=name, scope=shop.scope(), expires_at=until)
    )


def _planted(shop: Shop, admin: psycopg.Connection, place: str, role: ManagedRole) -> None:
    given, _ = PLACES[place]
    admin.execute(given.format(shop.database).replace("jit_ghost", role.name))
    _hide(admin, role)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("many", [False, True])
def test_what_was_planted_long_after_a_role_was_made_is_told_when_it_is_removed(
    shop: Shop, engine: PostgresEngine, place: str, many: bool
) -> None:
    roles = [_created(shop, engine, f"plant{number:03}") for number in range(1 + many)]
    with shop.connect() as admin:
        for _ in range(50):
            admin.execute("SELECT pg_current_xact_id()")
        _planted(shop, admin, place, roles[0])
        relation = PLACES[place][1].split(".")[0]
        admin.execute(sql.SQL("VACUUM (FREEZE) pg_catalog.{}").format(sql.Identifier(relation)))
    engine.close_all(roles)
    removed = engine.remove_all(roles)
    told = removed[roles[0].grant_id]
    assert isinstance(told, Removed)
    assert told.residue == (f"1 in {PLACES[place][1]}",)


def test_what_a_transaction_older_than_the_role_gave_it_is_told(
    shop: Shop, engine: PostgresEngine
) -> None:
    with psycopg.connect(shop.admin_url) as older:
        older.execute("SELECT pg_current_xact_id()")
        with shop.connect() as admin:
            admin.execute("SELECT pg_current_xact_id()")  # a younger one is over
        role = _created(shop, engine, "plant100")
        _planted(shop, older, "a table", role)
        older.commit()
    engine.close(role)
    assert engine.remove(role).residue == ("1 in pg_class.relacl",)


def test_what_was_written_just_before_a_role_was_made_is_not_taken_apart(
    shop: Shop, engine: PostgresEngine
) -> None:
    """On a connection in use, too: the note is of the moment, not of when the connection was made."""
    first = _created(shop, engine, "plant102")
    with shop.connect() as admin:
        row = admin.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
        role = _created(shop, engine, "plant103")
        note = admin.execute("SELECT shobj_description(%s, 'pg_authid')", [role.oid]).fetchone()
    assert row is not None
    assert note is not None
    assert json.loads(note[0])["since"] > row[0]
    for each in (first, role):
        engine.close(each)
        assert engine.remove(each).clean


@pytest.mark.parametrize("comment", ["NULL", "'{}'", "'{\"since\": 99999999999}'"])
def test_a_role_whose_note_says_nothing_of_use_is_searched_for_everywhere(
    shop: Shop, engine: PostgresEngine, comment: str
) -> None:
    role = _created(shop, engine, "plant101")
    with shop.connect() as admin:
        _planted(shop, admin, "a schema", role)
        admin.execute(f"COMMENT ON ROLE {role.name} IS {comment}")
    engine.close(role)
    assert engine.remove(role).residue == ("1 in pg_namespace.nspacl",)


def test_what_is_older_than_a_role_is_not_taken_apart(shop: Shop, engine: PostgresEngine) -> None:
    with shop.connect() as admin:
        oid = _ghost(admin, "GRANT SELECT ON app.orders TO jit_ghost")
        row = admin.execute("SELECT pg_current_xact_id()::text").fetchone()
    assert row is not None
    with engine._links.link() as link:
        search = residue.search(link)
        for since, rows in ((f"{{{oid}}} {row[0]}", 0), (f"{{1}} {row[0]}", 1), ("", 1)):
            link.ask(sql.SQL("SELECT set_config('jit.since', {}, false)").format(since))
            assert len(_asked(link, search, [oid])) == rows


def test_who_owns_what_is_older_than_a_role_is_told_all_the_same(
    shop: Shop, engine: PostgresEngine
) -> None:
    with shop.connect() as admin:
        oid = _ghost(admin, "ALTER TABLE app.orders OWNER TO jit_ghost")
        row = admin.execute("SELECT pg_current_xact_id()::text").fetchone()
    assert row is not None
    with engine._links.link() as link:
        search = residue.search(link)
        for oids in ([oid], [oid, 99999998]):
            since = f"{{{','.join(map(str, oids))}}} {row[0]}"
            link.ask(sql.SQL("SELECT set_config('jit.since', {}, false)").format(since))
            found = {each["what"] for each in _asked(link, search, oids)}
            assert found == {"pg_class.relacl.relowner", "pg_type.typacl.typowner"}


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
    "one whose membership it gave": (
        """
        CREATE ROLE jit_odd; GRANT jit_odd TO CURRENT_USER;
        UPDATE pg_auth_members SET grantor = 'jit_ghost'::regrole WHERE roleid = 'jit_odd'::regrole
        """,
        "pg_auth_members.grantor",
    ),
    "a database": ("ALTER DATABASE {} OWNER TO jit_ghost", "pg_database.datdba"),
    "defaults of its own": (
        "ALTER DEFAULT PRIVILEGES FOR ROLE jit_ghost GRANT SELECT ON TABLES TO PUBLIC",
        "pg_default_acl.defaclrole",
    ),
    "a setting in one database": (
        "ALTER ROLE jit_ghost IN DATABASE {} SET work_mem = '1MB'",
        "pg_db_role_setting.setrole",
    ),
    "a setting in a database that is gone": (
        "INSERT INTO pg_db_role_setting SELECT 4242, 'jit_ghost'::regrole, ARRAY['work_mem=1MB']",
        "pg_db_role_setting.setrole",
    ),
    "a right to set": ("GRANT SET ON PARAMETER work_mem TO jit_ghost", "pg_parameter_acl.paracl"),
}


@pytest.mark.parametrize("place", ODD)
def test_what_else_mentions_a_role_that_is_gone_is_found(
    shop: Shop, engine: PostgresEngine, place: str
) -> None:
    given, column = ODD[place]
    with shop.connect() as admin:
        oid = _ghost(admin, given.format(shop.database))
    try:
        (found,) = [line for line in _found(shop, oid) if column in line]
        assert found.startswith("1 in ")
        with engine._links.link() as link:
            assert _asked(link, residue.search(link), [oid, 99999998]) != []
    finally:
        with shop.connect() as admin:
            _forget(admin, oid)


@pytest.mark.parametrize("ended", [1, 2])
def test_every_column_that_can_name_a_role_is_asked_for_by_name(
    engine: PostgresEngine, ended: int
) -> None:
    """Also those of catalogues that nothing here can be planted in."""
    with engine._links.link() as link:
        (columns,) = link.ask(queries.query("catalog_columns"))
        text = residue.Search(columns).quick([1] * ended).text
    labels = {tuple(label.split(".")) for label in re.findall(r"'(pg_\w+(?:\.\w+)+)'", text)}
    read = {(relation, column) for relation, *names in labels for column in names}
    assert read == {(row["relation"], row["attribute"]) for row in columns}
    for relation, *names in labels:
        rest = text.partition(f"'{'.'.join([relation, *names])}'")[2]
        asked = re.split(r"'pg_\w+\.", rest)[0]
        assert f'"pg_catalog"."{relation}"' in asked
        assert all(f'"{column}"' in asked for column in names)


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


def test_the_digits_of_a_name_are_no_role_among_several(shop: Shop, engine: PostgresEngine) -> None:
    with shop.connect() as admin, engine._links.link() as link:
        admin.execute("CREATE ROLE jit_9999999899; GRANT SELECT ON app.orders TO jit_9999999899")
        try:
            assert _asked(link, residue.search(link), [99999998, 99999989]) == []
        finally:
            admin.execute("DROP OWNED BY jit_9999999899; DROP ROLE jit_9999999899")


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
