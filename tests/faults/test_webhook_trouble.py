"""The webhook in trouble: refused, silent, never let in, or answering a byte at a time.

What is audited stands in the record (its disk, its locks: F-35, F-36); Slack and the webhook are
told from there, and neither is waited for.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from bot import model, service
from bot.telling import notices
from bot.watching import ringing, webhook
from tests.fixtures_core import World, wait_for

pytestmark = pytest.mark.faults

ENDS_WITHIN = 5.0  # seconds; 15 are promised
Trouble = Callable[[], AbstractContextManager[int]]


@contextmanager
def refused() -> Iterator[int]:
    """Nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = int(once.getsockname()[1])
    yield port


@contextmanager
def silent() -> Iterator[int]:
    """Takes everything and says nothing."""
    with served(lambda _connection, over: over.wait()) as port:
        yield port


@contextmanager
def dripping() -> Iterator[int]:
    """Answers for ever, a byte at a time, and never comes to an end."""

    def drip(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-")
        while not over.wait(0.1):
            connection.sendall(b"x")

    with served(drip) as port:
        yield port


@contextmanager
def never_let_in() -> Iterator[int]:
    """Like a FIFO that nobody opens: the kernel takes no more callers and tells none of them."""
    with contextlib.ExitStack() as held:
        full = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield int(full.getsockname()[1])


@contextmanager
def served(answer: Callable[[socket.socket, threading.Event], object]) -> Iterator[int]:
    over, threads = threading.Event(), []

    def talk(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            answer(connection, over)

    def accept(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threads.append(threading.Thread(target=talk, args=(connection,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads.append(threading.Thread(target=accept, args=(listener,)))
        threads[0].start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(5)


@pytest.mark.fault(
    "F-51",
    "the webhook refuses, is silent, lets nobody in, or never comes to the end of an answer",
    how="a listener of each kind, while an alarm is to be told",
    expects="grants and ends go on in time, and Slack is told; the record has all of it",
)
@pytest.mark.parametrize("trouble", [refused, silent, never_let_in, dripping])
def test_a_webhook_in_trouble_is_in_nobodys_way(world: World, trouble: Trouble) -> None:
    with trouble() as port:
        bot = calling(world, f"http://127.0.0.1:{port}/hook", timeout=1.0)
        rings, ends = world.live(bot), world.live(bot, entitlement="read_pages")
        world.shop.down = True
        world.advance(minutes=31)
        began = time.monotonic()
        bot.start()
        wait_for(lambda: world.grant(ends).status is model.GrantStatus.ENDED, ENDS_WITHIN)
        assert time.monotonic() - began < ENDS_WITHIN
        wait_for(lambda: ringing.everything(world.store))  # and is stuck on its way out by now
        assert world.grant(rings).access_ended_at is None

        more = bot.access.submit(
            world.draft(entitlement="read_pages", requester_id="U0CLEO")
        ).request.id
        world.approve(bot, more)
        wait_for(lambda: world.grant(more).status is model.GrantStatus.ACTIVE, ENDS_WITHIN)
        bot.grants.revoke(more, "U0BO")
        wait_for(lambda: world.grant(more).status is model.GrantStatus.REVOKED, ENDS_WITHIN)
        wait_for(lambda: notices.Kind.ALARM in {row.kind for row, _ in world.channel.said})
        assert world.store.outbox_depth() >= 1  # what the webhook has not taken
        recorded = {event.type for event in world.store.all_events()}
        assert {"alarm.raised", "grant.active", "grant.revoked"} <= recorded


def calling(world: World, url: str, timeout: float) -> service.Service:
    posting = webhook.Webhook(url=url, store=world.store, clock=world.clock, timeout=timeout)
    said = world.channel
    world.channel = webhook.Branch(slack=said, webhook=posting)  # type: ignore[assignment]
    try:
        return world.new_bot()
    finally:
        world.channel = said
