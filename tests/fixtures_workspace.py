"""Fixtures that run the local workspace, and a bare Bolt app connected to it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import slack_bolt
import slack_sdk
from slack_bolt.adapter.socket_mode import SocketModeHandler

from bot.demo.workspace import acts, server


class Bolt:
    """A real Bolt app on a running workspace. Add listeners to `app`, then `connect()`."""

    def __init__(self, running: server.Server) -> None:
        self.workspace = running.workspace
        self.client = slack_sdk.WebClient(token=self.workspace.bot_token, base_url=running.api_url)
        self._executor = ThreadPoolExecutor(max_workers=16)
        self.app = slack_bolt.App(client=self.client, listener_executor=self._executor)
        self.handlers: list[SocketModeHandler] = []

    def connect(self, sockets: int = 1) -> None:
        """Open sockets and wait until each has been greeted."""
        for _ in range(sockets):
            handler = SocketModeHandler(self.app, self.workspace.app_token, ping_interval=1)
            self.handlers.append(handler)
            handler.connect()
        self.workspace.wait_for(lambda: self.workspace.connected >= sockets)

    def close(self) -> None:
        """Close everything.

        Left alone, the client waits 3 s for an open socket and a second for its empty queue; so
        the sockets are cut and the queues given a last message.
        """
        for handler in self.handlers:
            client = handler.client
            client.default_auto_reconnect_enabled = client.auto_reconnect_enabled = False
            client.closed = client.current_session_state.terminated = True
        self.workspace.trouble.close_sockets()
        for handler in self.handlers:
            handler.client.current_session_runner.shutdown()
            handler.client.enqueue_message("{}")
        for handler in self.handlers:
            handler.close()
        self._executor.shutdown()


@pytest.fixture
def workspace_server() -> Iterator[server.Server]:
    """A running local workspace with the usual people; nothing is connected to it yet."""
    with server.Server() as running:
        yield running


@pytest.fixture
def workspace(workspace_server: server.Server) -> acts.Workspace:
    """The workspace that `workspace_server` runs."""
    return workspace_server.workspace


@pytest.fixture
def bolt(workspace_server: server.Server) -> Iterator[Bolt]:
    """A bare Bolt app, not connected yet."""
    opened = Bolt(workspace_server)
    try:
        yield opened
    finally:
        opened.close()


class Heard(list):
    """What the app was told, safely from its threads."""

    def __init__(self, workspace):
        super().__init__()
        self._workspace = workspace

    def one(self):
        return self._workspace.wait_for(lambda: self and self[-1])


@pytest.fixture
def heard(workspace):
    return Heard(workspace)
