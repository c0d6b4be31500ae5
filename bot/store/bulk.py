"""Many rows in one statement, by the driver itself: a thousand ends write ten thousand of them.

PostgreSQL is given all rows as one JSON text and takes it apart: one message and one plan, whatever
their number. SQLite runs its statement row by row, within this process anyway.
"""

import functools
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement

from bot.store import columns, faults, mapping

Row = Mapping[str, Any]  # by the columns' keys
MANY = 25  # rows of which the same is written, from which on they have a statement of their own
WORD = "{}"  # what a word is put in place of, see `insert_alike`

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_is_doubtful = re.compile(r"\\u(?:0000|d[89a-f])").search  # perhaps what no database can hold
_MICROSECOND = timedelta(microseconds=1)


def insert(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Row], *, but_taken: bool = False
) -> None:
    """Insert rows of the same columns, in their order; `but_taken`: those whose key is free."""
    if rows:
        statement = functools.partial(_insertion, but_taken=but_taken)
        _run(connection, statement, table, tuple(rows[0]), rows)


def insert_alike(
    connection: sa.Connection,
    table: sa.Table,
    alike: Row,
    placed: Mapping[str, str],
    words: Sequence[str | None],
) -> None:
    """Insert a row for each word, in their order: all alike but for the columns `placed`, of text, with
    the word wherever their text has WORD.
    """
    on_sqlite = connection.dialect.name == "sqlite"
    says = [_way(table.c[key], on_sqlite=True)[1] for key in alike]  # JSON is one text of it
    values = [
        None if value is None else say(value)
        for say, value in zip(says, alike.values(), strict=True)
    ]
    text = _insertion_alike(
        None if on_sqlite else connection.dialect, table, tuple(alike), tuple(placed)
    )
    with faults.cursor_of(connection) as cursor:
        cursor.execute(text, [*values, *placed.values(), _encode(words)])


@functools.lru_cache(64)
def _insertion_alike(
    postgresql: sa.Dialect | None, table: sa.Table, alike: Sequence[str], placed: Sequence[str]
) -> str:
    taken = [table.c[key] for key in (*alike, *placed)]
    marks = ["?" if postgresql is None else "%s"] * (len(taken) + 1)
    if postgresql is not None:
        kinds = [each.type.compile(dialect=postgresql) for each in taken]
        marks = [f"{mark}::{kind}" for mark, kind in zip(marks, [*kinds, "json"], strict=True)]
    *given, words = marks
    given[len(alike) :] = [f"replace({mark}, '{WORD}', word)" for mark in given[len(alike) :]]
    source = f"SELECT value AS word FROM json_each({words})"
    if postgresql is not None:
        source = f"SELECT json_array_elements_text({words}) AS word"
    listed = ", ".join(each.name for each in taken)
    return f"INSERT INTO {table.name} ({listed}) SELECT {', '.join(given)} FROM ({source}) AS given"


def update(
    connection: sa.Connection, table: sa.Table, names: Collection[str], rows: Sequence[Row]
) -> None:
    """Set the columns `names` of each row's `id` to what the row says."""
    _run(connection, _change, table, (*sorted(names), "id"), rows)


class Among(FunctionElement[bool]):
    """Whether a column of text is one of some words, or one of those that a query finds.

    One statement for any number of them, so that it is put together, taken apart and planned once.
    """

    name = "among"
    type = sa.Boolean()
    inherit_cache = True

    def __init__(
        self, column: sa.ColumnElement[Any], words: Iterable[str] | str | sa.ScalarSelect[str]
    ) -> None:
        """At best by an index of the column. One word: the name under which `words` are given later."""
        if isinstance(words, sa.ScalarSelect):
            super().__init__(column, words)
        elif isinstance(words, str):
            super().__init__(column, sa.bindparam(words, type_=sa.Text))
        else:
            super().__init__(column, sa.literal(as_words(words), sa.Text))

    def self_group(self, against: Any = None) -> "Among":  # noqa: ARG002 - as it is called
        """As it stands: compared with 1, as SQLAlchemy would have it, no index is good for it."""
        return self


class Joined(Among):
    """The same, by a join with those words: what is read beside them is compared once, however many
    they are. For where the planner may well go by an index that knows nothing of this column.
    """

    inherit_cache = True


def as_words(words: Iterable[str]) -> str:
    """Words as a statement takes them that has a name for them."""
    return _encode(list(words))


@compiles(Among, "postgresql")
def _among_postgresql(element: Among, compiler: Any, **options: Any) -> str:
    """An array is worked out once, whatever the plan; what a query locks is locked once."""
    column, words = element.clauses
    given = compiler.process(words, **options)
    if not isinstance(words, sa.ScalarSelect):
        given = f"(SELECT json_array_elements_text(({given})::json))"
    return f"({compiler.process(column, **options)} = ANY (ARRAY{given}))"


@compiles(Joined, "postgresql")
def _joined_postgresql(element: Joined, compiler: Any, **options: Any) -> str:
    column, words = element.clauses
    given = compiler.process(words, **options)
    listed = f"(SELECT json_array_elements_text(({given})::json))"
    return f"({compiler.process(column, **options)} IN {listed})"


@compiles(Among, "sqlite")
@compiles(Joined, "sqlite")
def _among_sqlite(element: Among, compiler: Any, **options: Any) -> str:
    column, words = element.clauses
    given = compiler.process(words, **options)
    if not isinstance(words, sa.ScalarSelect):
        given = f"(SELECT value FROM json_each({given}))"
    return f"({compiler.process(column, **options)} IN {given})"


def _run(
    connection: sa.Connection,
    statement: Callable[[str, Sequence[str], str | None], str],
    table: sa.Table,
    keys: tuple[str, ...],
    rows: Sequence[Row],
) -> None:
    on_sqlite = connection.dialect.name == "sqlite"
    ways = [_way(table.c[key], on_sqlite=on_sqlite) for key in keys]
    names = [name for name, _ in ways]
    columns_ = [
        _told(say, [row[key] for row in rows]) for key, (_, say) in zip(keys, ways, strict=True)
    ]
    plain = zip(*columns_, strict=True)
    with faults.cursor_of(connection) as cursor:
        if on_sqlite:
            cursor.executemany(statement(table.name, names, None), plain)
        else:
            text = statement(table.name, names, _recordset(connection.dialect, table, keys))
            cursor.execute(text, (_as_json([dict(zip(names, row, strict=True)) for row in plain]),))


def _told(say: Callable[[Any], Any], values: Sequence[Any]) -> Sequence[Any]:
    """The values of one column. Mostly they are one and the same, which is then put in words once."""
    first = values[0] if values else None
    if all(value is first for value in values):
        return [None if first is None else say(first)] * len(values)
    if say is _same:
        return values
    return [None if value is None else say(value) for value in values]


def _insertion(table: str, names: Sequence[str], given: str | None, *, but_taken: bool) -> str:
    listed = ", ".join(names)
    marks = ", ".join("?" * len(names))
    source = f"SELECT {listed} FROM {given}" if given else f"VALUES ({marks})"
    taken = " ON CONFLICT DO NOTHING" if but_taken else ""
    return f"INSERT INTO {table} ({listed}) {source}{taken}"


def _change(table: str, names: Sequence[str], given: str | None) -> str:
    *changed, key = names
    values = ", ".join(f"{each} = {f'given.{each}' if given else '?'}" for each in changed)
    source = f"FROM {given} WHERE {table}.{key} = given.{key}" if given else f"WHERE {key} = ?"
    return f"UPDATE {table} SET {values} {source}"


@functools.lru_cache(64)
def _recordset(dialect: sa.Dialect, table: sa.Table, keys: Sequence[str]) -> str:
    """Rows of the parameter, with the types that the table gives them."""
    taken = [table.c[key] for key in keys]
    typed = ", ".join(f"{each.name} {each.type.compile(dialect=dialect)}" for each in taken)
    return f"json_to_recordset(%s::json) AS given ({typed})"


def _as_json(rows: Sequence[Row]) -> str:
    text = _encode(rows)
    return _encode(mapping.plain(rows)) if _is_doubtful(text) else text


@functools.cache
def _way(column: sa.Column[Any], *, on_sqlite: bool) -> tuple[str, Callable[[Any], Any]]:
    """What a column is called, and how its values are told in JSON's own types.

    SQLite has no type for JSON: there what is nested is text.
    """
    kind = column.type
    if isinstance(kind, sa.JSON | columns.Several):
        return column.name, _nested if on_sqlite else _same
    ways: Mapping[type, Callable[[Any], Any]] = {
        columns.Moment: _moment,
        columns.Span: _span,
        columns.Words: columns.clean,
        sa.Enum: str,
    }
    return column.name, next((way for of, way in ways.items() if isinstance(kind, of)), _same)


def _same(value: Any) -> Any:
    return value


def _nested(value: Any) -> str:
    return _encode(list(value) if isinstance(value, tuple) else value)


def _span(value: timedelta) -> int:
    return value // _MICROSECOND


def _moment(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError("the store takes aware datetimes only")
    return value.astimezone(UTC).isoformat(timespec="microseconds")
