"""What will change a database: one human line and the SQL that does it, kept together.

Dry run, log, audit and tests use the line; only `apply` uses the SQL.
"""

from dataclasses import dataclass

from psycopg import sql


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One step of a plan."""

    description: str
    sql: sql.Composable
