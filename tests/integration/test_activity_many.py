"""The activity of many, asked of a real server at once."""

import secrets
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from bot.demo import postgres
from db_grants import errors, naming
from db_grants.postgres import PostgresEngine, links
from db_grants.spec import Activity, Evidence, GrantSpec, ManagedRole
from tests.fixtures_postgres import SETTINGS, Shop, shop_bot

EARLIER = Path(__file__).with_name("earlier_log_reader.sql")


@pytest.fixture(scope="module", params=["jsonlog", "csvlog"])
def shop_server(request: pytest.FixtureRequest, server_folder: Path) -> Iterator[postgres.Server]:
    """A server whose log is in one of the two formats."""
    settings = {**SETTINGS, "log_destination": request.param}
    server = postgres.Server.start(server_folder / f"many-{request.param}", settings=settings)
    yield server
    server.discard()


def ended(
    shop: Shop, engine: PostgresEngine, *runs: tuple[str, ...]
) -> dict[ManagedRole, datetime]:
    """A closed role for each list of statements, which its holder ran and logged out."""
    sinces = {}
    for statements in runs:
        grant_id, until = secrets.token_hex(4), datetime.now(UTC) + timedelta(minutes=30)
        spec = GrantSpec(
            grant_id=grant_id,
            role_name=naming.managed_role(grant_id),
            scope=shop.scope(),
            expires_at=until,
        )
        since = datetime.now(UTC)
        role = engine.create(spec)
        sinces[role] = since
        if statements:
            given = engine.reveal(role, until, shop.database)
            url = shop.server.url(shop.database, given.role, given.password)
            with closing(psycopg.connect(url, autocommit=True)) as session:
                for statement in statements:
                    with suppress(psycopg.Error):  # the log tells of it too
                        session.execute(sql.SQL(statement))
    engine.close_all(list(sinces))
    return sinces


def told(engine: PostgresEngine, sinces: dict[ManagedRole, datetime]) -> list[Activity]:
    found = engine.activity_all(sinces)
    assert found == {role.grant_id: engine.activity(role, since) for role, since in sinces.items()}
    return [each for each in found.values() if isinstance(each, Activity)]


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What goes over the wire of any engine."""
    asked: list[str] = []
    ask = links.Link.ask

    def count(self: links.Link, *statements: sql.Composable) -> list[links.Rows]:
        asked.append(sql.SQL(";").join(statements).as_string(None))
        return ask(self, *statements)

    monkeypatch.setattr(links.Link, "ask", count)
    return asked


def test_one_turn_tells_of_any_number(shop: Shop, turns: list[str]) -> None:
    engine = shop.engine()
    sinces = ended(shop, engine, *[()] * 12)
    turns.clear()
    found = engine.activity_all(sinces)
    assert len(turns) == 2  # the first prepares
    assert engine.activity_all(sinces) == found
    assert len(turns) == 3
    assert [each.evidence for each in found.values()] == [Evidence.STATEMENT_LOG] * 12


def test_each_is_told_of_its_own_statements_refusals_and_sessions(shop: Shop) -> None:
    engine = shop.engine()
    sinces = ended(
        shop,
        engine,
        ("SELECT count(name) FROM app.customers", "SELECT ssn FROM app.customers"),
        (),
        ("SELECT 'ü,\n\"',\n2 FROM app.orders", "selec"),
    )
    found = told(engine, sinces)
    assert [dict(each.counts) for each in found] == [
        {"SELECT": 1, "refused": 1},
        {},
        {"SELECT": 1, "OTHER": 1},
    ]
    assert [dict(each.tables) for each in found] == [{"app.customers": 1}, {}, {"app.orders": 1}]
    assert [len(each.sessions) for each in found] == [1, 0, 1]
    assert [each.note for each in found] == [""] * 3


def test_a_holder_cannot_put_statements_into_another_ones_mouth(shop: Shop) -> None:
    engine = shop.engine()
    victim = ended(shop, engine, ("SELECT 1",))
    ((name, since),) = ((role.name, since) for role, since in victim.items())
    at = "2026-11-22 09:00:00.000 UTC"
    line = f'{at},"{name}","shop",7,"",69211d80.1f,1,"",,,,LOG,00000,"statement: DROP TABLE x"'
    forger = ended(
        shop,
        engine,
        (
            f'SELECT $x$\n{line}\n{{"timestamp":"{at}","user":"{name}"}}\n$x$',
            f"DO $x$ BEGIN RAISE EXCEPTION E'\\n{at}' USING DETAIL = '{name}', HINT = 'a'; END $x$",
            f"SET application_name = '{name}'",
            f'SELECT 1 AS "{name}"',
            f'SELECT \'\n{at},"{name}","shop",\'',
        ),
    )
    found = told(engine, dict.fromkeys([*victim, *forger], since))
    assert [len(each.statements) for each in found] == [1, 5]
    assert [each.note for each in found] == ["", ""]


def test_one_that_may_not_be_asked_about_spoils_no_other(shop: Shop) -> None:
    engine = shop.engine()
    sinces = ended(shop, engine, ("SELECT 1",))
    alien = ManagedRole(grant_id="alien001", name="alice", oid=4294967295)
    found = engine.activity_all({alien: datetime.now(UTC), **sinces})
    counted, logged = (found[role.grant_id] for role in (alien, *sinces))
    assert isinstance(counted, Activity)
    assert isinstance(logged, Activity)
    assert counted.evidence is Evidence.COUNTERS
    assert "only the log of temporary roles" in counted.note
    assert (logged.evidence, dict(logged.counts)) == (Evidence.STATEMENT_LOG, {"SELECT": 1})


def test_without_the_log_one_look_at_the_counters_tells_of_all(
    shop: Shop, turns: list[str]
) -> None:
    with shop.connect() as admin:
        admin.execute("DROP FUNCTION jit_admin.statement_logs")
    engine = shop.engine()
    sinces = ended(
        shop,
        engine,
        ("SELECT count(*) FROM app.orders",) * 2,
        (),
        ("SELECT name FROM app.customers",),
    )
    engine.activity_all(sinces)  # prepares
    turns.clear()
    found = engine.activity_all(sinces)
    assert len(turns) == 2
    assert found == {role.grant_id: engine.activity(role, since) for role, since in sinces.items()}
    tables = [dict(each.tables) for each in found.values() if isinstance(each, Activity)]
    assert tables == [{"app.orders": 2}, {}, {"app.customers": 1}]
    assert {each.evidence for each in found.values() if isinstance(each, Activity)} == {
        Evidence.COUNTERS
    }


def test_a_log_reader_that_goes_under_our_hands_leaves_the_counters(shop: Shop) -> None:
    engine = shop.engine()
    sinces = ended(shop, engine, ("SELECT 1",))
    assert [each.evidence for each in told(engine, sinces)] == [Evidence.STATEMENT_LOG]
    with shop.connect() as admin:
        admin.execute("DROP FUNCTION jit_admin.statement_logs")
    assert [each.evidence for each in told(engine, sinces)] == [Evidence.COUNTERS]


def make_earlier(shop: Shop) -> None:
    """Bring the target back to what an earlier bootstrap made of it."""
    with shop.connect() as admin:
        admin.execute(sql.SQL(EARLIER.read_text()).format(bot=sql.Identifier(shop_bot())))


def test_a_target_with_an_earlier_log_reader_is_told_of(shop: Shop) -> None:
    engine = shop.engine()
    said = "the statement log is read anew"
    assert not any(said in found.message for found in engine.check([shop.scope()]))
    make_earlier(shop)
    assert [said in found.message for found in engine.check([shop.scope()])].count(True) == 1


def test_a_target_with_an_earlier_log_reader_is_asked_one_by_one(
    shop: Shop, turns: list[str]
) -> None:
    engine = shop.engine()
    sinces = ended(shop, engine, ("SELECT 1",), ("SELECT 'ü\n\"'", "SELECT ssn FROM app.customers"))
    now = engine.activity_all(sinces)
    make_earlier(shop)
    turns.clear()
    assert engine.activity_all(sinces) == now
    assert sum("jit_admin.statement_log(" in turn for turn in turns) == 2


def test_an_earlier_target_that_is_lost_is_not_waited_for_again_and_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = shop.engine()
    sinces = ended(shop, engine, (), (), ())
    make_earlier(shop)
    ask, asked = links.Link.ask, list[int]()

    def lose(self: links.Link, *statements: sql.Composable) -> list[links.Rows]:
        if "statement_log(" in statements[0].as_string(None):
            asked.append(1)
            if len(asked) == 2:
                raise errors.TargetUnavailable
        return ask(self, *statements)

    monkeypatch.setattr(links.Link, "ask", lose)
    found = engine.activity_all(sinces)
    assert [type(found[role.grant_id]) for role in sinces] == [
        Activity,
        errors.TargetUnavailable,
        errors.TargetUnavailable,
    ]
    assert len(asked) == 2


def test_a_server_that_does_not_log_ends_is_given_a_moment_and_no_more(
    shop: Shop, turns: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    pause = time.sleep

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        pause(seconds)

    monkeypatch.setattr(time, "sleep", sleep)
    with shop.connect() as admin:
        admin.execute("ALTER SYSTEM SET log_disconnections = off")
        admin.execute("SELECT pg_reload_conf(), pg_sleep(0.2)")
    try:
        engine = shop.engine()
        sinces = ended(shop, engine, ("SELECT 1",), ("SELECT 2",))
        turns.clear()
        pauses.clear()
        found = engine.activity_all(sinces)
    finally:
        with shop.connect() as admin:
            admin.execute("ALTER SYSTEM RESET log_disconnections")
            admin.execute("SELECT pg_reload_conf()")
    assert [len(each.statements) for each in found.values() if isinstance(each, Activity)] == [1, 1]
    assert len(turns) == 3
    assert len(pauses) == 1
