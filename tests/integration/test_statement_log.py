"""The one function that reads the server's log: in both formats, over rotation, within bounds."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bot.demo import postgres
from db_grants import naming
from db_grants.postgres import PostgresEngine
from db_grants.spec import TEXT_KEPT, Activity, Credential, Evidence, GrantSpec, ManagedRole
from tests.fixtures_postgres import SETTINGS, Shop


@pytest.fixture(scope="module", params=["jsonlog", "csvlog"])
def shop_server(request: pytest.FixtureRequest, server_folder: Path) -> Iterator[postgres.Server]:
    """A server whose log is in one of the two formats, told in a zone that is not UTC."""
    settings = {
        **SETTINGS,
        "log_destination": request.param,
        "log_timezone": "America/New_York",
        "log_filename": "log-%Y%m%d%H%M%S.log",
    }
    server = postgres.Server.start(server_folder / request.param, settings=settings)
    yield server
    server.discard()


def given(shop: Shop, engine: PostgresEngine, grant_id: str) -> tuple[ManagedRole, Credential]:
    until = datetime.now(UTC) + timedelta(minutes=30)
    role = engine.create(
        GrantSpec(
            grant_id=grant_id,
            role_name=naming.managed_role(grant_id),
            scope=shop.scope(),
            expires_at=until,
        )
    )
    return role, engine.reveal(role, until, shop.database)


def run(shop: Shop, credential: Credential, *statements: str) -> None:
    url = shop.server.url(credential.database, credential.role, credential.password)
    with closing(psycopg.connect(url, autocommit=True)) as session:
        for statement in statements:
            with suppress(psycopg.ProgrammingError, psycopg.DataError):  # the log tells of it too
                session.execute(statement)  # type: ignore[call-overload]


def told(shop: Shop, grant_id: str, *statements: str) -> Activity:
    engine = shop.engine()
    since = datetime.now(UTC)  # as the service does; a server just started has no older log
    role, credential = given(shop, engine, grant_id)
    run(shop, credential, *statements)
    engine.close(role)
    activity = engine.activity(role, since)
    engine.remove(role)
    return activity


def test_statements_are_told_word_for_word(shop: Shop) -> None:
    text = 'SELECT \'Grüße, "quoted",\n2026-11-22 00:00:00.000 UTC,"jit_other",\' AS a -- \\n'
    activity = told(shop, "w0rds001", text)
    assert activity.evidence is Evidence.STATEMENT_LOG
    assert [statement.text for statement in activity.statements] == [text]


def test_no_password_that_a_holder_chose_is_told(shop: Shop) -> None:
    activity = told(
        shop,
        "s3cret01",
        "ALTER ROLE CURRENT_USER PASSWORD 'hunter2'",
        "SELECT 'password=hunter2 host=x', password('hunter') FROM app.orders" + " " * 3000,
    )
    first, second = (statement.text for statement in activity.statements)
    assert first == "ALTER ROLE CURRENT_USER PASSWORD '…'"
    assert "hunter2" not in second
    assert len(second) == TEXT_KEPT  # it was cut, and looks so


def test_what_was_done_is_told_as_well_once_the_role_is_gone(shop: Shop) -> None:
    engine = shop.engine()
    since = datetime.now(UTC)
    role, credential = given(shop, engine, "g0ne0001")
    run(shop, credential, "SELECT 1")
    engine.close(role)
    before = engine.activity(role, since)
    engine.remove(role)
    assert before.evidence is Evidence.STATEMENT_LOG
    assert engine.activity(role, since) == before


def test_a_login_that_found_no_room_is_no_session(shop: Shop) -> None:
    engine, since = shop.engine(), datetime.now(UTC)
    role, credential = given(shop, engine, "r00m0001")
    url = shop.server.url(credential.database, credential.role, credential.password)
    with ExitStack() as open_:
        for _ in range(4):
            open_.enter_context(closing(psycopg.connect(url)))
        for _ in range(3):
            with pytest.raises(psycopg.OperationalError, match="too many connections"):
                psycopg.connect(url)
    engine.close(role)
    assert len(engine.activity(role, since).sessions) == 4
    engine.remove(role)


def test_what_was_refused_was_not_touched(shop: Shop) -> None:
    joined = "SELECT 1 FROM app.orders, app.payments"
    activity = told(
        shop,
        "ref5ed01",
        "SELECT ssn FROM app.customers",
        joined,
        "SELECT id FROM app.customers",
        "SELECT * FROM jit_admin.anything",
    )
    assert dict(activity.counts) == {"refused": 3, "SELECT": 1}
    assert dict(activity.tables) == {"app.customers": 1, "app.orders": 1}


def test_what_there_is_not_was_not_touched(shop: Shop) -> None:
    activity = told(
        shop,
        "a6sent01",
        "SELECT 1 FROM nope",
        "SELECT 1 FROM app.nope, app.orders",
        "TRUNCATE app.nope",
        "SELECT no_such_column FROM app.orders",
        "SELECT 1 FROM app.orders; SELECT 1 FROM app.nope",
        "SELECT 1/0 FROM app.orders AS o",
        "DO $$ BEGIN PERFORM 1 FROM app.nope; END $$",
    )
    assert dict(activity.counts) == {"SELECT": 5, "DO": 1, "OTHER": 1}
    assert dict(activity.tables) == {"app.orders": 2}


def test_times_are_true_whatever_the_zone_of_the_log(shop: Shop) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    activity = told(shop, "z0nes001", "SELECT 1")
    (statement,) = activity.statements
    assert before <= statement.at <= datetime.now(UTC) + timedelta(seconds=2)


def test_a_rotated_log_is_read_through(shop: Shop) -> None:
    engine = shop.engine()
    since = datetime.now(UTC)
    role, credential = given(shop, engine, "r0tate01")
    run(shop, credential, "SELECT 1 AS before")
    rotate(shop)
    run(shop, credential, "SELECT 2 AS after")
    engine.close(role)
    activity = engine.activity(role, since)
    assert [statement.text for statement in activity.statements] == [
        "SELECT 1 AS before",
        "SELECT 2 AS after",
    ]
    assert len(activity.sessions) == 2


def rotate(shop: Shop) -> None:
    """Names carry seconds, so a rotation within the second goes on in the same file."""
    with shop.connect() as admin:
        before = admin.execute("SELECT count(*) FROM pg_ls_logdir()").fetchone()
        for _ in range(300):
            admin.execute("SELECT pg_rotate_logfile(), pg_sleep(0.02)")
            if admin.execute("SELECT count(*) FROM pg_ls_logdir()").fetchone() != before:
                return
    raise AssertionError("the log was not rotated")


def test_another_role_is_not_told_of_even_if_a_statement_pretends_so(shop: Shop) -> None:
    pretend = (
        'SELECT 1 /*\n2026-11-22 00:00:00.000 EST,"jit_v1ct1m01","x",1,"",6.1,1,"",,,,LOG,00000,'
        '"statement: DROP TABLE x"\n{"timestamp":"2026-11-22 00:00:00.000 EST","user":"jit_v1ct1m01"}*/'
    )
    told(shop, "f0rger01", pretend)
    activity = told(shop, "v1ct1m01", "SELECT 1")
    assert [statement.text for statement in activity.statements] == ["SELECT 1"]


def rows(shop: Shop, name: str, since: datetime, *bound: int) -> list[Any]:
    with psycopg.connect(shop.bot_url, autocommit=True) as bot:
        holes = ", ".join(["%s"] * (2 + len(bound)))
        query = f"SELECT kind, record FROM jit_admin.statement_logs({holes})"
        return bot.execute(query, ([name], [since], *bound)).fetchall()  # type: ignore[call-overload]


@pytest.mark.parametrize("name", ["postgres", "jit_bot", "jit_bot%", "alice", "jit_a' OR true", ""])
def test_only_temporary_roles_can_be_asked_about(shop: Shop, name: str) -> None:
    found = rows(shop, name, datetime.now(UTC) - timedelta(hours=1))
    assert [kind for kind, _ in found] == ["zone", "none"]


def test_a_log_beyond_the_bound_is_told_as_partial(shop: Shop) -> None:
    told(shop, "b1gb1g01", "SELECT 1")
    found = rows(shop, "jit_b1gb1g01", datetime.now(UTC) - timedelta(minutes=5), 100)
    assert "partial" in {kind for kind, _ in found}


def test_log_files_that_are_gone_are_told_as_partial(shop: Shop) -> None:
    told(shop, "g0neg0ne", "SELECT 1")
    rotate(shop)
    folder = shop.server.config.data_dir / "log"
    newest = max(path.stem for path in folder.iterdir())  # by name: times may be equal
    for path in folder.iterdir():
        if path.stem != newest:
            path.unlink()
    with shop.connect() as admin:
        (started,) = admin.execute("SELECT pg_postmaster_start_time()").fetchone() or (None,)
    found = rows(shop, "jit_g0neg0ne", started + timedelta(milliseconds=1))
    assert "partial" in {kind for kind, _ in found}


@pytest.mark.parametrize(
    "call",
    [
        "statement_logs('{jit_abcd1234}', '{2026-01-01}')",
        "log_of_file('log/x', 0, 1, true, '{}', true)",
        "log_records('', true, '{}')",
    ],
)
def test_nobody_but_the_bot_may_read_it(shop: Shop, call: str) -> None:
    with shop.connect() as admin:
        admin.execute("CREATE ROLE jit_curious; SET ROLE jit_curious")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            admin.execute(f"SELECT * FROM jit_admin.{call}")
