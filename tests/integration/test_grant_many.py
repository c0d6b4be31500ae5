"""Many ends at once on a real server: few turns for the plain ones, and nobody waits for a bad one."""

import contextlib
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from db_grants import errors, naming
from db_grants.postgres import PostgresEngine, links
from db_grants.spec import Closed, GrantSpec, ManagedRole, Removed
from tests.faults import frozen
from tests.fixtures_postgres import ON_BOTH_SERVERS, Shop, table
from tests.holders import is_cut, log_in

pytestmark = ON_BOTH_SERVERS

UNTIL = timedelta(minutes=30)


@pytest.fixture
def engine(shop: Shop) -> PostgresEngine:
    return shop.engine()  # type: ignore[no-any-return]


def made(shop: Shop, engine: PostgresEngine, count: int, **scope: Any) -> list[ManagedRole]:
    ids = [f"many{number:04}" for number in range(count)]
    return [
        engine.create(
            GrantSpec(
                grant_id=grant_id,
                role_name=naming.managed_role(grant_id),
                scope=scope.get("scope", shop.scope("write_orders")),
                expires_at=datetime.now(UTC) + UNTIL,
            )
        )
        for grant_id in ids
    ]


def holder(shop: Shop, engine: PostgresEngine, role: ManagedRole) -> psycopg.Connection:
    return log_in(shop, engine.reveal(role, datetime.now(UTC) + UNTIL, shop.database))


def all_closed(engine: PostgresEngine, roles: list[ManagedRole]) -> list[Closed]:
    outcomes = engine.close_all(roles)
    closed = [outcomes[role.grant_id] for role in roles]
    assert [each for each in closed if not isinstance(each, Closed)] == []
    return [each for each in closed if isinstance(each, Closed)]


def all_removed(engine: PostgresEngine, roles: list[ManagedRole]) -> None:
    outcomes = engine.remove_all(roles)
    assert [each for each in outcomes.values() if not isinstance(each, Removed)] == []
    assert all(isinstance(each, Removed) and each.clean for each in outcomes.values())
    assert engine.managed() == ()


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many statements went in each round trip."""
    seen: list[int] = []
    real = links.Link._run

    def counted(self: links.Link, statements: Any, *, committing: bool) -> Any:
        seen.append(len(statements))
        return real(self, statements, committing=committing)

    monkeypatch.setattr(links.Link, "_run", counted)
    return seen


def test_plain_ones_are_closed_in_one_trip_and_removed_in_one(
    shop: Shop, engine: PostgresEngine, trips: list[int]
) -> None:
    for _ in range(2):  # the first time queries are prepared
        roles = made(shop, engine, 20)
        trips.clear()
        all_closed(engine, roles)
        closing_took = len(trips)
        all_removed(engine, roles)
    assert (closing_took, len(trips) - closing_took) == (1, 2)  # the second asks what is left


@pytest.mark.fault(
    "F-32f",
    "a holder locks their own role while many ends are due",
    how="ALTER ROLE in an open transaction",
    expects="the others are ended at once, and the holder right after them",
)
def test_one_who_locks_their_own_role_does_not_delay_the_others(
    shop: Shop, engine: PostgresEngine
) -> None:
    roles = made(shop, engine, 12)
    with closing(holder(shop, engine, roles[3])) as hostile:
        hostile.execute("BEGIN")
        hostile.execute(f"ALTER ROLE {roles[3].name} PASSWORD 'mine'")
        began = datetime.now(UTC)
        closed = all_closed(engine, roles)
        took = [(each.at - began).total_seconds() for each in closed]
        assert is_cut(hostile)
    assert max([*took[:3], *took[4:]]) < 1.0  # a tenth of a second and what a busy machine takes
    assert took[3] < 2.5
    assert len(closed[3].sessions_cut) >= 1
    all_removed(engine, roles)


def test_sessions_of_several_are_cut_together_and_told_of_each(
    shop: Shop, engine: PostgresEngine
) -> None:
    roles = made(shop, engine, 6)
    with contextlib.ExitStack() as stack:
        there = [
            stack.enter_context(closing(holder(shop, engine, role)))
            for role in (*roles[:3], roles[0])
        ]
        closed = all_closed(engine, roles)
        assert [len(each.sessions_cut) for each in closed] == [2, 1, 1, 0, 0, 0]
        assert all(is_cut(connection) for connection in there)
    all_removed(engine, roles)


def test_what_several_have_prepared_is_rolled_back(shop: Shop, engine: PostgresEngine) -> None:
    roles = made(shop, engine, 3)
    for number, role in enumerate(roles[:2]):
        with closing(holder(shop, engine, role)) as connection:
            connection.execute("BEGIN")
            connection.execute("SELECT lo_create(0)")
            connection.execute(f"PREPARE TRANSACTION 'of {number}'")
    all_closed(engine, roles)
    with shop.connect() as admin:
        assert admin.execute("SELECT gid FROM pg_prepared_xacts").fetchall() == []
    all_removed(engine, roles)


@pytest.mark.fault(
    "F-22f",
    "one holder's backend stands still while many ends are due",
    how="SIGSTOP of a backend",
    expects="told as alive within seconds; the others are ended",
)
def test_one_whose_process_stands_still_is_told_as_alive_and_the_others_are_ended(
    shop: Shop, engine: PostgresEngine
) -> None:
    roles = made(shop, engine, 4)
    with (
        closing(holder(shop, engine, roles[0])) as still,
        closing(holder(shop, engine, roles[1])) as moving,
    ):
        with frozen.backend(still):
            began = time.monotonic()
            outcomes = engine.close_all(roles)
            assert time.monotonic() - began < 5.0  # of ten that there would be
            assert isinstance(outcomes[roles[0].grant_id], errors.StillAlive)
            assert all(isinstance(outcomes[role.grant_id], Closed) for role in roles[1:])
            assert is_cut(moving)
        all_closed(engine, roles)
    all_removed(engine, roles)


def test_one_that_is_another_now_is_refused_and_the_others_are_ended(
    shop: Shop, engine: PostgresEngine
) -> None:
    roles = made(shop, engine, 3)
    with shop.connect() as admin:
        admin.execute(f"ALTER ROLE {roles[1].name} RENAME TO jit_elsewhere")
    closed, removed = engine.close_all(roles), engine.remove_all(roles)
    assert isinstance(closed[roles[1].grant_id], errors.ForeignRole)
    assert isinstance(removed[roles[1].grant_id], errors.ForeignRole)
    for role in (roles[0], roles[2]):
        assert isinstance(closed[role.grant_id], Closed)
        assert isinstance(removed[role.grant_id], Removed)
    (left,) = engine.managed()
    assert (left.name, left.can_login) == ("jit_elsewhere", True)


def test_one_with_something_by_hand_is_told_of_and_the_others_are_clean(
    shop: Shop, engine: PostgresEngine
) -> None:
    roles = made(shop, engine, 5)
    with shop.connect() as admin:
        admin.execute(f"GRANT SELECT ON app.payments TO {roles[2].name}")
    all_closed(engine, roles)
    removed = engine.remove_all(roles)
    clean = [each.clean for each in removed.values() if isinstance(each, Removed)]
    assert clean == [True, True, False, True, True]
    with shop.connect() as admin:
        admin.execute(f"REVOKE SELECT ON app.payments FROM {roles[2].name}")
    assert engine.remove(roles[2]).clean


def test_one_that_is_not_plain_costs_the_others_no_turn_each(
    shop: Shop, engine: PostgresEngine, trips: list[int]
) -> None:
    roles = made(shop, engine, 64)
    with shop.connect() as admin:
        admin.execute(f"GRANT SELECT ON app.payments TO {roles[40].name}")
    all_closed(engine, roles)
    trips.clear()
    removed = engine.remove_all(roles)
    assert [role for role in roles if not removed[role.grant_id].clean] == [roles[40]]  # type: ignore[union-attr]
    assert len(trips) < len(roles)
    with shop.connect() as admin:
        admin.execute(f"REVOKE SELECT ON app.payments FROM {roles[40].name}")
    assert engine.remove(roles[40]).clean


def test_the_role_of_a_narrowed_scope_goes_with_the_last_of_many(
    shop: Shop, engine: PostgresEngine
) -> None:
    scope = shop.scope("write_orders")
    narrowed = type(scope)(
        name=scope.name, database=scope.database, tables=(table("orders"),), narrowed=True
    )
    roles = made(shop, engine, 3, scope=narrowed)
    all_closed(engine, roles)
    all_removed(engine, roles)
    with shop.connect() as admin:
        query = "SELECT count(*) FROM pg_roles WHERE starts_with(rolname, 'jit_u_')"
        assert admin.execute(query).fetchone() == (0,)


def test_a_server_that_is_gone_is_told_once_for_all(shop: Shop) -> None:
    engine = shop.engine(deadline=2.0)
    roles = made(shop, engine, 3)
    other = PostgresEngine(shop.bot_url.replace(f":{shop.server.port}/", ":1/"), deadline=2.0)
    with pytest.raises(errors.TargetUnavailable):
        other.close_all(roles)
    with pytest.raises(errors.TargetUnavailable):
        other.remove_all(roles)
    all_closed(engine, roles)
    all_removed(engine, roles)
