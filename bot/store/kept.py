"""Connections to SQLite that are kept from one use to the next, and used by the driver itself.

To take one from the pool, to begin, to commit and to give it back takes SQLAlchemy fifteen times as
long as it takes SQLite. So a few stay out of the pool, with no transaction open between two uses; and
whatever goes wrong on one gives it back to the pool, which knows how to roll back and what to close.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import sqlalchemy as sa

from bot.store import faults

_AS_SQLALCHEMY = faults.AsSqlalchemy(sqlite3.Error)
READ, WRITE = "BEGIN", "BEGIN IMMEDIATE"  # a transaction never has to be upgraded half way


class _Line(NamedTuple):
    """One connection: SQLAlchemy's, and the driver's own below it."""

    connection: sa.Connection
    driver: sqlite3.Connection


class Kept:
    """Connections of one engine. Thread-safe."""

    def __init__(self, engine: sa.Engine, most: int) -> None:
        """`most`: so many are kept while nobody uses them."""
        self._engine = engine
        self._most = most
        self._lock = threading.Lock()
        self._idle: list[_Line] = []
        self._closed = False

    @contextmanager
    def look(self) -> Iterator[sa.Connection]:
        """For one statement that reads: that is a transaction by itself."""
        line = self._take()
        try:
            yield line.connection
        except BaseException:
            line.connection.close()
            raise
        self._give_back(line)

    @contextmanager
    def transaction(self, begin: str) -> Iterator[sa.Connection]:
        """A transaction that commits at the end of the block. Raises as SQLAlchemy does."""
        line = self._take()
        try:
            with _AS_SQLALCHEMY:
                line.driver.execute(begin)
            yield line.connection
            with _AS_SQLALCHEMY:
                line.driver.commit()
        except BaseException:
            line.connection.close()  # and with that it is rolled back
            raise
        self._give_back(line)

    def close(self) -> None:
        """Close what is idle, and what comes back later."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for line in idle:
            line.connection.close()

    def _take(self) -> _Line:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        connection = self._engine.connect()
        connection.begin()  # in words only, once: the driver begins
        driver: Any = connection.connection.driver_connection
        return _Line(connection, driver)

    def _give_back(self, line: _Line) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < self._most:
                self._idle.append(line)
                return
        line.connection.close()
