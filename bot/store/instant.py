"""Moments inside a statement: the database's own present, as leases of several replicas need one
clock; and how long it is from one to another.
"""

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

    def __init__(self, ahead: timedelta | str = timedelta(0)) -> None:
        """`ahead`: to the millisecond, negative for the past; or the name under which its seconds are
        given later.
        """
        if isinstance(ahead, str):
            super().__init__(sa.bindparam(ahead, type_=sa.Float))
        else:
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


class _Between(FunctionElement[float]):
    name = "between"
    type = sa.Float()
    inherit_cache = True


def seconds_between(
    earlier: sa.ColumnElement[Any], later: sa.ColumnElement[Any]
) -> sa.ColumnElement[float]:
    """Seconds from the one to the other; to the millisecond, as SQLite knows no more of a time."""
    return _Between(later, earlier)


@compiles(_Between, "postgresql")
def _between_postgresql(element: _Between, compiler: Any, **options: Any) -> str:
    later, earlier = (compiler.process(each, **options) for each in element.clauses)
    return f"round(extract(epoch FROM {later} - {earlier}), 3)"


@compiles(_Between, "sqlite")
def _between_sqlite(element: _Between, compiler: Any, **options: Any) -> str:
    later, earlier = (compiler.process(each, **options) for each in element.clauses)
    return f"round((julianday({later}) - julianday({earlier})) * 86400, 3)"


def _seconds(element: Instant, compiler: Any, options: dict[str, Any]) -> str:
    return str(compiler.process(element.clauses, **options))
