"""File descriptors: none left for a while, very many in use, and none lost over many grants."""

import contextlib
import os
import pathlib
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from bot import model
from db_grants import errors, naming
from db_grants.postgres import PostgresEngine
from db_grants.spec import GrantSpec
from tests.faults.target import tried_again
from tests.faults.wire import Wire
from tests.fixtures_core import World, wait_for
from tests.fixtures_postgres import Shop
from tests.fixtures_served import PATIENCE, Served

pytestmark = pytest.mark.faults

ENDS_WITHIN = 15.0  # seconds, as promised, counted from when there are descriptors again
CYCLES = 300


def descriptors(pid: int | str = "self") -> int:
    return len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))


@contextmanager
def exhausted(pid: int) -> Iterator[None]:
    """Whatever it closes, it can open nothing."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@pytest.mark.fault(
    "F-53",
    "no file descriptor is left at a deadline",
    how="RLIMIT_NOFILE of a real process, its connections cut",
    expects="it lives, and ends what is due within seconds of having some again",
)
def test_a_bot_without_descriptors_lives_and_goes_on_when_it_has_some(served: Served) -> None:
    process = served.start()
    assert process.pid is not None
    served.ask()
    grant = served.reaches(model.GrantStatus.ACTIVE)
    with exhausted(process.pid):
        hang_up(served.shop)
        served.workspace.trouble.refresh_sockets()
        served.end_now()
        time.sleep(3)  # nothing to wait for: it can tell nobody
        assert process.alive
    began = time.monotonic()
    served.reaches(model.GrantStatus.ENDED)
    assert time.monotonic() - began < ENDS_WITHIN
    assert served.roles() == []
    assert process.alive
    served.workspace.wait_for(lambda: served.workspace.connected, timeout=PATIENCE)
    settled = descriptors(process.pid)
    for _ in range(5):
        served.ask()
        wait_for(lambda: others(served, grant, model.GrantStatus.ACTIVE), PATIENCE)
        (live,) = others(served, grant, model.GrantStatus.ACTIVE)
        served.end_now()
        wait_for(lambda: ended(served, live), PATIENCE)  # noqa: B023 - waited for here
    assert descriptors(process.pid) <= settled + 8


def others(served: Served, grant: model.Grant, status: model.GrantStatus) -> list[model.Grant]:
    return [each for each in served.store.grants(status={status}) if each.id != grant.id]


def ended(served: Served, grant: model.Grant) -> bool:
    return served.store.grant(grant.id).status is model.GrantStatus.ENDED


def hang_up(shop: Shop) -> None:
    with shop.connect() as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = %s AND pid <> pg_backend_pid()",
            [shop.database],
        )


@pytest.mark.fault(
    "F-53b",
    "the process has more than a thousand files open",
    how="RLIMIT_NOFILE raised, descriptors above 1024",
    expects="granting and ending as ever: nothing is waited for by select()",
)
def test_descriptors_above_a_thousand_are_as_good_as_others(
    shop: Shop, engine: PostgresEngine, spec: GrantSpec
) -> None:
    with many_open(1100):
        role = engine.create(spec)
        engine.close(role)
        assert engine.remove(role).clean
        assert engine.server_time()


@contextmanager
def many_open(count: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], count + 500), before[1]))
    with contextlib.ExitStack() as held:
        for _ in range(count):
            held.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.fault(
    "F-53c",
    "hundreds of grants, ends and lost connections one after another",
    how="a wire that is cut, refused, or silent in turn",
    expects="as many descriptors afterwards as before",
)
def test_no_descriptor_is_lost_over_many_grants_and_lost_connections(
    shop: Shop, wire: Wire, engine: PostgresEngine, spec: GrantSpec
) -> None:
    one_life(engine, spec, 0)
    before = descriptors()
    for number in range(1, CYCLES + 1):
        one_life(engine, spec, number)
        if number % 3 == 0:
            wire.reset()
        if number % 10 == 0:
            refused(wire, engine)
    engine.dispose()
    wire.reset()
    wait_for(lambda: descriptors() <= before, PATIENCE)


def one_life(engine: PostgresEngine, spec: GrantSpec, number: int) -> None:
    id_ = f"fd{number:06d}"
    mine = replace(spec, grant_id=id_, role_name=naming.managed_role(id_))
    role = tried_again(lambda: engine.create(mine))
    tried_again(lambda: engine.close(role))
    tried_again(lambda: engine.remove(role))


def refused(wire: Wire, engine: PostgresEngine) -> None:
    wire.refuse = True
    wire.reset()
    with pytest.raises(errors.TargetUnavailable):
        engine.server_time()
    wire.refuse = False


def test_no_descriptor_of_the_record_is_lost_over_many_requests(world: World) -> None:
    bot = world.new_bot()
    world.live(bot)
    before = descriptors()
    for _ in range(30):
        request_id = world.live(bot)
        bot.grants.revoke(request_id, "U0BO")
        bot.grants.end(request_id)
        bot.outbox.pump()
    assert descriptors() <= before + 1
