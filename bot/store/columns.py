"""Column types that read back exactly what was written, on SQLite and PostgreSQL alike."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator, TypeEngine

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_MICROSECOND = timedelta(microseconds=1)


class Moment(TypeDecorator[datetime]):
    """An aware UTC datetime to the microsecond.

    TIMESTAMPTZ on PostgreSQL. SQLite has no such type, so there it is ISO 8601 text of fixed width,
    which sorts as time does.
    """

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> TypeEngine[Any]:
        """What the dialect has for it."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(sa.DateTime(timezone=True))
        return dialect.type_descriptor(sa.Text())

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> Any:
        """Refuses a naive datetime: nobody could say later what it meant."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("the store takes aware datetimes only")
        utc = value.astimezone(UTC)
        return utc if dialect.name == "postgresql" else utc.isoformat(timespec="microseconds")

    def result_processor(self, _dialect: sa.Dialect, _type: object) -> Callable[[Any], Any]:
        """Always in UTC, whatever zone the session shows."""
        return _moment_of


class Span(TypeDecorator[timedelta]):
    """A duration as whole microseconds."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: timedelta | None, _dialect: sa.Dialect) -> int | None:
        """Exact: no float on the way."""
        return None if value is None else value // _MICROSECOND

    def result_processor(self, _dialect: sa.Dialect, _type: object) -> Callable[[Any], Any]:
        """Exact: no float on the way."""
        return _span_of


class Words(TypeDecorator[str]):
    """Text, of people or of our own enums. What no database can hold (NUL, half a surrogate pair)
    becomes U+FFFD; an enum's member becomes its value, which psycopg would store by name.
    """

    impl = sa.Text
    cache_ok = True

    def bind_processor(self, _dialect: sa.Dialect) -> Callable[[Any], Any]:
        """Clean only what would otherwise be refused."""
        return _clean_if_any


class Several(TypeDecorator[tuple[str, ...]]):
    """A tuple of strings as a JSON list."""

    impl = sa.JSON(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, _dialect: sa.Dialect) -> Any:
        """JSON knows lists."""
        return None if value is None else list(value)

    def process_result_value(self, value: Any, _dialect: sa.Dialect) -> tuple[str, ...] | None:
        """The model knows tuples."""
        return None if value is None else tuple(value)


def _moment_of(value: Any) -> datetime | None:
    if value is None:
        return None
    moment: datetime = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def _span_of(value: int | None) -> timedelta | None:
    return None if value is None else timedelta(microseconds=value)


def _clean_if_any(value: str | None) -> str | None:
    return None if value is None else clean(value)


def clean(text: str) -> str:
    """`text` with NUL and lone surrogates replaced by U+FFFD, otherwise untouched; a plain `str`."""
    plain = str(text)
    if plain.isascii() and "\0" not in plain:  # mostly, and told without a look at each letter
        return plain
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", plain)


def one_of(members: type[StrEnum]) -> sa.Enum:
    """A word of a closed list, stored as its value; the migrations hold the CHECK for it."""
    return sa.Enum(
        members,
        values_callable=lambda enum: [member.value for member in enum],
        native_enum=False,
        create_constraint=False,
        length=32,
    )
