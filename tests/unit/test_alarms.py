"""Alarms: one for each trouble, repeated until it is over or acknowledged, and never a flood."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from bot import errors, model, service
from bot.telling import outbox
from bot.telling.notices import Alarm
from bot.watching import alarms, conditions, ringing
from db_grants import errors as target_errors
from tests.fixtures_core import ANA, BO, DAN, GUS, NOON, World

MINUTE = timedelta(minutes=1)


def said(world: World, bot: service.Service, kind: str = "alarm") -> list[dict[str, Any]]:
    """What called people, or told them that it is over."""
    return [data for data in told(world, bot, kind) if data["state"] != "changed"]


def edits(world: World, bot: service.Service) -> list[dict[str, Any]]:
    """What brought a message up to date in silence."""
    return [data for data in told(world, bot, "alarm") if data["state"] == "changed"]


def told(world: World, bot: service.Service, kind: str) -> list[dict[str, Any]]:
    bot.outbox.pump()
    return [dict(row.data) for row, _ in world.channel.said if row.kind == kind]


def states(world: World, bot: service.Service, kind: str = "alarm") -> list[str]:
    return [f"{data['alarm']} {data['state']}" for data in said(world, bot, kind)]


def overdue(world: World, bot: service.Service, grants: int = 1) -> list[str]:
    """Grants past their deadline on a target that is down."""
    ids = [world.live(bot, duration=10 * MINUTE, requester_id=DAN.id) for _ in range(grants)]
    world.advance(minutes=10)
    world.shop.down = True
    bot.grants.begin_due()
    for each in ids:
        bot.grants.close(each)
    world.advance(seconds=16)
    return ids


def opened(world: World) -> ringing.Open:
    (found,) = ringing.everything(world.store)
    return found


def test_fifty_grants_on_one_dead_target_are_one_alarm(world: World, bot: service.Service) -> None:
    ids = overdue(world, bot, 50)
    for _ in range(20):
        bot.grants.watch()
        world.advance(seconds=10)
    (raised,) = said(world, bot)
    assert (raised["count"], raised["target"], len(raised["grants"])) == (50, "shop", 5)
    world.shop.down = False
    for number, each in enumerate(ids):
        bot.grants.close(each)
        if number < 49:
            bot.grants.watch()
    assert states(world, bot) == ["overdue raised"]
    bot.grants.watch()
    assert states(world, bot) == ["overdue raised", "overdue over"]
    assert states(world, bot, "webhook") == states(world, bot)


def test_each_grant_shows_it_on_its_card_and_to_its_holder_once(
    world: World, bot: service.Service
) -> None:
    (request_id,) = overdue(world, bot)
    bot.outbox.pump()
    world.channel.said.clear()
    for _ in range(3):
        bot.grants.watch()
    bot.outbox.pump()
    assert world.channel.kinds(request_id, f"request:{request_id}") == [
        "card",
        "live",
        "thread:missed",
    ]
    assert world.grant(request_id).alarmed_at == world.clock.now()
    assert world.events(request_id).count("alarm.overdue") == 1


def test_it_is_repeated_until_it_is_over(world: World, bot: service.Service) -> None:
    overdue(world, bot)
    for _ in range(61):
        bot.grants.watch()
        said(world, bot)
        world.advance(minutes=1)
    assert states(world, bot) == ["overdue raised", *["overdue repeated"] * 4]


def test_a_restart_neither_forgets_nor_raises_it_again(world: World, bot: service.Service) -> None:
    overdue(world, bot)
    bot.grants.watch()
    first = opened(world)
    after = world.new_bot()
    after.grants.watch()
    assert opened(world) == first
    assert states(world, after) == ["overdue raised"]


def test_of_two_replicas_that_look_at_once_one_speaks(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    overdue(world, bot)
    other = world.new_bot()
    unsaid = conditions._unsaid

    def overtaken(*given: Any) -> Any:
        monkeypatch.setattr(conditions, "_unsaid", unsaid)
        other.grants.watch()
        return unsaid(*given)

    monkeypatch.setattr(conditions, "_unsaid", overtaken)
    bot.grants.watch()
    assert states(world, bot) == ["overdue raised"]


def test_acknowledging_silences_the_repeats_and_not_the_state(
    world: World, bot: service.Service
) -> None:
    (request_id,) = overdue(world, bot)
    bot.grants.watch()
    bot.grants.alarms.acknowledge(opened(world).id, BO.id)
    for _ in range(40):
        world.advance(minutes=1)
        bot.grants.watch()
    assert states(world, bot) == ["overdue raised", "overdue acknowledged"]
    assert opened(world).acknowledged_name == "Bo Chen"
    assert world.grant(request_id).status is model.GrantStatus.REVOKING
    assert world.grant(request_id).alarmed_at is not None
    assert "alarm.acknowledged" in world.events(request_id)
    world.shop.down = False
    bot.grants.close(request_id)
    bot.grants.watch()
    assert states(world, bot)[-1] == "overdue over"


def test_the_same_trouble_after_it_was_over_is_a_new_alarm(
    world: World, bot: service.Service
) -> None:
    for _ in range(2):
        (request_id,) = overdue(world, bot)
        bot.grants.watch()
        bot.grants.alarms.acknowledge(opened(world).id, BO.id)
        world.shop.down = False
        bot.grants.end(request_id)
        bot.grants.watch()
    whole = ["overdue raised", "overdue acknowledged", "overdue over"]
    assert states(world, bot) == whole * 2


@pytest.mark.parametrize("who", [DAN, ANA, GUS])
def test_who_may_not_revoke_may_not_acknowledge(
    world: World, bot: service.Service, who: model.Person
) -> None:
    """Dan holds the access: that he would not be called any more is no decision of his."""
    (request_id,) = overdue(world, bot)
    bot.grants.watch()
    with pytest.raises(errors.NotAllowed):
        bot.grants.alarms.acknowledge(opened(world).id, who.id)
    assert opened(world).acknowledged_at is None
    assert world.events(request_id)[-1] == "click.refused"


def test_who_is_called_for_alarms_may_acknowledge(world: World, bot: service.Service) -> None:
    overdue(world, bot)
    bot.grants.watch()
    world.directory.groups["@oncall"] = frozenset({ANA.id})
    world.change_catalog("digest:", 'alarms: {mention: ["@oncall"]}\ndigest:')
    bot.grants.alarms.acknowledge(opened(world).id, ANA.id)


def test_it_is_acknowledged_once_and_by_its_own_id(world: World, bot: service.Service) -> None:
    overdue(world, bot)
    bot.grants.watch()
    known = bot.grants.alarms.acknowledge_as_operator(opened(world).id, "kim")
    assert known.acknowledged_by == "operator:kim"
    with pytest.raises(errors.TooLate, match="kim has acknowledged this already"):
        bot.grants.alarms.acknowledge(known.id, BO.id)
    with pytest.raises(errors.NotFound):
        bot.grants.alarms.acknowledge("00000000", BO.id)


def test_dead_access_that_is_not_clean_is_another_alarm_than_live_access(
    world: World, bot: service.Service
) -> None:
    (request_id,) = overdue(world, bot)
    bot.grants.watch()
    world.shop.down = False
    bot.grants.close(request_id)
    bot.grants.watch()
    world.shop.failing["remove"] = [target_errors.TargetUnavailable()]
    bot.grants.clean(request_id)
    world.advance(minutes=6)
    bot.grants.watch()
    bot.grants.clean(request_id)
    bot.grants.watch()
    assert states(world, bot) == [
        "overdue raised",
        "overdue over",
        "unclean raised",
        "unclean over",
    ]


def test_two_dead_targets_are_two_alarms(world: World, bot: service.Service) -> None:
    ids = [world.live(bot, duration=10 * MINUTE), world.live(bot, entitlement="read_pages")]
    world.advance(minutes=30)
    world.shop.down = world.wiki.down = True
    bot.grants.begin_due()
    for each in ids:
        bot.grants.close(each)
    world.advance(seconds=16)
    bot.grants.watch()
    assert Counter(data["target"] for data in said(world, bot)) == {"shop": 1, "wiki": 1}


def test_a_clock_far_off_is_an_alarm_until_it_agrees(world: World, bot: service.Service) -> None:
    for ahead in (45, 50, 0):
        world.shop.engine.ahead = timedelta(seconds=ahead)
        bot.grants.skew.look("shop")
        bot.grants.watch()
        world.advance(minutes=1)
    assert states(world, bot) == ["skew raised", "skew over"]
    assert "45 s ahead" in said(world, bot)[0]["error"]


def test_messages_that_do_not_get_out_are_an_alarm_by_the_other_way(
    world: World, bot: service.Service
) -> None:
    def refuse(row: Any) -> None:
        if row.kind != "webhook":
            raise outbox.Later(1, "Slack does not answer")

    world.channel.trouble = refuse
    bot.access.submit(world.draft())
    for _ in range(11):
        bot.outbox.pump()
        bot.grants.watch()
        world.advance(minutes=1)
    bot.grants.watch()
    assert states(world, bot, "webhook") == ["unsaid raised"]
    world.channel.trouble = lambda _row: None
    world.advance(minutes=1)
    bot.outbox.pump()
    bot.grants.watch()
    assert states(world, bot, "webhook") == ["unsaid raised", "unsaid over"]


def test_a_bot_that_was_down_does_not_blame_slack(world: World, bot: service.Service) -> None:
    bot.access.submit(world.draft())
    world.advance(hours=8)
    world.new_bot().grants.watch()
    assert ringing.everything(world.store) == ()


def test_what_was_long_in_coming_is_not_repeated_in_a_row(
    world: World, bot: service.Service
) -> None:
    """Slack is down for two hours; the alarm goes on, and one repeat is enough afterwards."""
    overdue(world, bot)
    for _ in range(115):
        bot.grants.watch()
        world.advance(minutes=1)
    owed = [
        (row.data["state"], ringing.stale(world.store, row.data, row.created_at, world.clock.now()))
        for row in waiting(world)
    ]
    assert [state for state, stale in owed if not stale] == ["raised", "repeated"]
    assert len(owed) == 8


def waiting(world: World) -> list[Any]:
    import sqlalchemy as sa

    from bot.store import mapping, outbox, tables

    box = tables.outbox
    with world.store._reading() as connection:
        rows = connection.execute(sa.select(box).where(box.c.kind == "alarm").order_by(box.c.id))
        return [mapping.value_from(outbox.OutboxRow, row, box) for row in rows]


def test_what_an_alarm_says_holds_no_secret(world: World, bot: service.Service) -> None:
    (request_id,) = overdue(world, bot)
    bot.grants.watch()
    (data,) = said(world, bot)
    assert data["grants"] == [
        {
            "id": request_id,
            "who": "Dan Eze",
            "what": "read_customers",
            "role": f"jit_{request_id}",
            "until": world.grant(request_id).expires_at.isoformat(),
            "left": [],
        }
    ]
    assert set(data) == {
        "id", "alarm", "state", "over", "target", "since", "raised", "as_of", "count", "gone",
        "error", "by", "grants", "place_key",
    }  # fmt: skip


def test_what_follows_is_decided_from_what_is_and_what_was_said() -> None:
    here = conditions.Condition(kind=Alarm.OVERDUE, target="shop", since=NOON)
    more = conditions.Condition(kind=Alarm.OVERDUE, target="shop", since=NOON, grants=("a", "b"))
    known = ringing.Open(
        id="a1arm000", condition=here, raised_at=NOON, said_at=NOON, changed_at=NOON
    )
    assert alarms.decide([here], [], NOON).raised == (here,)
    assert not alarms.decide([here], [known], NOON + timedelta(minutes=14))
    assert not alarms.decide([more], [known], NOON + timedelta(seconds=9))
    (changed,) = alarms.decide([more], [known], NOON + timedelta(seconds=10)).changed
    (again,) = alarms.decide([more], [known], NOON + timedelta(minutes=15)).repeated
    assert again.condition == changed.condition == more
    assert again.concerned == ("a", "b")
    assert alarms.decide([], [known], NOON).over == (known,)
