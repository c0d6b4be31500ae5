"""What may happen to the state database: locked by somebody, or no room left on its disk."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import event

from bot import errors, store

_NO_LIMIT = 1073741823  # SQLite's own largest number of pages


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Somebody else holds the SQLite file, for reading (in WAL mode) still open to all."""
    holder = sqlite3.connect(path, isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        yield
    finally:
        holder.close()


@contextmanager
def full(opened: store.Store) -> Iterator[None]:
    """The disk of this SQLite record has no room: nothing that needs a new page can be written."""
    engines = opened._database.engines
    for engine in engines:
        event.listen(engine, "checkout", _shut)
    try:
        yield
    finally:
        for engine in engines:
            event.remove(engine, "checkout", _shut)
            event.listen(engine, "checkout", _open)


@contextmanager
def stuffed(opened: store.Store) -> Iterator[None]:
    """As `full`, and no audit event finds room in the pages that there are: nothing can change."""
    with full(opened):
        for size in (2000, 200, 1):
            with suppress(errors.StoreError):
                while True:
                    with opened.begin(store.SYSTEM) as tx:
                        tx.record("filler", None, {"of": "x" * size})
        yield


def _shut(connection: Any, _record: object, _proxy: object) -> None:
    cursor = connection.cursor()
    (pages,) = cursor.execute("PRAGMA page_count").fetchone()
    cursor.execute(f"PRAGMA max_page_count = {int(pages)}")
    cursor.close()


def _open(connection: Any, _record: object, _proxy: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA max_page_count = {_NO_LIMIT}")
    cursor.close()
