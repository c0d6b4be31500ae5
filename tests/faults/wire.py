"""A TCP relay to one server that does to a connection what networks do.

`Wire` stands between an engine and its server. What it does is changed while it runs; each change
counts for links that exist as well as for new ones, unless said otherwise.
"""

import contextlib
import socket
import struct
import threading
import time
from enum import StrEnum
from types import TracebackType
from typing import Self

_CHUNK = 65536
_READY = b"Z\x00\x00\x00\x05"  # ReadyForQuery: the server is done with what it was asked
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER that makes close() send RST


class Mode(StrEnum):
    """What happens to bytes."""

    PASS = "pass"
    BLACKHOLE = "blackhole"  # both ways swallowed; the link looks alive
    HALF_OPEN = "half_open"  # the server hears, and its answers are swallowed


class Wire:
    """Listens on `port` of 127.0.0.1 and relays to the server's port. Close it."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.mode = Mode.PASS
        self.latency = 0.0  # seconds added to every chunk, each way
        self.refuse = False  # new links are reset at once
        self.lost = threading.Event()  # set when an answer has been lost as asked
        self._lock = threading.Lock()
        self._links: list[_Link] = []
        self._wanted: tuple[bytes, bool] | None = None
        self.closing = threading.Event()
        self._thread = threading.Thread(target=self._accept, name="wire", daemon=True)
        self._thread.start()

    def lose_answer_to(self, words: bytes) -> None:
        """The next time a client sends `words`, let the server do it, then cut the link unanswered."""
        self._want(words, delivered=True)

    def lose_question(self, words: bytes) -> None:
        """The next time a client sends `words`, cut the link before the server hears them."""
        self._want(words, delivered=False)

    def reset(self) -> None:
        """Cut every link with RST."""
        with self._lock:
            links, self._links = self._links, []
        for link in links:
            link.cut()

    def takes(self, data: bytes) -> bool | None:
        """Whether `data` was waited for (once): True delivered, False not; None: not waited for."""
        with self._lock:
            if self._wanted is None or self._wanted[0] not in data:
                return None
            delivered, self._wanted = self._wanted[1], None
            return delivered

    def heard(self, data: bytes) -> bytes:
        """What the server hears of `data`."""
        return data

    def note_lost(self) -> None:
        """What was asked for is about to be lost; called just before the link is cut."""
        self.lost.set()

    def close(self) -> None:
        """Cut everything and stop listening."""
        self.closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        self.reset()

    def _want(self, words: bytes, *, delivered: bool) -> None:
        with self._lock:
            self._wanted = (words, delivered)
        self.lost.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._server_port))
            except OSError:
                _reset(client)
                continue
            link = _Link(self, client, server)
            if self.refuse:
                link.cut()
                continue
            with self._lock:
                self._links.append(link)
            link.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Link:
    """One client's connection and its other half."""

    def __init__(self, wire: Wire, client: socket.socket, server: socket.socket) -> None:
        self._wire = wire
        self._client = client
        self._server = server
        self._holding = False  # the server's answer is kept back until it is complete, then cut

    def start(self) -> None:
        for relay in (self._ask, self._answer):
            threading.Thread(target=relay, name="wire-link", daemon=True).start()

    def cut(self) -> None:
        for end in (self._client, self._server):
            _reset(end)

    def _ask(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._client.recv(_CHUNK):
                delivered = self._wire.takes(data)
                if delivered is False:
                    self._wire.note_lost()
                    self.cut()
                    return
                self._holding = self._holding or delivered is True
                self._wait()
                if self._wire.mode is not Mode.BLACKHOLE:
                    self._server.sendall(self._wire.heard(data))
        self._hang_up(self._server)

    def _answer(self) -> None:
        held = b""
        with contextlib.suppress(OSError):
            while data := self._server.recv(_CHUNK):
                if self._holding:
                    held += data
                    if _READY in held:
                        self._wire.note_lost()
                        self.cut()
                        return
                    continue
                self._wait()
                if self._wire.mode is Mode.PASS:
                    self._client.sendall(data)
        self._hang_up(self._client)

    def _wait(self) -> None:
        """Latency that ends early when it is taken away."""
        until = time.monotonic() + self._wire.latency
        while time.monotonic() < until and self._wire.latency:
            self._wire.closing.wait(0.01)

    def _hang_up(self, other: socket.socket) -> None:
        """Pass an end of the stream on, unless that is what the network would swallow."""
        if self._wire.mode is Mode.PASS:
            with contextlib.suppress(OSError):
                other.shutdown(socket.SHUT_RDWR)


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        end.shutdown(socket.SHUT_RDWR)
    end.close()
