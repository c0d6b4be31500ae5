"""The audit chain: canonical text, its hash, and whether a row of it is what was written.

Each event's text holds the hash of the one before, so an edit, a deletion or a swap in the middle
shows at the first event it touches. What is hashed is the stored text itself, never a second
serialisation of it. With a key the hash is HMAC-SHA-256, which somebody who can write to the
database cannot recompute; without one it is SHA-256. A cut-off tail shows only against a head that
was kept elsewhere (the daily digest posts it).
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot import model
from bot.store import mapping
from bot.store.actor import Actor

GENESIS = "0" * 64
FORMAT = 1

_FIELDS = {"v", "seq", "prev", "at", "actor", "type", "request_id", "data", "key"}


def canonical(value: object) -> str:
    """JSON with sorted keys and no spaces; text that UTF-8 cannot hold is replaced."""
    return json.dumps(
        mapping.plain(value),
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
    )


def digest(body: str, key: bytes | None) -> str:
    """The hash of one event's text, in hex."""
    data = body.encode()
    if key is None:
        return hashlib.sha256(data).hexdigest()
    return hmac.new(key, data, hashlib.sha256).hexdigest()


def key_id(key: bytes | None) -> str | None:
    """A name for the key that gives nothing of it away."""
    if key is None:
        return None
    return hmac.new(key, b"jit audit key id", hashlib.sha256).hexdigest()[:12]


def link(
    *,
    seq: int,
    prev: str,
    at: datetime,
    actor: Actor,
    type: str,  # noqa: A002 - the word of the record
    request_id: str | None,
    data: Mapping[str, object],
    key: bytes | None,
) -> model.AuditEvent:
    """The next event of the chain."""
    body = canonical(
        {
            "v": FORMAT,
            "seq": seq,
            "prev": prev,
            "at": at,
            "actor": mapping.values_of(actor),
            "type": type,
            "request_id": request_id,
            "data": data,
            "key": key_id(key),
        }
    )
    return model.AuditEvent(
        seq=seq,
        at=at,
        type=type,
        request_id=request_id,
        body=body,
        prev=prev,
        hash=digest(body, key),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What a walk along the chain found. `ok` means every event is the one that was recorded."""

    count: int  # events found good, from the first one on
    head: str  # hash of the last good event
    without_key: int  # good events that only a plain hash protects
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
    after: tuple[int, str] = (0, GENESIS),
) -> Verification:
    """Walk the whole chain, first event first, and stop at the first one that is not right.

    `after`: begin behind the event of that number and hash instead, for a look at the end alone.
    """
    (seq, prev), without_key = after, 0
    for event in events:
        fields = _fields(event.body)
        problem = _flaw(event, fields, seq + 1, prev, key)
        if problem is None and fields["key"] is None and without_key < seq:
            problem = "it is not sealed, though an earlier one is"
        if problem is not None:
            return Verification(
                count=seq, head=prev, without_key=without_key, bad_seq=seq + 1, problem=problem
            )
        seq, prev = event.seq, event.hash
        without_key += fields["key"] is None
    return Verification(count=seq, head=prev, without_key=without_key)


def _flaw(
    event: model.AuditEvent, fields: Mapping[str, Any], seq: int, prev: str, key: bytes | None
) -> str | None:
    if event.seq != seq:
        return "it is missing"
    if not fields.keys() >= _FIELDS:
        return "its text is not an event"
    sealed = fields["key"]
    if sealed is not None and sealed != key_id(key):
        return (
            "it is sealed with a key that was not given" if key is None else "another key sealed it"
        )
    if not hmac.compare_digest(digest(event.body, key if sealed else None), event.hash):
        return "its text is not what was recorded"
    if event.prev != prev or fields["prev"] != prev:
        return "it does not follow the event before it"
    return None if _columns_agree(event, fields) else "its columns do not say what its text says"


def _fields(body: str) -> Mapping[str, Any]:
    try:
        fields = json.loads(body)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _columns_agree(event: model.AuditEvent, fields: Mapping[str, Any]) -> bool:
    shown = (event.seq, mapping.plain(event.at), event.type, event.request_id)
    return shown == (fields["seq"], fields["at"], fields["type"], fields["request_id"])
