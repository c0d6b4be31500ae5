"""Reconciling against a real server: what a person with power did by hand is found."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import sql

from bot import model
from bot.audit.findings import Kind
from bot.comparing import differences
from db_grants import naming, spec
from tests.fixtures_postgres import Shop

Act = Callable[[Shop, str], None]


def by_hand(template: str) -> Act:
    def act(shop: Shop, role: str) -> None:
        with shop.connect() as admin:
            statement = sql.SQL(template).format(sql.Identifier(role), sql.Identifier(role[4:]))
            admin.execute(statement)

    return act


def live(shop: Shop) -> tuple[model.Grant, spec.ManagedRole]:
    """A grant made an hour ago, as record and as role."""
    now = datetime.now(UTC)
    grant_id = secrets.token_hex(4)
    grant = model.Grant(
        id=grant_id,
        status=model.GrantStatus.ACTIVE,
        target="shop",
        requester_id="U0ANA",
        role_name=naming.managed_role(grant_id),
        duration=timedelta(hours=2),
        created_at=now - timedelta(hours=1),
        expires_at=now + timedelta(hours=1),
        activate_by=now,
        activated_at=now - timedelta(hours=1),
    )
    role = shop.engine().create(
        spec.GrantSpec(
            grant_id=grant_id,
            role_name=grant.role_name,
            scope=shop.scope(),
            expires_at=grant.expires_at,
        )
    )
    return grant, role


def compared(shop: Shop, *grants: model.Grant) -> list[tuple[Kind, str]]:
    engine = shop.engine()
    recorded = differences.Recorded(
        grants={grant.id: grant for grant in grants},
        carries={grant.id: engine.carries(shop.scope()) for grant in grants},
    )
    now = datetime.now(UTC)
    found = differences.compare("shop", recorded, engine.survey(), differences.Seen(), now)
    return [(one.kind, one.what) for one in found]


def with_oid(grant: model.Grant, role: spec.ManagedRole) -> model.Grant:
    from dataclasses import replace

    return replace(grant, role_oid=role.oid)


def test_a_role_as_it_was_made_agrees_with_its_record(shop: Shop) -> None:
    assert compared(shop, with_oid(*live(shop))) == []


@pytest.mark.fault(
    "H-11",
    "a role of ours was changed by hand",
    how="ALTER ROLE, GRANT",
    expects="named as drifted, with what to do",
)
@pytest.mark.parametrize(
    ("act", "what"),
    [
        (by_hand("GRANT pg_read_all_data TO {0}"), "it is a member of pg_read_all_data as well"),
        (by_hand("GRANT {0} TO jit_quarantine"), "jit_quarantine may act as it"),
        (by_hand("GRANT SELECT ON app.payments TO {0}"), "it was given privileges directly"),
        (by_hand("ALTER ROLE {0} CREATEDB BYPASSRLS"), "it has CREATEDB, BYPASSRLS"),
        (by_hand("ALTER ROLE {0} CONNECTION LIMIT -1"), "it may hold -1 connections instead of 4"),
        (by_hand("ALTER ROLE {0} NOLOGIN"), "it can no longer log in"),
        (by_hand("ALTER ROLE {0} VALID UNTIL 'infinity'"), "its deadline is not the recorded one"),
        (by_hand("COMMENT ON ROLE {0} IS NULL"), None),
    ],
)
def test_what_was_changed_by_hand_is_named(shop: Shop, act: Act, what: str | None) -> None:
    grant, role = live(shop)
    act(shop, grant.role_name)
    expected: list[Any] = [] if what is None else [(Kind.DRIFTED, what)]
    assert compared(shop, with_oid(grant, role)) == expected


def test_a_role_taken_out_of_its_scope_has_drifted(shop: Shop) -> None:
    grant, role = live(shop)
    carried = shop.engine().carries(shop.scope())
    with shop.connect() as admin:
        names = map(sql.Identifier, (carried, grant.role_name))
        admin.execute(sql.SQL("REVOKE {} FROM {}").format(*names))
    assert compared(shop, with_oid(grant, role)) == [
        (Kind.DRIFTED, f"it is no longer a member of {carried}")
    ]


@pytest.mark.fault(
    "H-13",
    "a role of ours dropped and made again by hand",
    how="DROP ROLE, CREATE ROLE",
    expects="named; not touched",
)
def test_a_role_dropped_and_made_again_by_hand_is_a_look_alike_and_ours_is_missing(
    shop: Shop,
) -> None:
    grant, role = live(shop)
    with shop.connect() as admin:
        admin.execute(sql.SQL("DROP ROLE {0}; CREATE ROLE {0}").format(sql.Identifier(role.name)))
    assert [kind for kind, _ in compared(shop, with_oid(grant, role))] == [
        Kind.LOOK_ALIKE,
        Kind.MISSING,
    ]


@pytest.mark.fault(
    "H-12",
    "a marked role without a record",
    how="made by hand",
    expects="named as an orphan; ended when its own deadline has passed",
)
def test_a_marked_role_without_a_record_is_an_orphan(shop: Shop) -> None:
    live(shop)
    assert [kind for kind, _ in compared(shop)] == [Kind.ORPHAN]


def test_a_marked_role_under_another_name_has_drifted(shop: Shop) -> None:
    grant, role = live(shop)
    with shop.connect() as admin:
        statement = sql.SQL("ALTER ROLE {} RENAME TO alice")
        admin.execute(statement.format(sql.Identifier(role.name)))
    try:
        assert [kind for kind, _ in compared(shop, with_oid(grant, role))] == [Kind.DRIFTED]
    finally:
        with shop.connect() as admin:
            admin.execute("DROP ROLE alice")


def test_a_server_is_known_by_its_identity_and_its_state_only_grows(shop: Shop) -> None:
    engine = shop.engine()
    before = engine.survey()
    live(shop)
    after = engine.survey()
    assert (after.identifier, after.timeline) == (before.identifier, before.timeline)
    assert after.written > before.written
    assert after.prepared
