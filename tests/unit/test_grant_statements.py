"""What a statement is and which tables it names; and the server's log, read."""

import json
import subprocess
import sys
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
        ("do $$ begin delete from t; end $$", "DO"),
        ("select 1; call tidy()", "CALL"),
    ],
)
def test_kinds(text: str, kind: str) -> None:
    assert statements.label(text).kind == kind


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("select * from app.orders", ("app.orders",)),
        ("select * from APP.Orders o, app.customers as c", ("app.orders", "app.customers")),
        ("select * from a join b on true left join only c.d on true", ("a", "b", "c.d")),
        ('select * from "Odd Schema"."a.b""c"', ('Odd Schema.a.b"c',)),
        ("insert into app.logs (at) select now() from app.x", ("app.logs", "app.x")),
        ("update app.orders set total = 1 where id in (select id from y)", ("app.orders", "y")),
        ("delete from app.orders using z", ("app.orders", "z")),
        ("with w as (select 1 from v) select * from w", ("v",)),
        ("select * from generate_series(1, 2)", ()),
        ("select extract(year from at) from app.logs", ("app.logs",)),
        ("select 'from app.secret' -- from app.other", ()),
        ("select * from pg_catalog.pg_class, information_schema.tables", ()),
        ("copy app.orders to stdout", ("app.orders",)),
        ("select * from app.orders for update", ("app.orders",)),
        ("declare c cursor for select * from app.orders; fetch 5 from c", ("app.orders",)),
        ("move forward all from c", ()),
        ("select trim(both from name) from app.customers", ("app.customers",)),
        ("select ((1)) from (select 2 from app.a) as s join app.b on true", ("app.a", "app.b")),
        ("select o.id from orders as o join customers as c on true", ("orders", "customers")),
        ("update orders as o set id = 1, total = 2 from a as x(b), c", ("orders", "a", "c")),
        ("select * from a x join b y using (z, w), c where (d, e) in (select 1)", ("a", "b", "c")),
        ("select * from a tablesample system (1), ((b)), (c join d on true)", ("a", "b", "c", "d")),
        ("select * from rows from (f(1), g(2)), a", ("a",)),
        ("with w (a, b) as not materialized (select 1 from v) select * from w", ("v",)),
        ("create temp table orders as select * from app.orders as o", ("app.orders",)),
        ("select 1 from a union select b, c from d", ("a", "d")),
        (
            "merge into a as x using b as y on true when matched then update set c = 1",
            ("a", "b"),
        ),
        ("delete from a using b join c using (d)", ("a", "b", "c")),
        ("truncate app.a, only app.b", ("app.a", "app.b")),
        ("lock table app.a, app.b in share mode", ("app.a", "app.b")),
        ("drop table if exists app.a, app.b", ("app.a", "app.b")),
        ("select * into temp a from b", ("a", "b")),
        ("insert into temp values (1)", ("temp",)),
        ("copy app.logs (at, text) from stdin", ("app.logs",)),
        ("copy (select * from app.a) to stdout", ("app.a",)),
        ("select 1 from a for no key update", ("a",)),
        (
            'select 1 from U&"app"."x", app.u&"\\006f\\+000072ders" join U&"d!0061" uescape \'!\' on true',
            ("app.x", "app.orders", "da"),
        ),
        (
            'select 1 from U&"a\\\\b", U&"\\d83d\\de00", U&"\\d83d", U&"\\0000"',
            ("a\\b", "\N{GRINNING FACE}", "\N{REPLACEMENT CHARACTER}", "\\0000"),
        ),
    ],
)
def test_tables(text: str, tables: tuple[str, ...]) -> None:
    assert statements.label(text).tables == tables


@pytest.mark.parametrize(
    "text",
    [
        "select '" + "a" * 3_000_000 + "'",
        'select "' + "a" * 3_000_000 + '"',
        "select '" + "''" * 1_500_000,
        "select " + "1," * 1_500_000,
        "select 1" + " from from, from" * 200_000,
        "select " + "(" * 3_000_000,
        "select " + "(" * 49_000 + ")" * 3_000_000,
        "with " + ")as with" * 400_000,
        "select 1 " + "using a " * 400_000,
    ],
    ids=["literal", "identifier", "quotes", "list", "froms", "open", "closed", "names", "using"],
)
def test_a_statement_of_megabytes_takes_no_gigabytes_and_no_minutes(text: str) -> None:
    code = (
        "import resource, sys; from db_grants.postgres import statements\n"
        "resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (10, 10))\n"
        "print(statements.label(sys.stdin.read()).kind)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=text, capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr[-300:]) == ("OTHER", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "alter role a Password 'it''s' valid until 'x'",
            "alter role a Password '…' valid until 'x'",
        ),
        ("alter role a password E'a\\'b' createdb", "alter role a password '…' createdb"),
        ("alter role a password $q$a'b$q$;", "alter role a password '…';"),
        ("alter role a password 'cut off", "alter role a password '…'"),
        ("select dblink('password = s3cret host=a')", "select dblink('password = '…' host=a')"),
        ("select password, 'b' from t where password is null", None),
        ("alter role a password null", None),
    ],
)
def test_a_password_is_left_out_of_a_text(text: str, said: str | None) -> None:
    assert statements.discreet(text) == (text if said is None else said)


def test_a_long_statement_hides_nothing_behind_what_is_looked_at() -> None:
    assert statements.label("select 1;" + " " * 100_000 + "delete from app.t").kind == "OTHER"
    assert statements.label("insert into app.t values (1" + ",1" * 100_000).kind == "INSERT"


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
    reading = serverlog.Reading("jit_abcd1234")
    for kind, text in (("zone", "Europe/Berlin"), *rows):
        reading.add(kind, text)
    return reading.log()


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


@pytest.mark.parametrize(
    ("text", "state", "position", "misread"),
    [
        ("select a from t", "42703", "8", True),
        ("select a from t", "42703", None, False),  # within a function
        ("select a from t", "22012", "8", False),
        ("select 1 from t; select a from t", "42703", "25", False),  # the first was run
        ("select 1 from t; selekt 1", "42601", "18", True),
    ],
)
def test_a_text_that_the_server_could_not_read_never_began(
    text: str, state: str, position: str | None, misread: bool
) -> None:
    where = {"cursor_position": position} if position else {}
    error = {"error_severity": "ERROR", "state_code": state, "statement": text, **where}
    for rows in (
        [record(1, f"statement: {text}"), record(2, "wrong", **error)],
        [record(1, "wrong", **error)],
    ):
        assert [each.misread for each in told(*rows).entries] == [misread]


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


def test_a_login_that_found_no_room_is_no_session() -> None:
    full = 'too many connections for role "jit_abcd1234"'
    log = told(
        record(1, "connection authorized: user=jit_abcd1234", ps="authentication"),
        record(2, full, error_severity="FATAL", state_code="53300", ps="startup"),
    )
    assert log.sessions == ()


def test_a_session_that_was_cut_has_ended() -> None:
    (session,) = told(
        record(1, "connection authorized: user=jit_abcd1234"),
        record(2, "terminating connection", error_severity="FATAL", state_code="57P01", ps="idle"),
    ).sessions
    assert session.ended_at == datetime(2026, 11, 22, 2, 0, 2, 500000, tzinfo=UTC)
    assert session.client == "10.0.0.7"


def test_a_record_of_somebody_else_is_not_told() -> None:
    assert told(record(1, "statement: select 1", user="alice")).entries == ()


def test_gaps_and_absence_are_passed_on() -> None:
    assert told(("partial", "older log files are gone")).gaps == ("older log files are gone",)
    assert told(("none", "no log")).absent == "no log"


def csv_fields(text: str) -> list[str]:
    fields = ['"x"'] * 26
    fields[0] = "2026-11-22 03:00:01.500 CET"
    fields[1], fields[4] = '"jit_abcd1234"', '"10.0.0.7:5000"'
    fields[5], fields[6], fields[11] = "69211d80.1f", "3", "LOG"
    fields[13], fields[22] = f'"statement: {text}"', '"psql"'
    return fields


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("json", record(2, "statement: select 2")[1][:-30]),
        ("json", record(2, "statement: select 2")[1] * 2),
        ("json", record(2, "statement: select 2", session_id="")[1]),
        ("json", record(2, "statement: select 2", timestamp="soon")[1]),
        ("json", "[]"),
        ("csv", '2026-11-22 03:00:01.500 CET,"jit_abcd1234","shop",12'),
        ("csv", '2026-11-22 03:00:01.500 CET,"jit_abcd1234","sho'),
        ("csv", ",".join(csv_fields("select 2"))[:-1]),
        ("csv", ",".join(csv_fields("select 2") * 2)),
    ],
)
def test_a_damaged_record_is_a_gap_and_no_failure(kind: str, text: str) -> None:
    log = told(record(1, "statement: select 1"), (kind, text))
    assert [entry.text for entry in log.entries] == ["select 1"]
    assert log.gaps == ("a line of the log is damaged",)


def test_a_record_that_is_seen_twice_is_told_once() -> None:
    line = record(1, "statement: select 1")
    assert len(told(line, line).entries) == 1


def test_a_line_that_was_being_written_is_a_gap_until_it_is_whole() -> None:
    reading = serverlog.Reading("jit_abcd1234")
    reading.add("unfinished", "")
    assert reading.log().gaps == ("the log ends within a line",)
    reading.add_news([("partial", "only the end was looked at"), record(1, "statement: select 1")])
    whole = reading.log()
    assert (whole.gaps, len(whole.entries)) == (tuple[str](), 1)


def test_a_client_with_colons_in_its_address_is_told() -> None:
    (session,) = told(record(1, "statement: select 1", remote_host="fe80::1")).sessions
    assert session.client == "fe80::1"


def test_a_csv_record_says_the_same() -> None:
    fields = csv_fields('select ""a"",\n1')
    log = told(("csv", ",".join(fields)))
    (entry,) = log.entries
    (session,) = log.sessions
    assert entry.text == 'select "a",\n1'
    assert (session.client, session.application) == ("10.0.0.7", "psql")


def test_a_csv_record_of_any_length_is_read() -> None:
    log = told(("csv", ",".join(csv_fields("select 1 -- " + "x" * 200_000))))
    assert log.gaps == ()
    assert len(log.entries) == 1
