"""Whatever happens to a target: every operation answers in time, and access ends on retry."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg import sql

from bot.demo import postgres
from db_grants import errors, naming
from db_grants.postgres import PostgresEngine
from db_grants.spec import Credential, GrantSpec, ManagedRole
from tests.faults import frozen
from tests.faults.wire import Mode, Wire
from tests.fixtures_core import wait_for
from tests.fixtures_postgres import BOT_PASSWORD, SETTINGS, Shop, shop_bot

pytestmark = pytest.mark.faults

DEADLINE = 2.0
SLACK = 2.0  # on a busy machine
Made = TypeVar("Made")
UNREACHED = (errors.TargetUnavailable, errors.OutcomeUnknown)


@pytest.fixture(scope="module")
def folder(server_folder: Path) -> Path:
    """Where this module's server has its data."""
    return server_folder / "faults"


@pytest.fixture(scope="module")
def shop_server(folder: Path) -> Iterator[postgres.Server]:
    """A server of this module's own: it will be stopped, filled and restarted."""
    server = postgres.Server.start(folder, settings=SETTINGS | {"max_connections": "20"})
    yield server
    server.resume()
    server.discard()


@pytest.fixture
def wire(shop: Shop) -> Iterator[Wire]:
    with Wire(shop.server.port) as made:
        yield made


@pytest.fixture
def engine(shop: Shop, wire: Wire) -> PostgresEngine:
    """An engine whose packets go over `wire`."""
    url = shop.bot_url.replace(f":{shop.server.port}/", f":{wire.port}/")
    made = PostgresEngine(url, deadline=DEADLINE)
    shop.engines.append(made)
    return made


@pytest.fixture
def spec(shop: Shop) -> GrantSpec:
    return GrantSpec(
        grant_id="fau1t001",
        role_name=naming.managed_role("fau1t001"),
        scope=shop.scope(),
        expires_at=datetime.now(UTC) + timedelta(hours=1),
    )


@pytest.fixture
def role(engine: PostgresEngine, spec: GrantSpec) -> ManagedRole:
    return tried_again(lambda: engine.create(spec))


def credential(shop: Shop, engine: PostgresEngine, role: ManagedRole) -> Credential:
    return engine.reveal(role, datetime.now(UTC) + timedelta(hours=1), shop.database)


def log_in(shop: Shop, given: Credential) -> psycopg.Connection:
    """The holder, who does not come over the wire."""
    url = shop.server.url(shop.database, given.role, given.password)
    return psycopg.connect(url, autocommit=True)


def managed_roles(shop: Shop) -> list[str]:
    with shop.connect() as admin:
        rows = admin.execute("SELECT rolname FROM pg_roles WHERE rolname ~ '^jit_fau'").fetchall()
    return [name for (name,) in rows]


def sessions_of(shop: Shop, role: ManagedRole) -> int:
    with shop.connect() as admin:
        query = "SELECT count(*) FROM pg_stat_activity WHERE usesysid = %s"
        return int(admin.execute(query, [role.oid]).fetchone()[0])  # type: ignore[index]


def in_time(operation: Callable[[], object], *expected: type[errors.DbGrantsError]) -> None:
    """It fails as expected, and within the engine's deadline."""
    began = time.monotonic()
    with pytest.raises(expected or UNREACHED):
        operation()
    assert time.monotonic() - began < DEADLINE + SLACK


def tried_again(step: Callable[[], Made]) -> Made:
    """Where all is well, two seconds are enough; not always on a machine that does much else."""
    for _ in range(3):
        with contextlib.suppress(*UNREACHED):
            return step()
    return step()


def ends(engine: PostgresEngine, shop: Shop, role: ManagedRole) -> None:
    """As the service does it: access ends and nothing is left."""
    tried_again(lambda: engine.close(role))
    assert tried_again(lambda: engine.remove(role)).clean
    assert managed_roles(shop) == []


@pytest.mark.fault(
    "F-09b",
    "COMMIT of a creation is done and its answer lost",
    how="the wire is cut after COMMIT",
    expects="unknown, never failed; asking again finds the one role",
)
def test_a_lost_answer_to_the_commit_of_a_creation_converges(
    shop: Shop, engine: PostgresEngine, wire: Wire, spec: GrantSpec
) -> None:
    engine.survey()  # the link exists before anything is lost
    wire.lose_answer_to(b"COMMIT")
    in_time(lambda: engine.create(spec), errors.OutcomeUnknown)
    assert wire.lost.is_set()
    assert managed_roles(shop) == [spec.role_name]  # it was committed
    role = engine.create(spec)
    assert managed_roles(shop) == [spec.role_name]
    with contextlib.closing(log_in(shop, credential(shop, engine, role))) as holder:
        assert holder.execute("SELECT count(*) > 0 FROM app.orders").fetchone() == (True,)
    ends(engine, shop, role)


@pytest.mark.fault(
    "F-08",
    "COMMIT of a creation never arrives",
    how="the wire is cut before COMMIT",
    expects="unknown; asking again makes the one role",
)
def test_a_commit_the_server_never_heard_is_unknown_as_well_and_converges(
    shop: Shop, engine: PostgresEngine, wire: Wire, spec: GrantSpec
) -> None:
    wire.lose_question(b"COMMIT")
    in_time(lambda: engine.create(spec), errors.OutcomeUnknown)
    wait_for(lambda: managed_roles(shop) == [])
    ends(engine, shop, engine.create(spec))


@pytest.mark.fault(
    "F-25",
    "the link breaks in the middle of an end",
    how="the wire is cut after a statement",
    expects="trying again ends access",
)
@pytest.mark.parametrize("words", [b"NOLOGIN CONNECTION LIMIT 0", b"pg_terminate_backend"])
def test_an_end_whose_answer_is_lost_is_ended_by_trying_again(
    shop: Shop, engine: PostgresEngine, wire: Wire, role: ManagedRole, words: bytes
) -> None:
    holder = log_in(shop, credential(shop, engine, role))
    wire.lose_answer_to(words)
    in_time(lambda: engine.close(role))
    ends(engine, shop, role)
    with contextlib.closing(holder), pytest.raises(psycopg.OperationalError):
        holder.execute("SELECT 1")


@pytest.mark.fault(
    "F-18",
    "DROP ROLE is done and its answer lost",
    how="the wire is cut after COMMIT",
    expects="trying again finds it done",
)
def test_a_drop_whose_answer_is_lost_is_found_done(
    shop: Shop, engine: PostgresEngine, wire: Wire, role: ManagedRole
) -> None:
    engine.close(role)
    wire.lose_answer_to(b'DROP ROLE "')
    in_time(lambda: engine.remove(role))
    assert managed_roles(shop) == []
    assert engine.remove(role).clean


@pytest.mark.fault(
    "F-12b",
    "a password is set and the answer lost",
    how="the wire is cut after COMMIT",
    expects="nobody learns it; the next one replaces it",
)
def test_a_password_whose_verifier_was_set_unseen_is_replaced_by_the_next(
    shop: Shop, engine: PostgresEngine, wire: Wire, role: ManagedRole
) -> None:
    wire.lose_answer_to(b"PASSWORD 'SCRAM-SHA-256$")
    in_time(lambda: credential(shop, engine, role), errors.OutcomeUnknown)
    log_in(shop, credential(shop, engine, role)).close()
    ends(engine, shop, role)


def black_hole(wire: Wire) -> None:
    wire.mode = Mode.BLACKHOLE


def half_open(wire: Wire) -> None:
    wire.mode = Mode.HALF_OPEN


def thirty_seconds_of_latency(wire: Wire) -> None:
    wire.latency = 30.0


def refused(wire: Wire) -> None:
    wire.refuse = True
    wire.reset()


def well_again(wire: Wire) -> None:
    wire.mode, wire.latency, wire.refuse = Mode.PASS, 0.0, False


TROUBLES = [black_hole, half_open, thirty_seconds_of_latency, refused]


@pytest.mark.fault(
    "F-24",
    "the network swallows packets, is half open, slow by 30 s, or refuses",
    how="TCP proxy",
    expects="every operation fails within its own deadline",
)
@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_bad_wire_holds_no_operation_longer_than_its_deadline(
    shop: Shop,
    engine: PostgresEngine,
    wire: Wire,
    spec: GrantSpec,
    role: ManagedRole,
    trouble: Callable[[Wire], None],
) -> None:
    now = datetime.now(UTC)
    operations: list[Callable[[], object]] = [
        lambda: engine.create(spec),
        lambda: engine.find(role.grant_id, role.name),
        lambda: engine.reveal(role, now, shop.database),
        lambda: engine.set_deadline(role, now),
        lambda: engine.close(role),
        lambda: engine.remove(role),
        lambda: engine.activity(role, now),
        lambda: engine.check([shop.scope()]),
        engine.survey,
    ]
    trouble(wire)
    threads = []
    failed: list[BaseException] = []

    def run(operation: Callable[[], object]) -> None:
        try:
            in_time(operation)
        except BaseException as error:  # noqa: BLE001 - told to the main thread
            failed.append(error)

    for operation in operations:
        threads.append(threading.Thread(target=run, args=[operation]))
        threads[-1].start()
    for thread in threads:
        thread.join(30)
    assert failed == []


@pytest.mark.fault(
    "F-26",
    "an end is begun on such a network",
    how="TCP proxy, then well again",
    expects="trying again ends access",
)
@pytest.mark.parametrize("trouble", TROUBLES)
def test_an_end_begun_on_a_bad_wire_is_done_when_it_is_well_again(
    shop: Shop,
    engine: PostgresEngine,
    wire: Wire,
    role: ManagedRole,
    trouble: Callable[[Wire], None],
) -> None:
    holder = log_in(shop, credential(shop, engine, role))
    trouble(wire)
    in_time(lambda: engine.close(role))
    well_again(wire)
    ends(engine, shop, role)
    with contextlib.closing(holder), pytest.raises(psycopg.OperationalError):
        holder.execute("SELECT 1")


@pytest.mark.fault(
    "F-25b", "an idle connection was reset", how="TCP proxy", expects="the next operation succeeds"
)
def test_a_link_that_was_reset_while_idle_costs_nothing(
    shop: Shop, engine: PostgresEngine, wire: Wire, role: ManagedRole
) -> None:
    wire.reset()
    ends(engine, shop, role)


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
    with contextlib.closing(holder), pytest.raises(psycopg.OperationalError):
        holder.execute("SELECT 1")


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
    wire.lose_answer_to(b"NOLOGIN CONNECTION LIMIT 0")
    in_time(lambda: engine.close(role))
    restart(shop, folder, mode)
    ends(engine, shop, role)
    with contextlib.closing(holder), pytest.raises(psycopg.OperationalError):
        holder.execute("SELECT 1")


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
    "the bot lost CREATEROLE",
    how="ALTER ROLE",
    expects="told as such; mends when it is given back",
)
def test_a_bot_that_lost_its_power_is_told_as_such_and_mends(
    shop: Shop, engine: PostgresEngine, role: ManagedRole
) -> None:
    with shop.connect() as admin:
        admin.execute("ALTER ROLE jit_bot NOCREATEROLE")
        try:
            in_time(lambda: engine.close(role), errors.NotPrepared)
        finally:
            admin.execute("ALTER ROLE jit_bot CREATEROLE")
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
