"""Whatever the wire to a target does: every operation answers in time, and ends on retry."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.demo import postgres
from db_grants import errors
from db_grants.postgres import PostgresEngine
from db_grants.spec import GrantSpec, ManagedRole
from tests.faults.target import (
    credential,
    ends,
    in_time,
    managed_roles,
    small_server,
)
from tests.faults.wire import Mode, Wire
from tests.fixtures_core import wait_for
from tests.fixtures_postgres import Shop
from tests.holders import is_cut, log_in

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def shop_server(folder: Path) -> Iterator[postgres.Server]:
    """A server of this module's own."""
    yield from small_server(folder)


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
@pytest.mark.parametrize("words", [b"EXECUTE shut_roles", b"pg_terminate_backend"])
def test_an_end_whose_answer_is_lost_is_ended_by_trying_again(
    shop: Shop, engine: PostgresEngine, wire: Wire, role: ManagedRole, words: bytes
) -> None:
    holder = log_in(shop, credential(shop, engine, role))
    wire.lose_answer_to(words)
    in_time(lambda: engine.close(role))
    ends(engine, shop, role)
    with contextlib.closing(holder):
        assert is_cut(holder)


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
    wire.lose_answer_to(b"EXECUTE drop_roles")
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
    wire.lose_answer_to(b"EXECUTE set_password")
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
        lambda: engine.activity_all({role: now}),
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
    with contextlib.closing(holder):
        assert is_cut(holder)


@pytest.mark.fault(
    "F-25b", "an idle connection was reset", how="TCP proxy", expects="the next operation succeeds"
)
def test_a_link_that_was_reset_while_idle_costs_nothing(
    shop: Shop, engine: PostgresEngine, wire: Wire, role: ManagedRole
) -> None:
    wire.reset()
    engine.close(role)
    wire.reset()
    assert engine.remove(role).clean
    assert managed_roles(shop) == []
