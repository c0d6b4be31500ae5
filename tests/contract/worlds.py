"""The engines that are held to the contract, each with what may be done to its server from outside."""

import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from db_grants import naming
from db_grants.engine import Engine
from db_grants.memory import MemoryEngine
from db_grants.spec import Credential, GrantSpec, Scope
from tests.fixtures_postgres import SCOPES, Shop


@dataclass(kw_only=True)
class World:
    """An engine and what the outside may do to its server."""

    engine: Engine
    database: str
    login: Callable[[Credential], bool]
    session: Callable[[Credential], Callable[[], bool]]  # logs in; asked, it tells if it goes on
    run: Callable[[Credential, str], None]  # logs in, runs a query and logs out
    add_foreign: Callable[[str], None]
    opened: list[psycopg.Connection] = field(default_factory=list)

    def scope(self, name: str = "read_customer_data") -> Scope:
        return Scope(name=name, database=self.database, tables=SCOPES[name])

    def spec(self, grant_id: str = "c0ntract", **changes: Any) -> GrantSpec:
        spec = GrantSpec(
            grant_id=grant_id,
            role_name=naming.managed_role(grant_id),
            scope=self.scope(),
            expires_at=datetime.now(UTC) + timedelta(minutes=30),
        )
        return replace(spec, **changes)


def memory_world() -> World:
    engine = MemoryEngine(scopes=[Scope(name=n, database="shop", tables=SCOPES[n]) for n in SCOPES])

    def session(given: Credential) -> Callable[[], bool]:
        made = engine.connect(given.role, given.password)
        assert made is not None
        return lambda: engine.goes_on(made)

    def run(given: Credential, statement: str) -> None:
        assert engine.connect(given.role, given.password) is not None
        engine.run(given.role, "SELECT", statement)

    return World(
        engine=engine,
        database="shop",
        login=lambda given: engine.connect(given.role, given.password) is not None,
        session=session,
        run=run,
        add_foreign=engine.add_foreign,
    )


def goes_on(connection: psycopg.Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def postgres_world(shop: Shop) -> World:
    opened: list[psycopg.Connection] = []

    def login(given: Credential) -> bool:
        url = shop.server.url(given.database, given.role, given.password)
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            return False
        return True

    def session(given: Credential) -> Callable[[], bool]:
        url = shop.server.url(given.database, given.role, given.password)
        opened.append(psycopg.connect(url, autocommit=True))
        return functools.partial(goes_on, opened[-1])

    def run(given: Credential, statement: str) -> None:
        url = shop.server.url(given.database, given.role, given.password)
        with contextlib.closing(psycopg.connect(url, autocommit=True)) as there:
            there.execute(psycopg.sql.SQL(statement))

    def add_foreign(name: str) -> None:
        with shop.connect() as admin:
            admin.execute(psycopg.sql.SQL("CREATE ROLE {}").format(psycopg.sql.Identifier(name)))

    engine = shop.engine()
    return World(
        engine=engine,
        database=shop.database,
        login=login,
        session=session,
        run=run,
        add_foreign=add_foreign,
        opened=opened,
    )
