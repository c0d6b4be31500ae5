"""A target's URL names another server: a role that is not there proves nothing; and giving up."""

from datetime import UTC, datetime

import pytest

from bot import cli, errors, model, service
from bot.ending import giveup
from bot.slack import words
from bot.telling import render
from bot.telling.notices import Alarm
from bot.watching import ringing
from db_grants import memory
from tests.fixtures_core import World

REVOKED = model.GrantStatus.REVOKED


def moved(world: World, bot: service.Service) -> str:
    """A grant past its deadline, whose target's URL names another server by now."""
    request_id = world.live(bot)
    elsewhere = memory.MemoryEngine(clock=world.clock.now)
    elsewhere.identifier = "another"
    world.old, world.shop.engine = world.shop.engine, elsewhere  # type: ignore[attr-defined]
    world.advance(minutes=30)
    bot.grants.begin_due()
    return request_id


def test_a_role_that_is_not_there_is_no_end_on_another_server(
    world: World, bot: service.Service
) -> None:
    request_id = moved(world, bot)
    grant = bot.grants.close(request_id)
    assert (grant.status, grant.access_ended_at) == (model.GrantStatus.REVOKING, None)
    assert "another server now (another) than the one this access is on (memory)" in str(
        grant.last_error
    )
    world.advance(seconds=16)
    bot.grants.watch()
    (alarm,) = ringing.everything(world.store)
    assert alarm.condition.kind is Alarm.OVERDUE
    assert "another server" in alarm.condition.error


def test_it_ends_when_the_url_names_its_server_again(world: World, bot: service.Service) -> None:
    request_id = moved(world, bot)
    bot.grants.close(request_id)
    world.shop.engine = world.old  # type: ignore[attr-defined]
    world.advance(minutes=1)
    bot.grants.close(request_id)
    assert bot.grants.clean(request_id).status is model.GrantStatus.ENDED
    assert world.shop.engine.managed() == ()


def test_a_server_that_changes_between_the_two_phases_is_noticed(
    world: World, bot: service.Service
) -> None:
    request_id = world.live(bot)
    world.advance(minutes=30)
    bot.grants.begin_due()
    bot.grants.close(request_id)
    world.shop.engine.identifier, name = "another", world.grant(request_id).role_name
    world.shop.engine.forget(name)
    assert bot.grants.clean(request_id).status is model.GrantStatus.REVOKING


def test_on_the_same_server_a_role_that_is_gone_has_ended(
    world: World, bot: service.Service
) -> None:
    """As after a restore from a backup that is older than the grant, or a failover before it arrived."""
    request_id = world.live(bot)
    world.shop.engine.forget(world.grant(request_id).role_name)
    world.advance(minutes=30)
    bot.grants.begin_due()
    bot.grants.close(request_id)
    assert bot.grants.clean(request_id).status is model.GrantStatus.ENDED


def test_an_end_as_usual_does_not_ask_which_server_it_is(
    world: World, bot: service.Service
) -> None:
    request_id = world.live(bot)
    world.advance(minutes=30)
    bot.grants.begin_due()
    bot.grants.close(request_id)
    bot.grants.clean(request_id)
    assert "identity" not in world.shop.calls


def test_the_door_is_not_taken_for_shut_on_another_server_without_the_record_either(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = moved(world, bot)
    bot.grants.begin_due()
    bot.grants.shut(request_id)
    assert bot.grants.close(request_id).access_ended_at is None


def test_giving_up_closes_it_and_says_that_nothing_is_proven(
    world: World, bot: service.Service
) -> None:
    request_id = moved(world, bot)
    with pytest.raises(errors.NotAllowed, match="No attempt"):
        giveup.give_up(world.store, request_id, "the server burnt", "kim")
    bot.grants.close(request_id)
    world.advance(seconds=16)
    bot.grants.watch()
    over = giveup.give_up(world.store, request_id, "the server burnt", "kim")
    assert (over.status, over.access_ended_at, over.cleaned_up_at) == (REVOKED, None, None)
    assert over.given_up
    assert world.events(request_id)[-2:] == ["grant.revoked", "grant.given_up"]
    story = world.store.story(request_id)
    said = words.line(story, words.Around(now=world.clock.now(), names=str))
    assert said == "Given up by kim: nothing proves that access has ended (the server burnt)"
    bot.grants.watch()
    assert ringing.everything(world.store) == ()
    while world.store.outbox_depth():
        bot.outbox.pump()
    assert {"thread:given_up", "audit:given_up"} <= set(world.channel.kinds(request_id))
    assert "summary" not in world.channel.kinds(request_id)
    (told,) = [row.data for row, _ in world.channel.said if row.data.get("state") == "over"][:1]
    assert told["unproven"] == 1
    with pytest.raises(errors.TooLate):
        giveup.give_up(world.store, request_id, "again", "kim")


def test_only_what_is_ending_can_be_given_up_and_only_with_a_reason(
    world: World, bot: service.Service
) -> None:
    request_id = world.live(bot)
    with pytest.raises(errors.NotAllowed, match="jit revoke"):
        giveup.give_up(world.store, request_id, "no", "kim")
    with pytest.raises(errors.NotAllowed, match="--because"):
        giveup.give_up(world.store, request_id, " ", "kim")


def test_what_remains_on_a_server_that_is_gone_can_be_given_up_as_well(
    world: World, bot: service.Service
) -> None:
    request_id = world.live(bot)
    world.advance(minutes=30)
    bot.grants.begin_due()
    bot.grants.close(request_id)
    world.shop.down = True
    bot.grants.clean(request_id)
    over = giveup.give_up(world.store, request_id, "the server burnt", "kim")
    assert over.access_ended_at is not None
    story = world.store.story(request_id)
    said = words.line(story, words.Around(now=world.clock.now(), names=str))
    assert "what remains is no longer waited for" in said


def test_an_operator_gives_up_from_the_command_line(
    world: World,
    bot: service.Service,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    world.clock.raise_to(datetime.now(UTC))
    monkeypatch.setenv("JIT_DATABASE_URL", world.url)
    request_id = moved(world, bot)
    bot.grants.close(request_id)
    capsys.readouterr()
    assert cli.run(["give-up", request_id, "--because", "the server burnt"]) == 0
    assert "nothing proves that access has ended" in capsys.readouterr().out
    assert cli.run(["show", request_id]) == 0
    shown = capsys.readouterr().out
    for part in ("given up", "never proven", "the server burnt", "grant.given_up"):
        assert part in shown
    assert cli.run(["give-up", request_id, "--because", "again"]) == 1


def test_the_alarm_is_over_in_honest_words() -> None:
    about = {"alarm": "overdue", "state": "over", "over": True, "unproven": 1, "target": "shop"}
    said = render.text("alarm", **about, id="a1", who="Ana", outcome="", by="", links="")
    assert "no longer waited for; nothing proves the end of 1 grant" in said
    assert "ended after all" not in said


def test_the_comparison_does_not_say_that_nobody_has_access_that_is_elsewhere(
    world: World, bot: service.Service
) -> None:
    request_id = world.live(bot)
    world.shop.engine = memory.MemoryEngine(clock=world.clock.now)
    world.shop.engine.identifier = "another"
    world.advance(minutes=5)
    (found,) = [f for f in bot.reconciler.look_now("shop") if f.grant_id == request_id]
    assert "another server (memory) than answers now (another)" in found.what
    assert "Somebody may have this access there" in found.proposal
