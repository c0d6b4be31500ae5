"""The local workspace as a server: Web API, response urls, sockets and page on one port.

It runs in a thread of its own. Everything is bound to this machine; a request that names another
host, or comes from another site's page, is refused.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from bot.demo.workspace import acts, connections, endpoints

if TYPE_CHECKING:
    from bot.demo.workspace import bench
    from bot.demo.workspace.page import site

GRACE_SECONDS = 2
START_SECONDS = 10.0


class Server:
    """Runs a workspace. `with Server() as server:` or start() and stop(), which wait until done.

    `page` adds the page for people; `bench` is what its right side works with, and may also be put
    on `server.site` later.
    """

    def __init__(
        self,
        workspace: acts.Workspace | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        page: bool = False,
        bench: "bench.Bench | None" = None,
        app_manifest: Mapping[str, Any] | None = None,
    ) -> None:
        self.workspace = workspace or acts.Workspace()
        self._host = host
        self._port = port
        self._page = page
        self._bench = bench
        self._manifest = app_manifest
        self.site: site.Site | None = None
        self._thread: threading.Thread | None = None
        self._uvicorn: uvicorn.Server | None = None

    @property
    def url(self) -> str:
        """Where the page is."""
        return self.workspace.base_url

    @property
    def api_url(self) -> str:
        """What an app takes for the Web API's address (SLACK_API_URL)."""
        return f"{self.url}/api/"

    def start(self) -> Self:
        """Listen; returns when connections are taken. OSError when the port is taken."""
        listener = socket.socket()
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._host, self._port))
        except OSError:
            listener.close()
            raise
        self.workspace.base_url = f"http://{self._host}:{listener.getsockname()[1]}"
        self._uvicorn = uvicorn.Server(self._config())
        self._thread = threading.Thread(
            target=self._serve, args=(self._uvicorn, listener), name="workspace", daemon=True
        )
        self._thread.start()
        self._wait_started()
        return self

    def _config(self) -> uvicorn.Config:
        return uvicorn.Config(
            self._application(),
            http=connections.Protocol,
            ws="websockets-sansio",
            lifespan="off",
            log_config=None,
            access_log=False,
            log_level="critical",
            timeout_graceful_shutdown=GRACE_SECONDS,
        )

    def _serve(self, server: uvicorn.Server, listener: socket.socket) -> None:
        with listener, asyncio.Runner() as runner:
            runner.run(server.serve(sockets=[listener]))

    def _wait_started(self) -> None:
        until = time.monotonic() + START_SECONDS
        while self._uvicorn is not None and not self._uvicorn.started:
            if time.monotonic() > until or not (self._thread and self._thread.is_alive()):
                raise RuntimeError("the local workspace did not start")
            time.sleep(0.005)

    def stop(self) -> None:
        """Close every connection and end. Twice is the same as once."""
        if self._thread is None or self._uvicorn is None:
            return
        self.workspace.close()
        self._uvicorn.should_exit = True
        self._thread.join(timeout=GRACE_SECONDS + START_SECONDS)
        self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _site(self) -> "site.Site":
        from bot.demo.workspace.page import site

        self.site = site.Site(self.workspace, bench=self._bench, app_manifest=self._manifest)
        return self.site

    def _application(self) -> Starlette:
        slack = endpoints.Slack(self.workspace)
        own: list[BaseRoute] = [
            Route("/api/{method}", slack.call, methods=["GET", "POST"]),
            Route("/commands/{team}/{token}", slack.respond, methods=["POST"]),
            Route("/actions/{team}/{token}", slack.respond, methods=["POST"]),
            Route("/upload/{file}", slack.upload, methods=["POST", "PUT"]),
            Route("/files/{file}", slack.file),
            WebSocketRoute("/link/", self.workspace.hub.serve),
        ]
        own += self._site().routes() if self._page else []
        hosts = [self._host, "localhost", "127.0.0.1"]
        guards = [
            Middleware(TrustedHostMiddleware, allowed_hosts=hosts),
            Middleware(SameOrigin, own=self.url),
        ]
        return Starlette(routes=own, middleware=guards)


class SameOrigin:
    """Refuses what another site's page sends here; programs send no Origin and pass."""

    def __init__(self, app: ASGIApp, own: str) -> None:
        self._app = app
        self._allowed = {own.encode(), own.replace("127.0.0.1", "localhost").encode()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 403."""
        origin = dict(scope.get("headers") or []).get(b"origin")
        if origin is None or origin in self._allowed:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            refused = PlainTextResponse("not from another site", status_code=403)
            await refused(scope, receive, send)
