"""The bootstrap run again on a target in use: what it brings back, and who waits for it."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql

from db_grants.postgres import PostgresEngine
from db_grants.spec import Finding, ManagedRole, Severity
from tests.fixtures_postgres import ON_BOTH_SERVERS, Shop
from tests.integration.test_grant_deputies import version
from tests.integration.test_grant_upgrade import made, narrowed, orders

pytestmark = ON_BOTH_SERVERS

CARRIED = "SELECT roleid::regrole::text FROM pg_auth_members WHERE member = to_regrole(%s)"
PATIENT = 60.0  # seconds for an operation: then what waits does so for as long as it takes


@contextmanager
def almost_done(shop: Shop) -> Iterator[psycopg.Connection]:
    """A bootstrap that has done all and not committed it."""
    head, commit, _ = shop.script.rpartition("COMMIT;")
    with shop.connect() as admin:
        admin.execute(sql.SQL(head))  # type: ignore[arg-type]
        yield admin
        admin.execute(commit)  # type: ignore[arg-type]


@pytest.mark.parametrize("busy", [False, True])
def test_no_end_waits_for_a_bootstrap(shop: Shop, busy: bool) -> None:
    engine = shop.engine(deadline=2.0)
    roles = [made(engine, shop.scope(), f"aaaa000{n}") for n in range(2)]
    session = orders(shop, engine, roles[0])
    if not busy:
        session.close()
    with almost_done(shop), closing(session):
        for role in roles:
            engine.close(role)
            assert engine.remove(role).clean
    assert engine.managed() == ()


def deadlocks(shop: Shop) -> Any:
    with shop.connect() as admin:
        admin.execute("SELECT pg_stat_clear_snapshot()")
        return admin.execute("SELECT sum(deadlocks) FROM pg_stat_database").fetchone()


@pytest.mark.parametrize("part", [False, True])
def test_a_grant_waits_for_a_bootstrap_and_neither_for_the_other(shop: Shop, part: bool) -> None:
    engine, before = shop.engine(deadline=PATIENT), deadlocks(shop)
    scope = narrowed(shop) if part else shop.scope()
    half, now, rest = shop.script.partition("-- What may be handed out from now on")
    done: list[ManagedRole] = []
    asked = threading.Thread(target=lambda: done.append(made(engine, scope, "aaaa0001")))
    with shop.connect() as admin:
        admin.execute(sql.SQL(half))  # type: ignore[arg-type]
        asked.start()
        asked.join(0.5)
        assert done == []
        admin.execute(sql.SQL(now + rest))  # type: ignore[arg-type]
    asked.join(10.0)
    assert [role.name for role in done] == ["jit_aaaa0001"]
    assert deadlocks(shop) == before


def test_what_others_gave_a_scope_role_is_taken_from_it(shop: Shop) -> None:
    engine = shop.engine()
    name = engine.carries(shop.scope())
    with shop.connect() as admin:
        if version(shop) < 16:
            pytest.skip("before 16 a membership is the same, whoever gave it")
        (atom,) = admin.execute(CARRIED, [name]).fetchone() or ("",)
        admin.execute("CREATE ROLE dba")
        for each in ("pg_read_all_data", atom):
            admin.execute(f"GRANT {each} TO dba WITH ADMIN OPTION".encode())
            admin.execute(f"SET ROLE dba; GRANT {each} TO {name}; RESET ROLE".encode())
        try:
            told = "its role carries something else than declared"
            assert errors_of(engine.check([shop.scope()])) == [told]
            admin.execute(sql.SQL(shop.script))  # type: ignore[arg-type]
            assert errors_of(engine.check([shop.scope()])) == []
            carried = [each for (each,) in admin.execute(CARRIED, [name]).fetchall()]
            assert len(carried) == len({*carried}) == 2
        finally:
            admin.execute("DROP OWNED BY dba CASCADE; DROP ROLE dba")


def test_a_holder_who_handed_something_on_does_not_keep_their_session(shop: Shop) -> None:
    engine = shop.engine()
    role = made(engine, shop.scope(), "aaaa0001")
    with shop.connect() as admin:
        admin.execute("CREATE ROLE team; CREATE ROLE friend")
        admin.execute(f"GRANT team TO {role.name} WITH ADMIN OPTION".encode())
        try:
            with closing(orders(shop, engine, role)) as session:
                session.execute("GRANT team TO friend")
                session.commit()
                assert len(engine.close(role).sessions_cut) == 1
            assert engine.remove(role).clean
            assert (
                admin.execute(
                    "SELECT FROM pg_auth_members WHERE member = 'friend'::regrole"
                ).fetchall()
                == []
            )
        finally:
            admin.execute("DROP ROLE team; DROP ROLE friend")


def test_the_doctor_tells_functions_of_another_version(shop: Shop) -> None:
    engine = shop.engine()
    assert told(engine, shop) == []
    with shop.connect() as admin:
        (body,) = admin.execute(
            "SELECT pg_get_functiondef('jit_admin.shut_roles(text[])'::regprocedure)"
        ).fetchone() or ("",)
        admin.execute(body.replace("PASSWORD NULL", "").encode())
        assert told(engine, shop) == [
            "functions of the bootstrap are of another version: shut_roles"
        ]
        admin.execute("DROP FUNCTION jit_admin.require_read_committed")
        (finding,) = told(engine, shop)
        assert finding.endswith(": require_read_committed, shut_roles")
        admin.execute(sql.SQL(shop.script))  # type: ignore[arg-type]
    assert told(engine, shop) == []


def told(engine: PostgresEngine, shop: Shop) -> list[str]:
    found = engine.check([shop.scope()])
    return [one.message for one in found if "another version" in one.message]


def errors_of(found: tuple[Finding, ...]) -> list[str]:
    return [one.message for one in found if one.severity is Severity.ERROR]
