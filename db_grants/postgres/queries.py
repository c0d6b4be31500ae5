"""The long queries: one a file in `sql/`, with `{name}` where a composed value goes."""

import functools
from importlib import resources

from psycopg import sql


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
