"""The record's disk is full: nothing new is granted, everything ends, and somebody hears of it.

The record of these tests can grow no page more (SQLite's max_page_count).
"""

import threading
from collections.abc import Mapping
from datetime import timedelta

import pytest

from bot import errors, model, service, store
from bot.slack import answers
from bot.telling import outcry
from tests.faults import records
from tests.fixtures_core import BO, World, wait_for

pytestmark = pytest.mark.faults


class Ears:
    """Whoever is told without the record."""

    def __init__(self) -> None:
        self.heard: list[Mapping[str, object]] = []
        self.deaf = False

    def hear(self, told: Mapping[str, object]) -> None:
        if self.deaf:
            raise outcry.Untold("nobody is there")
        self.heard.append(told)

    def states(self, count: int) -> list[str]:
        """What was heard, once it is so much."""
        wait_for(lambda: len(self.heard) >= count)
        return [str(told["state"]) for told in self.heard]


@pytest.fixture
def bot(world: World) -> service.Service:
    """A service over a record that is not waited for long."""
    world.store.close()
    world.store = store.open_store(world.url, world.clock, patience=0.2)
    return world.new_bot()


@pytest.fixture
def ears(bot: service.Service) -> Ears:
    made = Ears()
    bot.outcry.by(made.hear)
    return made


def swept(bot: service.Service) -> None:
    bot.scheduler.sweep(everything=True)
    assert bot.lanes.wait_idle(10)


@pytest.mark.fault(
    "F-36",
    "the state database is full while people ask and decide",
    how="max_page_count",
    expects="refused in a clear sentence, nothing granted; alarmed at once without the record",
)
def test_what_cannot_be_recorded_is_refused_clearly_and_alarmed(
    world: World, bot: service.Service, ears: Ears
) -> None:
    request_id = world.ask(bot)
    with records.stuffed(world.store):
        with pytest.raises(errors.StoreError) as refused:
            bot.access.submit(world.draft(entitlement="read_pages", justification="x" * 900))
        with pytest.raises(errors.StoreError):
            world.approve(bot, request_id)
        assert "cannot be written just now, so nothing was changed" in answers.words_for(
            refused.value, "request"
        )
        swept(bot)
        assert world.store.request(request_id).status is model.RequestStatus.PENDING
        assert world.shop.engine.managed() == ()
        assert ears.states(1) == ["raised"]
    assert "cannot be written" in outcry.sentence(ears.heard[0])
    assert world.approve(bot, request_id).grant is not None
    assert ears.states(2) == ["raised", "over"]


@pytest.mark.fault(
    "F-36b",
    "the state database is full at a deadline",
    how="max_page_count",
    expects="access ends from memory; alarmed within 20 s, again every 15 min; recorded afterwards",
)
def test_access_ends_from_memory_is_alarmed_and_the_record_follows(
    world: World, bot: service.Service, ears: Ears
) -> None:
    request_id = world.live(bot)
    credential = bot.grants.reveal(request_id, "U0ANA")
    assert world.shop.engine.connect(credential.role, credential.password) is not None
    swept(bot)
    world.advance(minutes=31)
    ended_by = world.clock.now()
    with records.stuffed(world.store):
        swept(bot)
        (role,) = world.shop.engine.survey().managed
        assert (role.can_login, role.sessions) == (False, 0)
        assert world.grant(request_id).status is model.GrantStatus.ACTIVE
        assert ears.heard == []  # it may come back by itself
        world.clock.advance(outcry.PATIENCE)
        swept(bot)
        swept(bot)
        assert ears.states(1) == ["raised"]
        assert ears.heard[0]["count"] == 1
        world.clock.advance(outcry.REPEAT_EVERY)
        swept(bot)
        assert ears.states(2) == ["raised", "repeated"]
    swept(bot)
    swept(bot)
    grant = world.grant(request_id)
    assert (grant.status, grant.access_ended_at) == (model.GrantStatus.ENDED, ended_by)
    assert ears.states(3) == ["raised", "repeated", "over"]


@pytest.mark.fault(
    "F-36c",
    "the state database is full when somebody gives back or revokes",
    how="max_page_count",
    expects="access ends at once; they are told that it is not recorded yet; it is, in their name",
)
@pytest.mark.parametrize("who", ["its holder", "an approver", "an operator"])
def test_a_wanted_end_is_done_at_once_and_recorded_in_their_name(
    world: World, bot: service.Service, ears: Ears, who: str
) -> None:
    request_id = world.live(bot)
    credential = bot.grants.reveal(request_id, "U0ANA")
    world.shop.engine.connect(credential.role, credential.password)
    with records.stuffed(world.store):
        with pytest.raises(errors.Busy, match="shut and its sessions are cut"):
            wants(bot, request_id, who)
        (role,) = world.shop.engine.survey().managed
        assert (role.can_login, role.sessions) == (False, 0)
        swept(bot)
        world.clock.advance(outcry.PATIENCE)
        swept(bot)
        assert ears.states(1) == ["raised"]
        assert world.grant(request_id).status is model.GrantStatus.ACTIVE
    swept(bot)
    swept(bot)
    grant = world.grant(request_id)
    assert grant.status is model.GrantStatus.REVOKED
    assert grant.ended_by == {"its holder": "U0ANA", "an approver": BO.id}.get(who, "operator:root")
    assert world.events(request_id).count("grant.access_ended") == 1
    assert ears.states(2) == ["raised", "over"]


def wants(bot: service.Service, request_id: str, who: str) -> None:
    if who == "its holder":
        bot.grants.give_back(request_id, "U0ANA")
    elif who == "an approver":
        bot.grants.revoke(request_id, BO.id, "enough")
    else:
        bot.grants.revoke_as_operator(request_id, "root")


def test_a_wanted_end_is_tried_on_while_neither_record_nor_target_work(
    world: World, bot: service.Service
) -> None:
    request_id = world.live(bot)
    with records.stuffed(world.store):
        world.shop.down = True
        with pytest.raises(errors.Busy, match="go on trying"):
            bot.grants.give_back(request_id, "U0ANA")
        world.shop.down = False
        swept(bot)
        (role,) = world.shop.engine.survey().managed
        assert not role.can_login
    swept(bot)
    swept(bot)
    assert world.grant(request_id).status is model.GrantStatus.REVOKED


def test_who_is_not_heard_cries_again(world: World, bot: service.Service, ears: Ears) -> None:
    ears.deaf = True
    bot.outcry.broken("heartbeat", "full")
    world.clock.advance(outcry.PATIENCE)
    bot.outcry.broken("heartbeat", "full")
    wait_for(lambda: not [t for t in threading.enumerate() if t.name == "outcry"])
    ears.deaf = False
    bot.outcry.broken("heartbeat", "full")
    world.clock.advance(outcry.TRY_EVERY + timedelta(seconds=1))
    bot.outcry.broken("heartbeat", "full")
    assert ears.states(1) == ["raised"]


def test_what_passes_by_itself_is_not_cried_about(
    world: World, bot: service.Service, ears: Ears
) -> None:
    bot.outcry.broken("heartbeat", "busy")
    world.clock.advance(outcry.PATIENCE / 2)
    bot.outcry.well("heartbeat")
    world.clock.advance(outcry.PATIENCE)
    bot.outcry.broken("heartbeat", "busy")
    assert not [t for t in threading.enumerate() if t.name == "outcry"]
    assert ears.heard == []
