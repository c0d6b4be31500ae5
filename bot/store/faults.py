"""Driver errors, translated at the boundary: nothing above the store sees SQLAlchemy or a driver."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from bot import errors

# https://www.postgresql.org/docs/current/errcodes-appendix.html: serialization_failure,
# deadlock_detected, lock_not_available, too_many_connections
_PASSING_STATES = {"40001", "40P01", "55P03", "53300"}


@contextmanager
def translated() -> Iterator[None]:
    """Conflict for a broken constraint, Busy for a lock that did not come, StoreError for the rest."""
    try:
        yield
    except exc.IntegrityError as error:
        raise errors.Conflict from error
    except exc.TimeoutError as error:  # no connection of the pool came free
        raise errors.Busy from error
    except exc.DBAPIError as error:
        if is_passing(error):
            raise errors.Busy from error
        raise errors.StoreError(
            f"The state database does not work just now ({kind_of(error)})."
        ) from error
    except exc.StatementError as error:  # one of our own checks, met while binding a value
        raise (error.orig or error) from None


class AsSqlalchemy:
    """A driver's errors, as SQLAlchemy would raise them."""

    __slots__ = ("_kind",)

    def __init__(self, kind: type[Exception]) -> None:
        """`kind`: what all errors of the driver are."""
        self._kind = kind

    def __enter__(self) -> None:
        """Nothing is to be prepared."""

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _where: object
    ) -> None:
        """Raise it as SQLAlchemy's."""
        if isinstance(error, self._kind):
            raise exc.DBAPIError.instance(None, None, error, self._kind) from error


class cursor_of:  # noqa: N801 - used as the function it is; a generator would take three times as long
    """The driver's own cursor, for what is done at every write; its errors come as SQLAlchemy's."""

    __slots__ = ("_cursor", "_kind")

    def __init__(self, connection: sa.Connection) -> None:
        self._cursor: Any = connection.connection.cursor()
        self._kind: type[Exception] = connection.dialect.loaded_dbapi.Error

    def __enter__(self) -> Any:
        return self._cursor

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _where: object
    ) -> None:
        self._cursor.close()
        if isinstance(error, self._kind):
            raise exc.DBAPIError.instance(None, None, error, self._kind) from error


def is_passing(error: exc.DBAPIError) -> bool:
    """Whether the same thing may well work in a moment."""
    if isinstance(error.orig, sqlite3.Error):
        return is_locked(error.orig)
    return getattr(error.orig, "sqlstate", None) in _PASSING_STATES


def is_locked(error: sqlite3.Error) -> bool:
    """Whether somebody else holds the file, in any of the ways SQLite tells apart."""
    name: str = getattr(error, "sqlite_errorname", "")
    return name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def kind_of(error: exc.DBAPIError) -> str:
    """The error's class or code: enough to look it up, and never a value."""
    name = getattr(error.orig, "sqlite_errorname", None) or getattr(error.orig, "sqlstate", None)
    return str(name or type(error.orig).__name__)
