"""Rows to values of the model and back; and values to JSON that is the same every time."""

import dataclasses
import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, TypeVar

import sqlalchemy as sa

from bot.store import columns

Value = TypeVar("Value")


@functools.cache
def fields_of(cls: type) -> tuple[str, ...]:
    """The names of a value's fields."""
    return tuple(field.name for field in dataclasses.fields(cls))


def values_of(value: Any) -> dict[str, Any]:
    """A frozen value as column key -> what to store."""
    kind: type = type(value)
    return {name: getattr(value, name) for name in fields_of(kind)}


def value_from(cls: type[Value], row: sa.Row[Any], table: sa.Table) -> Value:
    """The value a row of `table` was made from; columns that the value does not have are left out."""
    kind: type = cls
    names, pick = _picked(kind, table, row._fields)
    return cls(**dict(zip(names, pick(row), strict=True)))


@functools.lru_cache(256)
def _picked(
    cls: type, table: sa.Table, given: tuple[str, ...]
) -> tuple[tuple[str, ...], Callable[[Any], Any]]:
    """The fields of a value, and how they are taken out of a row of columns called so."""
    places = {name: place for place, name in enumerate(given)}
    shared = [
        (key, places[column.name]) for key, column in _shared(cls, table) if column.name in places
    ]
    names, at = zip(*shared, strict=True)
    return names, operator.itemgetter(*at)


def columns_of(cls: type, table: sa.Table) -> tuple[sa.Column[Any], ...]:
    """The columns that the value has, in the table's order."""
    return tuple(column for _, column in _shared(cls, table))


def value_of(cls: type[Value], table: sa.Table, row: Sequence[Any]) -> Value:
    """The value whose `columns_of` these are."""
    kind: type = cls
    return cls(**dict(zip(_names(kind, table), row, strict=True)))


@functools.cache
def _names(cls: type, table: sa.Table) -> tuple[str, ...]:
    return tuple(name for name, _ in _shared(cls, table))


@functools.cache
def _shared(cls: type, table: sa.Table) -> tuple[tuple[str, sa.Column[Any]], ...]:
    """The columns that the value has. Worked out once: a sweep reads thousands of rows."""
    fields = frozenset(fields_of(cls))
    return tuple((c.key, c) for c in table.c if c.key in fields)


_AS_THEY_ARE = frozenset({int, float, bool})


def plain(value: object) -> Any:
    """`value` in JSON's own types: times as ISO text in UTC, durations as seconds.

    Raises TypeError for what has no plain form, so that nothing is recorded by its `repr`.
    """
    if (kind := type(value)) is str:  # mostly
        return columns.clean(value)  # type: ignore[arg-type]
    if value is None or kind in _AS_THEY_ARE:
        return value
    if kind is dict:  # asked for first: of an abstract kind takes longer to ask
        return _plain_words(value)  # type: ignore[arg-type]
    return _plain_other(value)


def _plain_words(words: Mapping[Any, object]) -> dict[str, Any]:
    return {
        columns.clean(key) if type(key) is str else str(plain(key)): plain(item)
        for key, item in words.items()
    }


def _plain_other(value: object) -> Any:
    match value:
        case Mapping():
            return _plain_words(value)
        case tuple() | list():
            return [plain(item) for item in value]
        case set() | frozenset():
            return sorted(plain(item) for item in value)
    return _plain_scalar(value)


def _plain_scalar(value: object) -> str | int | float | None:
    match value:
        case Enum():
            return str(value.value)
        case str():
            return columns.clean(value)
        case None | int() | float():
            return value
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds")
        case timedelta():
            seconds = value.total_seconds()
            return int(seconds) if seconds.is_integer() else seconds
    raise TypeError(f"{type(value).__name__} cannot be recorded")


def was_used(activity: Mapping[str, Any] | None) -> bool | None:
    """Whether the holder did anything, by `audit.summary.activity_to_json()`; None when unknown."""
    if activity is None:
        return None
    if activity.get("sessions") or activity.get("counts"):
        return True
    complete = activity.get("evidence") in {"statement_log", "counters"}
    return False if complete else None
