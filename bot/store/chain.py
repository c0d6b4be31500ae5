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
import json
from datetime import datetime

from bot import model
from bot.store import columns, mapping
from bot.store.actor import Actor

GENESIS = "0" * 64
FORMAT = 1

_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode


def canonical(value: object) -> str:
    """JSON with sorted keys and no spaces; text that UTF-8 cannot hold is replaced."""
    return _encode(mapping.plain(value))


@functools.lru_cache(4096)
def quoted(word: str | None) -> str:
    """A word as JSON."""
    return _encode(word)


def end_of(seq: int, prev: str, type_: str, request_id: str | None, key_id: str | None) -> str:
    """What stands behind the data in the canonical text of an event."""
    return (
        f',"key":{quoted(key_id)},"prev":"{prev}","request_id":{quoted(request_id)},'
        f'"seq":{seq},"type":{quoted(type_)},"v":{FORMAT}}}'
    )


def digest(body: str, key: bytes | None) -> str:
    """The hash of one event's text, in hex."""
    if key is None:
        return hashlib.sha256(body.encode()).hexdigest()
    seal = _seal(key).copy()
    seal.update(body.encode())
    return seal.hexdigest()


@functools.lru_cache(8)
def _seal(key: bytes) -> hmac.HMAC:
    """To be copied: working a key in takes as long as an event's text."""
    return hmac.new(key, digestmod=hashlib.sha256)


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
        f'{{"actor":{_told(actor)},"at":"{_moment(at)}","data":{data}'
        f"{end_of(seq, prev, type_, request, key_id(key))}"
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
