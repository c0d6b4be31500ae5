"""What was done as a scope role and taken back is never taken back silently."""

from dataclasses import replace

import pytest

from bot import model, service
from tests.fixtures_core import World
from tests.unit.test_grants_ending import due


def test_what_was_taken_back_is_recorded_and_told_once(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = due(world, bot)
    for phase, what in (("close", "a lock"), ("remove", "settings")):
        real = getattr(world.shop.engine, phase)
        undone = lambda role, real=real, what=what: replace(real(role), undone=(what,))  # noqa: E731
        monkeypatch.setattr(world.shop.engine, phase, undone)
    assert bot.grants.end(request_id).status is model.GrantStatus.ENDED
    first, second = (e for e in world.store.events_of(request_id) if e.type == "grant.undone")
    assert "a lock" in first.body
    assert "settings" in second.body
    bot.outbox.pump()
    assert world.channel.kinds(request_id).count("thread:undone") == 2
