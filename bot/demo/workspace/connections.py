"""HTTP connections that can be cut: an answer that never arrives is something an app must survive."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_open: dict[tuple[str, int], "Protocol"] = {}


class Protocol(H11Protocol):
    """uvicorn's HTTP protocol, which also can be found by the peer's address."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Remember the connection."""
        super().connection_made(transport)
        self.gone = asyncio.Event()
        if self.client is not None:
            _open[self.client] = self

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self.client is not None:
            _open.pop(self.client, None)
        super().connection_lost(exc)
        self.gone.set()


class Silence(Response):
    """No answer at all."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say nothing."""


async def cut(request: Request) -> Response:
    """Reset the connection the request came on."""
    peer = request.client
    connection = _open.get((peer.host, peer.port)) if peer is not None else None
    if connection is not None:
        connection.transport.abort()
        # the server must see the connection gone before it looks for our answer
        await connection.gone.wait()
    return Silence()
