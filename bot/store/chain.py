"""The audit chain: an event's canonical text and its hash. Whether a row is that: see `proof`.

Each event's text holds the hash of the one before, so an edit, a deletion or a swap in the middle
shows at the first event it touches. What is hashed is the stored text itself, never a second
serialisation of it. With a key the hash is HMAC-SHA-256, which somebody who can write to the
database cannot recompute; without one it is SHA-256. A cut-off tail shows only against a head that
was kept elsewhere (the daily digest posts it).
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime

from bot import model
from bot.store import mapping
from bot.store.actor import Actor

GENESIS = "0" * 64
FORMAT = 1


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
    return hmac.digest(key, data, "sha256").hex()


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
