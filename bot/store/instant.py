"""The database's own present, inside a statement: leases of several replicas need one clock."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement

from bot.store.columns import Moment


class Instant(FunctionElement[Any]):
    """The moment `ahead` from now, by the clock of the server; SQLite's is this machine's."""

    name = "instant"
    type = Moment()
    inherit_cache = True

    def __init__(self, ahead: timedelta = timedelta(0)) -> None:
        """`ahead`: to the millisecond; negative for the past."""
        super().__init__(sa.literal(ahead.total_seconds(), sa.Float))


def free(column: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Whether a lease that ends at `column` is over, or there is none."""
    return sa.or_(column.is_(None), column <= Instant())


@compiles(Instant, "postgresql")
def _postgresql(element: Instant, compiler: Any, **options: Any) -> str:
    return f"(clock_timestamp() + make_interval(secs => {_seconds(element, compiler, options)}))"


@compiles(Instant, "sqlite")
def _sqlite(element: Instant, compiler: Any, **options: Any) -> str:
    """ISO 8601 text of the width that `Moment` has."""
    ahead = f"{_seconds(element, compiler, options)} || ' seconds'"
    return f"(strftime('%Y-%m-%dT%H:%M:%f', 'now', {ahead}) || '000+00:00')"


def _seconds(element: Instant, compiler: Any, options: dict[str, Any]) -> str:
    return str(compiler.process(element.clauses, **options))
