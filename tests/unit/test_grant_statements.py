"""What a statement is and which tables it names; and the server's log, read."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from db_grants.postgres import serverlog, statements


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("select 1", "SELECT"),
        ("  -- note\n /* more */ (SELECT 1)", "SELECT"),
        ("WITH a AS (SELECT 1) SELECT * FROM a", "SELECT"),
        ("WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a", "DELETE"),
        ("with a as (select 'insert into') select 1", "SELECT"),
        ('select "update" from t', "SELECT"),
        ("insert into t values (1)", "INSERT"),
        ("update t set a = 1", "UPDATE"),
        ("MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE", "MERGE"),
        ("copy t to stdout", "COPY"),
        ("TABLE t", "SELECT"),
        ("BEGIN", "TRANSACTION"),
        ("begin; delete from t; commit", "DELETE"),
        ("explain analyze delete from t", "EXPLAIN"),
        ("vacuum", "OTHER"),
        ("", "OTHER"),
        ("'unfinished", "OTHER"),
        ("do $$ begin delete from t; end $$", "OTHER"),
    ],
)
def test_kinds(text: str, kind: str) -> None:
    assert statements.kind(text) == kind


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("select * from app.orders", ("app.orders",)),
        ("select * from APP.Orders o, app.customers as c", ("app.orders", "app.customers")),
        ("select * from a join b on true left join only c.d on true", ("a", "b", "c.d")),
        ('select * from "Odd Schema"."a.b""c"', ('Odd Schema.a.b"c',)),
        ("insert into app.logs (at) select now() from app.x", ("app.logs", "app.x")),
        ("update app.orders set total = 1 where id in (select id from y)", ("app.orders", "y")),
        ("delete from app.orders using z", ("app.orders",)),
        ("with w as (select 1 from v) select * from w", ("v",)),
        ("select * from generate_series(1, 2)", ()),
        ("select extract(year from at) from app.logs", ("app.logs",)),
        ("select 'from app.secret' -- from app.other", ()),
        ("select * from pg_catalog.pg_class, information_schema.tables", ()),
        ("copy app.orders to stdout", ("app.orders",)),
        ("select * from app.orders for update", ("app.orders",)),
        ("declare c cursor for select * from app.orders; fetch 5 from c", ("app.orders",)),
        ("move forward all from c", ()),
    ],
)
def test_tables(text: str, tables: tuple[str, ...]) -> None:
    assert statements.tables(text) == tables


def record(number: int, message: str, **more: Any) -> tuple[str, str]:
    line = {
        "timestamp": f"2026-11-22 03:00:{number:02d}.500 CET",
        "user": "jit_abcd1234",
        "session_id": "69211d80.1f",
        "line_num": number,
        "error_severity": "LOG",
        "message": message,
        "application_name": "psql",
        "remote_host": "10.0.0.7",
        **more,
    }
    return ("json", json.dumps(line))


def told(*rows: tuple[str, str]) -> serverlog.Log:
    return serverlog.read([("zone", "Europe/Berlin"), *rows], "jit_abcd1234")


def test_times_are_read_in_the_zone_of_the_log() -> None:
    (entry,) = told(record(1, "statement: select 1")).entries
    assert entry.at == datetime(2026, 11, 22, 2, 0, 1, 500000, tzinfo=UTC)


def test_an_error_is_noted_on_the_statement_it_belongs_to() -> None:
    log = told(
        record(1, "statement: select secret"),
        record(
            2,
            "permission denied for table t",
            error_severity="ERROR",
            state_code="42501",
            statement="select secret",
        ),
        record(3, "statement: select 1"),
    )
    assert [(entry.text, entry.state) for entry in log.entries] == [
        ("select secret", "42501"),
        ("select 1", None),
    ]


def test_a_statement_known_only_by_its_error_is_told() -> None:
    (entry,) = told(
        record(1, "syntax error", error_severity="ERROR", state_code="42601", statement="selec 1")
    ).entries
    assert (entry.text, entry.error) == ("selec 1", "syntax error")


def test_the_text_of_an_executed_statement_is_told_without_its_name() -> None:
    (entry,) = told(record(1, "execute <unnamed>: select 1\nfrom t")).entries
    assert entry.text == "select 1\nfrom t"


def test_a_refused_login_is_no_session() -> None:
    log = told(
        record(1, "password authentication failed", error_severity="FATAL", state_code="28P01")
    )
    assert log.sessions == ()


def test_a_session_that_was_cut_has_ended() -> None:
    (session,) = told(
        record(1, "connection authorized: user=jit_abcd1234"),
        record(2, "terminating connection", error_severity="FATAL", state_code="57P01"),
    ).sessions
    assert session.ended_at == datetime(2026, 11, 22, 2, 0, 2, 500000, tzinfo=UTC)
    assert session.client == "10.0.0.7"


def test_a_record_of_somebody_else_is_not_told() -> None:
    assert told(record(1, "statement: select 1", user="alice")).entries == ()


def test_gaps_and_absence_are_passed_on() -> None:
    assert told(("partial", "older log files are gone")).gaps == ("older log files are gone",)
    assert told(("none", "no log")).absent == "no log"


def test_a_csv_record_says_the_same() -> None:
    fields = ['"x"'] * 26
    fields[0] = "2026-11-22 03:00:01.500 CET"
    fields[1], fields[4] = '"jit_abcd1234"', '"10.0.0.7:5000"'
    fields[5], fields[6], fields[11] = "69211d80.1f", "3", "LOG"
    fields[13], fields[22] = '"statement: select ""a"",\n1"', '"psql"'
    log = told(("csv", ",".join(fields)))
    (entry,) = log.entries
    (session,) = log.sessions
    assert entry.text == 'select "a",\n1'
    assert (session.client, session.application) == ("10.0.0.7", "psql")
