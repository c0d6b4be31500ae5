"""The audit chain: an event's canonical text and its hash. Whether a row is that: see `proof`.

Each event's text holds the hash of the one before, so an edit, a deletion or a swap in the middle
shows at the first event it touches. What is hashed is the stored text itself, never a second
serialisation of it. With a key the hash is HMAC-SHA-256, which somebody who can write to the
database cannot recompute; without one it is SHA-256. A cut-off tail shows only against a head that
was kept elsewhere (the daily digest posts it).
"""

import functools
import hashlib
import hmac
import json.encoder
from collections.abc import Callable
from datetime import datetime

from bot import model
from bot.store import columns, mapping
from bot.store.actor import Actor

GENESIS = "0" * 64
FORMAT = 1

_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode
_quoted = json.encoder.encode_basestring  # what that does with a word


def canonical(value: object) -> str:
    """JSON with sorted keys and no spaces; text that UTF-8 cannot hold is replaced."""
    return _encode(mapping.plain(value))


def quoted(word: str | None) -> str:
    """A word as JSON. Raises TypeError for what is none."""
    return "null" if word is None else _quoted(word)


def middle_of(at: str) -> str:
    """What stands between the actor and the data in the canonical text of an event."""
    return f',"at":{_quoted(at)},"data":'


def end_of(seq: int, prev: str, type_: str, request_id: str | None, key: str) -> str:
    """What stands behind the data in the canonical text of an event; `key`: its id as JSON."""
    request = "null" if request_id is None else _quoted(request_id)
    return (
        f',"key":{key},"prev":"{prev}","request_id":{request},'
        f'"seq":{seq},"type":{_quoted(type_)},"v":{FORMAT}}}'
    )


def digest(body: str, key: bytes | None) -> str:
    """The hash of one event's text, in hex."""
    return digester(key)(body)


@functools.lru_cache(8)
def digester(key: bytes | None) -> Callable[[str], str]:
    """What makes that hash. To be kept for many: working a key in takes as long as an event's text."""
    if key is None:
        return _plain_digest
    return functools.partial(_sealed_digest, hmac.new(key, digestmod=hashlib.sha256))


def _plain_digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def _sealed_digest(fresh: hmac.HMAC, body: str) -> str:
    seal = fresh.copy()
    seal.update(body.encode())
    return seal.hexdigest()


@functools.lru_cache(8)
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
    data: str,
    key: bytes | None,
) -> model.AuditEvent:
    """The next event of the chain. Its text is what `canonical` would make of all its fields, as
    `data` is what it makes of the data: that can be had before anybody has to wait for us.
    """
    type_, request = columns.clean(type), None if request_id is None else columns.clean(request_id)
    body = (
        f'{{"actor":{_told(actor)}{middle_of(_moment(at))}{data}'
        f"{end_of(seq, prev, type_, request, quoted(key_id(key)))}"
    )
    return model.AuditEvent(
        seq=seq, at=at, type=type_, request_id=request, body=body, prev=prev, hash=digest(body, key)
    )


@functools.lru_cache(64)
def _moment(at: datetime) -> str:
    """Of all events of a transaction it is the same."""
    return str(mapping.plain(at))


@functools.lru_cache(1024)
def _told(actor: Actor) -> str:
    return canonical(mapping.values_of(actor))
