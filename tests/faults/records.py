"""What may happen to the state database: locked by somebody, or no room left on its disk."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from bot import errors, store
from tests.fixtures_store import used

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
    database = opened._database
    with ExitStack() as stack:
        for lines in database._kept:
            stack.enter_context(used(lines, _shut))
        yield
    for lines in database._kept:
        lines._take = _opening(lines._take)  # type: ignore[method-assign]


def _opening(take: Callable[[], Any]) -> Callable[[], Any]:
    def taken() -> Any:
        line = take()
        _open(line.driver)
        return line

    return taken


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


def _shut(connection: sqlite3.Connection) -> None:
    cursor = connection.cursor()
    (pages,) = cursor.execute("PRAGMA page_count").fetchone()
    cursor.execute(f"PRAGMA max_page_count = {int(pages)}")
    cursor.close()


def _open(connection: sqlite3.Connection) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA max_page_count = {_NO_LIMIT}")
    cursor.close()
