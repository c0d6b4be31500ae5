"""Reading rows of which one may be broken: what a hand wrote into the record must not hide the rest.

A date that is none, or a word that is no status, cannot become a value. Such a row is left out and
told of in the log; the role behind it is found by the reconciler, as one that no grant answers for.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog

from bot.store import mapping

_log = structlog.get_logger(__name__)

Value = TypeVar("Value")

BROKEN = (ValueError, LookupError, TypeError)  # JSON's own error is a ValueError


def values(
    connection: sa.Connection, cls: type[Value], table: sa.Table, query: sa.Select[Any]
) -> tuple[Value, ...]:
    """The values of all rows that can be read, in order. Only where one cannot, each by itself."""
    try:
        return tuple(mapping.value_from(cls, row, table) for row in connection.execute(query))
    except BROKEN:
        keys = connection.execute(query.with_only_columns(*table.primary_key)).all()
        found = (_one(connection, cls, table, query, key) for key in keys)
        return tuple(value for value in found if value is not None)


def _one(
    connection: sa.Connection,
    cls: type[Value],
    table: sa.Table,
    query: sa.Select[Any],
    key: Sequence[Any],
) -> Value | None:
    here = [column == value for column, value in zip(table.primary_key, key, strict=True)]
    try:
        return mapping.value_from(cls, connection.execute(query.where(*here)).one(), table)
    except BROKEN as error:
        _tell(table.name, str(key[0]), str(error))
        return None


def understood(key: str, text: str, read: Callable[[str], Value]) -> Value | None:
    """What `read` makes of a text kept under `key`; None where a hand has spoilt it.

    Then it is as if nothing had been kept: what it told of is told anew, rather than never again.
    """
    try:
        return read(text)
    except (*BROKEN, AttributeError) as error:
        _tell("setting", key, str(error))
        return None


@functools.cache
def _tell(table: str, key: str, why: str) -> None:
    """Once a process: it is looked at every second."""
    _log.error("row_unreadable", table=table, id=key, why=why)
