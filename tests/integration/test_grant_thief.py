"""What whoever holds the bot's password can do through the functions of the bootstrap: to our roles alone."""

import secrets
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from psycopg import sql

from db_grants.postgres import scram
from tests.fixtures_postgres import ON_BOTH_SERVERS, Shop
from tests.integration.test_grant_deputies import made

pytestmark = ON_BOTH_SERVERS

NOTE = '{"grant": "x"}'
SOON = "now() + '1 hour'"


@pytest.fixture
def thief(shop: Shop) -> Iterator[psycopg.Connection]:
    """A connection of whoever has got hold of the bot's password."""
    with closing(psycopg.connect(shop.bot_url, autocommit=True)) as connection:
        yield connection


@pytest.fixture
def newcomer(shop: Shop) -> Iterator[str]:
    """The name of a role that a DBA is going to make."""
    name = f"carol_{secrets.token_hex(4)}"
    yield name
    with shop.connect() as admin:
        admin.execute(f"DROP ROLE IF EXISTS {name}".encode())


class Call(threading.Thread):
    """A call of the thief's that has to wait for somebody, as it does by the time this is made."""

    def __init__(self, thief: psycopg.Connection, statement: str) -> None:
        super().__init__()
        self._thief, self._statement = thief, statement
        self._refused: type[psycopg.Error] | None = None
        self.start()
        self.join(1.0)

    def run(self) -> None:
        try:
            self._thief.execute(self._statement.encode())
        except psycopg.Error as error:
            self._refused = type(error)

    def refused(self) -> type[psycopg.Error] | None:
        """Why it was refused, once nobody keeps it waiting any more."""
        self.join(10.0)
        return self._refused


def make_superuser(shop: Shop, name: str) -> None:
    with shop.connect() as admin:
        admin.execute(f"CREATE ROLE {name} SUPERUSER NOLOGIN".encode())


def state(shop: Shop, name: str) -> list[Any]:
    """What became of it: whether it has a password or a deadline, and its members."""
    with shop.connect() as admin:
        return admin.execute(
            "SELECT rolpassword, rolvaliduntil::text, shobj_description(oid, 'pg_authid'),"
            " ARRAY(SELECT m.member FROM pg_auth_members m WHERE m.roleid = a.oid)"
            " FROM pg_authid a WHERE rolname = %s",
            [name],
        ).fetchall()


UNTOUCHED = [(None, None, None, [])]
REFUSED = (psycopg.errors.UndefinedObject, psycopg.errors.InsufficientPrivilege)


@pytest.mark.parametrize(
    "call",
    [
        "set_password('{}', '" + scram.verifier("of the thief") + "')",
        "set_deadline('{}', " + SOON + ", '" + NOTE + "')",
        "mend_role('{}', 'jit_managed', 4, " + SOON + ", '" + NOTE + "', true)",
        "shut_roles('{{}}')",
        "take_over_roles('{{}}')",
        "drop_roles('{{}}')",
        "take_back_membership('{}', 'pg_read_all_data', 'jit_bot')",
    ],
)
@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_a_role_made_after_an_old_snapshot_is_not_touched(
    shop: Shop, thief: psycopg.Connection, newcomer: str, call: str, level: str
) -> None:
    thief.execute(f"BEGIN ISOLATION LEVEL {level}; SELECT FROM pg_roles".encode())
    make_superuser(shop, newcomer)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        thief.execute(f"SELECT jit_admin.{call.replace('{}', newcomer)}".encode())
    thief.execute("COMMIT")
    assert state(shop, newcomer) == UNTOUCHED


def test_a_scope_role_is_looked_up_as_it_is_now(shop: Shop, thief: psycopg.Connection) -> None:
    carried = shop.engine().carries(shop.scope())
    thief.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM pg_roles")
    with shop.connect() as admin:  # another one has its name by now
        admin.execute(f"ALTER ROLE {carried} RENAME TO jit_s_elsewhere_0123456789abcdef".encode())
        admin.execute(f"CREATE ROLE {carried} SUPERUSER LOGIN".encode())
    for call in (f"shut_scope_role('{carried}')", f"reset_scope_role('{carried}', NULL)"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            thief.execute(f"SELECT jit_admin.{call}".encode())
        thief.execute("ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM pg_roles")


@pytest.mark.parametrize("call", ["shut_roles", "take_over_roles", "drop_roles"])
def test_a_name_nobody_has_yet_is_refused_whoever_takes_it_meanwhile(
    shop: Shop, thief: psycopg.Connection, newcomer: str, call: str
) -> None:
    role = made(shop, "aaaa0001")
    if call == "drop_roles":
        thief.execute(f"SELECT jit_admin.shut_roles('{{{role.name}}}')".encode())
    with closing(psycopg.connect(shop.bot_url)) as accomplice:  # holds what is asked for first
        accomplice.execute(f"SELECT jit_admin.{call}('{{{role.name}}}')".encode())
        waiting = Call(thief, f"SELECT jit_admin.{call}('{{{role.name},{newcomer}}}')")
        make_superuser(shop, newcomer)
        accomplice.rollback()
        assert waiting.refused() in REFUSED
    assert state(shop, newcomer) == UNTOUCHED


def test_a_name_that_changed_hands_while_something_was_waited_for_is_not_ours(
    shop: Shop, thief: psycopg.Connection
) -> None:
    name, carried = made(shop, "aaaa0001").name, shop.engine().carries(shop.scope())
    call = f"SELECT jit_admin.mend_role('{name}', '{carried}', 4, {SOON}, '{NOTE}', false)"
    with shop.connect() as admin, admin.transaction():
        admin.execute("LOCK TABLE pg_auth_members IN SHARE MODE")
        waiting = Call(thief, call)
        admin.execute(f"ALTER ROLE {name} RENAME TO jit_another".encode())
        admin.execute(f"CREATE ROLE {name} SUPERUSER NOLOGIN".encode())
    assert waiting.refused() is psycopg.errors.InsufficientPrivilege
    assert state(shop, name) == UNTOUCHED


@pytest.mark.parametrize(
    ("call", "held"),
    [
        ("shut_roles", "ALTER ROLE {} CONNECTION LIMIT 3"),
        ("take_over_roles", "LOCK TABLE pg_auth_members IN SHARE MODE"),
        ("drop_roles", "LOCK TABLE pg_auth_members IN SHARE MODE"),
    ],
)
def test_nobody_takes_a_name_while_something_is_done_to_its_role(
    shop: Shop, thief: psycopg.Connection, call: str, held: str
) -> None:
    first, second = made(shop, "aaaa0001"), made(shop, "aaaa0002")
    names = f"'{{{first.name},{second.name}}}'"
    if call == "drop_roles":
        thief.execute(f"SELECT jit_admin.shut_roles({names})".encode())
    with shop.connect() as admin, shop.connect() as other:
        other.execute("SET lock_timeout = '300ms'")
        with admin.transaction(force_rollback=True):
            admin.execute(held.format(first.name).encode())
            waiting = Call(thief, f"SELECT jit_admin.{call}({names})")
            assert waiting.is_alive()
            with pytest.raises(psycopg.errors.LockNotAvailable):
                other.execute(f"ALTER ROLE {second.name} RENAME TO jit_another".encode())
        assert waiting.refused() is None
    assert (state(shop, second.name) == []) is (call == "drop_roles")


def test_of_two_who_drop_a_role_at_once_one_finds_it_gone(
    shop: Shop, thief: psycopg.Connection
) -> None:
    role = made(shop, "aaaa0001")
    thief.execute(f"SELECT jit_admin.shut_roles('{{{role.name}}}')".encode())
    drop = f"SELECT jit_admin.drop_roles('{{{role.name}}}')"
    with closing(psycopg.connect(shop.bot_url, autocommit=True)) as other:
        with shop.connect() as admin, admin.transaction():
            admin.execute("LOCK TABLE pg_auth_members IN SHARE MODE")
            both = Call(thief, drop), Call(other, drop)
        assert {each.refused() for each in both} == {None, psycopg.errors.UndefinedObject}


def test_nobody_writes_to_the_list_whatever_new_tables_come_with(
    shop: Shop, thief: psycopg.Connection
) -> None:
    with shop.connect() as admin:
        admin.execute("DROP VIEW jit_admin.scope_roles; DROP TABLE jit_admin.listing")
        admin.execute("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC")
        admin.execute(sql.SQL(shop.script))  # type: ignore[arg-type]
        admin.execute("ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM PUBLIC")
    for write in (
        "INSERT INTO jit_admin.listing SELECT oid, rolname, 'entitlement', 1 FROM pg_roles",
        "UPDATE jit_admin.listing SET kind = 'atom'",
        "DELETE FROM jit_admin.listing",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            thief.execute(write)  # type: ignore[arg-type]
    assert thief.execute("SELECT count(*) > 0 FROM jit_admin.scope_roles").fetchone() == (True,)
