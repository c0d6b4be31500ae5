"""Counting what noise cannot touch: turns on the wire to a server, and transactions that wrote.

A turn is everything a client sends before the server's next answer: one wait for the network. It is
counted by a relay between the two, so it is the same measure for every client and library.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What one operation cost its server."""

    turns: int
    commits: int  # transactions that were given a number, so that wrote


class Relay:
    """A way to a server on loopback that counts turns."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.turns = 0
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, url: str) -> str:
        """The same URL, by this way."""
        parts = urlsplit(url)
        who = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{who}@127.0.0.1:{self.port}"))

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._to))
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            asked = [False]
            for source, sink, asking in ((client, server, True), (server, client, False)):
                run = threading.Thread(
                    target=self._carry, args=(source, sink, asked, asking), daemon=True
                )
                run.start()

    def _carry(
        self, source: socket.socket, sink: socket.socket, asked: list[bool], asking: bool
    ) -> None:
        try:
            while data := source.recv(65536):
                with self._lock:
                    self.turns += asking and not asked[0]
                    asked[0] = asking
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for each in (source, sink):
                each.close()


@contextmanager
def relayed(port: int) -> Iterator[Relay]:
    """A relay for the time of a block."""
    made = Relay(port)
    try:
        yield made
    finally:
        made.close()


class Asked(Protocol):
    """A server that answers a query."""

    def ask(self, query: str) -> list[Any]:
        """Its rows."""


def counted(at: Asked, relay: Relay, work: Callable[[], object]) -> Count:
    """What `work` costs; nothing else may write to that server meanwhile."""
    numbers, turns = _next_number(at), relay.turns
    work()
    return Count(turns=relay.turns - turns, commits=_next_number(at) - numbers)


def _next_number(at: Asked) -> int:
    """The number the next writing transaction will get; asking takes none."""
    return int(at.ask("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")[0][0])
