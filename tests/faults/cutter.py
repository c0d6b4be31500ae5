"""A wire that breaks between two statements, also where several travel in one message.

What the server then sees is what it would see of a bot that was killed just there: the statements
up to that point, and a connection that is gone.
"""

import struct
from collections.abc import Callable

from tests.faults.wire import Wire

_BETWEEN = b"\n;\n"  # how `db_grants.postgres.links` joins the statements of one message
_QUERY = b"Q"
_HEAD = 5  # bytes: that letter and a length


class Cutter(Wire):
    """Counts statements from the moment it is told to, whatever connection they come by."""

    def __init__(self, server_port: int) -> None:
        super().__init__(server_port)
        self.strike: Callable[[], None] = lambda: None  # done just before the link is cut
        self._heard = 0  # statements
        self._most: int | None = None  # of them, before the link is cut
        self._last: bytes | None = None  # words of the last one
        self._shortened: bytes | None = None

    def cut_after(self, count: int) -> None:
        """The server hears `count` statements from now on, and not the next."""
        self._heard, self._most, self._last = 0, count, None
        self.lost.clear()

    def cut_behind(self, words: bytes) -> None:
        """The next statement with these words is the last that the server hears."""
        self._heard, self._most, self._last = 0, None, words
        self.lost.clear()

    def spare(self) -> None:
        """Cut nothing any more."""
        self._most = self._last = None

    def takes(self, data: bytes) -> bool | None:
        """See `Wire.takes`; a message that is to be cut in two is shortened when it is heard."""
        if data[:1] == _QUERY:
            statements = data[_HEAD:-1].split(_BETWEEN)
            for position, statement in enumerate(statements):
                if self._heard == self._most:
                    self.spare()
                    return self._shorten(statements[:position])
                self._heard += 1
                if self._last is not None and self._last in statement:
                    self._most = self._heard
        return super().takes(data)

    def _shorten(self, kept: list[bytes]) -> bool:
        """Whether anything is left of it for the server to answer."""
        if kept:
            text = _BETWEEN.join(kept) + b"\0"
            self._shortened = _QUERY + struct.pack("!I", len(text) + 4) + text
        return bool(kept)

    def heard(self, data: bytes) -> bytes:
        """See `Wire.heard`."""
        shortened, self._shortened = self._shortened, None
        return data if shortened is None else shortened

    def note_lost(self) -> None:
        """See `Wire.note_lost`."""
        self.strike()
        super().note_lost()
