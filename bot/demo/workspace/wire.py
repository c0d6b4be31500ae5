"""A bounded record of all that passed between the app and the workspace, without its secrets."""

import collections
import re
import threading
import urllib.parse
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from bot.demo.workspace import things

MOST = 2000
HIDDEN = "••••••"
_WITH_PASSWORD = re.compile(r"postgres(?:ql)?://[^\s:/@'\"]+:([^\s/@'\"]+)@")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One thing that passed.

    `kind` is one of envelope (to the app), ack, late (an ack after time was up), call (to us),
    reply (to the app), respond (a post to a response_url), socket (hello, disconnect, closed).
    """

    number: int
    at: float
    kind: str
    name: str
    ms: float | None = None
    ok: bool = True
    error: str | None = None
    body: things.Json = field(default_factory=dict)


class Wire:
    """The latest entries, oldest first. Neither tokens nor passwords are ever among them."""

    def __init__(self, now: Callable[[], float], most: int = MOST) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._entries: collections.deque[Entry] = collections.deque(maxlen=most)
        self._count = 0

    def note(
        self,
        kind: str,
        name: str,
        *,
        ms: float | None = None,
        error: str | None = None,
        body: things.Json | None = None,
    ) -> None:
        """Remember that something passed; with `error`, that it did not go well."""
        with self._lock:
            self._count += 1
            entry = Entry(
                number=self._count,
                at=self._now(),
                kind=kind,
                name=name,
                ms=ms,
                ok=error is None,
                error=error,
                body=without_secrets(body or {}),
            )
            self._entries.append(entry)

    def entries(
        self, *, kind: str | None = None, name: str | None = None, after: int = 0
    ) -> tuple[Entry, ...]:
        """What is remembered, perhaps of one kind or name, or only what came after a number."""
        with self._lock:
            known = tuple(self._entries)
        return tuple(
            entry
            for entry in known
            if entry.number > after and kind in (None, entry.kind) and name in (None, entry.name)
        )

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()


def without_secrets(body: things.Json) -> things.Json:
    """The same without its token, and without the password of any database URL, wherever it stands."""
    told = {key: value for key, value in body.items() if key != "token"}
    passwords = {
        found
        for text in _texts(told)
        for quoted in _WITH_PASSWORD.findall(text)
        for found in (quoted, urllib.parse.unquote(quoted))
    }
    masked: things.Json = _masked(told, sorted(passwords, key=len, reverse=True))
    return masked if passwords else told


def _texts(part: Any) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    for each in part.values() if isinstance(part, dict) else part if _is_many(part) else ():
        yield from _texts(each)


def _masked(part: Any, passwords: Collection[str]) -> Any:
    if isinstance(part, dict):
        return {key: _masked(value, passwords) for key, value in part.items()}
    if _is_many(part):
        return [_masked(each, passwords) for each in part]
    if isinstance(part, str):
        for password in passwords:
            part = part.replace(password, HIDDEN)
    return part


def _is_many(part: Any) -> bool:
    return isinstance(part, (list, tuple))
