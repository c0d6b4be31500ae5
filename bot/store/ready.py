"""Statements put together once, and then run by the driver itself.

What a grant and its end ask of the record is the same few statements every time. To put one of them
together, and to look up what it was compiled to, takes SQLAlchemy ten times as long as SQLite needs
to run it. So each is compiled once a dialect, with what its types make of values on the way in and
out; nothing else knows how a value is written.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from bot.store import faults

Turned = Callable[[Any], Any] | None  # how one value is turned on its way; none: as it is
Row = tuple[Any, ...]


class Ready:
    """One statement, by names for all that differs from one time to the next."""

    def __init__(
        self,
        make: Callable[[sa.Connection], Any],
        gives: Sequence[sa.ColumnElement[Any]] = (),
        keys: Sequence[str] = (),
    ) -> None:
        """`make`: the statement, for that dialect; `gives`: its columns; `keys`: what an INSERT sets."""
        self._make = make
        self._gives = gives
        self._keys = keys
        self._forms: dict[str, _Form] = {}  # by dialect

    def rows(self, connection: sa.Connection, **given: Any) -> list[Row]:
        """What it gives. Raises as SQLAlchemy does, and what the types raise of what cannot be read."""
        form = self._form(connection)
        with faults.cursor_of(connection) as cursor:
            found = cursor.execute(form.text, form.given(given)).fetchall()
        return [form.row(each) for each in found] if found else []

    def fetched(self, connection: sa.Connection, **given: Any) -> "Fetched":
        """What it gives, as the driver has it: for whoever wants to know which row cannot be read."""
        form = self._form(connection)
        with faults.cursor_of(connection) as cursor:
            return Fetched(rows=cursor.execute(form.text, form.given(given)).fetchall(), form=form)

    def first(self, connection: sa.Connection, **given: Any) -> Row | None:
        """The first row of at most a few."""
        form = self._form(connection)
        with faults.cursor_of(connection) as cursor:
            found = cursor.execute(form.text, form.given(given)).fetchall()
        return form.row(found[0]) if found else None

    def run(self, connection: sa.Connection, **given: Any) -> int:
        """Run what gives nothing; how many rows it met."""
        form = self._form(connection)
        with faults.cursor_of(connection) as cursor:
            return int(cursor.execute(form.text, form.given(given)).rowcount)

    def _form(self, connection: sa.Connection) -> "_Form":
        form = self._forms.get(connection.dialect.name)
        if form is None:
            form = self._forms[connection.dialect.name] = self._compiled(connection)
        return form

    def _compiled(self, connection: sa.Connection) -> "_Form":
        dialect = connection.dialect
        made = self._make(connection).compile(dialect=dialect, column_keys=list(self._keys) or None)
        names = made.positiontup if made.positional else list(made.params)
        return _Form(
            text=str(made),
            positional=made.positional,
            kept={name: made.binds[name].value for name in names if not made.binds[name].required},
            into=tuple((name, _into(made.binds[name].type, dialect)) for name in names),
            out=tuple(
                (place, turn)
                for place, column in enumerate(self._gives)
                if (turn := _out(column.type, dialect)) is not None
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """A statement as one driver takes it."""

    text: str
    positional: bool  # values have places, and no names
    kept: Mapping[str, Any]  # values that are the same every time
    into: tuple[tuple[str, Turned], ...]  # by name, in the order of places
    out: tuple[tuple[int, Callable[[Any], Any]], ...]  # by place; NULL is None everywhere

    def given(self, values: Mapping[str, Any]) -> Any:
        """Values as the driver takes them. KeyError: one is missing."""
        all_ = {**self.kept, **values} if self.kept else values
        if self.positional:
            return [turn(all_[name]) if turn else all_[name] for name, turn in self.into]
        return {name: turn(all_[name]) if turn else all_[name] for name, turn in self.into}

    def row(self, found: Iterable[Any]) -> Row:
        """What the driver gave, as values of the model."""
        values = list(found)
        for place, turn in self.out:
            if (value := values[place]) is not None:
                values[place] = turn(value)
        return tuple(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Rows as the driver gave them."""

    rows: Sequence[Any]
    form: _Form

    def values(self) -> list[Row]:
        """The rows as values of the model. Raises what the types raise of what cannot be read."""
        return [self.form.row(each) for each in self.rows]


def _into(type_: sa.types.TypeEngine[Any], dialect: sa.Dialect) -> Turned:
    return type_.dialect_impl(dialect).bind_processor(dialect)


def _out(type_: sa.types.TypeEngine[Any], dialect: sa.Dialect) -> Turned:
    return type_.dialect_impl(dialect).result_processor(dialect, None)
