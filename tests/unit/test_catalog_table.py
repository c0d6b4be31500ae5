"""Names of tables and columns, read as SQL reads them."""

import hypothesis
import pytest
from hypothesis import strategies

from bot.catalog import table


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("app.orders", ("app", "orders")),
        ('app."Odd.Name"', ("app", "Odd.Name")),
        ('"a""b".c', ('a"b', "c")),
        ('"A b"."C d"', ("A b", "C d")),
        (" app.orders ", ("app", "orders")),
        ("app.kündigung", ("app", "kündigung")),
        ("app.t$1", ("app", "t$1")),
    ],
)
def test_reads_sql_quoting(text, parts):
    assert table.parse(text) == parts


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("orders", "lacks its schema"),
        ("a.b.c", "too many parts"),
        ("app.Orders", "has capitals"),
        ("app.", "is not a table"),
        (".orders", "is not a table"),
        ("", "is not a table"),
        ("app.or ders", "is not a table"),
        ("app.1orders", "is not a table"),
        ('app."orders', "is not a table"),
        ("app.orders; drop", "is not a table"),
        ('app.""', "empty"),
        ('app."a\0b"', "NUL"),
        ("app." + "a" * 64, "63 bytes"),
        ('app."' + "ü" * 32 + '"', "63 bytes"),
    ],
)
def test_refuses_what_is_no_table_or_may_mean_another(text, said):
    with pytest.raises(ValueError, match=said):
        table.parse(text)


def test_63_bytes_are_allowed():
    assert table.parse("app." + "a" * 63) == ("app", "a" * 63)


@pytest.mark.parametrize(
    ("text", "name"),
    [("id", "id"), ("Email", "Email"), ("a.b", "a.b"), ('"a""b"', 'a"b'), ('"', '"')],
)
def test_a_column_is_taken_as_written_or_sql_quoted(text, name):
    assert table.column(text) == name


_NAMES = strategies.text(min_size=1, max_size=15).filter(lambda s: "\0" not in s)


@hypothesis.given(_NAMES, _NAMES)
def test_any_legal_name_can_be_written_in_quotes(schema, name):
    quoted = ".".join('"' + part.replace('"', '""') + '"' for part in (schema, name))
    assert table.parse(quoted) == (schema, name)
