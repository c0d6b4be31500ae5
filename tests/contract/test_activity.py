"""What every engine promises of activity: of many it is what it is of each."""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from db_grants import errors
from db_grants.memory import MemoryEngine
from db_grants.spec import Activity, Evidence, ManagedRole
from tests.contract.worlds import World

AGES = (timedelta(minutes=1), timedelta(0), timedelta(hours=1))


def used(world: World, count: int) -> dict[ManagedRole, datetime]:
    """Roles of which the first two ran something, closed; each is asked about since another time."""
    sinces = {}
    for number in range(count):
        spec = world.spec(secrets.token_hex(4))  # a server's log outlives its database
        since = datetime.now(UTC) - AGES[number]
        role = world.engine.create(spec)
        credential = world.engine.reveal(role, spec.expires_at, world.database)
        if number < 2:
            world.run(credential, f"SELECT {number} AS number")
            world.run(credential, "SELECT 'again'")
        sinces[role] = since
    world.engine.close_all(list(sinces))
    return sinces


def one_by_one(world: World, sinces: Mapping[ManagedRole, datetime]) -> dict[str, Activity]:
    return {role.grant_id: world.engine.activity(role, since) for role, since in sinces.items()}


def test_the_activity_of_many_is_that_of_each(world: World) -> None:
    sinces = used(world, 3)
    told = world.engine.activity_all(sinces)
    assert told == one_by_one(world, sinces)
    found = [told[role.grant_id] for role in sinces]
    assert [each.evidence for each in found if isinstance(each, Activity)] == [
        Evidence.STATEMENT_LOG
    ] * 3
    texts = [[s.text for s in each.statements] for each in found if isinstance(each, Activity)]
    assert texts == [
        ["SELECT 0 AS number", "SELECT 'again'"],
        ["SELECT 1 AS number", "SELECT 'again'"],
        [],
    ]


def test_the_activity_of_none_is_none(world: World) -> None:
    assert world.engine.activity_all({}) == {}


def test_what_was_done_is_told_of_a_role_that_is_gone_as_well(world: World) -> None:
    sinces = used(world, 2)
    (first, _) = sinces
    world.engine.remove(first)
    told = world.engine.activity_all(sinces)
    assert told == one_by_one(world, sinces)
    assert [dict(each.counts) for each in told.values() if isinstance(each, Activity)] == [
        {"SELECT": 2},
        {"SELECT": 2},
    ]


def test_one_of_many_that_cannot_be_told_of_spoils_no_other() -> None:
    engine = MemoryEngine()
    roles = [ManagedRole(grant_id=f"g{n}", name=f"jit_g{n}", oid=n) for n in range(3)]
    engine.fail("activity", errors.TargetUnavailable())
    told = engine.activity_all(dict.fromkeys(roles, datetime.now(UTC)))
    assert [type(told[role.grant_id]) for role in roles] == [
        errors.TargetUnavailable,
        Activity,
        Activity,
    ]
