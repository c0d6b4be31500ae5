"""INSERT that may find a key taken, as the dialect of the record says it."""

from typing import Any

import sqlalchemy as sa


def insert(connection: sa.Connection, table: sa.Table) -> Any:
    """An INSERT with `on_conflict_do_nothing` and `on_conflict_do_update`."""
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite  # each is costly, and a process needs one of them

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)
