"""Names of tables and columns, read the way SQL reads them: `app.orders`, `app."Odd.Name"`."""

import re

_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
_PLAIN = re.compile(r"[^\W\d][\w$]*")
_LONGEST = 63  # bytes; a longer name would be cut by the server and could then mean another table


def parse(text: str) -> tuple[str, str]:
    """Schema and table in the database's own spelling. Raises ValueError with words for people."""
    parts, rest = [], text.strip()
    while True:
        part, rest = _take(rest, text)
        parts.append(part)
        if not rest:
            break
        if rest[0] != ".":
            raise ValueError(f'{text!r} is not a table; quote odd names like app."Odd Name"')
        rest = rest[1:]
    if len(parts) == 1:
        raise ValueError(f"{text!r} lacks its schema; write it like app.{parts[0]}")
    if len(parts) > 2:  # noqa: PLR2004
        raise ValueError(f"{text!r} has too many parts; write schema.table and quote dots in names")
    return checked(parts[0]), checked(parts[1])


def column(text: str) -> str:
    """A column in the database's own spelling: as written, or SQL-quoted."""
    quoted = _QUOTED.fullmatch(text)
    return checked(quoted[1].replace('""', '"') if quoted else text)


def checked(name: str) -> str:
    """`name` when the database could hold it. Raises ValueError with words for people."""
    if not name:
        raise ValueError("a name is empty")
    if "\0" in name:
        raise ValueError(f"{name!r} holds a NUL, which no database name can")
    if len(name.encode()) > _LONGEST:
        raise ValueError(f"{name!r} is longer than {_LONGEST} bytes, which no database name can be")
    return name


def _take(rest: str, whole: str) -> tuple[str, str]:
    """The first identifier of `rest`, and what follows it."""
    if quoted := _QUOTED.match(rest):
        return quoted[1].replace('""', '"'), rest[quoted.end() :]
    plain = _PLAIN.match(rest)
    if plain is None:
        raise ValueError(
            f'{whole!r} is not a table; write schema.table, quoting odd names like "a.b"'
        )
    if plain[0] != plain[0].lower():
        raise ValueError(
            f"{whole!r} has capitals; SQL would read {plain[0].lower()}. "
            f'Quote it ("{plain[0]}") if the capitals are meant'
        )
    return plain[0], rest[plain.end() :]
