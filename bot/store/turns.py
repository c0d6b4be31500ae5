"""Fewer turns on the wire to PostgreSQL: what needs no answer goes with what follows it.

The driver's pipeline sends statements without waiting, and asks for their answers when one of them is
wanted. Each is still a statement by itself, run after the one before it and with a snapshot of its
own; where one fails, those behind it are not run, the COMMIT among them.
https://www.postgresql.org/docs/current/libpq-pipeline-mode.html
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from bot.store import faults


@contextmanager
def saved(connection: sa.Connection) -> Iterator[None]:
    """Save turns on what the driver itself is asked in this block, and nobody else.

    Errors come as SQLAlchemy's; also late ones, which nobody in the block has waited for. An older
    libpq has no pipeline, and then it is turn by turn.
    """
    driver: Any = connection.dialect.loaded_dbapi
    if connection.dialect.name == "sqlite" or not driver.Pipeline.is_supported():
        yield
        return
    line: Any = connection.connection.driver_connection
    with faults.AsSqlalchemy(driver.Error), line.pipeline():
        yield


def commit(connection: sa.Connection) -> None:
    """Commit with the turn that is under way; SQLAlchemy then finds nothing left to commit."""
    if connection.dialect.name != "sqlite":
        with faults.cursor_of(connection) as cursor:
            cursor.execute("COMMIT")
