"""What a statement is and which tables it names, as far as its text tells.

This only labels figures in a summary; nothing is allowed or refused by it, so a light tokenizer will
do and PostgreSQL's own grammar (a GPL-licensed binding) need not be a dependency.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Possessive where it repeats: a literal of 10 MB would otherwise be matched with gigabytes of memory.
_TOKEN = re.compile(
    r"""
    (?P<skip>--[^\n]*|/\*.*?(?:\*/|$)|\s+)
  | (?P<string>[eE]?'(?:[^'\\]++|''|\\.)*+(?:'|$)|\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|$))
  | (?P<name>[uU]&"(?:[^"]++|"")*+"(?:\s*+[uU][eE][sS][cC][aA][pP][eE]\s*+'[^']')?
      |"(?:[^"]++|"")*+"|[^\W\d][\w$]*)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_IN_ESCAPES = re.compile(
    r"""u&"(?P<name>.*)"(?:\s*UESCAPE\s*'(?P<mark>.)')?""", re.DOTALL | re.IGNORECASE
)
_MOST = 100_000  # characters of a statement that are looked at
_WRITES = ("INSERT", "UPDATE", "DELETE", "MERGE")
_CODE = ("DO", "CALL")
_KINDS = {
    **{
        word: word
        for word in ("SELECT", *_WRITES, "COPY", "EXPLAIN", "SHOW", "SET", "FETCH", *_CODE)
    },
    **dict.fromkeys(("TABLE", "VALUES", "WITH"), "SELECT"),
    **dict.fromkeys(("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT"), "TRANSACTION"),
    **dict.fromkeys(("SAVEPOINT", "RELEASE"), "TRANSACTION"),
    "RESET": "SET",
    "DECLARE": "SELECT",
}
_BEFORE_TABLE = {"FROM", "JOIN", "INTO", "UPDATE", "TABLE", "COPY", "USING"}
# FOR UPDATE, DISTINCT FROM and the like
_NOT_AFTER = {"FOR", "KEY", "DO", "THEN", "ON", "DISTINCT"}
_FIRST_BEFORE_TABLE = {"TRUNCATE", "LOCK"}  # at the very beginning only
_COLUMNS_FOLLOW = {"INTO", "COPY"}  # a name before a parenthesis is a table there, and no function
_FROM_INSIDE = {"EXTRACT", "SUBSTRING", "TRIM", "OVERLAY"}
# a file, a role, a cursor that was told before
_FROM_NO_TABLE = {"COPY", "REVOKE", "FETCH", "MOVE"}
_USING_TABLE = {"DELETE", "MERGE"}
_NO_NAMES = {"ONLY", "LATERAL", "IF", "NOT", "EXISTS"}  # between such a word and the name
# SELECT … INTO TEMP name
_NEW_KINDS = {"TEMP", "TEMPORARY", "UNLOGGED", "LOCAL", "GLOBAL", "TABLE"}
_AFTER_TABLES = {
    *("WHERE", "GROUP", "HAVING", "WINDOW", "UNION", "INTERSECT", "EXCEPT", "ORDER", "LIMIT"),
    *("OFFSET", "FETCH", "FOR", "RETURNING", "SET", "VALUES", "SELECT", "WITH", "WHEN", "DEFAULT"),
    *("OVERRIDING", "IN", "TO"),
}
_BODIES = {"(", "SELECT", "WITH", "VALUES", "TABLE", "EXECUTE", "NOT", "MATERIALIZED"}
_SILENT = {"skip", "string"}
_SECRET = re.compile(
    r"""
    (?P<before>\bpassword\s*+(?P<equals>=\s*+)?+)
    (?:[eE]'(?:[^'\\]++|''|\\.)*+(?:'|$)|'(?:[^']++|'')*+(?:'|$)|\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|$)
      |(?(equals)[^\s'",;)]+|(?!)))
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_IS_NAME = re.compile(r'["\w]')
_SYSTEM = ("pg_catalog.", "information_schema.", "pg_toast.")
OTHER = "OTHER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What a text says of itself."""

    # SELECT, INSERT, …, DO, TRANSACTION or OTHER; of several the writing one, or the code
    kind: str
    tables: tuple[str, ...]  # each once, as `schema.table` where it says so
    alone: bool = True  # whether it is one statement, or none


def label(text: str) -> Label:
    """Its label. Of a very long one only the beginning counts: it is OTHER unless that writes."""
    parts = [_Part(tokens) for tokens in _parts(text)]
    kinds = [part.kind for part in parts]
    writing = [found for found in kinds if found in _WRITES or found in _CODE]
    telling = [found for found in kinds if found not in {"TRANSACTION", "SET"}]
    unseen = [OTHER] if len(text) > _MOST else []
    return Label(
        kind=next(iter([*writing, *unseen, *telling, *kinds]), OTHER),
        tables=tuple(dict.fromkeys(name for part in parts for name in part.tables())),
        alone=len(parts) <= 1 and len(text) <= _MOST,
    )


def discreet(text: str) -> str:
    """A statement's text without the passwords in it: a holder may have chosen one that is used elsewhere.

    Meant are `PASSWORD '…'`, as in ALTER ROLE, and `password=…`, as in a connection's string.
    """
    return _SECRET.sub(r"\g<before>'…'", text) if "password" in text.lower() else text


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
        self._using_tables = not _USING_TABLE.isdisjoint(self._words)

    @property
    def kind(self) -> str:
        """What it is."""
        first = next((word for word in self._words if word != "("), "")
        if first == "WITH":
            return next((word for word in self._words if word in _WRITES), "SELECT")
        return _KINDS.get(first, OTHER)

    def tables(self) -> Iterator[str]:
        """The tables it names; what it defines itself is none."""
        ours = self._defined()
        for name in self._named():
            if name not in ours and not name.startswith((*_SYSTEM, "pg_")):
                yield name

    def _defined(self) -> set[str]:
        """Names that it gives to queries of its own: `WITH name (a, b) AS (…)`, `CREATE TABLE name AS`.

        `FROM orders AS o` gives a table another name, and is none of these.
        """
        if self._words[0] != "CREATE" and "WITH" not in self._words:
            return set()
        ours: set[str] = set()
        opened: list[int] = []  # where the parentheses that are open here began
        began = 0  # where the one that was closed last did
        for position, word in enumerate(self._words):
            if word == "(":
                opened.append(position)
            elif word == ")":
                began = opened.pop() if opened else 0
            elif word == "AS" and self._at(position + 1) in _BODIES:
                name = position - 1
                if name >= 0 and self._words[name] == ")":
                    name = began - 1
                ours.update([_plain(self._tokens[name])] if name >= 0 else [])
        return ours

    def _named(self) -> Iterator[str]:
        """In one pass: what is read as a name is not looked at again."""
        levels = [_Level("")]
        previous, position = "", 0
        while position < len(self._words):
            word, here = self._words[position], levels[-1]
            if word == "(":
                levels.append(_Level(previous, expecting=here.take()))
            elif word == ")":
                levels.pop()
                levels = levels or [_Level("")]
            elif self._announces(position, previous, here):
                here.open(columns_follow=word in _COLUMNS_FOLLOW)
            elif word == ",":
                here.expecting = here.listing
            elif word in _AFTER_TABLES:
                here.listing = here.expecting = False
            elif here.expecting and not self._is_between(position, word):
                name, end = self._qualified(position)
                is_table = here.columns_follow or self._at(end) != "("
                if name and is_table and (name, self._at(end)) != ("rows", "FROM"):
                    yield name
                here.take()
                position = max(end, position + 1) - 1
            previous = self._words[position]
            position += 1

    def _announces(self, position: int, previous: str, here: "_Level") -> bool:
        """Whether the name of a table follows the word there."""
        word, first = self._words[position], self._words[0]
        if position == 0 and word in _FIRST_BEFORE_TABLE:
            return True
        if word not in _BEFORE_TABLE or previous in _NOT_AFTER:
            return False
        if word == "FROM":
            outside = first in _FROM_NO_TABLE and not here.before
            return not outside and previous != "ROWS" and here.before not in _FROM_INSIDE
        if word == "USING":  # of a join it has columns, in parentheses
            return self._at(position + 1) != "(" and self._using_tables
        return True

    def _is_between(self, position: int, word: str) -> bool:
        """Whether that word only stands between the announcement of a name and the name."""
        named = _IS_NAME.match(self._at(position + 1)) is not None
        return named and (
            word in _NO_NAMES or (word in _NEW_KINDS and self._words[0] not in _WRITES)
        )

    def _qualified(self, position: int) -> tuple[str, int]:
        parts: list[str] = []
        while _IS_NAME.match(self._at(position)):
            parts.append(_plain(self._tokens[position]))
            position += 1
            if self._at(position) != ".":
                break
            position += 1
        return ".".join(parts), position

    def _at(self, position: int) -> str:
        """The word there; beyond the end none."""
        return self._words[position] if position < len(self._words) else ""


class _Level:
    """What is known between a pair of parentheses, or outside of all."""

    def __init__(self, before: str, *, expecting: bool = False) -> None:
        self.before = before  # the word before the parenthesis
        self.expecting = self.listing = expecting  # a table comes next; a comma brings another
        self.columns_follow = False

    def open(self, *, columns_follow: bool) -> None:
        """A list of tables begins."""
        self.expecting = self.listing = True
        self.columns_follow = columns_follow

    def take(self) -> bool:
        """Whether a table was expected here; it has come."""
        expected, self.expecting = self.expecting, False
        return expected


def _plain(name: str) -> str:
    if name.startswith('"'):
        return name[1:-1].replace('""', '"')
    spelled = _IN_ESCAPES.fullmatch(name)
    return _unescaped(spelled["name"], spelled["mark"] or "\\") if spelled else name.lower()


def _unescaped(name: str, mark: str) -> str:
    """What is spelled so: four digits after the mark, or six after it and a plus, or the mark twice.

    https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS
    A name that no server can have stays as it is spelled, or has a mark of that in it.
    """
    one = re.escape(mark)
    spelled = re.compile(rf"{one}(?:([0-9a-fA-F]{{4}})|\+([0-9a-fA-F]{{6}})|({one}))")

    def letter(found: re.Match[str]) -> str:
        code = int(found[1] or found[2] or "0", 16)
        known = chr(code) if 0 < code <= sys.maxunicode else found[0]
        return mark if found[3] else known

    plain = spelled.sub(letter, name.replace('""', '"'))
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # pairs become one
