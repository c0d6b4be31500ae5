"""What a process lacks in its set-up, seen by those whose own is whole; and the last good catalog."""

import dataclasses
import pathlib
from datetime import timedelta

import pytest

from bot import catalog, errors, model, service
from bot.ending import fallback
from bot.telling import outbox
from bot.telling.notices import Alarm
from bot.watching import impaired, ringing, webhook
from tests import fixtures_store
from tests.fixtures_core import BO, CATALOG, World

LACKS = impaired.Impaired(since="2026-11-20T12:00:00+00:00", catalog="catalog.yml:3: no.")


def kinds(world: World, bot: service.Service) -> list[Alarm]:
    bot.grants.watch()
    return [each.condition.kind for each in ringing.everything(world.store)]


def test_a_replica_whose_set_up_is_whole_does_not_end_the_alarm_of_another(
    world: World, bot: service.Service
) -> None:
    world.store.beat("elsewhere:1")
    impaired.note(world.store, "elsewhere:1", LACKS)
    assert kinds(world, bot) == [Alarm.ENDS_ONLY]
    impaired.note(world.store, "elsewhere:1", impaired.Impaired(since=LACKS.since))
    assert kinds(world, bot) == []


def test_what_a_process_lacked_that_is_not_heard_of_any_more_is_over(
    world: World, bot: service.Service
) -> None:
    impaired.note(world.store, "elsewhere:1", LACKS)
    assert kinds(world, bot) == []


def test_a_target_that_one_replica_has_no_way_to_is_told_with_its_grants(
    world: World, bot: service.Service
) -> None:
    request_id = world.live(bot)
    world.store.beat("elsewhere:1")
    for lacks in (
        {"targets": {"shop": "X is not set."}},
        {"grants": {request_id: "X is not set."}},
    ):
        impaired.note(world.store, "elsewhere:1", impaired.Impaired(since=LACKS.since, **lacks))
        assert kinds(world, bot) == [Alarm.STRANDED]
        (known,) = ringing.everything(world.store)
        assert known.condition.error == "X is not set."
        assert known.condition.grants == (request_id,)


def test_nothing_is_said_over_a_webhook_that_is_missing_and_nothing_is_dropped(
    world: World, bot: service.Service
) -> None:
    waiting = webhook.Webhook(
        url=None, store=world.store, clock=world.clock, lacks="JIT_ALARM_WEBHOOK is not set."
    )
    with pytest.raises(outbox.Later, match="JIT_ALARM_WEBHOOK"):
        waiting.deliver(object(), None)  # type: ignore[arg-type]


def test_the_last_good_catalog_is_gone_by_for_ends_alone(
    world: World, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "catalog.yml"
    file.write_text(CATALOG)
    fallback.remember(world.store, file, catalog.load(file))
    found = fallback.ends_only(
        world.store, errors.CatalogError("catalog.yml:3: a\ncatalog.yml:4: b")
    )
    assert found.unusable == "catalog.yml:3: a (and 1 more)."
    assert found.channels == world.catalog.channels
    assert found.targets == world.catalog.targets


def test_a_last_catalog_that_this_version_refuses_leaves_the_channel_of_the_cards(
    world: World, bot: service.Service
) -> None:
    world.live(bot)
    world.clock.advance(timedelta(seconds=1))
    for _ in range(3):  # later ones, of which nothing was said yet
        fixtures_store.granted(world.store, created_at=world.clock.now())
    world.store.put("catalog.last", "channels: {approvals: '#x'}\nrules_of_old: {}\n")
    found = fallback.ends_only(world.store, errors.CatalogError("catalog.yml:3: a"))
    assert found.channels.audit == "C0ACCESS"


def test_whoever_may_revoke_by_the_last_good_catalog_may_do_so_while_nothing_is_granted(
    world: World, bot: service.Service
) -> None:
    request_id, pending = world.live(bot), world.ask(bot, duration=None)
    world.catalog = dataclasses.replace(world.catalog, unusable="catalog.yml:3: a.")
    with pytest.raises(errors.InvalidDraft, match="Nothing can be requested"):
        bot.access.submit(world.draft())
    with pytest.raises(errors.NotAllowed, match="Nothing can be requested or approved"):
        world.approve(bot, pending)
    bot.access.review(pending, BO.id, model.Answer.DENY, "later", source=world.source(pending))
    bot.grants.revoke(request_id, BO.id)
    assert world.grant(request_id).status is model.GrantStatus.REVOKING
