"""Whatever happens to a target: every operation answers in time, and access ends on retry."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from bot.demo import postgres
from db_grants import errors, naming
from db_grants.postgres import PostgresEngine
from db_grants.spec import ManagedRole
from tests.faults import frozen
from tests.faults.target import (
    DEADLINE,
    credential,
    ends,
    in_time,
    sessions_of,
    small_server,
)
from tests.faults.wire import Wire
from tests.fixtures_core import wait_for
from tests.fixtures_postgres import BOT_PASSWORD, Shop, shop_bot, without_deputies
from tests.holders import is_cut, log_in

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def shop_server(folder: Path) -> Iterator[postgres.Server]:
    """A server of this module's own."""
    yield from small_server(folder)


@pytest.mark.fault(
    "F-22",
    "the server stands still",
    how="SIGSTOP of postmaster and backends",
    expects="the operation fails within its deadline; access ends when it goes on",
)
def test_a_stopped_server_is_given_up_in_time_and_ends_when_it_goes_on(
    shop: Shop, engine: PostgresEngine, role: ManagedRole
) -> None:
    holder = log_in(shop, credential(shop, engine, role))
    shop.server.pause()
    try:
        in_time(lambda: engine.close(role))
    finally:
        shop.server.resume()
    ends(engine, shop, role)
    with contextlib.closing(holder):
        assert is_cut(holder)


@pytest.mark.fault(
    "F-22b",
    "one holder's backend stands still",
    how="SIGSTOP of a backend",
    expects="never called ended; ended when it moves",
)
def test_a_session_whose_process_stands_still_is_told_as_alive_and_ends_when_it_moves(
    shop: Shop, engine: PostgresEngine, role: ManagedRole
) -> None:
    with contextlib.closing(log_in(shop, credential(shop, engine, role))) as holder:
        with frozen.backend(holder):
            in_time(lambda: engine.close(role), errors.StillAlive)
            assert sessions_of(shop, role) == 1
            with pytest.raises(errors.StillAlive):
                engine.remove(role)
        ends(engine, shop, role)


@pytest.mark.fault(
    "F-27",
    "the server restarts in the middle of an end",
    how="fast and immediate shutdown, start",
    expects="trying again ends access",
)
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_in_the_middle_of_an_end_changes_nothing(
    shop: Shop, engine: PostgresEngine, wire: Wire, role: ManagedRole, folder: Path, mode: Any
) -> None:
    holder = log_in(shop, credential(shop, engine, role))
    wire.lose_answer_to(b"EXECUTE shut_roles")
    in_time(lambda: engine.close(role))
    restart(shop, folder, mode)
    ends(engine, shop, role)
    with contextlib.closing(holder):
        assert is_cut(holder)


def restart(shop: Shop, folder: Path, mode: Any) -> None:
    """The same cluster on the same port, by a new postmaster; the fixture's object takes it over."""
    old = shop.server
    old.stop(mode)
    new = postgres.Server.start(folder, port=old.port, settings=old.config.settings)
    old.__dict__.update(new.__dict__)


@pytest.mark.fault(
    "F-21",
    "the server is down at the deadline",
    how="SIGKILL of the server",
    expects="unavailable, then ended when it is back",
)
def test_a_server_that_is_down_is_unavailable_and_ends_when_it_is_back(
    shop: Shop, engine: PostgresEngine, role: ManagedRole, folder: Path
) -> None:
    shop.server.stop("immediate")
    try:
        in_time(lambda: engine.close(role), errors.TargetUnavailable)
    finally:
        restart(shop, folder, "immediate")
    ends(engine, shop, role)


@pytest.mark.fault(
    "F-29",
    "no free connection on the server",
    how="all slots taken",
    expects="unavailable; no connection of ours leaks",
)
def test_no_free_connection_is_unavailable_and_leaks_none(
    shop: Shop, engine: PostgresEngine, role: ManagedRole
) -> None:
    engine.dispose()
    late = shop.engine(deadline=DEADLINE)
    with contextlib.ExitStack() as crowd:
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                crowd.enter_context(contextlib.closing(shop.connect()))
        for _ in range(5):
            in_time(lambda: late.close(role), errors.TargetUnavailable)
    wait_for(lambda: connections(shop) <= 1)
    ends(late, shop, role)


def connections(shop: Shop) -> int:
    try:
        with shop.connect() as admin:
            query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
            return int(admin.execute(query).fetchone()[0])  # type: ignore[index]
    except psycopg.OperationalError:
        return 99


@pytest.mark.fault(
    "F-32",
    "somebody locks the role's row",
    how="an open transaction of a superuser",
    expects="given up within the deadline; ended when the lock goes",
)
def test_a_lock_on_the_roles_row_is_not_waited_for_beyond_the_deadline(
    shop: Shop, engine: PostgresEngine, role: ManagedRole
) -> None:
    with psycopg.connect(shop.admin_url) as other:
        name = sql.Identifier(role.name)
        other.execute(sql.SQL("ALTER ROLE {} CONNECTION LIMIT 3").format(name))
        in_time(lambda: engine.close(role), errors.TargetUnavailable)
        other.rollback()
    ends(engine, shop, role)


@pytest.mark.fault(
    "F-34",
    "the bot's password was changed",
    how="ALTER ROLE",
    expects="told as such; mends when it is put back",
)
def test_a_rotated_password_of_the_bot_is_told_as_such_and_mends(
    shop: Shop, engine: PostgresEngine, role: ManagedRole, wire: Wire
) -> None:
    set_password(shop, "another")
    wire.reset()  # who is logged in stays so
    with pytest.raises(errors.TargetUnavailable, match="password authentication failed"):
        engine.close(role)
    set_password(shop, BOT_PASSWORD)
    ends(engine, shop, role)


def set_password(shop: Shop, password: str) -> None:
    with shop.connect() as admin:
        statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
        admin.execute(statement.format(sql.Identifier(shop_bot()), sql.Literal(password)))


@pytest.mark.fault(
    "F-34b",
    "the bot lost the functions of the bootstrap",
    how="REVOKE",
    expects="told as such; mends when they are given back",
)
def test_a_bot_that_lost_its_power_is_told_as_such_and_mends(
    shop: Shop, engine: PostgresEngine, role: ManagedRole
) -> None:
    with shop.connect() as admin:
        admin.execute("REVOKE USAGE ON SCHEMA jit_admin FROM jit_bot")
        try:
            in_time(lambda: engine.close(role), errors.NotPrepared)
        finally:
            admin.execute("GRANT USAGE ON SCHEMA jit_admin TO jit_bot")
    ends(engine, shop, role)


@pytest.mark.fault(
    "F-34d",
    "the bot of an earlier bootstrap lost the CREATEROLE it still needs",
    how="ALTER ROLE",
    expects="what is live ends, by the functions it has; `jit check` says what is missing",
)
def test_a_bot_that_may_not_make_roles_ends_them(
    shop: Shop, engine: PostgresEngine, role: ManagedRole
) -> None:
    later = naming.ALL_DEPUTIES[len(naming.DEPUTIES) :]
    with without_deputies(shop, later), shop.connect() as admin:
        admin.execute("ALTER ROLE jit_bot NOCREATEROLE")
        assert any("may not create roles" in one.message for one in engine.check([shop.scope()]))
        ends(engine, shop, role)


@pytest.mark.fault(
    "F-28",
    "the database is read-only",
    how="default_transaction_read_only",
    expects="told as such; access ends when it is writable",
)
def test_a_database_that_became_read_only_says_so_and_mends(
    shop: Shop, engine: PostgresEngine, role: ManagedRole, wire: Wire
) -> None:
    database = sql.Identifier(shop.database)
    with shop.connect() as admin:
        setting = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on")
        admin.execute(setting.format(database))
        wire.reset()
        try:
            with pytest.raises(errors.DbGrantsError, match="read-only"):
                engine.close(role)
        finally:
            admin.execute("SET default_transaction_read_only = off")
            reset = sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only")
            admin.execute(reset.format(database))
    wire.reset()
    ends(engine, shop, role)
