"""Whether rows of the audit chain are what was written: every one of them, or the first that is not.

What is proven of each: its number follows, its text hashes to its hash, it names the hash of the one
before, it is sealed when an earlier one is, and its columns say what its text says.

An event's text is canonical, so its columns give away all of it but the actor and the data. A text
that is made up exactly so needs no second look; of the data it is asked whether that is one JSON
object, and no more. Every other text is parsed whole and compared field by field, which takes several
times as long.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pydantic_core
from pydantic_core import core_schema

from bot import model
from bot.store import chain, mapping

Row = tuple[int, str, str, str | None, str, str, str]
"""A row as it is stored: seq, at (as the text has it), type, request_id, body, prev, hash."""

_FIELDS = {"v", "seq", "prev", "at", "actor", "type", "request_id", "data", "key"}
_MOST_ACTORS = 4096  # remembered at a time

# Makes nothing of what it reads, so it takes half as long as `json`. It refuses a little that `json`
# takes, such as half of a surrogate pair that is escaped, and takes nothing that `json` refuses.
_must_be_object = pydantic_core.SchemaValidator(
    core_schema.typed_dict_schema({}, extra_behavior="ignore")
).validate_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What a walk along the chain found. `ok` means every event is the one that was recorded."""

    count: int  # events found good, from the first one on
    head: str  # hash of the last good event
    without_key: int  # events looked at and good, that only a plain hash protects
    bad_seq: int | None = None  # the first event that is not right
    problem: str | None = None  # what is wrong with it, for people

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.bad_seq is None


def verify(
    events: Iterable[model.AuditEvent],
    key: bytes | None,
    *,
    after: tuple[int, str] = (0, chain.GENESIS),
) -> Verification:
    """As `walk`, for events that were read as values."""
    return walk((row_of(event) for event in events), key, after=after)


def walk(
    rows: Iterable[Row], key: bytes | None, *, after: tuple[int, str] = (0, chain.GENESIS)
) -> Verification:
    """Walk the chain, first event first, and stop at the first one that is not right.

    `after`: begin behind the event of that number and hash instead, for a look at the end alone.
    """
    (seq, prev), look = after, _Look(key)
    without_key, sealed = 0, False
    for row in rows:
        seal = look.seal(row, seq + 1, prev)
        problem = None
        if seal is None:
            seal, problem = look.whole(row, seq + 1, prev)
        if sealed and not seal and problem is None:
            problem = "it is not sealed, though an earlier one is"
        if problem is not None:
            return Verification(
                count=seq, head=prev, without_key=without_key, bad_seq=seq + 1, problem=problem
            )
        seq, prev = seq + 1, row[6]
        if seal:
            sealed = True
        else:
            without_key += 1
    return Verification(count=seq, head=prev, without_key=without_key)


class _Look:
    """At one row after the other."""

    def __init__(self, key: bytes | None) -> None:
        self._key = key
        self._key_id = chain.key_id(key)
        self._actors: set[str] = set()  # beginnings of texts, up to the actor's end
        self._expect(self._key_id)

    def _expect(self, seal: str | None) -> None:
        """The next event to have that key's id: that of the event before it has."""
        self._seal = seal
        self._sealed = chain.quoted(seal)
        self._digest = chain.digester(self._key if seal else None)

    def seal(self, row: Row, seq: int, prev: str) -> str | None:
        """The key id, or "" for none, of an event that is surely right; None when in doubt.

        Sure is a text that is, letter for letter, what `chain.link` makes of these columns. SQLite
        keeps a value of any kind in any column: what is not of the right one raises.
        """
        number, at, type_, request_id, body, before, hash_ = row
        if number != seq or before != prev:
            return None
        try:
            end = chain.end_of(seq, prev, type_, request_id, self._sealed)
            actor, _, rest = body.partition(chain.middle_of(at))
            if not (rest.endswith(end) and (actor in self._actors or self._is_actor(actor))):
                return None
            _must_be_object(rest[: -len(end)])
            return (self._seal or "") if self._digest(body) == hash_ else None
        except (TypeError, ValueError, AttributeError):
            return None

    def _is_actor(self, begin: str) -> bool:
        """Whether the text that begins so has an actor and nothing else before `at`."""
        fields = _fields(begin + "}")
        if fields.keys() != {"actor"}:
            return False
        if len(self._actors) >= _MOST_ACTORS:
            self._actors.clear()
        self._actors.add(begin)
        return True

    def whole(self, row: Row, seq: int, prev: str) -> tuple[str, str | None]:
        """Having read all of an event's text: its seal, and what is wrong with it, if anything."""
        fields = _fields(row[4])
        flaw = self._flaw(row, fields, seq, prev)
        if flaw is None:
            self._expect(fields["key"])
        return self._seal or "", flaw

    def _flaw(self, row: Row, fields: Mapping[str, Any], seq: int, prev: str) -> str | None:
        if row[0] != seq:
            return "it is missing"
        if not fields.keys() >= _FIELDS:
            return "its text is not an event"
        sealed = fields["key"]
        if sealed is not None and sealed != self._key_id:
            given = self._key is not None
            return (
                "another key sealed it" if given else "it is sealed with a key that was not given"
            )
        if chain.digest(row[4], self._key if sealed else None) != row[6]:
            return "its text is not what was recorded"
        if row[5] != prev or fields["prev"] != prev:
            return "it does not follow the event before it"
        told = tuple(fields[name] for name in ("seq", "at", "type", "request_id"))
        return None if row[:4] == told else "its columns do not say what its text says"


def row_of(event: model.AuditEvent) -> Row:
    """As it is to be stored, on SQLite and PostgreSQL alike."""
    at = str(mapping.plain(event.at))
    return (event.seq, at, event.type, event.request_id, event.body, event.prev, event.hash)


def _fields(body: object) -> Mapping[str, Any]:
    try:
        fields = json.loads(body) if isinstance(body, str) else None
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}
