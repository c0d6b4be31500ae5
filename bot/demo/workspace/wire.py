"""A bounded record of all that passed between the app and the workspace."""

import collections
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from bot.demo.workspace import things

MOST = 2000


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
    """The latest entries, oldest first. Tokens are never among them."""

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
                body={key: value for key, value in (body or {}).items() if key != "token"},
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
