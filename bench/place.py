"""Where it is measured: servers of our own, a database with many tables, and its bootstrapped bot."""

import functools
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from bot import model
from bot.demo import binaries, postgres, shop
from db_grants import naming
from db_grants.postgres import PostgresEngine, atoms, inspect
from db_grants.spec import GrantSpec, Privilege, Scope, TableScope

SIZES = (1, 10, 100, 1000)  # tables in a scope
SETTINGS = {
    "fsync": "on",
    "shared_buffers": "512MB",
    "max_connections": "200",
    "max_locks_per_transaction": "256",
    "log_connections": "off",  # ours and everybody's alike: the disk is not what is measured
    "log_disconnections": "off",
}
_TABLES = 1000


def _now() -> datetime:
    return datetime.now(UTC)


class Place:
    """A database with `app.t0` … `app.t999` and a scope of each size, prepared for the bot."""

    def __init__(self, server: postgres.Server, database: str, tables: int = _TABLES) -> None:
        self.server = server
        self.database = database
        self.sizes = tuple(size for size in SIZES if size <= tables)
        self.admin_url = shop.in_database(server.admin_url, database)
        self.bot_url = self._prepare(tables)
        self.version = str(self.ask("SHOW server_version")[0][0]).split()[0]
        self.plain_url = self._plain_bot()

    def scope(self, size: int = 10) -> Scope:
        """Reading `size` tables; the same object each time, as a service holds it."""
        return _scope(self.database, size)

    def role_of(self, size: int = 10) -> str:
        """The lasting role that carries that scope."""
        return atoms.role_to_grant(self.scope(size))

    def spec(self, size: int = 10, *, length: timedelta = timedelta(hours=1)) -> GrantSpec:
        """A grant nobody made yet."""
        return spec_of(fresh_id(), self.scope(size), _now() + length)

    def engine(self, url: str | None = None, **options: Any) -> PostgresEngine:
        """Ours, as the unprivileged bot."""
        return PostgresEngine(url or self.bot_url, clock=_now, **options)

    def connect(self, url: str | None = None) -> psycopg.Connection:
        """A connection committing at once, a superuser's by default."""
        return psycopg.connect(url or self.admin_url, autocommit=True)

    def ask(self, query: str, *values: Any) -> list[Any]:
        """Rows of one query, as superuser."""
        with self.connect() as admin:
            return admin.execute(sql.SQL(query), values).fetchall()

    def fill(
        self, ids: list[str], expires_at: datetime, size: int = 10, *, administered: bool = False
    ) -> dict[str, int]:
        """Make the roles of many grants as the engine leaves them; their OIDs by grant.

        By a superuser, as the functions of the bootstrap are. `administered`: by the plain bot, as if
        it had made them itself.
        """
        return self.fill_each(dict.fromkeys(ids, expires_at), size, administered=administered)

    def fill_each(
        self, due: Mapping[str, datetime], size: int = 10, *, administered: bool = False
    ) -> dict[str, int]:
        """The same, each grant with its own deadline."""
        ids = list(due)
        names = [naming.managed_role(each) for each in ids]
        with self.connect() as admin:
            for at in range(0, len(ids), _BATCH):
                some = {each: due[each] for each in ids[at : at + _BATCH]}
                admin.execute(self._made(some, self.role_of(size)))
                if administered and not self._before_16:
                    names_of = sql.SQL(", ").join(map(sql.Identifier, names[at : at + _BATCH]))
                    admin.execute(sql.SQL(_LENT).format(names=names_of))
            self.settle(admin)
        rows = self.ask("SELECT rolname::text, oid FROM pg_roles WHERE rolname = ANY(%s)", names)
        oids = {name.removeprefix("jit_"): oid for name, oid in rows}
        assert len(oids) == len(ids), "not every role was made"
        return oids

    def settle(self, admin: psycopg.Connection) -> None:
        """Leave the catalogues as autovacuum and the checkpointer do before long: then neither comes by
        just while something is measured.
        """
        for each in (_VACUUM, "CHECKPOINT"):
            admin.execute(sql.SQL(each))

    def clear(self) -> None:
        """Drop every managed role, a thousand a transaction."""
        with self.connect() as admin:
            names = [row[0] for row in admin.execute(_MANAGED).fetchall()]
            for at in range(0, len(names), 500):
                some = sql.SQL(", ").join(map(sql.Identifier, names[at : at + 500]))
                admin.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(some))
            self.settle(admin)

    def identity(self) -> str:
        """Which server it is, as the engine names it."""
        engine = self.engine(self.admin_url)
        try:
            return engine.identity()
        finally:
            engine.dispose()

    def live(self) -> int:
        """Managed roles that can log in."""
        return int(self.ask(_LIVE)[0][0])

    def acl_bytes(self) -> int:
        """What the ACLs of tables, schemas and databases take."""
        return int(self.ask(_ACL_BYTES)[0][0])

    def _made(self, due: Mapping[str, datetime], carried: str) -> sql.Composed:
        """All roles of a batch as the engine leaves them, in one transaction."""
        password = sql.Literal(verifier("x", iterations=1))
        names = {each: sql.Identifier(naming.managed_role(each)) for each in due}
        roles = [
            sql.SQL(_ROLE).format(
                name=names[grant_id],
                until=sql.Literal(expires_at.isoformat(sep=" ")),
                password=password,
                note=sql.Literal(inspect.marker(grant_id, expires_at)),
            )
            for grant_id, expires_at in due.items()
        ]
        given = sql.SQL(_GIVEN_15 if self._before_16 else _GIVEN).format(
            names=sql.SQL(", ").join(names.values()), carried=sql.Identifier(carried)
        )
        return sql.SQL(";").join([*roles, given])

    def _prepare(self, tables: int) -> str:
        with psycopg.connect(self.server.admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.database)))
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            admin.execute("CREATE SCHEMA app")
            for n in range(tables):
                table = sql.Identifier("app", f"t{n}")
                admin.execute(sql.SQL("CREATE TABLE {} (id int)").format(table))
        url = self.server.url(self.database, shop.BOT_ROLE, "-")
        script = PostgresEngine(url).bootstrap([self.scope(size) for size in self.sizes])
        password = secrets.token_urlsafe(16)
        return shop.prepare(
            self.server.admin_url, script, bot_password=password, database=self.database
        )

    def _plain_bot(self) -> str:
        """One like ours whose roles are its own work: who makes a role since 16 also administers it."""
        password = secrets.token_urlsafe(16)
        made = sql.SQL("CREATE ROLE plain_bot LOGIN CREATEROLE PASSWORD {}")
        given = sql.SQL("GRANT {} TO plain_bot WITH ADMIN TRUE, INHERIT FALSE, SET FALSE")
        with self.connect() as admin:
            admin.execute(made.format(sql.Literal(password)))
            for size in self.sizes if not self._before_16 else ():
                admin.execute(given.format(sql.Identifier(self.role_of(size))))
        return self.server.url(self.database, "plain_bot", password)

    @property
    def _before_16(self) -> bool:
        """Then memberships have no options, and CREATEROLE is enough to administer any role."""
        return self.version.startswith("15")


@functools.cache
def _scope(database: str, size: int) -> Scope:
    tables = tuple(
        TableScope(schema="app", table=f"t{n}", privileges=frozenset({Privilege.SELECT}))
        for n in range(size)
    )
    return Scope(name=f"read_{size}", database=database, tables=tables)


def spec_of(grant_id: str, scope: Scope, expires_at: datetime) -> GrantSpec:
    """What an engine is asked to make."""
    name = naming.managed_role(grant_id)
    return GrantSpec(grant_id=grant_id, role_name=name, scope=scope, expires_at=expires_at)


def fresh_id() -> str:
    """An id of a grant."""
    return model.new_id()


def verifier(password: str, iterations: int = 4096) -> str:
    """A SCRAM verifier. With one iteration what is left of a statement's time is catalogue work."""
    import base64
    import hashlib
    import hmac

    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client = hmac.digest(salted, b"Client Key", "sha256")
    server = hmac.digest(salted, b"Server Key", "sha256")
    told = [salt, hashlib.sha256(client).digest(), server]
    a, b, c = (base64.b64encode(each).decode() for each in told)
    return f"SCRAM-SHA-256${iterations}:{a}${b}:{c}"


@contextmanager
def serving(folder: Path, *, bin_dir: Path | None = None) -> Iterator[postgres.Server]:
    """A server of our own, discarded in the end."""
    server = postgres.Server.start(folder, bin_dir=bin_dir, settings=SETTINGS)
    try:
        yield server
    finally:
        server.discard()


def older_server() -> Path | None:
    """The programs of an installed server of the oldest version we promise, if there are any."""
    found = [
        folder for folder in binaries.installed() if binaries.version(folder) == binaries.OLDEST
    ]
    return found[0] if found else None


_MANAGED = (
    "SELECT r.rolname FROM pg_auth_members m JOIN pg_roles b ON b.oid = m.roleid"
    " AND b.rolname = 'jit_managed' JOIN pg_roles r ON r.oid = m.member WHERE NOT m.admin_option"
    " UNION SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%' OR rolname LIKE 'raw\\_%'"
)
_LIVE = (
    "SELECT count(*) FROM pg_auth_members m JOIN pg_roles b ON b.oid = m.roleid"
    " AND b.rolname = 'jit_managed' JOIN pg_roles r ON r.oid = m.member"
    " WHERE NOT m.admin_option AND r.rolcanlogin"
)
_ACL_BYTES = """
SELECT (SELECT coalesce(sum(pg_column_size(relacl)), 0) FROM pg_class)
     + (SELECT coalesce(sum(pg_column_size(nspacl)), 0) FROM pg_namespace)
     + (SELECT coalesce(sum(pg_column_size(datacl)), 0) FROM pg_database)
"""
_VACUUM = (
    "VACUUM ANALYZE pg_authid, pg_auth_members, pg_shdepend, pg_shdescription, pg_db_role_setting,"
    " pg_class, pg_attribute, pg_namespace"
)
# What the engine leaves behind of a grant. Memberships are given to a batch at a time.
_BATCH = 500
_ROLE = """
CREATE ROLE {name} LOGIN INHERIT CONNECTION LIMIT 4 VALID UNTIL {until} PASSWORD {password};
COMMENT ON ROLE {name} IS {note};
ALTER ROLE {name} SET log_statement = 'all'
"""
_GIVEN_15 = "GRANT jit_managed TO {names}; GRANT {carried} TO {names}"
_GIVEN = """
GRANT jit_managed TO {names} WITH INHERIT FALSE, SET FALSE;
GRANT {carried} TO {names} WITH INHERIT TRUE, SET FALSE
"""
_LENT = "GRANT {names} TO plain_bot WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"
