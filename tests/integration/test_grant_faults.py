"""A server that stops, goes away or swallows packets: every operation still ends in time."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bot.demo import postgres
from db_grants import errors, naming
from db_grants.postgres import PostgresEngine
from db_grants.spec import GrantSpec, ManagedRole
from tests.fixtures_postgres import SETTINGS, Shop, drop_shop, make_shop

DEADLINE = 2.0
SLACK = 1.5  # the deadline is looked at every 0.1 s; the rest is for a busy machine


class Proxy:
    """A TCP relay to the server that can swallow what passes, or cut the link after a word."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = int(self._listener.getsockname()[1])
        self._sockets: list[socket.socket] = []
        self.swallow = False
        self._mute = False
        self.cut_after: bytes | None = None  # forward what holds this, then cut both ends
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return self._port

    def close(self) -> None:
        self._listener.close()
        self._cut()

    def _cut(self) -> None:
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            self._sockets += [client, server]
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._relay, args=[source, target], daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.swallow or (self._mute and target.getsockname()[1] == self.port):
                    continue
                cut = self.cut_after is not None and self.cut_after in data
                self._mute = self._mute or cut  # the server will hear it; its answer is held back
                target.sendall(data)
                if cut:
                    time.sleep(0.2)
                    self._cut()
                    self._mute = False


@pytest.fixture(scope="module")
def shop_server(server_folder: Path) -> Iterator[postgres.Server]:
    """A server of this module's own: it will be stopped."""
    server = postgres.Server.start(server_folder / "faulty", settings=SETTINGS)
    yield server
    server.resume()
    server.discard()


@pytest.fixture
def proxy(shop: Shop) -> Iterator[Proxy]:
    made = Proxy(shop.server.port)
    yield made
    made.close()


def through(proxy: Proxy, shop: Shop, **options: Any) -> PostgresEngine:
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
    shop: Shop, proxy: Proxy
) -> None:
    engine = through(proxy, shop)
    role = engine.create(spec_of(shop))
    proxy.swallow = True
    started = time.monotonic()
    with pytest.raises(errors.TargetUnavailable):
        engine.managed()
    assert time.monotonic() - started < DEADLINE + SLACK
    proxy.swallow = False
    assert [found.name for found in engine.managed()] == [role.name]


def test_a_commit_whose_answer_is_lost_is_unknown_and_converges(shop: Shop, proxy: Proxy) -> None:
    engine = through(proxy, shop)
    engine.managed()
    proxy.cut_after = b"COMMIT"
    with pytest.raises(errors.OutcomeUnknown):
        engine.create(spec_of(shop))
    proxy.cut_after = None
    role = engine.find("fau1ty01", "jit_fau1ty01")
    assert role is not None
    assert engine.create(spec_of(shop)) == role
    engine.close(role)
    assert engine.remove(role).clean


def test_a_link_lost_before_the_commit_leaves_nothing(shop: Shop, proxy: Proxy) -> None:
    engine = through(proxy, shop)
    engine.managed()
    proxy.cut_after = b"CREATE ROLE"
    with pytest.raises(errors.TargetUnavailable):
        engine.create(spec_of(shop))
    proxy.cut_after = None
    assert engine.find("fau1ty01", "jit_fau1ty01") is None


@pytest.mark.parametrize("word", [b"NOLOGIN CONNECTION LIMIT 0", b"pg_terminate_backend"])
def test_an_end_that_lost_its_link_is_ended_by_trying_again(
    shop: Shop, proxy: Proxy, word: bytes
) -> None:
    engine = through(proxy, shop)
    role = engine.create(spec_of(shop))
    credential = engine.reveal(role, datetime.now(UTC), shop.database)
    url = shop.server.url(shop.database, role.name, credential.password)
    with contextlib.closing(psycopg.connect(url)) as session:
        proxy.cut_after = word
        with pytest.raises((errors.OutcomeUnknown, errors.TargetUnavailable)):
            engine.close(role)
        proxy.cut_after = None
        engine.close(role)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert engine.remove(role).clean


def test_a_drop_whose_answer_is_lost_is_found_done_by_trying_again(
    shop: Shop, proxy: Proxy
) -> None:
    engine = through(proxy, shop)
    role = engine.create(spec_of(shop))
    engine.close(role)
    proxy.cut_after = b"DROP ROLE"
    with pytest.raises(errors.OutcomeUnknown):
        engine.remove(role)
    proxy.cut_after = None
    assert engine.remove(role).clean
    assert engine.managed() == ()


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


def test_connections_the_server_hung_up_on_are_replaced_unseen(shop: Shop) -> None:
    engine = shop.engine()
    engine.managed()
    with shop.connect() as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE usename = 'jit_bot'"
        )
    assert engine.managed() == ()


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
