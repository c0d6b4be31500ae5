"""The record against reality: what is found, what is said, what is done, what is left alone."""

import json
from datetime import timedelta
from typing import Any

import pytest

from bot import model, service
from bot.audit import digest, findings
from bot.audit.findings import Kind
from bot.comparing import reconcile
from bot.telling import outbox
from db_grants import errors as target_errors
from tests.fixtures_core import NOON, World


def look(bot: service.Service) -> tuple[findings.Finding, ...]:
    return bot.reconciler.look_now("shop")


def kinds(bot: service.Service) -> list[tuple[Kind, str]]:
    return [(one.kind, one.role) for one in look(bot)]


def settled(world: World, bot: service.Service, **changes: Any) -> str:
    """An active grant that nobody has changed for a while."""
    grant_id = world.live(bot, **changes)
    world.advance(minutes=2)
    return grant_id


def said(world: World, bot: service.Service) -> list[tuple[str, bool]]:
    bot.outbox.pump()
    rows = [row for row, _ in world.channel.said if row.kind == outbox.Kind.FINDING]
    return [(row.data["kind"], row.data["over"]) for row in rows]


def events(world: World) -> list[str]:
    return [e.type for e in world.store.all_events() if e.type.startswith("reconcile")]


def test_what_is_as_recorded_is_not_told(world: World, bot: service.Service) -> None:
    settled(world, bot)
    assert look(bot) == ()
    assert said(world, bot) == []


def test_each_of_two_targets_on_one_server_leaves_the_others_roles_alone(world: World) -> None:
    world.wiki = world.shop
    bot = world.new_bot()
    for entitlement in ("read_customers", "read_pages"):
        settled(world, bot, entitlement=entitlement)
    assert (look(bot), bot.reconciler.look_now("wiki")) == ((), ())


def test_only_its_own_target_tells_that_a_role_has_changed(world: World) -> None:
    world.wiki = world.shop
    bot = world.new_bot()
    name = f"jit_{settled(world, bot, entitlement='read_pages')}"
    world.shop.engine.change(name, privileges=1)
    assert look(bot) == ()
    assert [(one.kind, one.role) for one in bot.reconciler.look_now("wiki")] == [
        (Kind.DRIFTED, name)
    ]


@pytest.mark.parametrize("change", [{"oid": 99999}, {"grant_id": "another0"}])
def test_no_role_hides_behind_the_grant_of_another_target(
    world: World, change: dict[str, Any]
) -> None:
    world.wiki = world.shop
    bot = world.new_bot()
    name = f"jit_{settled(world, bot, entitlement='read_pages')}"
    world.shop.engine.change(name, **change)
    assert kinds(bot) == [(Kind.ORPHAN, name)]


def test_nor_behind_a_grant_on_another_server(world: World, bot: service.Service) -> None:
    grant_id = settled(world, bot, entitlement="read_pages")
    (original,) = world.wiki.engine.managed()
    unknown(world, timedelta(hours=1), grant_id)
    world.shop.engine.change(original.name, oid=original.oid)
    world.shop.engine.identifier = "elsewhere"
    assert kinds(bot) == [(Kind.ORPHAN, original.name)]


def test_what_changed_just_now_is_left_for_the_next_look(
    world: World, bot: service.Service
) -> None:
    grant_id = world.live(bot)
    world.shop.engine.forget(f"jit_{grant_id}")
    assert look(bot) == ()
    world.advance(minutes=2)
    assert kinds(bot) == [(Kind.MISSING, f"jit_{grant_id}")]


def test_a_role_seen_half_way_through_a_change_has_not_drifted(
    world: World, bot: service.Service
) -> None:
    grant_id = world.live(bot)
    world.shop.engine.change(f"jit_{grant_id}", valid_until=None)
    assert look(bot) == ()
    world.advance(minutes=2)
    assert [one.kind for one in look(bot)] == [Kind.DRIFTED]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"powers": ("CREATEROLE",)}, "CREATEROLE"),
        ({"members": ("bob",)}, "bob may act as it"),
        ({"privileges": 1}, "privileges directly"),
        ({"connection_limit": 50}, "50 connections"),
        ({"can_login": False}, "no longer log in"),
        ({"valid_until": NOON + timedelta(days=9)}, "deadline"),
        ({"expires_at": NOON + timedelta(days=9)}, "deadline"),
        ({"member_of": ()}, "no longer a member"),
    ],
)
def test_a_role_changed_by_hand_has_drifted(
    world: World, bot: service.Service, change: dict[str, Any], what: str
) -> None:
    name = f"jit_{settled(world, bot)}"
    world.shop.engine.change(name, **change)
    (found,) = look(bot)
    assert (found.kind, found.role) == (Kind.DRIFTED, name)
    assert what in found.what
    assert found.command
    assert ("jit revoke" in found.proposal + found.command) is ("powers" not in change)


def test_an_extra_membership_is_named(world: World, bot: service.Service) -> None:
    name = f"jit_{settled(world, bot)}"
    held = world.shop.engine.survey().managed[0].member_of
    world.shop.engine.change(name, member_of=(*held, "pg_read_all_data"))
    assert [one.what for one in look(bot)] == ["it is a member of pg_read_all_data as well"]


def test_a_role_made_again_under_the_same_name_has_drifted(
    world: World, bot: service.Service
) -> None:
    name = f"jit_{settled(world, bot)}"
    world.shop.engine.change(name, oid=1)
    assert look(bot)[0].kind is Kind.DRIFTED


def test_a_role_usable_after_its_recorded_end_is_overdue(
    world: World, bot: service.Service
) -> None:
    grant_id = settled(world, bot)
    world.shop.failing["remove"].append(target_errors.TargetUnavailable())
    bot.grants.revoke_as_operator(grant_id, "root", "")
    bot.grants.end(grant_id)
    world.advance(minutes=2)
    world.shop.engine.change(f"jit_{grant_id}", can_login=True)
    (found,) = look(bot)
    assert found.kind is Kind.OVERDUE
    assert "recorded as ended" in found.what


def orphan(world: World, bot: service.Service) -> str:
    """The role of a grant that is over in the record, come back with a backup."""
    grant_id = settled(world, bot)
    seen = world.shop.engine.survey().managed[0]
    bot.grants.revoke_as_operator(grant_id, "root", "")
    bot.grants.end(grant_id)
    world.advance(minutes=2)
    request = world.store.request(grant_id)
    from bot import catalog
    from db_grants import spec

    world.shop.engine.create(
        spec.GrantSpec(
            grant_id=grant_id,
            role_name=seen.name,
            scope=catalog.scope_from_json(request.scope),
            expires_at=world.clock.now() + timedelta(hours=1),
        )
    )
    return seen.name


def test_a_role_whose_grant_is_over_is_ended_whatever_deadline_it_carries(
    world: World, bot: service.Service
) -> None:
    name = orphan(world, bot)
    (found,) = look(bot)
    assert (found.kind, found.role, found.done) == (Kind.ORPHAN, name, "Ended; nothing left.")
    assert world.shop.engine.managed() == ()
    assert look(bot) == ()
    assert said(world, bot) == [("orphan", False), ("orphan", True)]


def test_an_orphan_that_cannot_be_ended_is_tried_again_and_told_once(
    world: World, bot: service.Service
) -> None:
    orphan(world, bot)
    world.shop.failing["close"] += [target_errors.StillAlive(), target_errors.StillAlive()]
    assert "Not ended yet" in look(bot)[0].done
    assert "Not ended yet" in look(bot)[0].done
    assert look(bot)[0].done == "Ended; nothing left."
    assert said(world, bot) == [("orphan", False)]


def unknown(world: World, left: timedelta, grant_id: str = "unkn0wn1") -> str:
    """A role of ours that this record never heard of."""
    from db_grants import spec
    from tests.fixtures_postgres import table

    scope = spec.Scope(name="x", database="shop", tables=(table("orders"),))
    expires_at = world.clock.now() + left
    made = spec.GrantSpec(
        grant_id=grant_id, role_name=f"jit_{grant_id}", scope=scope, expires_at=expires_at
    )
    return world.shop.engine.create(made).name


def test_a_role_the_record_never_knew_is_left_until_its_own_deadline(
    world: World, bot: service.Service
) -> None:
    name = unknown(world, timedelta(hours=1))
    (found,) = look(bot)
    assert (found.kind, found.done) == (Kind.ORPHAN, "")
    assert "ends it at its deadline, 2026-11-20 13:00 UTC" in found.proposal
    assert [role.name for role in world.shop.engine.managed()] == [name]
    world.advance(hours=1)
    assert look(bot)[0].done == "Ended; nothing left."
    assert world.shop.engine.managed() == ()


def test_a_look_alike_is_told_and_never_touched(world: World, bot: service.Service) -> None:
    world.shop.engine.add_foreign("jit_00000000")
    assert kinds(bot) == [(Kind.LOOK_ALIKE, "jit_00000000")]
    assert not {"close", "remove", "create"} & set(world.shop.calls)


def test_a_target_that_does_not_answer_twice_is_gone_and_says_what_that_costs(
    world: World, bot: service.Service
) -> None:
    settled(world, bot)
    world.shop.down = True
    assert bot.reconciler.look("shop") == ()
    world.clock.advance(reconcile.EVERY)
    (found,) = bot.reconciler.look("shop")
    assert found.kind is Kind.GONE
    assert "until then: 1" in found.proposal
    world.shop.down = False
    assert look(bot) == ()
    assert said(world, bot) == [("gone", False), ("gone", True)]


def test_a_target_restored_from_a_backup_is_told_with_what_it_lost(
    world: World, bot: service.Service
) -> None:
    world.shop.engine.written = 1000
    look(bot)
    name = f"jit_{settled(world, bot)}"
    world.shop.engine.written = 900
    world.shop.engine.forget(name)
    assert kinds(bot) == [(Kind.RESTORED, ""), (Kind.MISSING, name)]


@pytest.mark.parametrize(
    ("change", "what"), [({"identifier": "x"}, "another server"), ({"timeline": 2}, "timeline 2")]
)
def test_another_server_or_timeline_is_told(
    world: World, bot: service.Service, change: dict[str, Any], what: str
) -> None:
    look(bot)
    for name, value in change.items():
        setattr(world.shop.engine, name, value)
    (found,) = look(bot)
    assert found.kind is Kind.RESTORED
    assert what in found.what


def test_a_finding_is_said_and_recorded_once_and_once_more_when_it_is_over(
    world: World, bot: service.Service
) -> None:
    name = f"jit_{settled(world, bot)}"
    world.shop.engine.change(name, privileges=1)
    for _ in range(3):
        look(bot)
    assert (said(world, bot), events(world)) == ([("drifted", False)], ["reconcile.found"])
    world.shop.engine.change(name, privileges=0)
    look(bot)
    assert said(world, bot) == [("drifted", False), ("drifted", True)]
    assert events(world) == ["reconcile.found", "reconcile.settled"]


def test_two_replicas_look_once_in_an_interval(world: World, bot: service.Service) -> None:
    other = world.new_bot()
    assert bot.reconciler.due() == ("shop", "wiki")
    assert other.reconciler.due() == ("shop", "wiki")
    bot.reconciler.look("shop")
    other.reconciler.look("shop")
    assert world.shop.calls.count("survey") == 1
    assert bot.reconciler.due() == ()
    world.clock.advance(reconcile.EVERY)
    assert bot.reconciler.due() == ("shop", "wiki")
    bot.reconciler.look("shop")
    assert world.shop.calls.count("survey") == 2


def test_the_running_service_looks_by_itself(world: World, bot: service.Service) -> None:
    world.shop.engine.add_foreign("jit_00000000")
    bot.start()
    assert world.shop.entered["survey"].wait(5)
    world.quiet(bot)
    assert [one.role for one in findings.all_open(world.store)] == ["jit_00000000"]


def test_the_digest_tells_what_is_still_open(world: World, bot: service.Service) -> None:
    world.shop.engine.add_foreign("jit_00000000")
    look(bot)
    now = world.clock.now()
    told = digest.of_period(
        world.store, since=now - timedelta(days=1), until=now, zone="UTC", now=now
    )
    assert told is not None
    assert [one.kind for one in told.findings] == [Kind.LOOK_ALIKE]


def test_what_an_older_version_kept_of_clocks_is_not_told_twice(
    world: World, bot: service.Service
) -> None:
    """A clock that is far off is an alarm, and told there alone."""
    world.shop.engine.ahead = timedelta(minutes=5)
    assert look(bot) == ()
    kept = {"kind": "clock", "target": "shop", "what": "its clock is not ours", "proposal": ""}
    world.store.put("findings:shop", json.dumps([kept]))
    assert findings.open_of(world.store, "shop") == ()


def test_an_old_record_ends_what_it_does_not_remember(world: World, bot: service.Service) -> None:
    unknown(world, -timedelta(seconds=1))
    assert look(bot)[0].done == "Ended; nothing left."


def test_nothing_live_is_ever_ended_by_reconciling(world: World, bot: service.Service) -> None:
    grant_id = settled(world, bot)
    world.shop.engine.change(f"jit_{grant_id}", powers=("SUPERUSER",), members=("bob",))
    look(bot)
    assert world.grant(grant_id).status is model.GrantStatus.ACTIVE
    assert not {"close", "remove"} & set(world.shop.calls)
