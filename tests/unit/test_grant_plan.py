"""Plans: from a wanted and a found state to steps, without a server."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from db_grants import naming
from db_grants.postgres import atoms, inspect, plan
from db_grants.spec import GrantSpec, ManagedRole, Privilege, Scope, TableScope
from db_grants.statement import Statement

UNTIL = datetime(2026, 11, 22, 12, 0, 0, 250000, tzinfo=UTC)
SCOPE = Scope(
    name="reading",
    database="shop",
    tables=tuple(
        TableScope(schema="app", table=name, privileges=frozenset({Privilege.SELECT}))
        for name in ("customers", "orders")
    ),
)
SPEC = GrantSpec(grant_id="abcd1234", role_name="jit_abcd1234", scope=SCOPE, expires_at=UNTIL)
NARROWED = replace(SPEC, scope=replace(SCOPE, tables=SCOPE.tables[:1], narrowed=True))


def state(
    role: inspect.RoleState | None = None, *, version: int = 180000, granted: bool = True
) -> inspect.TargetState:
    return inspect.TargetState(version=version, granted_exists=granted, role=role)


def as_wanted(spec: GrantSpec = SPEC) -> inspect.RoleState:
    granted = atoms.role_to_grant(spec.scope)
    return inspect.RoleState(
        oid=1,
        name=spec.role_name,
        can_login=True,
        connection_limit=spec.connection_limit,
        valid_until=spec.expires_at,
        powerful=False,
        settings=("log_statement=all",),
        member_of=frozenset({granted, naming.BOOKKEEPING}),
        privileges_of=frozenset({granted}),
        comment=inspect.marker(spec.grant_id, spec.expires_at),
    )


def text(steps: tuple[Statement, ...]) -> list[str]:
    return [step.sql.as_string(None) for step in steps]


def test_a_new_role_may_log_in_and_is_marked_in_the_transaction_that_makes_it() -> None:
    steps = text(plan.create(SPEC, state()))
    assert steps[0].startswith('CREATE ROLE "jit_abcd1234" LOGIN')
    assert any(step.startswith(f'GRANT "{naming.BOOKKEEPING}"') for step in steps)
    assert not any("BEGIN" in step or "COMMIT" in step.split() for step in steps)


def test_no_step_sets_a_password() -> None:
    assert not any("PASSWORD" in step for step in text(plan.create(SPEC, state())))


def test_a_role_in_the_wanted_state_needs_no_step() -> None:
    assert plan.create(SPEC, state(as_wanted())) == ()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"can_login": False}, "LOGIN"),
        ({"connection_limit": -1}, "CONNECTION LIMIT 4"),
        ({"valid_until": None}, "VALID UNTIL '2026-11-22 12:00:00.250000+00:00'"),
        ({"settings": ()}, "log_statement"),
        ({"comment": None}, "COMMENT"),
        ({"privileges_of": frozenset()}, "GRANT"),
        (
            {"member_of": as_wanted().member_of | {"jit_a_payments_r_1"}},
            'REVOKE "jit_a_payments_r_1"',
        ),
    ],
)
def test_what_differs_is_the_only_step(change: dict[str, object], word: str) -> None:
    (step,) = text(plan.create(SPEC, state(replace(as_wanted(), **change))))  # type: ignore[arg-type]
    assert word in step


@pytest.mark.parametrize("version", [160000, 170005, 180000])
def test_a_holder_can_neither_take_on_nor_pass_on_a_membership(version: int) -> None:
    grants = [
        step for step in text(plan.create(SPEC, state(version=version))) if step.startswith("GRANT")
    ]
    assert len(grants) == 2
    assert all("SET FALSE" in step and "ADMIN" not in step for step in grants)


def test_before_16_memberships_have_no_options() -> None:
    steps = text(plan.create(SPEC, state(version=150018)))
    assert not any("INHERIT TRUE" in step or "SET FALSE" in step for step in steps)


def test_a_narrowed_scope_makes_its_role_once() -> None:
    first = text(plan.create(NARROWED, state(granted=False)))
    again = text(plan.create(NARROWED, state(granted=True)))
    assert sum("CREATE ROLE" in step for step in first) == 2
    assert sum("CREATE ROLE" in step for step in again) == 1


def test_every_step_says_what_it_does() -> None:
    for step in plan.create(NARROWED, state(granted=False)):
        assert step.description
        assert "\n" not in step.description


@pytest.mark.parametrize("hours", [-11, 0, 13])
def test_a_deadline_is_written_with_its_offset(hours: int) -> None:
    there = UNTIL.astimezone(timezone(timedelta(hours=hours)))
    assert plan.instant(there) == "2026-11-22 12:00:00.250000+00:00"


def test_a_deadline_without_an_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        plan.instant(UNTIL.replace(tzinfo=None))


def test_moving_a_deadline_moves_the_note_as_well() -> None:
    role = ManagedRole(grant_id="abcd1234", name="jit_abcd1234", oid=1)
    alter, comment = text(plan.deadline(role, UNTIL))
    assert "VALID UNTIL '2026-11-22 12:00:00.250000+00:00'" in alter
    assert "2026-11-22T12:00:00.250000+00:00" in comment


def test_shutting_the_door_is_one_statement() -> None:
    (statement,) = text((plan.shut("jit_abcd1234"),))
    for part in ("NOLOGIN", "CONNECTION LIMIT 0", "VALID UNTIL '-infinity'", "PASSWORD NULL"):
        assert part in statement


def test_privileges_go_before_the_bot_may_act_for_the_role() -> None:
    revoke, grant = text(plan.take_over("jit_abcd1234", ["jit_s_x_1"], 180000))
    assert revoke.startswith("REVOKE")
    assert grant.startswith("GRANT")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"powerful": True}, "powers"),
        ({"can_login": False}, "log in"),
        ({"valid_until": UNTIL + timedelta(seconds=1)}, "attributes"),
        ({"member_of": frozenset({naming.BOOKKEEPING})}, "memberships"),
        ({"privileges_of": frozenset()}, "privileges"),
        ({"settings": ()}, "logged"),
    ],
)
def test_a_role_that_came_out_wrong_is_recognised(change: dict[str, object], reason: str) -> None:
    assert plan.wrong(SPEC, as_wanted()) == ""
    assert reason in plan.wrong(SPEC, replace(as_wanted(), **change))  # type: ignore[arg-type]


def test_a_role_that_is_not_there_is_wrong() -> None:
    assert plan.wrong(SPEC, None)
