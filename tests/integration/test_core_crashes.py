"""Stopped between any two steps, a restarted bot ends with one outcome, and says it once."""

import pytest

from bot import faults, model, service
from tests.fixtures_core import World, wait_for

GRANTING = [
    "request-recorded",
    "decision-recorded",
    "activation-intended",
    "role-created",
    "grant-active",
]
ENDING = [
    "end-begun",
    "access-closed",
    "end-noted",
    "activity-read",
    "role-removed",
    "end-recorded",
]
UNCOMMITTED = ["request-uncommitted", "decision-uncommitted"]
POSTING = "message-posted"
UNRECORDED = "door-shut-unrecorded"


def stop_at(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("JIT_FAULT", f"{name}:raise")


def go_on(monkeypatch: pytest.MonkeyPatch, world: World) -> service.Service:
    """The bot, restarted after the crash."""
    monkeypatch.delenv("JIT_FAULT")
    after = world.new_bot()
    after.start()
    return after


def end(bot: service.Service, request_id: str) -> None:
    """All steps of an end, one after the other."""
    bot.grants.begin_due()
    bot.grants.end(request_id)


def one_of_each(world: World, request_id: str) -> None:
    """Nothing is said twice, whatever was repeated."""
    lines = [kind for kind in world.channel.kinds(request_id) if ":" in kind or kind == "summary"]
    assert len(lines) == len(set(lines))


@pytest.mark.fault(
    "F-07",
    "the bot dies between any two steps of granting",
    how="checkpoint raises",
    expects="one request, one grant, one role after the restart; nothing said twice",
)
@pytest.mark.parametrize("name", GRANTING)
def test_granting_goes_on_after_a_crash(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    draft = world.draft(dedupe_key="delivery-1")
    stop_at(monkeypatch, name)
    crashed = False
    try:
        request_id = bot.access.submit(draft).request.id
        bot.outbox.pump()
        world.approve(bot, request_id)
        bot.grants.activate(request_id)
    except faults.Injected:
        crashed = True
    assert crashed
    after = go_on(monkeypatch, world)
    request_id = after.access.submit(draft).request.id
    wait_for(lambda: world.store.story(request_id).message("card"))
    if world.store.request(request_id).status is model.RequestStatus.PENDING:
        world.approve(after, request_id)
    wait_for(lambda: world.grant(request_id).status is model.GrantStatus.ACTIVE)
    world.quiet(after)
    assert len(world.shop.engine.managed()) == 1
    assert len(world.store.requests()) == 1
    one_of_each(world, request_id)


@pytest.mark.fault(
    "F-13",
    "the bot dies between any two steps of an end",
    how="checkpoint raises",
    expects="access ends, no role remains, one outcome, one summary",
)
@pytest.mark.parametrize("name", ENDING)
def test_ending_goes_on_after_a_crash(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    request_id = world.live(bot)
    world.advance(minutes=30)
    stop_at(monkeypatch, name)
    with pytest.raises(faults.Injected):
        end(bot, request_id)
    after = go_on(monkeypatch, world)
    wait_for(lambda: world.grant(request_id).status is model.GrantStatus.ENDED)
    world.quiet(after)
    grant = world.grant(request_id)
    assert grant.access_ended_at is not None
    assert grant.cleaned_up_at is not None
    assert grant.activity is not None
    assert world.shop.engine.managed() == ()
    assert world.channel.kinds(request_id).count("summary") == 1
    one_of_each(world, request_id)


@pytest.mark.fault(
    "F-12",
    "the bot dies while showing credentials",
    how="checkpoint raises",
    expects="they open again with a new password; the old one is dead",
)
@pytest.mark.parametrize("name", ["reveal-recorded", "revealed"])
def test_credentials_open_again_after_a_crash(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    request_id = world.live(bot)
    requester = world.draft().requester_id
    stop_at(monkeypatch, name)
    with pytest.raises(faults.Injected):
        bot.grants.reveal(request_id, requester)
    after = go_on(monkeypatch, world)
    assert after.grants.reveal(request_id, requester).password
    assert world.events(request_id).count("credential.revealed") == 2


@pytest.mark.fault(
    "F-03",
    "the bot dies after a message is posted, before it is known as ours",
    how="checkpoint raises",
    expects="that message decides nothing; the next one does",
)
def test_a_message_posted_but_not_yet_known_as_ours_cannot_be_clicked(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = bot.access.submit(world.draft()).request.id
    stop_at(monkeypatch, POSTING)
    with pytest.raises(faults.Injected):
        bot.outbox.pump()
    assert world.store.messages(request_id) == ()
    after = go_on(monkeypatch, world)
    wait_for(lambda: world.store.story(request_id).message("card"))
    assert world.approve(after, request_id).grant is not None


@pytest.mark.fault(
    "F-19",
    "the bot dies at every step of one and the same end",
    how="checkpoint raises, step by step",
    expects="one end, one summary",
)
def test_the_bot_dying_whenever_it_likes_still_ends_access_once(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Crash at every step of one and the same end, one after the other."""
    request_id = world.live(bot)
    world.advance(minutes=30)
    for name in ENDING:
        stop_at(monkeypatch, name)
        dying = world.new_bot()
        with pytest.raises(faults.Injected):
            end(dying, request_id)
    after = go_on(monkeypatch, world)
    world.quiet(after)
    assert world.grant(request_id).status is model.GrantStatus.ENDED
    assert world.events(request_id).count("grant.access_ended") == 1
    assert world.channel.kinds(request_id).count("summary") == 1


@pytest.mark.fault(
    "F-35d",
    "the bot dies after it shut a door that it could not record",
    how="checkpoint raises",
    expects="after the restart the end is recorded, once",
)
def test_a_door_shut_without_the_record_is_recorded_after_a_crash(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = world.live(bot)
    bot.scheduler.sweep()
    world.advance(minutes=30)
    stop_at(monkeypatch, UNRECORDED)
    with pytest.raises(faults.Injected):
        bot.grants.shut(request_id)
    after = go_on(monkeypatch, world)
    world.quiet(after)
    assert world.grant(request_id).status is model.GrantStatus.ENDED
    assert world.events(request_id).count("grant.access_ended") == 1


def test_every_checkpoint_is_crossed_by_a_test(monkeypatch: pytest.MonkeyPatch) -> None:
    import ast
    import pathlib

    named = {
        node.args[0].value
        for path in pathlib.Path("bot").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", "") == "checkpoint"
        and isinstance(node.args[0], ast.Constant)
    }
    shown = {"reveal-recorded", "revealed"}
    assert named == {*UNCOMMITTED, *GRANTING, *ENDING, POSTING, UNRECORDED, *shown}


def test_a_checkpoint_does_nothing_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JIT_FAULT", raising=False)
    faults.checkpoint("role-created")
    monkeypatch.setenv("JIT_FAULT", "role:raise")
    faults.checkpoint("role-created")
