"""What a statement is and which tables it names, as far as its text tells.

This only labels figures in a summary; nothing is allowed or refused by it, so a light tokenizer will
do and PostgreSQL's own grammar (a GPL-licensed binding) need not be a dependency.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Possessive where it repeats: a literal of 10 MB would otherwise be matched with gigabytes of memory.
_TOKEN = re.compile(
    r"""
    (?P<skip>--[^\n]*|/\*.*?(?:\*/|$)|\s+)
  | (?P<string>[eE]?'(?:[^'\\]++|''|\\.)*+(?:'|$)|\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|$))
  | (?P<name>"(?:[^"]++|"")*+"|[^\W\d][\w$]*)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_MOST = 100_000  # characters of a statement that are looked at
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
_SILENT = {"skip", "string"}
_IS_NAME = re.compile(r'["\w]')
_SYSTEM = ("pg_catalog.", "information_schema.", "pg_toast.")
OTHER = "OTHER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What a text says of itself."""

    kind: str  # SELECT, INSERT, …, TRANSACTION or OTHER; of several, or in a CTE, the writing one
    tables: tuple[str, ...]  # each once, as `schema.table` where it says so


def label(text: str) -> Label:
    """Its label. Of a very long one only the beginning counts: it is OTHER unless that writes."""
    parts = [_Part(tokens) for tokens in _parts(text)]
    kinds = [part.kind for part in parts]
    writing = [found for found in kinds if found in _WRITES]
    telling = [found for found in kinds if found not in {"TRANSACTION", "SET"}]
    unseen = [OTHER] if len(text) > _MOST else []
    return Label(
        kind=next(iter([*writing, *unseen, *telling, *kinds]), OTHER),
        tables=tuple(dict.fromkeys(name for part in parts for name in part.tables())),
    )


def _parts(text: str) -> Iterator[list[str]]:
    """The statements of a text, as tokens without comments and literals."""
    part: list[str] = []
    for match in _TOKEN.finditer(text, 0, _MOST):
        if match.lastgroup in _SILENT:
            continue
        piece = match.group()
        if piece != ";":
            part.append(piece)
        elif part:
            yield part
            part = []
    if part:
        yield part


class _Part:
    """One statement, in tokens."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = tokens
        self._words = [token.upper() for token in tokens]

    @property
    def kind(self) -> str:
        """What it is."""
        first = next((word for word in self._words if word != "("), "")
        if first == "WITH":
            return next((word for word in self._words if word in _WRITES), "SELECT")
        return _KINDS.get(first, OTHER)

    def tables(self) -> Iterator[str]:
        """The tables it names; what it defines itself is none."""
        if self._words[0] in _CURSORS:
            return
        pairs = zip(self._tokens, self._words[1:], strict=False)
        ours = {_plain(name) for name, following in pairs if following == "AS"}
        for name in self._named():
            if name not in ours and not name.startswith((*_SYSTEM, "pg_")):
                yield name

    def _named(self) -> Iterator[str]:
        """In one pass: what is read as a name is not looked at again."""
        calls = [""]  # what stands before each parenthesis that is open here
        previous, position = "", 0
        while position < len(self._words):
            word = self._words[position]
            position += 1
            if word == "(":
                calls.append(previous)
            elif word == ")" and len(calls) > 1:
                calls.pop()
            elif (
                word in _BEFORE_TABLE
                and previous not in _NOT_AFTER
                and calls[-1] not in _FROM_INSIDE
            ):
                names, position = self._names_from(
                    position, columns_follow=word in {"INTO", "COPY"}
                )
                yield from names
            previous = self._words[position - 1]

    def _names_from(self, position: int, *, columns_follow: bool) -> tuple[list[str], int]:
        """Names separated by commas, and what is behind them; a call of a function is not a table."""
        names: list[str] = []
        while True:
            while self._at(position) in {"ONLY", "LATERAL"}:
                position += 1
            name, position = self._qualified(position)
            if name and (columns_follow or self._at(position) != "("):
                names.append(name)
            end = self._after_alias(position) if name else position
            if not name or self._at(end) != ",":
                return names, position
            position = end + 1

    def _qualified(self, position: int) -> tuple[str, int]:
        parts: list[str] = []
        while _IS_NAME.match(self._at(position)):
            parts.append(_plain(self._tokens[position]))
            position += 1
            if self._at(position) != ".":
                break
            position += 1
        return ".".join(parts), position

    def _after_alias(self, position: int) -> int:
        if self._at(position) == "AS":
            position += 1
        return position + 1 if self._at(position + 1) == "," else position

    def _at(self, position: int) -> str:
        """The word there; beyond the end none."""
        return self._words[position] if position < len(self._words) else ""


def _plain(name: str) -> str:
    if name.startswith('"'):
        return name[1:-1].replace('""', '"')
    return name.lower()
