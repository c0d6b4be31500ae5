"""State databases for tests: the same tests on SQLite and PostgreSQL, and records to fill them with."""

import dataclasses
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql

from bot import clock as clocks
from bot import model
from bot import store as stores
from bot.demo import postgres
from bot.store import kept, tables

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ANA = stores.Actor(kind="user", id="U0ANA", name="Ana Lima")
BO = stores.Actor(kind="user", id="U0BO", name="Bo Chen")
KEY = b"a key of the tests, 32 bytes long"


class Heard:
    """A driver's connection to SQLite as `kept` uses it: `committing` is called just before it commits."""

    def __init__(self, driver: sqlite3.Connection, committing: Callable[[], object]) -> None:
        self._driver, self._committing = driver, committing
        self._writes = False

    def execute(self, begin: str) -> None:
        self._writes = begin == kept.WRITE
        self._driver.execute(begin)

    def commit(self) -> None:
        if self._writes:
            self._committing()
        self._driver.commit()


@contextmanager
def heard(lines: kept.Kept, committing: Callable[[], object]) -> Iterator[None]:
    """Call that before every commit of what is written on one of these connections."""
    take, give_back = lines._take, lines._give_back

    def taken() -> Any:
        line = take()
        return line._replace(driver=Heard(line.driver, committing))

    def given_back(line: Any) -> None:
        give_back(line._replace(driver=line.driver._driver))

    with (
        mock.patch.object(lines, "_take", taken),
        mock.patch.object(lines, "_give_back", given_back),
    ):
        yield


@contextmanager
def used(lines: kept.Kept, first: Callable[[sqlite3.Connection], object]) -> Iterator[None]:
    """Call that with the driver's connection before every use of one."""
    take = lines._take

    def taken() -> Any:
        line = take()
        first(line.driver)
        return line

    with mock.patch.object(lines, "_take", taken):
        yield


@pytest.fixture
def clock() -> clocks.ManualClock:
    """It is noon, until told otherwise."""
    return clocks.ManualClock(NOON)


@pytest.fixture
def record_url(postgres_server: postgres.Server) -> Iterator[str]:
    """The URL of an empty state database on PostgreSQL."""
    name = f"state_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_server.admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield postgres_server.url_for_admin(name)
    with psycopg.connect(postgres_server.admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(params=["sqlite", "postgresql"])
def state_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty state database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'jit.db'}"
        return
    yield request.getfixturevalue("record_url")


@pytest.fixture
def open_state(state_url: str, clock: clocks.ManualClock) -> Iterator[Callable[..., stores.Store]]:
    """Opens the same state database, as often as wanted; closes all in the end."""
    opened = []

    def opening(**options: Any) -> stores.Store:
        chosen: dict[str, Any] = {"clock": clock, "audit_key": KEY} | options
        opened.append(stores.open_store(state_url, **chosen))
        return opened[-1]

    yield opening
    for store in opened:
        store.close()


@pytest.fixture
def state(open_state: Callable[..., stores.Store]) -> stores.Store:
    """An empty store."""
    return open_state()


def a_request(**given: Any) -> model.AccessRequest:
    """Ana asks for customer data for half an hour, at noon."""
    at = given.get("created_at", NOON)
    usual: dict[str, Any] = {
        "id": model.new_id(),
        "status": model.RequestStatus.PENDING,
        "requester_id": "U0ANA",
        "requester_name": "Ana Lima",
        "requester_tz": "Europe/Berlin",
        "team_id": "T0ACME",
        "target": "shop",
        "environment": "production",
        "entitlement": "read_customer_data",
        "tables": (),
        "scope": a_scope(),
        "scope_hash": "5c0be",
        "catalog_version": "ca7",
        "duration": timedelta(minutes=30),
        "justification": "INC-4412: export stuck",
        "ticket": "INC-4412",
        "verdict": model.Verdict.NEEDS_APPROVAL,
        "rule": "data-owners",
        "reasons": ("because shop is production",),
        "approvers": ("U0BO", "U0CLEO"),
        "needs": 1,
        "created_at": at,
        "decide_by": at + timedelta(hours=1),
    }
    return model.AccessRequest(**(usual | given))


def a_scope() -> dict[str, object]:
    """Customers and orders, as the catalog writes a scope down."""
    tables = [
        {"schema": "app", "table": name, "columns": [], "privileges": ["select"]}
        for name in ("customers", "orders", "addresses")
    ]
    return {"name": "read_customer_data", "database": "shop", "narrowed": False, "tables": tables}


def a_grant(request: model.AccessRequest, at: datetime, **given: Any) -> model.Grant:
    """The grant of that request, decided `at`."""
    usual: dict[str, Any] = {
        "id": request.id,
        "status": model.GrantStatus.ACTIVATING,
        "target": request.target,
        "requester_id": request.requester_id,
        "role_name": f"jit_{request.id}",
        "duration": request.duration,
        "created_at": at,
        "expires_at": at + request.duration,
        "activate_by": at + timedelta(minutes=10),
    }
    return model.Grant(**(usual | given))


def a_review(request_id: str, **given: Any) -> model.Review:
    """Bo says yes."""
    usual: dict[str, Any] = {
        "request_id": request_id,
        "reviewer_id": "U0BO",
        "reviewer_name": "Bo Chen",
        "answer": model.Answer.APPROVE,
        "comment": "",
        "at": NOON,
    }
    return model.Review(**(usual | given))


def submit(store: stores.Store, **given: Any) -> model.AccessRequest:
    """A recorded request."""
    request = a_request(**given)
    with store.begin(ANA) as tx:
        tx.add_request(request)
    return request


def approve(store: stores.Store, request: model.AccessRequest, *, by: str | None = "U0BO") -> None:
    """Approved now, by a person or (None) by the rule, and on its way."""
    with store.begin(BO) as tx:
        if by is not None:
            tx.add_review(a_review(request.id, reviewer_id=by, at=tx.at))
        tx.settle_request(
            request.id, model.RequestStatus.APPROVED, decided_by=by, decided_by_name=by
        )
        tx.add_grant(a_grant(request, tx.at))


def activate(store: stores.Store, request_id: str) -> model.Grant:
    """Active from now on."""
    with store.begin(stores.SYSTEM) as tx:
        grant = tx.grant(request_id)
        return tx.move_grant(
            request_id,
            model.GrantStatus.ACTIVATING,
            model.GrantStatus.ACTIVE,
            activated_at=tx.at,
            role_oid=4_000_000_000,
            expires_at=tx.at + grant.duration,
        )


def end(
    store: stores.Store,
    request_id: str,
    *,
    cause: model.EndCause = model.EndCause.DEADLINE,
    **changes: Any,
) -> model.Grant:
    """Ended and clean now."""
    active, revoking = model.GrantStatus.ACTIVE, model.GrantStatus.REVOKING
    early = cause is not model.EndCause.DEADLINE
    final = model.GrantStatus.REVOKED if early else model.GrantStatus.ENDED
    with store.begin(stores.SYSTEM) as tx:
        tx.move_grant(request_id, active, revoking, cause=cause, revoking_since=tx.at)
        times = {"access_ended_at": tx.at, "cleaned_up_at": tx.at}
        return tx.move_grant(request_id, revoking, final, **(times | changes))


def granted(store: stores.Store, **given: Any) -> model.AccessRequest:
    """A request that was approved by Bo and is active."""
    request = submit(store, **given)
    approve(store, request)
    activate(store, request.id)
    return request


def differing(one: Any, other: Any) -> dict[str, tuple[object, object]]:
    """The fields in which two values differ."""
    return {
        field.name: (getattr(one, field.name), getattr(other, field.name))
        for field in dataclasses.fields(one)
        if getattr(one, field.name) != getattr(other, field.name)
    }


def copy_newer(url: str, request_id: str, times: int) -> None:
    """So many grants like that one, made a day later."""
    database = sa.create_engine(url)
    with database.begin() as connection:
        for table, key in ((tables.access_request, "id"), (tables.access_grant, "id")):
            unguarded(connection, table.name)
            wanted = {
                key: "printf('%08d', n)",
                "role_name": "printf('jit_%08d', n)",
                "created_at": "'21' || substr(created_at, 3)",
            }
            names = [column.name for column in table.columns]
            values = ", ".join(wanted.get(name, name) for name in names)
            connection.exec_driver_sql(
                "WITH RECURSIVE many(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM many WHERE n < ?)"
                f" INSERT INTO {table.name} ({', '.join(names)})"
                f" SELECT {values} FROM many, {table.name} WHERE {key} = ?",
                (times, request_id),
            )
    database.dispose()


def unguarded(connection: sa.Connection, table: str) -> None:
    """Let rows be written that no life could have led to."""
    query = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?"
    for (name,) in connection.exec_driver_sql(query, (table,)).fetchall():
        connection.exec_driver_sql(f"DROP TRIGGER {name}")
