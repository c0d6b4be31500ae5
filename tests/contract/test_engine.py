"""What every engine promises: the same tests on the memory engine and on real servers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from db_grants import errors
from db_grants.spec import (
    Closed,
    Credential,
    Evidence,
    Near,
    Privilege,
    Removed,
    TableScope,
)
from tests.contract.worlds import World
from tests.fixtures_postgres import SCOPES


def test_a_created_role_has_no_password_yet(world: World) -> None:
    role = world.engine.create(world.spec())
    credential = Credential(
        role=role.name,
        password="",
        host="127.0.0.1",
        port=1,
        database=world.database,
        sslmode=None,
        expires_at=datetime.now(UTC),
    )
    assert not world.login(credential)


def test_a_revealed_credential_logs_in(world: World) -> None:
    spec = world.spec()
    role = world.engine.create(spec)
    assert world.login(world.engine.reveal(role, spec.expires_at, world.database))


def test_revealing_again_makes_a_new_password_and_ends_the_old_one(world: World) -> None:
    spec = world.spec()
    role = world.engine.create(spec)
    first = world.engine.reveal(role, spec.expires_at, world.database)
    second = world.engine.reveal(role, spec.expires_at, world.database)
    assert first.password != second.password
    assert not world.login(first)
    assert world.login(second)


def test_creating_again_gives_the_same_role(world: World) -> None:
    spec = world.spec()
    assert world.engine.create(spec) == world.engine.create(spec)


@pytest.mark.parametrize("seconds", [-31, 31])
def test_nothing_is_made_where_the_clock_is_not_surely_near(world: World, seconds: int) -> None:
    spec, now = world.spec(), world.engine.server_time()
    far = Near(at=now + timedelta(seconds=seconds), within=timedelta(seconds=30))
    with pytest.raises(errors.ClockUnsure):
        world.engine.create(spec, far)
    assert world.engine.find(spec.grant_id, spec.role_name) is None
    assert world.engine.create(spec, Near(at=now, within=timedelta(seconds=30)))


def test_nor_is_what_is_there_brought_to_what_it_should_be(world: World) -> None:
    """That takes more than one step, each of which asks."""
    spec, now = world.spec(), world.engine.server_time()
    role = world.engine.create(spec)
    later = replace(spec, expires_at=spec.expires_at + timedelta(hours=1))
    with pytest.raises(errors.ClockUnsure):
        world.engine.create(later, Near(at=now + timedelta(hours=1), within=timedelta(minutes=1)))
    (found,) = world.engine.managed()
    assert found.expires_at == spec.expires_at
    assert world.engine.create(later, Near(at=now, within=timedelta(minutes=1))) == role


def test_a_role_that_is_not_ours_is_refused(world: World) -> None:
    spec = world.spec("foreign1")
    world.add_foreign(spec.role_name)
    with pytest.raises(errors.ForeignRole):
        world.engine.create(spec)
    with pytest.raises(errors.ForeignRole):
        world.engine.find(spec.grant_id, spec.role_name)
    assert world.engine.managed() == ()


def test_a_scope_the_target_is_not_prepared_for_is_refused(world: World) -> None:
    other = replace(world.scope(), name="never_bootstrapped", tables=SCOPES["write_orders"])
    with pytest.raises(errors.NotPrepared):
        world.engine.create(world.spec(scope=other))


@pytest.mark.parametrize(
    "tables",
    [
        (),
        (TableScope(schema="app", table="orders", privileges=frozenset()),),
        (
            TableScope(
                schema="app", table="orders", columns=("id",), privileges=frozenset(Privilege)
            ),
        ),
    ],
    ids=["no table", "no privilege", "delete of columns"],
)
def test_a_scope_that_cannot_be_granted_safely_is_refused(
    world: World, tables: tuple[TableScope, ...]
) -> None:
    with pytest.raises(errors.InvalidScope):
        world.engine.create(world.spec(scope=replace(world.scope(), tables=tables)))


def test_a_created_role_is_found_and_an_absent_one_is_not(world: World) -> None:
    spec = world.spec()
    assert world.engine.find(spec.grant_id, spec.role_name) is None
    role = world.engine.create(spec)
    assert world.engine.find(spec.grant_id, spec.role_name) == role


def test_marked_roles_remember_their_grant_and_deadline(world: World) -> None:
    spec = world.spec()
    role = world.engine.create(spec)
    (found,) = world.engine.managed()
    assert (found.name, found.oid, found.grant_id) == (role.name, role.oid, spec.grant_id)
    assert found.expires_at == spec.expires_at
    assert found.can_login


def test_a_moved_deadline_is_remembered(world: World) -> None:
    spec = world.spec()
    role = world.engine.create(spec)
    sooner = spec.expires_at - timedelta(minutes=20)
    world.engine.set_deadline(role, sooner)
    (found,) = world.engine.managed()
    assert found.expires_at == sooner


def test_past_its_deadline_a_role_cannot_log_in_even_if_nobody_ends_it(world: World) -> None:
    spec = world.spec()
    role = world.engine.create(spec)
    credential = world.engine.reveal(role, spec.expires_at, world.database)
    world.engine.set_deadline(role, datetime.now(UTC) - timedelta(seconds=1))
    assert not world.login(credential)


def test_a_closed_role_cannot_log_in_and_gets_no_new_password(world: World) -> None:
    spec = world.spec()
    role = world.engine.create(spec)
    credential = world.engine.reveal(role, spec.expires_at, world.database)
    world.engine.close(role)
    assert not world.login(credential)
    with pytest.raises(errors.RoleMissing):
        world.engine.reveal(role, spec.expires_at, world.database)
    with pytest.raises(errors.RoleMissing):
        world.engine.set_deadline(role, spec.expires_at)
    (found,) = world.engine.managed()
    assert not found.can_login


def test_closing_and_removing_twice_is_the_same_as_once(world: World) -> None:
    role = world.engine.create(world.spec())
    world.engine.close(role)
    assert world.engine.close(role).sessions_cut == ()
    assert world.engine.remove(role).clean
    assert world.engine.close(role).sessions_cut == ()
    assert world.engine.remove(role).clean
    assert world.engine.managed() == ()


def test_a_session_is_cut_and_told_of_when_access_ends(world: World) -> None:
    spec = world.spec()
    role = world.engine.create(spec)
    goes_on = world.session(world.engine.reveal(role, spec.expires_at, world.database))
    assert goes_on()
    closed = world.engine.close(role)
    assert len(closed.sessions_cut) == 1
    assert not goes_on()


def test_a_role_is_not_removed_under_a_session(world: World) -> None:
    spec = world.spec()
    role = world.engine.create(spec)
    goes_on = world.session(world.engine.reveal(role, spec.expires_at, world.database))
    with pytest.raises(errors.StillAlive):
        world.engine.remove(role)
    assert goes_on()
    assert world.engine.find(spec.grant_id, spec.role_name) == role
    world.engine.close(role)
    assert world.engine.remove(role).clean


def test_of_many_those_with_sessions_are_cut_as_well(world: World) -> None:
    specs = [world.spec(f"busy000{number}") for number in range(4)]
    roles = [world.engine.create(spec) for spec in specs]
    going = [
        world.session(world.engine.reveal(role, specs[0].expires_at, world.database))
        for role in roles[:2]
    ]
    closed = world.engine.close_all(roles)
    told = [closed[role.grant_id] for role in roles]
    assert [len(each.sessions_cut) for each in told if isinstance(each, Closed)] == [1, 1, 0, 0]
    assert not any(goes_on() for goes_on in going)
    assert all(isinstance(each, Removed) for each in world.engine.remove_all(roles).values())


def test_one_of_many_that_cannot_be_removed_does_not_stop_the_others(world: World) -> None:
    specs = [world.spec(f"s0me000{number}") for number in range(3)]
    roles = [world.engine.create(spec) for spec in specs]
    for role in roles[1:]:
        world.engine.close(role)
    goes_on = world.session(world.engine.reveal(roles[0], specs[0].expires_at, world.database))
    removed = world.engine.remove_all(roles)
    assert isinstance(removed[roles[0].grant_id], errors.StillAlive)
    assert all(isinstance(removed[role.grant_id], Removed) for role in roles[1:])
    assert goes_on()
    assert [found.name for found in world.engine.managed()] == [roles[0].name]
    world.engine.close(roles[0])
    assert world.engine.remove(roles[0]).clean


def test_many_are_ended_at_once(world: World) -> None:
    specs = [world.spec(f"many000{number}") for number in range(5)]
    roles = [world.engine.create(spec) for spec in specs]
    given = world.engine.reveal(roles[0], specs[0].expires_at, world.database)
    closed = world.engine.close_all(roles)
    assert [type(closed[role.grant_id]) for role in roles] == [Closed] * 5
    assert not world.login(given)
    removed = world.engine.remove_all(roles)
    assert {grant_id for grant_id, found in removed.items() if isinstance(found, Removed)} == {
        spec.grant_id for spec in specs
    }
    assert all(isinstance(found, Removed) and found.clean for found in removed.values())
    assert world.engine.managed() == ()


def test_ending_none_at_once_is_well(world: World) -> None:
    assert world.engine.close_all([]) == {}
    assert world.engine.remove_all([]) == {}


def test_one_that_is_gone_already_is_ended_with_the_others(world: World) -> None:
    roles = [world.engine.create(world.spec(f"gone000{number}")) for number in range(2)]
    world.engine.close(roles[0])
    world.engine.remove(roles[0])
    closed, removed = world.engine.close_all(roles), world.engine.remove_all(roles)
    assert all(isinstance(each, Closed) for each in closed.values())
    assert all(isinstance(each, Removed) for each in removed.values())
    assert [closed[role.grant_id].missing for role in roles] == [True, False]
    assert [removed[role.grant_id].missing for role in roles] == [True, False]
    assert world.engine.managed() == ()


def test_a_removed_role_is_missing(world: World) -> None:
    spec = world.spec()
    role = world.engine.create(spec)
    world.engine.close(role)
    world.engine.remove(role)
    assert world.engine.find(spec.grant_id, spec.role_name) is None
    with pytest.raises(errors.RoleMissing):
        world.engine.reveal(role, spec.expires_at, world.database)


def test_a_role_that_was_not_there_is_told_from_one_that_was_ended(world: World) -> None:
    role = world.engine.create(world.spec())
    assert (world.engine.close(role).missing, world.engine.remove(role).missing) == (False, False)
    assert (world.engine.close(role).missing, world.engine.remove(role).missing) == (True, True)


def test_a_role_knows_the_server_it_was_made_on(world: World) -> None:
    role = world.engine.create(world.spec())
    assert role.server == world.engine.identity() == world.engine.survey().identifier != ""


def test_the_plan_names_the_role_and_what_it_allows(world: World) -> None:
    lines = world.engine.describe(world.spec())
    assert any("jit_c0ntract" in line for line in lines)
    assert any("app.customers" in line and "app.orders" in line for line in lines)
    assert world.engine.managed() == ()


def test_an_unused_grant_has_no_activity_and_says_from_what_it_knows(world: World) -> None:
    role = world.engine.create(world.spec("unused01"))
    activity = world.engine.activity(role, datetime.now(UTC) - timedelta(minutes=1))
    assert activity.evidence is Evidence.STATEMENT_LOG
    assert activity.statements == ()
    assert activity.sessions == ()


def test_no_text_of_a_credential_shows_its_password(world: World) -> None:
    spec = world.spec()
    credential = world.engine.reveal(world.engine.create(spec), spec.expires_at, world.database)
    assert credential.password not in repr(credential)
    assert credential.password not in str(credential)
