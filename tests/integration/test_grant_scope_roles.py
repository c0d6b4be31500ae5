"""What a holder does as the role of their scope, which before 16 nothing forbids, ends as well.

From 16 on the server refuses SET ROLE there; the same traces are then laid by a superuser, because
each end looks for them on every version.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from db_grants import naming
from db_grants.postgres import PostgresEngine, lasting, links
from db_grants.spec import Credential, GrantSpec
from tests.fixtures_postgres import ON_BOTH_SERVERS, SCOPES, Shop, table
from tests.holders import is_cut, log_in, refused
from tests.integration.test_grant_end import catalogue, ended, given

pytestmark = ON_BOTH_SERVERS


@contextmanager
def acting(shop: Shop, credential: Credential, role: str) -> Iterator[psycopg.Connection]:
    """A session that acts as a scope role: the holder's own before 16."""
    with closing(log_in(shop, credential)) as connection:
        try:
            connection.execute(f"SET ROLE {role}")
        except psycopg.errors.InsufficientPrivilege:
            with shop.connect() as admin:
                admin.execute(f"SET ROLE {role}")
                yield admin
        else:
            yield connection


def scope_role(shop: Shop, name: str = "write_orders") -> str:
    return naming.scope_role(name, shop.database)


def atom_role(shop: Shop) -> str:
    """An atom behind the scope `write_orders`, to whose role its holder may SET ROLE as well."""
    (part, _) = SCOPES["write_orders"]
    return naming.atom_role(
        part, part.privileges & SCOPES["read_orders"][0].privileges, shop.database
    )


def amiss(shop: Shop) -> list[dict[str, Any]]:
    """What lasting roles have and should not, by a superuser's eyes; passwords too."""
    pool = links.Links(shop.admin_url, 10)
    try:
        with pool.link() as link:
            rows, passwords = link.ask(lasting.look(listed=True), lasting.passwords())
            return [*rows, *passwords]
    finally:
        pool.close()


def prepare(connection: psycopg.Connection, gid: str, statement: str) -> None:
    for each in ("BEGIN", statement, f"PREPARE TRANSACTION '{gid}'"):
        connection.execute(each)


def is_prepared(shop: Shop, gid: str) -> bool:
    with shop.connect() as admin:
        query = "SELECT count(*) FROM pg_prepared_xacts WHERE gid = %s"
        return admin.execute(query, [gid]).fetchone() == (1,)


QUARANTINED = {
    "a large object": ("SELECT lo_from_bytea(0, 'secret')", "large object"),
    "a table": ("CREATE TABLE public.loot AS SELECT * FROM app.orders", "table public.loot"),
    "a sequence": ("CREATE SEQUENCE public.steps", "sequence public.steps"),
}
SETTINGS_HERE = (
    "DO 'BEGIN EXECUTE ''ALTER ROLE CURRENT_USER IN DATABASE '' || current_catalog ||"
    " '' SET work_mem = 65''; END'"
)
FEWER = (
    "ALTER DEFAULT PRIVILEGES REVOKE ALL ON FUNCTIONS FROM PUBLIC, CURRENT_USER;"
    "ALTER DEFAULT PRIVILEGES REVOKE ALL ON TYPES FROM PUBLIC, CURRENT_USER"
)
UNDONE = {
    "settings": ("ALTER ROLE CURRENT_USER SET work_mem = '1MB'", "settings"),
    "settings here": (
        SETTINGS_HERE,
        "settings",
    ),
    "default privileges": (
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
        "new relations",
    ),
    "default privileges in a schema": (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT ALL ON SEQUENCES TO PUBLIC",
        "in schema app",
    ),
    "fewer default privileges": (
        FEWER,
        "new functions",
    ),
    "a transaction prepared": (
        "BEGIN; SELECT lo_create(0); PREPARE TRANSACTION 'late'",
        "transaction late",
    ),
}
ROLES: dict[str, Callable[[Shop], str]] = {
    "scope": scope_role,
    "atom": atom_role,
    "mark": lambda _: naming.BOOKKEEPING,
}
ROUTES = [
    *((what, route, "quarantined", who) for what, route in QUARANTINED.items() for who in ROLES),
    *((what, route, "undone", who) for what, route in UNDONE.items() for who in ROLES),
]


@pytest.mark.fault(
    "H-14",
    "a holder acts as the role of their scope and leaves things as that",
    how="SET ROLE, on 15; laid by a superuser from 16 on",
    expects="quarantined or undone, told of, the scope roles as before",
)
@pytest.mark.parametrize(
    ("route", "where", "who"),
    [pytest.param(*each[1:], id=f"{each[0]} as the {each[3]}") for each in ROUTES],
)
def test_what_is_left_as_a_scope_role_is_taken_back_and_told_of(
    shop: Shop, engine: PostgresEngine, route: tuple[str, str], where: str, who: str
) -> None:
    statement, told = route
    if who == "mark" and "app." in statement:
        pytest.skip("the mark may not touch app")
    with shop.connect() as admin:
        admin.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    before = catalogue(shop)
    healthy = engine.check([shop.scope("write_orders")])
    role, credential = given(shop, engine, "write_orders")
    with acting(shop, credential, ROLES[who](shop)) as connection:
        for each in statement.split("; ") if "PREPARE" in statement else [statement]:
            connection.execute(each)
    assert amiss(shop)
    removed = ended(engine, role)
    assert removed.residue == ()
    assert any(told in line for line in getattr(removed, where)), removed
    assert amiss(shop) == []
    assert engine.check([shop.scope("write_orders")]) == healthy
    with shop.connect() as admin:
        admin.execute("DROP OWNED BY jit_quarantine")
    after = catalogue(shop)
    assert {name for name in before if before[name] != after[name]} == set()


def test_a_password_of_a_scope_role_is_erased_and_told_of(
    shop: Shop, engine: PostgresEngine, old: bool
) -> None:
    if not old:
        pytest.skip("from 16 on no holder can give it one")
    role, credential = given(shop, engine, "write_orders")
    names = (scope_role(shop), atom_role(shop), naming.BOOKKEEPING)
    for name in names:
        with acting(shop, credential, name) as connection:
            connection.execute(f"ALTER ROLE {name} PASSWORD 'mine'")
    removed = ended(engine, role)
    assert removed.clean
    assert set(removed.undone) == {f"the password of {name}" for name in names}
    assert amiss(shop) == []


def test_a_password_is_erased_also_where_nobody_can_see_it(
    shop: Shop, engine: PostgresEngine, old: bool
) -> None:
    if not old:
        pytest.skip("from 16 on no holder can give it one")
    role, credential = given(shop, engine, "write_orders")
    with acting(shop, credential, scope_role(shop)) as connection:
        connection.execute(f"ALTER ROLE {scope_role(shop)} PASSWORD 'mine'")
    with shop.connect() as admin:
        admin.execute("REVOKE EXECUTE ON FUNCTION jit_admin.lasting_passwords() FROM jit_bot")
        with pytest.raises(psycopg.errors.InsufficientPrivilege), admin.transaction():
            admin.execute("SET LOCAL ROLE jit_bot; SELECT jit_admin.lasting_passwords()")
    assert ended(engine, role).clean
    assert amiss(shop) == []


def test_a_scope_role_that_can_log_in_cannot_any_more(shop: Shop, engine: PostgresEngine) -> None:
    role, _ = given(shop, engine, "write_orders")
    with shop.connect() as admin:
        admin.execute(f"ALTER ROLE {scope_role(shop)} LOGIN PASSWORD 'mine'")
    removed = ended(engine, role)
    assert removed.undone == (f"{scope_role(shop)} can log in",)
    assert amiss(shop) == []


def test_a_membership_given_by_a_scope_role_is_taken_back(
    shop: Shop, engine: PostgresEngine, old: bool
) -> None:
    role, _ = given(shop, engine, "write_orders")
    giver = scope_role(shop)
    with shop.connect() as admin:
        admin.execute("CREATE ROLE jit_friend; CREATE ROLE jit_club")
        if not old:
            admin.execute(f"GRANT jit_club TO {giver} WITH ADMIN OPTION")
        admin.execute(f"GRANT jit_club TO jit_friend GRANTED BY {giver}")
        if not old:
            admin.execute(f"GRANT jit_club TO {shop_bot(shop)} WITH ADMIN OPTION")
    removed = ended(engine, role)
    assert f"jit_club given to jit_friend by {giver}" in removed.undone
    assert amiss(shop) == []


def shop_bot(shop: Shop) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(shop.bot_url)["user"])


@pytest.mark.fault(
    "H-15",
    "a transaction prepared as a scope role that another live grant shares",
    how="SET ROLE and PREPARE TRANSACTION, two grants",
    expects="never rolled back unasked, never called clean; gone when the other grant ends",
)
def test_a_transaction_that_may_be_another_holders_is_told_of_and_left_until_theirs_ends(
    shop: Shop, engine: PostgresEngine
) -> None:
    first, credential = given(shop, engine, "write_orders", "f1rst001")
    second, _ = given(shop, engine, "write_orders", "sec0nd01")
    with acting(shop, credential, scope_role(shop)) as connection:
        prepare(connection, "whose", "UPDATE app.orders SET total = 0")
    removed = ended(engine, first)
    assert not removed.clean
    (line,) = removed.residue
    assert "transaction whose" in line
    assert "another grant" in line
    assert is_prepared(shop, "whose")
    removed = ended(engine, second)
    assert removed.clean
    assert any("transaction whose" in line for line in removed.undone)
    assert not is_prepared(shop, "whose")
    assert engine.remove(first).clean


def test_a_bot_that_went_away_in_between_finds_it_all_the_same(
    shop: Shop, engine: PostgresEngine
) -> None:
    role, credential = given(shop, engine, "write_orders")
    with acting(shop, credential, scope_role(shop)) as connection:
        prepare(connection, "late", "UPDATE app.orders SET total = 0")
    engine.close(role)
    other = shop.engine()
    with shop.connect() as admin:  # as if the bot had died just before DROP ROLE was confirmed
        admin.execute(f"DROP OWNED BY {role.name}; DROP ROLE {role.name}")
    removed = other.remove(role)
    assert removed.clean
    assert any("transaction late" in line for line in removed.undone)
    assert not is_prepared(shop, "late")


def test_a_membership_the_bot_lent_itself_does_not_stay(shop: Shop, engine: PostgresEngine) -> None:
    role, credential = given(shop, engine, "write_orders")
    with psycopg.connect(shop.bot_url, autocommit=True) as bot:
        lend = f"SELECT jit_admin.lend_scope_role('{scope_role(shop)}')"
        assert refused(bot, lend)
        with acting(shop, credential, scope_role(shop)) as connection:
            prepare(connection, "late", "UPDATE app.orders SET total = 0")
        assert refused(bot, "SELECT count(*) FROM app.orders")
        bot.execute(lend)  # and died
        assert not refused(bot, "SELECT count(*) FROM app.orders")
        assert ended(engine, role).clean
        assert refused(bot, "SELECT count(*) FROM app.orders")
        assert refused(bot, lend)
    with shop.connect() as admin:
        admin.execute(f"GRANT {scope_role(shop)} TO jit_bot")
    with psycopg.connect(shop.bot_url, autocommit=True) as bot:
        assert not refused(bot, "SELECT count(*) FROM app.orders")
        assert ended(engine, given(shop, engine, grant_id="next0001")[0]).clean
        assert refused(bot, "SELECT count(*) FROM app.orders")


def test_a_session_that_acts_as_a_scope_role_is_cut(
    shop: Shop, engine: PostgresEngine, old: bool
) -> None:
    role, credential = given(shop, engine, "write_orders")
    if not old:
        pytest.skip("from 16 on no holder can act so")
    with acting(shop, credential, scope_role(shop)) as connection:
        assert len(engine.close(role).sessions_cut) == 1
        assert is_cut(connection)


def test_the_role_of_a_narrowed_scope_stays_while_a_session_may_act_as_it(
    shop: Shop, engine: PostgresEngine, old: bool
) -> None:
    if not old:
        pytest.skip("from 16 on no session can")
    scope = replace(shop.scope(), tables=(table("orders"),), narrowed=True)
    until = datetime.now(UTC) + timedelta(minutes=30)
    roles = [
        engine.create(
            GrantSpec(
                grant_id=name, role_name=naming.managed_role(name), scope=scope, expires_at=until
            )
        )
        for name in ("narr0w01", "narr0w02")
    ]
    name = engine.carries(scope)
    with acting(shop, engine.reveal(roles[0], until, shop.database), name) as connection:
        with shop.connect() as admin:  # as its end begins, before the session is cut
            admin.execute(f"REVOKE {name} FROM {roles[0].name}; ALTER ROLE {roles[0].name} NOLOGIN")
        assert ended(engine, roles[1]).clean
        prepare(connection, "narrow", "SELECT lo_create(0)")
    removed = ended(engine, roles[0])
    assert removed.clean
    assert any("transaction narrow" in line for line in removed.undone)
    with shop.connect() as admin:
        assert admin.execute(
            "SELECT count(*) FROM pg_roles WHERE rolname = %s", [name]
        ).fetchone() == (0,)


def test_a_holder_cannot_take_privileges_from_the_roles_of_their_scope(
    shop: Shop, engine: PostgresEngine
) -> None:
    healthy = engine.check([shop.scope("write_orders")])
    _, credential = given(shop, engine, "write_orders")
    for name in (scope_role(shop), atom_role(shop)):
        with acting(shop, credential, name) as connection:
            connection.execute(f"DROP OWNED BY {name}")
    assert engine.check([shop.scope("write_orders")]) == healthy


def test_looking_at_scope_roles_costs_a_plain_end_no_trip(
    shop: Shop, engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(engine, given(shop, engine, grant_id="warm0001")[0])
    role, _ = given(shop, engine)
    engine.close(role)
    trips: list[int] = []
    real = links.Link._run

    def counted(self: links.Link, statements: Any, *, committing: bool) -> Any:
        trips.append(len(statements))
        return real(self, statements, committing=committing)

    monkeypatch.setattr(links.Link, "_run", counted)
    assert engine.remove(role).clean
    assert len(trips) == 1
