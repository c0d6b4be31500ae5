"""What a statement is and which tables it names, as far as its text tells.

This only labels figures in a summary; nothing is allowed or refused by it, so a light tokenizer will
do and PostgreSQL's own grammar (a GPL-licensed binding) need not be a dependency.
"""

import itertools
import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""
    (?P<skip>--[^\n]*|/\*.*?(?:\*/|$)|\s+)
  | (?P<string>[eE]?'(?:[^'\\]|''|\\.)*(?:'|$)|\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|$))
  | (?P<name>"(?:[^"]|"")*"|[^\W\d][\w$]*)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_WRITES = ("INSERT", "UPDATE", "DELETE", "MERGE")
_KINDS = {
    **{word: word for word in ("SELECT", *_WRITES, "COPY", "EXPLAIN", "SHOW", "SET", "FETCH")},
    **dict.fromkeys(("TABLE", "VALUES", "WITH"), "SELECT"),
    **dict.fromkeys(("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT"), "TRANSACTION"),
    **dict.fromkeys(("SAVEPOINT", "RELEASE"), "TRANSACTION"),
    "RESET": "SET",
    "DECLARE": "SELECT",
}
_BEFORE_TABLE = {"FROM", "JOIN", "INTO", "UPDATE", "TABLE", "COPY"}
_NOT_AFTER = {"FOR", "DO", "DISTINCT"}
_FROM_INSIDE = {"EXTRACT", "SUBSTRING", "TRIM", "OVERLAY"}
_CURSORS = {"FETCH", "MOVE"}  # what follows FROM is a cursor, whose statement was told before
_SYSTEM = ("pg_catalog.", "information_schema.", "pg_toast.")
OTHER = "OTHER"


def kind(text: str) -> str:
    """SELECT, INSERT, …, TRANSACTION or OTHER; of several, or with a writing CTE, the writing one."""
    kinds = [_kind(part) for part in _parts(text)]
    writing = [found for found in kinds if found in _WRITES]
    telling = [found for found in kinds if found not in {"TRANSACTION", "SET"}]
    return next(iter([*writing, *telling, *kinds]), OTHER)


def tables(text: str) -> tuple[str, ...]:
    """The tables it names, each once, as `schema.table` where it says so."""
    found: dict[str, None] = {}
    for part in _parts(text):
        if part[0].upper() in _CURSORS:
            continue
        ours = {name for name, following in _pairs(part) if following.upper() == "AS"}
        for name in _named_tables(part):
            if name not in ours and not name.startswith((*_SYSTEM, "pg_")):
                found[name] = None
    return tuple(found)


def _kind(tokens: list[str]) -> str:
    words = [token.upper() for token in tokens]
    first = next((word for word in words if word != "("), "")
    if first == "WITH":
        return next((word for word in words if word in _WRITES), "SELECT")
    return _KINDS.get(first, OTHER)


def _parts(text: str) -> Iterator[list[str]]:
    """The statements of a text, as tokens without comments and literals."""
    part: list[str] = []
    for match in _TOKEN.finditer(text):
        if match["skip"] or match["string"]:
            continue
        if match.group() == ";":
            if part:
                yield part
            part = []
        else:
            part.append(match.group())
    if part:
        yield part


def _pairs(tokens: list[str]) -> Iterator[tuple[str, str]]:
    return ((_plain(one), other) for one, other in itertools.pairwise(tokens))


def _named_tables(tokens: list[str]) -> Iterator[str]:
    for position, token in enumerate(tokens):
        word = token.upper()
        previous = tokens[position - 1].upper() if position else ""
        if word not in _BEFORE_TABLE or previous in _NOT_AFTER or _is_argument(tokens, position):
            continue
        yield from _names_from(tokens, position + 1, columns_follow=word in {"INTO", "COPY"})


def _is_argument(tokens: list[str], position: int) -> bool:
    """Whether this FROM is part of `extract(year FROM at)` and its like."""
    depth = 0
    for before in range(position - 1, 0, -1):
        depth += {")": 1, "(": -1}.get(tokens[before], 0)
        if depth < 0:
            return tokens[before - 1].upper() in _FROM_INSIDE
    return False


def _names_from(tokens: list[str], position: int, *, columns_follow: bool) -> Iterator[str]:
    """Names separated by commas, from `position`; a call of a function is not a table."""
    while position < len(tokens):
        if tokens[position].upper() in {"ONLY", "LATERAL"}:
            position += 1
            continue
        name, position = _qualified(tokens, position)
        if not name:
            return
        if columns_follow or tokens[position : position + 1] != ["("]:
            yield name
        position = _after_alias(tokens, position)
        if tokens[position : position + 1] != [","]:
            return
        position += 1


def _qualified(tokens: list[str], position: int) -> tuple[str, int]:
    parts: list[str] = []
    while position < len(tokens) and re.match(r'["\w]', tokens[position]):
        parts.append(_plain(tokens[position]))
        position += 1
        if tokens[position : position + 1] != ["."]:
            break
        position += 1
    return ".".join(parts), position


def _after_alias(tokens: list[str], position: int) -> int:
    if tokens[position : position + 1] and tokens[position].upper() == "AS":
        position += 1
    following = tokens[position + 1 : position + 2]
    if following == [","]:  # one word and a comma: an alias
        return position + 1
    return position


def _plain(name: str) -> str:
    if name.startswith('"'):
        return name[1:-1].replace('""', '"')
    return name.lower()
