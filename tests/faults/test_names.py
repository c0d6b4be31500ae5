"""Names that cannot be looked up, or not in time: of a target, of Slack, of neither concern to others."""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from bot import model
from bot.demo.workspace import server
from db_grants import errors, lookup
from db_grants.postgres import PostgresEngine
from tests.faults.target import DEADLINE, in_time
from tests.fixtures_core import World, wait_for
from tests.fixtures_postgres import Shop
from tests.fixtures_served import Served

pytestmark = pytest.mark.faults

NOWHERE = "db.shop.invalid"  # never in any name server, https://www.rfc-editor.org/rfc/rfc6761
HANGS = """
import socket, time
real = socket.getaddrinfo
def hangs(host, *more, **named):
    if str(host).endswith(".invalid"):
        time.sleep(600)
    return real(host, *more, **named)
socket.getaddrinfo = hangs
"""


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A name server that says nothing about `.invalid`; the names it was asked for."""
    real, asked, over = socket.getaddrinfo, [], threading.Event()

    def ask(host: Any, *more: Any, **named: Any) -> Any:
        if str(host).endswith(".invalid"):
            asked.append(host)
            over.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    yield asked
    over.set()


def engine_at(host: str, shop: Shop) -> PostgresEngine:
    made = PostgresEngine(shop.bot_url.replace("127.0.0.1", host), deadline=DEADLINE)
    shop.engines.append(made)
    return made


@pytest.mark.fault(
    "F-55",
    "a target's name is unknown",
    how="a host under .invalid",
    expects="told as unavailable, with the name and without the password, within the deadline",
)
def test_an_unknown_name_is_told_in_time(shop: Shop) -> None:
    engine = engine_at(NOWHERE, shop)
    for operation in (engine.server_time, engine.survey):
        in_time(operation, errors.TargetUnavailable)
    with pytest.raises(errors.TargetUnavailable) as told:
        engine.server_time()
    assert NOWHERE in str(told.value)
    assert "bot-password" not in str(told.value)


@pytest.mark.fault(
    "F-55b",
    "no name server answers when a target is to be reached",
    how="a resolver that hangs",
    expects="every operation fails within its deadline; one thread waits, however many ask",
)
def test_a_silent_name_server_holds_no_operation_longer_than_its_deadline(
    shop: Shop, silence: list[str]
) -> None:
    engine = engine_at(NOWHERE, shop)
    for operation in (engine.server_time, engine.survey, engine.managed):
        in_time(operation, errors.TargetUnavailable)
    assert silence == [NOWHERE]
    assert sum(thread.name == "lookup" for thread in threading.enumerate()) == 1


def test_a_name_that_is_looked_up_serves_with_every_address_it_has(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo

    def two(host: Any, *more: Any, **named: Any) -> Any:
        if host == NOWHERE:  # nobody listens at the first
            return [*real("127.0.0.9", *more, **named), *real("127.0.0.1", *more, **named)]
        return real(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", two)
    assert engine_at(NOWHERE, shop).server_time()


def test_addresses_that_never_answer_share_one_deadline(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo
    addresses = [f"127.0.0.{number}" for number in range(1, 5)]

    def many(host: Any, *more: Any, **named: Any) -> Any:
        asked = addresses if host == NOWHERE else [host]
        return [found for each in asked for found in real(each, *more, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", many)
    with contextlib.ExitStack() as held:
        first = held.enter_context(socket.create_server((addresses[0], 0)))
        port = first.getsockname()[1]
        for address in addresses[1:]:
            held.enter_context(socket.create_server((address, port)))
        url = shop.bot_url.replace("127.0.0.1", NOWHERE).replace(
            f":{shop.server.port}/", f":{port}/"
        )
        engine = PostgresEngine(url, deadline=DEADLINE)
        shop.engines.append(engine)
        in_time(engine.server_time, errors.TargetUnavailable)


@pytest.mark.fault(
    "F-55c",
    "no name server answers for one of two targets at many deadlines",
    how="a resolver that hangs",
    expects="grants on the other end in time",
)
def test_grants_elsewhere_end_in_time_while_a_name_is_looked_for(
    world: World, shop: Shop, silence: list[str]
) -> None:
    bot = world.new_bot()
    stuck, well = world.live(bot), world.live(bot, entitlement="read_pages")
    world.shop.engine = engine_at(NOWHERE, shop)  # type: ignore[assignment]
    world.advance(minutes=31)
    began = time.monotonic()
    bot.start()
    wait_for(lambda: world.grant(well).status is model.GrantStatus.ENDED, 5)
    assert time.monotonic() - began < 5
    wait_for(lambda: world.grant(stuck).attempts, 5 * DEADLINE + 10)
    assert silence


@pytest.mark.fault(
    "F-55d",
    "Slack's name is unknown, or no name server answers for it",
    how="a host under .invalid, and a resolver that hangs, for a real process",
    expects="what is due ends on time; SIGTERM stops it within 10 s",
)
@pytest.mark.parametrize("hangs", [False, True])
def test_access_ends_on_time_while_slack_cannot_be_found(
    tmp_path: pathlib.Path, shop: Shop, workspace_server: server.Server, *, hangs: bool
) -> None:
    served = Served(tmp_path, shop, workspace_server)
    try:
        served.start()
        served.ask()
        grant = served.reaches(model.GrantStatus.ACTIVE)
        assert served.process is not None
        served.process.kill()
        served.end_now()
        (tmp_path / "sitecustomize.py").write_text(HANGS if hangs else "")
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "bot", "serve"],
            cwd=tmp_path,
            env={
                **os.environ,
                **served.environ,
                "SLACK_API_URL": "http://slack.invalid/api/",
                "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
            },
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(lambda: served.store.grant(grant.id).status is model.GrantStatus.ENDED, 15)
            assert time.monotonic() - began < 10
            assert served.roles() == []
        finally:
            process.terminate()
            stopped = time.monotonic()
            try:
                assert process.wait(12) == 0
            finally:
                process.kill()
                process.wait()
        assert time.monotonic() - stopped < 10
    finally:
        served.process = None
        served.close()


# -- the limit itself


def test_what_the_resolver_says_is_told_unchanged(silence: list[str]) -> None:
    assert lookup.limited()("localhost", 80) == socket.getaddrinfo("localhost", 80)
    assert lookup.limited()("127.0.0.1", 80) == socket.getaddrinfo("127.0.0.1", 80)
    with pytest.raises(socket.gaierror, match="in time"):
        lookup.limited().within(0.05, NOWHERE, 80)


def test_the_whole_process_can_be_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", socket.getaddrinfo)
    lookup.limit_process()
    first = socket.getaddrinfo
    lookup.limit_process()
    assert socket.getaddrinfo is first
    with socket.create_server(("127.0.0.1", 0)) as there:
        socket.create_connection(("localhost", there.getsockname()[1])).close()
