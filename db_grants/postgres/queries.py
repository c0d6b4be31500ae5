"""The long queries: one a file in `sql/`, with `{name}` where a composed value goes."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from psycopg import sql

from db_grants import naming

Value = str | int | bool | Sequence[str] | Sequence[int] | sql.Composable


@functools.cache
def _text(name: str) -> str:
    file = resources.files(__package__).joinpath("sql", f"{name}.sql")
    return file.read_text(encoding="utf-8").strip()


def query(name: str, **values: sql.Composable | str | int | list[str]) -> sql.Composable:
    """The query of `sql/<name>.sql`; plain values become literals."""
    given = {
        key: value if isinstance(value, sql.Composable) else sql.Literal(value)
        for key, value in values.items()
    }
    return sql.SQL(_text(name)).format(**given)


def deputies() -> sql.Composable:
    """The expression that tells whether the bot may call all functions of `naming.DEPUTIES`."""
    return query("deputies", deputies=list(naming.DEPUTIES))


def all_deputies() -> sql.Composable:
    """The expression that tells whether a target needs no power of the bot's: `naming.ALL_DEPUTIES`."""
    return query("all_deputies", deputies=query("deputies", deputies=list(naming.ALL_DEPUTIES)))


def made_for_grant() -> sql.Composable:
    """The expression that tells whether the role `r` is one that the bootstrap's functions touch."""
    return query(
        "made_for_grant",
        temporary=naming.TEMPORARY,
        bookkeeping=naming.BOOKKEEPING,
        quarantine=naming.QUARANTINE,
        noted=query("noted"),
    )


def ours() -> sql.Composable:
    """The expression that tells whether the role `r` was made by us."""
    return query("ours", bookkeeping=naming.BOOKKEEPING, noted=query("noted"))


def can_end() -> sql.Composable:
    """The expression that tells whether the bot has what it takes to end the role `r`."""
    return query("can_end", deputies=deputies(), made_for_grant=made_for_grant())


def if_listed(*, listed: bool) -> sql.Composable:
    """The further condition that the role `u` is listed in this database, where that is to be asked."""
    here = "AND EXISTS (SELECT FROM jit_admin.scope_roles s WHERE s.role = u.oid)"
    return sql.SQL(f" {here}" if listed else "")


def unused_subsets(*, listed: bool) -> sql.Composable:
    """The query for roles of narrowed scopes that nobody uses; `listed` in this database, or of any."""
    return query(
        "unused_subsets",
        pattern=naming.SUBSETS,
        bookkeeping=naming.BOOKKEEPING,
        listed=if_listed(listed=listed),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A query that a connection plans once: `$1` and so on stand for its values.

    Prepared in SQL: the driver's own cache is thrown away by every ALTER and DROP.
    """

    name: str
    types: str  # of its values, separated by commas
    text: str

    @property
    def make(self) -> sql.Composable:
        """The statement that prepares it."""
        types = f" ({self.types})" if self.types else ""
        return sql.SQL(f"PREPARE {self.name}{types} AS {self.text}")

    def run(self, *values: Value) -> sql.Composable:
        """The statement that runs it."""
        given = f"({', '.join(map(_literal, values))})" if values else ""
        return sql.SQL(f"EXECUTE {self.name}{given}")


def prepared(name: str, types: str = "", **values: sql.Composable | str | int) -> Prepared:
    """The query of `sql/<name>.sql` to be prepared, its `{name}`s filled in."""
    return Prepared(name=name, types=types, text=query(name, **values).as_string(None))


def _literal(value: Value) -> str:
    """A value as SQL, also where it is some; a list of names or numbers as an array's text."""
    if isinstance(value, sql.Composable):
        return value.as_string(None)
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, str):
        return sql.Literal(value).as_string(None)
    return sql.Literal(f"{{{','.join(map(str, value))}}}").as_string(None)
