"""Real PostgreSQL for tests: one server a test process and kind, a fresh shop for every test."""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from bot.demo import binaries, postgres
from db_grants import naming
from db_grants.spec import Privilege, Scope, TableScope

READ = frozenset({Privilege.SELECT})
WRITE = frozenset({Privilege.INSERT, Privilege.UPDATE, Privilege.DELETE})
BOT_PASSWORD = "bot-password-of-the-tests"
SETTINGS = {"fsync": "off", "max_prepared_transactions": "10", "max_connections": "200"}

ON_BOTH_SERVERS = pytest.mark.parametrize(
    "shop_server", ["postgres_server", "installed_server"], indirect=True
)


def table(name: str, *columns: str, privileges: frozenset[Privilege] = READ) -> TableScope:
    """`app.<name>` of the shop, as part of a scope."""
    return TableScope(schema="app", table=name, columns=columns, privileges=privileges)


SCOPES = {
    "read_customer_data": (table("customers", "id", "name", "email", "city"), table("orders")),
    "read_orders": (table("orders"),),
    "write_orders": (table("orders", privileges=READ | WRITE), table("logs")),
}


@dataclass(kw_only=True)
class Shop:
    """A fresh database of the shop, bootstrapped; `engine()` acts on it as the unprivileged bot."""

    server: postgres.Server
    database: str
    admin_url: str
    bot_url: str
    script: str = field(default="", repr=False)  # what the bootstrap printed
    engines: list[Any] = field(default_factory=list)

    def scope(self, name: str = "read_customer_data") -> Scope:
        """One of SCOPES, in this database."""
        return Scope(name=name, database=self.database, tables=SCOPES[name])

    def engine(self, clock: Callable[[], datetime] | None = None, **options: Any) -> Any:
        """A PostgresEngine on this shop; disposed of when the test ends."""
        from db_grants.postgres import PostgresEngine

        now = clock or (lambda: datetime.now(UTC))
        made = PostgresEngine(self.bot_url, clock=now, **options)
        self.engines.append(made)
        return made

    def connect(self) -> psycopg.Connection:
        """A superuser's connection to this database, committing at once."""
        return psycopg.connect(self.admin_url, autocommit=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what acts on the default server as `target`: `make test-matrix` runs it on every version."""
    for item in items:
        asked = {*getattr(item, "fixturenames", ())}
        if (call := getattr(item, "callspec", None)) is not None:
            asked |= {value for value in call.params.values() if isinstance(value, str)}
        if asked & {"postgres_server", "shop", "shop_server"} and "installed_server" not in asked:
            item.add_marker("target")


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the servers of this test run keep their data."""
    return tmp_path_factory.mktemp("postgres")


@pytest.fixture(scope="session")
def postgres_server(server_folder: Path) -> Iterator[postgres.Server]:
    """The default server (the wheel's, or what JIT_PG_BIN says), one for the whole run."""
    server = postgres.Server.start(server_folder / "default", settings=SETTINGS)
    yield server
    server.discard()


@pytest.fixture(scope="session")
def installed_server(server_folder: Path) -> Iterator[postgres.Server]:
    """An installed server, to see that other versions do as well."""
    found = binaries.installed()
    if not found:
        pytest.skip("no PostgreSQL is installed on this machine")
    folder = server_folder / "installed"
    server = postgres.Server.start(folder, bin_dir=found[0], settings=SETTINGS)
    yield server
    server.discard()


@pytest.fixture
def shop_server(request: pytest.FixtureRequest) -> Any:
    """Which server `shop` is on: the default one, or each of ON_BOTH_SERVERS."""
    return request.getfixturevalue(getattr(request, "param", "postgres_server"))


@pytest.fixture
def shop(shop_server: postgres.Server) -> Iterator[Shop]:
    """A fresh database of the shop for one test, its bootstrap run and its bot able to log in."""
    made = make_shop(shop_server, f"shop_{secrets.token_hex(4)}")
    yield made
    drop_shop(made)


@pytest.fixture
def engine(shop: Shop) -> Any:
    """The PostgresEngine of the bot on `shop`."""
    return shop.engine()


@pytest.fixture
def old(shop: Shop) -> bool:
    """Whether the server lets a holder SET ROLE to the role of their scope."""
    with shop.connect() as admin:
        return admin.info.server_version < 160000


def make_shop(server: postgres.Server, database: str) -> Shop:
    """A database of the shop with the scopes of this module bootstrapped."""
    from db_grants.postgres import PostgresEngine

    scopes = [Scope(name=name, database=database, tables=SCOPES[name]) for name in SCOPES]
    script = PostgresEngine(server.url(database, shop_bot(), "-")).bootstrap(scopes)
    bot_url = _shop().prepare(
        server.admin_url, script, bot_password=BOT_PASSWORD, database=database
    )
    admin_url = _shop().in_database(server.admin_url, database)
    return Shop(
        server=server, database=database, admin_url=admin_url, bot_url=bot_url, script=script
    )


@contextlib.contextmanager
def without_deputies(shop: Shop, missing: Sequence[str] = naming.ALL_DEPUTIES) -> Iterator[None]:
    """As on a target prepared long ago, without these functions of the bootstrap: the bot has power
    over roles of its own. In the end the bootstrap is run again.
    """
    with shop.connect() as admin:
        admin.execute(sql.SQL(_earlier(admin, missing)))  # type: ignore[arg-type]
    yield
    with shop.connect() as admin:
        admin.execute(sql.SQL(shop.script))  # type: ignore[arg-type]


_LEND = """
CREATE OR REPLACE FUNCTION jit_admin.lend_roles(names text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    name text;
BEGIN
    PERFORM jit_admin.require_temporary(names, false);
    IF current_setting('server_version_num')::int >= 160000 THEN
        FOREACH name IN ARRAY names LOOP
            EXECUTE format('GRANT %I TO %I WITH ADMIN TRUE, INHERIT FALSE, SET FALSE', name, session_user);
        END LOOP;
    END IF;
END
$body$"""  # as the bootstrap made it while the bot changed what was out of the ordinary itself


def _earlier(admin: psycopg.Connection, missing: Sequence[str]) -> str:
    """What an earlier bootstrap gave the bot, and what it had not yet."""
    bot = shop_bot()
    steps = [
        f"REVOKE EXECUTE ON FUNCTION {', '.join(missing)} FROM {bot}",
        f"REVOKE SELECT ON jit_admin.scope_roles FROM {bot}",
        f"ALTER ROLE {bot} CREATEROLE",
        f"GRANT SET ON PARAMETER log_statement TO {bot}",
    ]
    if admin.info.server_version >= 160000:
        option = "WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"
        listed = admin.execute("SELECT name FROM jit_admin.scope_roles").fetchall()
        steps += [f"GRANT {name} TO {bot} {option}" for (name,) in listed]
    if missing == naming.ALL_DEPUTIES:  # nor was anything listed then
        steps.append("DELETE FROM jit_admin.listing")
    else:
        steps.append(_LEND)
    return ";".join(steps)


def drop_shop(made: Shop) -> None:
    """Undo `make_shop`, whatever the test left behind."""
    for engine in made.engines:
        engine.dispose()
    if not made.server.running:
        return
    with psycopg.connect(made.server.admin_url, autocommit=True) as admin:
        for gid, where in admin.execute("SELECT gid, database FROM pg_prepared_xacts").fetchall():
            with psycopg.connect(made.server.url_for_admin(where), autocommit=True) as there:
                there.execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(gid)))
        name = sql.Identifier(made.database)
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        roles = admin.execute(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'jit\\_%%' AND rolname <> ALL(%s)"
            " ORDER BY oid DESC",
            [[shop_bot(), "jit_managed", "jit_quarantine"]],
        ).fetchall()
        for (role,) in roles:
            admin.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(role)))


def shop_bot() -> str:
    """The bot's role in every shop."""
    return _shop().BOT_ROLE


def _shop() -> Any:
    from bot.demo import shop as module  # the fixture has the same name

    return module
