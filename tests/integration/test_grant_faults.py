"""A server that stops, goes away or swallows packets: every operation still ends in time."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bot.demo import postgres
from db_grants import errors, naming
from db_grants.postgres import PostgresEngine
from db_grants.spec import GrantSpec, ManagedRole
from tests.faults.wire import Mode, Wire
from tests.fixtures_postgres import SETTINGS, Shop, drop_shop, make_shop
from tests.holders import is_cut

DEADLINE = 2.0
SLACK = 1.5  # the deadline is looked at every 0.1 s; the rest is for a busy machine


@pytest.fixture(scope="module")
def shop_server(server_folder: Path) -> Iterator[postgres.Server]:
    """A server of this module's own: it will be stopped."""
    server = postgres.Server.start(server_folder / "faulty", settings=SETTINGS)
    yield server
    server.resume()
    server.discard()


@pytest.fixture
def proxy(shop: Shop) -> Iterator[Wire]:
    with Wire(shop.server.port) as made:
        yield made


def through(proxy: Wire, shop: Shop, **options: Any) -> PostgresEngine:
    url = shop.bot_url.replace(f":{shop.server.port}/", f":{proxy.port}/")
    engine = PostgresEngine(url, deadline=DEADLINE, **options)
    shop.engines.append(engine)
    return engine


def spec_of(shop: Shop, grant_id: str = "fau1ty01") -> GrantSpec:
    return GrantSpec(
        grant_id=grant_id,
        role_name=naming.managed_role(grant_id),
        scope=shop.scope(),
        expires_at=datetime.now(UTC) + timedelta(minutes=30),
    )


def operations(engine: PostgresEngine, shop: Shop, role: ManagedRole) -> list[Callable[[], Any]]:
    now = datetime.now(UTC)
    return [
        lambda: engine.create(spec_of(shop)),
        lambda: engine.find(role.grant_id, role.name),
        lambda: engine.reveal(role, now, shop.database),
        lambda: engine.set_deadline(role, now),
        lambda: engine.close(role),
        lambda: engine.remove(role),
        lambda: engine.activity(role, now),
        lambda: engine.activity_all({role: now}),
        engine.managed,
        lambda: engine.check([shop.scope()]),
    ]


def seconds_until_given_up(operation: Callable[[], Any]) -> float:
    started = time.monotonic()
    with pytest.raises((errors.TargetUnavailable, errors.OutcomeUnknown)):
        operation()
    return time.monotonic() - started


def test_a_stopped_server_holds_nobody_longer_than_the_deadline(shop: Shop) -> None:
    engine = shop.engine(deadline=DEADLINE)
    role = engine.create(spec_of(shop))
    shop.server.pause()
    try:
        waiting = operations(engine, shop, role)
        with futures.ThreadPoolExecutor(len(waiting)) as pool:
            took = list(pool.map(seconds_until_given_up, waiting))
        assert max(took) < DEADLINE + SLACK
    finally:
        shop.server.resume()
    engine.close(role)
    assert engine.remove(role).clean


def test_a_link_that_swallows_packets_holds_nobody_longer_than_the_deadline(
    shop: Shop, proxy: Wire
) -> None:
    engine = through(proxy, shop)
    role = engine.create(spec_of(shop))
    proxy.mode = Mode.BLACKHOLE
    started = time.monotonic()
    with pytest.raises(errors.TargetUnavailable):
        engine.managed()
    assert time.monotonic() - started < DEADLINE + SLACK
    proxy.mode = Mode.PASS
    assert [found.name for found in engine.managed()] == [role.name]


def test_a_commit_whose_answer_is_lost_is_unknown_and_converges(shop: Shop, proxy: Wire) -> None:
    engine = through(proxy, shop)
    engine.managed()
    proxy.lose_answer_to(b"COMMIT")
    with pytest.raises(errors.OutcomeUnknown):
        engine.create(spec_of(shop))
    role = engine.find("fau1ty01", "jit_fau1ty01")
    assert role is not None
    assert engine.create(spec_of(shop)) == role
    engine.close(role)
    assert engine.remove(role).clean


def test_a_creation_whose_answer_is_lost_is_unknown_and_whole(shop: Shop, proxy: Wire) -> None:
    engine = through(proxy, shop)
    engine.managed()
    proxy.lose_answer_to(b"EXECUTE make_role")
    with pytest.raises(errors.OutcomeUnknown):
        engine.create(spec_of(shop))
    role = engine.find("fau1ty01", "jit_fau1ty01")
    assert engine.create(spec_of(shop)) == role


def test_a_link_lost_before_the_commit_leaves_nothing(shop: Shop, proxy: Wire) -> None:
    engine = through(proxy, shop)
    engine.managed()
    scope = replace(shop.scope(), tables=shop.scope().tables[1:], narrowed=True)
    spec = replace(spec_of(shop), scope=scope)  # its role is not there yet: made with all care
    proxy.lose_answer_to(b"make_narrowed_role")
    with pytest.raises(errors.TargetUnavailable):
        engine.create(spec)
    assert engine.find("fau1ty01", "jit_fau1ty01") is None


def test_a_creation_that_reaches_the_server_late_is_refused_there(shop: Shop, proxy: Wire) -> None:
    engine = through(proxy, shop)
    engine.create(spec_of(shop, "fau1ty02"))
    proxy.latency = DEADLINE + 1
    with pytest.raises((errors.OutcomeUnknown, errors.TargetUnavailable)):
        engine.create(spec_of(shop))
    with shop.connect() as admin:
        admin.execute("SELECT pg_sleep(%s)", [2.0])  # by then the message has arrived
    proxy.latency = 0.0
    assert engine.find("fau1ty01", "jit_fau1ty01") is None


@pytest.mark.parametrize("word", [b"EXECUTE shut_roles", b"pg_terminate_backend"])
def test_an_end_that_lost_its_link_is_ended_by_trying_again(
    shop: Shop, proxy: Wire, word: bytes
) -> None:
    engine = through(proxy, shop)
    role = engine.create(spec_of(shop))
    credential = engine.reveal(role, datetime.now(UTC), shop.database)
    url = shop.server.url(shop.database, role.name, credential.password)
    with contextlib.closing(psycopg.connect(url)) as session:
        proxy.lose_answer_to(word)
        with pytest.raises((errors.OutcomeUnknown, errors.TargetUnavailable)):
            engine.close(role)
        engine.close(role)
        assert is_cut(session)
    assert engine.remove(role).clean


def test_a_drop_whose_answer_is_lost_is_found_done_by_trying_again(shop: Shop, proxy: Wire) -> None:
    engine = through(proxy, shop)
    role = engine.create(spec_of(shop))
    engine.close(role)
    proxy.lose_answer_to(b"EXECUTE drop_roles")
    with pytest.raises(errors.OutcomeUnknown):
        engine.remove(role)
    assert engine.remove(role).clean
    assert engine.managed() == ()


@pytest.mark.fault(
    "F-21b",
    "the server is killed and comes back",
    how="SIGKILL",
    expects="unavailable, then everything goes on",
)
def test_a_killed_server_is_unavailable_and_afterwards_everything_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    server = postgres.Server.start(folder, settings=SETTINGS)
    port = server.port
    shop = make_shop(server, "shop_killed")
    engine = shop.engine(deadline=DEADLINE)
    role = engine.create(spec_of(shop))
    server.kill()
    with pytest.raises(errors.TargetUnavailable):
        engine.close(role)
    again = postgres.Server.start(folder, port=port, settings=SETTINGS)
    try:
        engine.close(role)
        assert engine.remove(role).clean
        shop.server = again
        drop_shop(shop)
    finally:
        again.discard()


@pytest.mark.fault(
    "F-27b",
    "the server hangs up on our connections",
    how="pg_terminate_backend",
    expects="replaced, nobody sees it",
)
def test_connections_the_server_hung_up_on_are_replaced_unseen(shop: Shop) -> None:
    engine = shop.engine()
    engine.managed()
    with shop.connect() as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE usename = 'jit_bot'"
        )
    assert engine.managed() == ()


@pytest.mark.fault(
    "F-34c",
    "a wrong password for the target",
    how="URL",
    expects="told in words without any password",
)
def test_a_wrong_password_is_told_without_any_password(shop: Shop) -> None:
    secret = "not-the-password"
    url = shop.bot_url.replace("bot-password-of-the-tests", secret)
    assert url != shop.bot_url
    engine = PostgresEngine(url)
    with pytest.raises(errors.TargetUnavailable, match="authentication failed") as told:
        engine.managed()
    assert secret not in str(told.value)
    assert told.value.__cause__ is None


def test_a_url_that_cannot_be_read_is_not_quoted() -> None:
    with pytest.raises(errors.DbGrantsError) as told:
        PostgresEngine("postgresql://me:s3cret@host:port:extra/%zz")
    assert "s3cret" not in str(told.value)


def test_operations_side_by_side_use_few_connections(shop: Shop) -> None:
    engine = shop.engine()
    threads = [threading.Thread(target=engine.managed) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    with shop.connect() as admin:
        row = admin.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'jit_bot'"
        ).fetchone()
    assert row is not None
    assert row[0] <= 6
