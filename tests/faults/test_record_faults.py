"""The record locked or without room: nothing new is granted, and what is over ends all the same."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from bot import errors, model, service, store
from tests.faults import records
from tests.fixtures_core import World

pytestmark = pytest.mark.faults

Trouble = Callable[[World], AbstractContextManager[None]]


@pytest.fixture
def bot(world: World) -> service.Service:
    """A service over a record that is not waited for long."""
    world.store.close()
    world.store = store.open_store(world.url, world.clock, patience=0.2)
    return world.new_bot()


@contextmanager
def locked(world: World) -> Iterator[None]:
    with records.locked(Path(world.url.removeprefix("sqlite:///"))):
        yield


@contextmanager
def full(world: World) -> Iterator[None]:
    with records.full(world.store):
        yield


@pytest.mark.parametrize("trouble", [locked, full])
def test_nothing_is_granted_that_cannot_be_recorded(
    world: World, bot: service.Service, trouble: Trouble
) -> None:
    asked, refused = set(), 0
    with trouble(world):
        fill(world)
        for who, what in itertools.product(
            ["U0ANA", "U0BO", "U0CLEO", "U0DAN"], ["read_customers", "read_pages"]
        ):
            draft = world.draft(requester_id=who, entitlement=what, justification="x" * 900)
            try:
                asked.add(bot.access.submit(draft).request.id)
            except (errors.Busy, errors.StoreError):
                refused += 1
    assert refused
    assert {request.id for request in world.store.requests()} == asked
    assert world.shop.engine.managed() == ()


@pytest.mark.parametrize("trouble", [locked, full])
def test_access_ends_on_time_although_its_end_cannot_be_recorded(
    world: World, bot: service.Service, trouble: Trouble
) -> None:
    request_id = world.live(bot)
    credential = bot.grants.reveal(request_id, "U0ANA")
    assert world.shop.engine.connect(credential.role, credential.password) is not None
    world.advance(minutes=31)
    with trouble(world):
        fill(world)
        bot.scheduler.sweep()
        assert bot.lanes.wait_idle(10)
        (role,) = world.shop.engine.survey().managed
        assert (role.can_login, role.sessions) == (False, 0)
        assert world.grant(request_id).status is not model.GrantStatus.ENDED
    bot.scheduler.sweep(everything=True)
    assert bot.lanes.wait_idle(10)
    bot.scheduler.sweep(everything=True)
    assert bot.lanes.wait_idle(10)
    assert world.grant(request_id).status is model.GrantStatus.ENDED
    assert world.store.verify_chain().ok


def fill(world: World) -> None:
    """Use up what room the present pages have."""
    for size in (4000, 800, 100):
        with pytest.raises((errors.Busy, errors.StoreError)):
            put_many(world, size)


def put_many(world: World, size: int) -> None:
    for number in range(50):
        world.store.put(f"filler:{size}:{number}", "x" * size)


def test_a_person_is_told_at_once_that_the_record_is_busy(
    world: World, bot: service.Service
) -> None:
    with locked(world), pytest.raises(errors.Busy, match="Try again"):
        bot.access.submit(world.draft())
    assert bot.access.submit(world.draft()).request.status is model.RequestStatus.PENDING
