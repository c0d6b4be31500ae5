"""Fixtures that run the local workspace."""

from collections.abc import Iterator

import pytest

from bot.demo.workspace import acts, server


@pytest.fixture
def workspace_server() -> Iterator[server.Server]:
    """A running local workspace; acknowledgements are waited for a second, not three."""
    with server.Server(acts.Workspace(ack_timeout=1.0)) as running:
        yield running
