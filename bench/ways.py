"""Other ways to give and end temporary access, each as its own documentation does it.

All of them run as an unprivileged bot like ours where they can; `direct` ones need the privileges to
give away, so they run as the tables' owner. Raw is the physical limit: one connection a client, no
record, no proof. It runs four times: as that bot, who since PostgreSQL 16 pays for every role it
administers at each statement; as a superuser, who does not; as one who makes the verifier of a fresh
password for each grant; and as one who writes down what a service must not lose.
"""

import secrets
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg import sql

from bench import place
from db_grants.postgres import PostgresEngine
from db_grants.spec import ManagedRole


class Way(Protocol):
    """One way to do it. Thread-safe."""

    name: str

    def grant(self, size: int) -> Any:
        """Let somebody new read `size` tables, by password; what to end it by."""

    def end(self, held: Any) -> None:
        """Take it back: nobody can log in, nobody is logged in, the role is gone."""

    def close(self) -> None:
        """Let go of connections."""


class Stepped(Way, Protocol):
    """One that keeps a record, on which access ends before the role is gone."""

    def shut(self, held: Any) -> None:
        """Nobody can log in, nobody is logged in."""

    def drop(self, held: Any) -> None:
        """The role is gone."""


class _Sql:
    """What the ways in plain SQL share: a connection a thread, roles named alike."""

    name = ""
    as_owner = False  # a superuser here, instead of the bot

    def __init__(self, at: place.Place) -> None:
        self._at = at
        self._url = at.admin_url if self.as_owner else at.plain_url
        self._mine = threading.local()
        self._all: list[psycopg.Connection] = []
        self._known = sql.Literal(place.verifier("a password of nobody"))

    @property
    def link(self) -> psycopg.Connection:
        """This thread's connection."""
        if not hasattr(self._mine, "link"):
            self._mine.link = psycopg.connect(self._url, autocommit=True)
            self._all.append(self._mine.link)
        link: psycopg.Connection = self._mine.link
        return link

    def close(self) -> None:
        for link in self._all:
            link.close()

    def _new(self) -> sql.Identifier:
        return sql.Identifier(f"raw_{secrets.token_hex(6)}")

    def _password(self) -> sql.Literal:
        """As the server keeps it; the same one each time."""
        return self._known

    def _until(self) -> sql.Literal:
        return sql.Literal((datetime.now(UTC) + timedelta(hours=1)).isoformat(sep=" "))

    def _run(self, *statements: str, **names: sql.Composable) -> None:
        """In one round trip, and so in one transaction."""
        self.link.execute(sql.SQL(";").join(sql.SQL(each).format(**names) for each in statements))

    def _cut(self, *names: sql.Identifier) -> None:
        roles = [name.as_string(None).strip('"') for name in names]
        self.link.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ANY(%s)",
            [roles],
        )


class Raw(_Sql):
    """The least that can be done: a member of the lasting role; shut, cut, drop."""

    name = "raw"
    by = 1  # so many are ended together

    def grant(self, size: int) -> sql.Identifier:
        name = self._new()
        self._make(name, size)
        return name

    def _make(self, name: sql.Identifier, size: int) -> None:
        self._run(
            "CREATE ROLE {name} LOGIN PASSWORD {password} VALID UNTIL {until} IN ROLE {role}",
            name=name,
            password=self._password(),
            until=self._until(),
            role=sql.Identifier(self._at.role_of(size)),
        )

    def end(self, held: sql.Identifier) -> None:
        self.end_all([held])

    def end_all(self, held: Sequence[sql.Identifier]) -> None:
        """Shut, cut, drop: three turns on the wire, two transactions that write."""
        self._shut(held)
        self._drop(held)

    def _shut(self, held: Sequence[sql.Identifier]) -> None:
        """Then nobody can log in, and nobody is logged in."""
        shut = [sql.SQL("ALTER ROLE {} NOLOGIN").format(name) for name in held]
        self.link.execute(sql.SQL(";").join(shut))
        self._cut(*held)

    def _drop(self, held: Sequence[sql.Identifier]) -> None:
        self.link.execute(sql.SQL("DROP ROLE {}").format(sql.SQL(", ").join(held)))


class RawSuperuser(Raw):
    """The same statements without the walk through all roles that the bot administers."""

    name = "raw-superuser"
    as_owner = True


class RawBatches(RawSuperuser):
    """And by the hundred: the least that many ends together can cost."""

    name = "raw-batches"
    by = 100


class RawScram(RawSuperuser):
    """And with the verifier of a fresh password for each, as whoever gives one out must make it."""

    name = "raw-scram"

    def _password(self) -> sql.Literal:
        return sql.Literal(place.verifier(secrets.token_urlsafe(24)))


class RawRecorded(RawSuperuser):
    """And with the least that a service must have written down before it goes on: what it is about to
    do, and what it has done. One row of a grant and one event each time, on a record on SQLite that
    waits for the disk as ours does. No decision, no proof, no chain, no message. One thread.
    """

    name = "raw-recorded"

    def __init__(self, at: place.Place, path: Path) -> None:
        """`path`: of its record, in a file of its own."""
        super().__init__(at)
        self.kept = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 4000"):
            self.kept.execute(f"PRAGMA {pragma}")
        self.kept.execute("CREATE TABLE given (id TEXT PRIMARY KEY, status TEXT)")
        self.kept.execute("CREATE TABLE event (seq INTEGER PRIMARY KEY, id TEXT, type TEXT)")

    def close(self) -> None:
        super().close()
        self.kept.close()

    def grant(self, size: int) -> sql.Identifier:
        """Two commits on the record: it is meant, it is done."""
        name = self._new()
        self._note("INSERT INTO given (status, id) VALUES (?, ?)", name, "activating")
        self._make(name, size)
        self._note(_GIVEN, name, "active")
        return name

    def end(self, held: sql.Identifier) -> None:
        self.shut(held)
        self.drop(held)

    def shut(self, held: sql.Identifier) -> None:
        """Access ends; two commits on the record: it is meant, it is done."""
        self._note(_GIVEN, held, "revoking")
        self._shut([held])
        self._note(_GIVEN, held, "closed")

    def drop(self, held: sql.Identifier) -> None:
        """The role is gone; one commit: it is done."""
        self._drop([held])
        self._note(_GIVEN, held, "revoked")

    def _note(self, statement: str, name: sql.Identifier, status: str) -> None:
        """One commit: the row, and one event."""
        known = name.as_string(None)
        self.kept.execute("BEGIN IMMEDIATE")
        self.kept.execute(statement, [status, known])
        self.kept.execute("INSERT INTO event (id, type) VALUES (?, ?)", [known, f"grant.{status}"])
        self.kept.execute("COMMIT")


class VaultSql(_Sql):
    """Vault's documented statements: privileges one by one, and back one by one."""

    name = "vault-sql"
    as_owner = True

    def grant(self, size: int) -> sql.Identifier:
        name = self._new()
        tables = sql.SQL(", ").join(sql.Identifier("app", f"t{n}") for n in range(size))
        self._run(
            "CREATE ROLE {name} WITH LOGIN PASSWORD {password} VALID UNTIL {until}",
            "GRANT USAGE ON SCHEMA app TO {name}",
            "GRANT SELECT ON {tables} TO {name}",
            name=name,
            password=self._password(),
            until=self._until(),
            tables=tables,
        )
        return name

    def end(self, held: sql.Identifier) -> None:
        """As its plugin's default revocation: look up, revoke one by one, shut, drop."""
        role = held.as_string(None).strip('"')
        schemas = self.link.execute(_GRANTED_SCHEMAS, [role]).fetchall()
        self._run("ALTER ROLE {name} NOLOGIN", name=held)
        for (schema,) in schemas:
            names = {"name": held, "schema": sql.Identifier(schema)}
            self._run("REVOKE ALL PRIVILEGES ON ALL TABLES IN SCHEMA {schema} FROM {name}", **names)
            self._run("REVOKE USAGE ON SCHEMA {schema} FROM {name}", **names)
        self._run("REVOKE USAGE ON SCHEMA app FROM {name}", name=held)
        self._cut(held)
        self._run("DROP ROLE IF EXISTS {name}", name=held)


class TeleportSql(_Sql):
    """Teleport's procedures: look, create, one membership a role; drop, or disable where it fails.

    It never ends a session.
    """

    name = "teleport-sql"

    def grant(self, size: int) -> sql.Identifier:
        name = self._new()
        role = name.as_string(None).strip('"')
        self.link.execute("SELECT 1 FROM pg_auth_members WHERE member = to_regrole(%s)", [role])
        self._run(
            "CREATE ROLE {name} LOGIN PASSWORD {password}",
            "GRANT {role} TO {name}",
            name=name,
            password=self._password(),
            role=sql.Identifier(self._at.role_of(size)),
        )
        return name

    def end(self, held: sql.Identifier) -> None:
        role = held.as_string(None).strip('"')
        self.link.execute("SELECT 1 FROM pg_stat_activity WHERE usename = %s", [role])
        try:
            self._run("DROP ROLE {name}", name=held)
        except psycopg.Error:
            self._run("ALTER ROLE {name} NOLOGIN", name=held)


class Ours:
    """Ours, by the public API: create, verify, reveal; close, then remove and prove."""

    name = "ours"

    def __init__(self, at: place.Place, url: str | None = None) -> None:
        self._at = at
        self.engine: PostgresEngine = at.engine(url)

    def grant(self, size: int) -> ManagedRole:
        spec = self._at.spec(size)
        role = self.engine.create(spec)
        self.engine.reveal(role, spec.expires_at, self._at.database)
        return role

    def end(self, held: ManagedRole) -> None:
        self.engine.close(held)
        removed = self.engine.remove(held)
        assert removed.clean, removed.residue

    def close(self) -> None:
        self.engine.dispose()


def named(role: str) -> sql.Identifier:
    """What ends a role made elsewhere."""
    return sql.Identifier(role)


@contextmanager
def opened(*ways: Way) -> Iterator[dict[str, Way]]:
    """These ways by name, let go of in the end."""
    try:
        yield {way.name: way for way in ways}
    finally:
        for way in ways:
            way.close()


_GRANTED_SCHEMAS = (
    "SELECT DISTINCT table_schema FROM information_schema.role_column_grants WHERE grantee = %s"
)
_GIVEN = "UPDATE given SET status = ? WHERE id = ?"
