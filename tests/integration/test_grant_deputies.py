"""The functions of the bootstrap: they do what a grant needs to its own role, and nothing else."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from db_grants import naming
from db_grants.postgres import PostgresEngine, scram
from db_grants.spec import GrantSpec, ManagedRole, Severity
from tests.fixtures_postgres import ON_BOTH_SERVERS, Shop, without_deputies

pytestmark = ON_BOTH_SERVERS

NOTE = '{"grant": "x"}'
VERIFIER = scram.verifier("of nobody")


def made(shop: Shop, grant_id: str, engine: PostgresEngine | None = None) -> ManagedRole:
    spec = GrantSpec(
        grant_id=grant_id,
        role_name=naming.managed_role(grant_id),
        scope=shop.scope(),
        expires_at=datetime.now(UTC) + timedelta(minutes=30),
    )
    return (engine or shop.engine()).create(spec)


def as_bot(shop: Shop, call: str) -> None:
    with psycopg.connect(shop.bot_url, autocommit=True) as bot:
        bot.execute(sql.SQL(call))


def version(shop: Shop) -> int:
    with shop.connect() as admin:
        return admin.info.server_version // 10000


def administered(shop: Shop) -> list[str]:
    """Temporary roles that the bot may hand out."""
    with shop.connect() as admin:
        rows = admin.execute(
            "SELECT r.rolname FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid"
            " JOIN pg_roles b ON b.oid = m.member"
            " WHERE b.rolname = 'jit_bot' AND r.rolname ~ %s"
            " AND r.rolname NOT IN ('jit_managed', 'jit_quarantine')",
            [naming.TEMPORARY],
        ).fetchall()
    return [name for (name,) in rows]


def test_the_bot_administers_none_of_the_roles_it_has_made(shop: Shop) -> None:
    role = made(shop, "aaaa1111")
    assert administered(shop) == []
    engine = shop.engine()
    assert engine.close(role).sessions_cut == ()
    assert engine.remove(role).clean


def test_a_password_is_worked_out_with_its_role_and_none_besides(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither while the server works out as much itself, nor while the next access is ended."""
    engine, begun = shop.engine(), list[str]()
    monkeypatch.setattr(engine._passwords, "begin", lambda: begun.append("begun"))
    role = made(shop, "aaaa2222", engine)
    engine.reveal(role, datetime.now(UTC) + timedelta(minutes=30), shop.database)
    assert begun == ["begun"]


@pytest.fixture
def stranger(shop: Shop) -> Any:
    """Somebody else's role with a name like ours, to which a bot gone bad once gave our mark."""
    with shop.connect() as admin:
        admin.execute("CREATE ROLE jit_team2026 LOGIN PASSWORD 'theirs'")
        admin.execute("GRANT jit_managed TO jit_bot WITH ADMIN OPTION")
    as_bot(shop, "GRANT jit_managed TO jit_team2026")
    yield "jit_team2026"
    with shop.connect() as admin:
        admin.execute("DROP ROLE IF EXISTS jit_team2026")


@pytest.mark.parametrize(
    "call",
    [
        "set_password('{}', '" + VERIFIER + "')",
        "set_deadline('{}', now() + '1 hour', '"
        + NOTE.replace("{", "{{").replace("}", "}}")
        + "')",
        "shut_roles('{{{}}}')",
        "take_over_roles('{{{}}}')",
        "drop_roles('{{{}}}')",
    ],
)
def test_no_role_but_a_temporary_one_is_touched(shop: Shop, stranger: str, call: str) -> None:
    role = made(shop, "aaaa2222")
    for other in (stranger, "jit_bot", "jit_managed", "jit_quarantine", "postgres"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="not made for a grant"):
            as_bot(shop, "SELECT jit_admin." + call.format(other))
    if "_roles(" in call:  # one among them is enough
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="not made for a grant"):
            as_bot(shop, "SELECT jit_admin." + call.format(f"{role.name},{stranger}"))
    with shop.connect() as admin:
        assert admin.execute(
            "SELECT rolcanlogin FROM pg_roles WHERE rolname = ANY (%s)", [[role.name, stranger]]
        ).fetchall() == [(True,), (True,)]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("'jit_aaaa3333', 'pg_read_all_data', 4, now() + '1 hour', '{note}', true", "is not for"),
        (
            "'jit_aaaa3333', 'jit_s_elsewhere_0123456789abcdef', 4, now(), '{note}', true",
            "is not for",
        ),
        ("'jit_aaaa3333', '{carried}', 4, 'infinity', '{note}', true", "no temporary role"),
        ("'jit_aaaa3333', '{carried}', 4, now() + '1 hour', 'of mine', true", "no temporary role"),
        ("'jit_aaaa3333', '{carried}', -1, now() + '1 hour', '{note}', true", "no temporary role"),
        ("'dba', '{carried}', 4, now() + '1 hour', '{note}', true", "no temporary role"),
        ("'jit_managed', '{carried}', 4, now() + '1 hour', '{note}', true", "no temporary role"),
        ("'jit_aaaa3333; --', '{carried}', 4, now(), '{note}', true", "no temporary role"),
    ],
)
def test_only_a_temporary_role_of_a_scope_is_made(shop: Shop, given: str, why: str) -> None:
    with shop.connect() as admin:  # named like a scope role, and not the bot's to hand out
        admin.execute("CREATE ROLE jit_s_elsewhere_0123456789abcdef")
    carried = shop.engine().carries(shop.scope())
    call = given.replace("{note}", NOTE).replace("{carried}", carried)
    try:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=why):
            as_bot(shop, f"SELECT jit_admin.make_role({call})")
    finally:
        with shop.connect() as admin:
            admin.execute("DROP ROLE jit_s_elsewhere_0123456789abcdef")


def test_a_password_itself_is_refused(shop: Shop) -> None:
    role = made(shop, "aaaa4444")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no verifier"):
        as_bot(shop, f"SELECT jit_admin.set_password('{role.name}', 'in plain words')")


def test_an_open_door_is_not_dropped(shop: Shop) -> None:
    role = made(shop, "aaaa5555")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="can log in"):
        as_bot(shop, f"SELECT jit_admin.drop_roles('{{{role.name}}}')")


def test_power_that_somebody_gave_a_role_is_never_the_bots(shop: Shop) -> None:
    role = made(shop, "aaaa6666")
    with shop.connect() as admin:
        admin.execute(f"ALTER ROLE {role.name} SUPERUSER")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="not made for a grant"):
        as_bot(shop, f"SELECT jit_admin.take_over_roles('{{{role.name}}}')")
    as_bot(shop, f"SELECT jit_admin.shut_roles('{{{role.name}}}')")
    with shop.connect() as admin:
        assert admin.execute(
            "SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", [role.name]
        ).fetchone() == (False,)


def test_nobody_but_the_bot_may_call_them(shop: Shop) -> None:
    engine = shop.engine()
    role = made(shop, "aaaa7777", engine)
    given = engine.reveal(role, datetime.now(UTC), shop.database)
    url = shop.server.url(shop.database, given.role, given.password)
    with closing(psycopg.connect(url, autocommit=True)) as holder:
        for call in ("lend_roles", "shut_roles", "drop_roles", "require_temporary"):
            more = ", true" if call == "require_temporary" else ""
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                holder.execute(
                    sql.SQL("SELECT jit_admin.{}(ARRAY['jit_bot']{})").format(
                        sql.Identifier(call), sql.SQL(more)
                    )
                )
    with shop.connect() as admin:
        assert admin.execute(
            "SELECT DISTINCT o.rolsuper, o.oid FROM pg_proc p JOIN pg_roles o ON o.oid = p.proowner"
            " WHERE p.oid = ANY (%s::regprocedure[])",
            [list(naming.DEPUTIES)],
        ).fetchall() == [(True, 10)]


def test_roles_made_with_and_without_them_end_alike_and_together(shop: Shop) -> None:
    before = shop.engine()
    with without_deputies(shop):
        old = [made(shop, f"bbbb000{n}", before) for n in range(2)]
        before.dispose()
        if version(shop) >= 16:
            assert sorted(administered(shop)) == [role.name for role in old]
    assert administered(shop) == []
    engine = shop.engine()
    new = [made(shop, f"cccc000{n}", engine) for n in range(2)]
    given = [engine.reveal(role, datetime.now(UTC), shop.database) for role in (old[0], new[0])]
    urls = [shop.server.url(shop.database, one.role, one.password) for one in given]
    with closing(psycopg.connect(urls[0])), closing(psycopg.connect(urls[1])):
        closed = engine.close_all([*old, *new])
        assert [len(closed[role.grant_id].sessions_cut) for role in (*old, *new)] == [1, 0, 1, 0]
    removed = engine.remove_all([*old, *new])
    assert all(removed[role.grant_id].clean for role in (*old, *new))


def test_roles_made_by_them_end_without_them_once_a_superuser_lends_them(shop: Shop) -> None:
    role = made(shop, "dddd0001")
    with without_deputies(shop):
        with shop.connect() as admin:
            admin.execute(f"GRANT {role.name} TO jit_bot WITH ADMIN OPTION")
        engine = shop.engine()
        engine.close(role)
        assert engine.remove(role).clean


def test_the_doctor_misses_them(shop: Shop) -> None:
    def found() -> list[str]:
        return [
            one.message
            for one in shop.engine().check([shop.scope()])
            if one.severity is Severity.WARNING and "temporary roles are there" in one.message
        ]

    assert found() == []
    with without_deputies(shop):
        assert len(found()) == 1


def test_the_doctor_warns_of_roles_that_only_they_can_end(shop: Shop) -> None:
    def found() -> list[str]:
        every = shop.engine().check([shop.scope()])
        return [one.message for one in every if one.severity is Severity.ERROR]

    with without_deputies(shop):
        old = made(shop, "eeee0001")
        assert found() == []
    role = made(shop, "eeee0002")
    assert found() == []
    with without_deputies(shop):
        told = ["temporary roles that only those functions could end: 2"]
        assert found() == (told if version(shop) >= 16 else [])
    for each in (old, role):
        shop.engine().close(each)
        assert shop.engine().remove(each).clean
