"""The Socket Mode side: tickets, hello, envelopes, acknowledgements, refresh.

The sockets live on the server's event loop; `deliver` is called from any other thread and waits.
"""

import asyncio
import contextlib
import json
import secrets
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from bot.demo.workspace import people, state, things, trouble, wire

TICKET_SECONDS = 30.0
HOLD_SECONDS = 0.5
MOST_SOCKETS = 10
MOST_REMEMBERED = 1000


class NotAcknowledged(Exception):
    """No acknowledgement came in time; `error` is Slack's word for it."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


@dataclass(kw_only=True, slots=True, eq=False)
class Socket:
    """One open connection of the app."""

    outbox: asyncio.Queue[str | None]
    retiring: bool = False


@dataclass(kw_only=True, slots=True)
class _Pending:
    name: str
    began: float
    done: threading.Event = field(default_factory=threading.Event)
    ack: things.Ack | None = None
    gave_up: bool = False


class Hub:
    """Everything the app's sockets share."""

    def __init__(
        self, places: state.State, record: wire.Wire, faults: trouble.Trouble, ack_timeout: float
    ) -> None:
        self.ack_timeout = ack_timeout
        self.retries: tuple[float, ...] = (0.0, 60.0, 300.0)
        """After how many seconds each an unacknowledged event is sent again."""
        self._state = places
        self._wire = record
        self._trouble = faults
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sockets: list[Socket] = []
        self._next = 0
        self._held: list[tuple[Socket, str]] = []
        self._tickets: dict[str, float] = {}
        self._pending: dict[str, _Pending] = {}
        self._stopping = threading.Event()
        self._retrying: list[threading.Thread] = []
        faults.refresh = self._refresh
        faults.cut = self._cut

    @property
    def connected(self) -> int:
        """How many sockets the app has open and in use."""
        with self._lock:
            return sum(not socket.retiring for socket in self._sockets)

    def stop(self) -> None:
        """Close every socket and give up waiting."""
        self._stopping.set()
        self._cut()
        with self._lock:
            waiting = list(self._pending.values())
        for pending in waiting:
            pending.done.set()
        for thread in self._retrying:
            thread.join(timeout=5)

    # -- tickets and connections ----------------------------------------------------------------

    def issue_ticket(self) -> str:
        """The right to connect once, soon."""
        ticket = secrets.token_urlsafe(16)
        with self._lock:
            self._tickets[ticket] = time.monotonic()
        return ticket

    def _spend_ticket(self, ticket: str) -> bool:
        with self._lock:
            issued = self._tickets.pop(ticket, None)
        return issued is not None and time.monotonic() - issued <= TICKET_SECONDS

    async def serve(self, websocket: WebSocket) -> None:
        """Keep one connection of the app, from hello to the end."""
        if not self._spend_ticket(websocket.query_params.get("ticket", "")):
            self._wire.note("socket", "refused", error="invalid_ticket")
            await websocket.close()
            return
        await websocket.accept()
        self._loop = asyncio.get_running_loop()
        socket = Socket(outbox=asyncio.Queue())
        writer = asyncio.create_task(_write(websocket, socket))
        self._greet(socket)
        try:
            while True:
                self._received(json.loads(await websocket.receive_text()))
        except (WebSocketDisconnect, json.JSONDecodeError):
            pass
        finally:
            self._forget(socket)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer

    def _greet(self, socket: Socket) -> None:
        with self._lock:
            self._sockets.append(socket)
            count = len(self._sockets)
        hello = {
            "type": "hello",
            "num_connections": count,
            "debug_info": {
                "host": "localhost",
                "build_number": 1,
                "approximate_connection_time": 18060,
            },
            "connection_info": {"app_id": people.APP},
        }
        socket.outbox.put_nowait(json.dumps(hello))
        self._wire.note("socket", "hello", body={"num_connections": count})
        if count > MOST_SOCKETS:
            self._retire([socket], "too_many_websockets", 0.0)
        with self._state.changing():
            pass

    def _forget(self, socket: Socket) -> None:
        with self._lock:
            if socket in self._sockets:
                self._sockets.remove(socket)
        self._wire.note("socket", "closed")
        with self._state.changing():
            pass

    # -- sending --------------------------------------------------------------------------------

    def deliver(
        self,
        kind: str,
        name: str,
        payload: things.Json,
        *,
        accepts_response: bool = True,
        **more: Any,
    ) -> things.Ack:
        """Send an envelope and wait for its acknowledgement, three seconds at most.

        `kind` is the envelope's type, `name` what it is called in the record.
        """
        envelope = {
            "envelope_id": str(uuid.uuid4()),
            "type": kind,
            "accepts_response_payload": accepts_response,
            "payload": payload,
            **more,
        }
        return self._await(envelope["envelope_id"], name, envelope)

    def _await(self, envelope_id: str, name: str, envelope: things.Json) -> things.Ack:
        pending = _Pending(name=name, began=time.monotonic())
        with self._lock:
            self._pending[envelope_id] = pending
            while len(self._pending) > MOST_REMEMBERED:
                self._pending.pop(next(iter(self._pending)))
        self._wire.note("envelope", name, body=envelope)
        self._send(envelope_id, json.dumps(envelope))
        pending.done.wait(self.ack_timeout)
        with self._lock:
            if pending.ack is not None:
                return pending.ack
            pending.gave_up = True
        self._wire.note("ack", name, error="operation_timeout", body={"envelope_id": envelope_id})
        raise NotAcknowledged("operation_timeout")

    def _send(self, envelope_id: str, text: str) -> None:
        socket = self._choose()
        if socket is None or self._loop is None:
            with self._lock:
                del self._pending[envelope_id]
            raise NotAcknowledged("dispatch_failed")
        self._on_loop(self._put, socket, text)

    def _choose(self) -> Socket | None:
        with self._lock:
            fresh = [s for s in self._sockets if not s.retiring] or self._sockets
            if not fresh:
                return None
            self._next += 1
            return fresh[self._next % len(fresh)]

    def _on_loop(self, act: Any, *args: Any) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(act, *args)

    def _put(self, socket: Socket, text: str) -> None:
        """On the loop: send now, twice, or after the next one, as the trouble of the day says."""
        if self._trouble.holds():
            self._held.append((socket, text))
            asyncio.get_running_loop().call_later(HOLD_SECONDS, self._release)
            return
        for _ in range(2 if self._trouble.doubles() else 1):
            socket.outbox.put_nowait(text)
        self._release()

    def _release(self) -> None:
        held, self._held = self._held, []
        for socket, text in held:
            socket.outbox.put_nowait(text)

    def _received(self, message: things.Json) -> None:
        """On the loop: an acknowledgement came."""
        envelope_id = str(message.get("envelope_id", ""))
        with self._lock:
            pending = self._pending.get(envelope_id)
            if pending is None or pending.ack is not None:
                late, name, ms = True, "unknown or twice", None
            else:
                late, name = pending.gave_up, pending.name
                ms = (time.monotonic() - pending.began) * 1000
                pending.ack = things.Ack(
                    envelope_id=envelope_id, payload=message.get("payload") or {}, ms=ms
                )
                pending.done.set()
        self._wire.note("late" if late else "ack", name, ms=ms, body=message)

    # -- events ---------------------------------------------------------------------------------

    def post_event(self, event: things.Json) -> things.Ack:
        """Deliver an event; if nobody acknowledges it, go on trying in the background."""
        payload = {
            "token": "local",
            "team_id": people.TEAM,
            "api_app_id": people.APP,
            "event": event,
            "type": "event_callback",
            "event_id": "Ev0" + secrets.token_hex(4).upper(),
            "event_time": int(self._state.now()),
            "authorizations": [
                {
                    "enterprise_id": None,
                    "team_id": people.TEAM,
                    "user_id": people.BOT,
                    "is_bot": True,
                    "is_enterprise_install": False,
                }
            ],
            "is_ext_shared_channel": False,
        }
        try:
            return self._deliver_event(payload, 0)
        except NotAcknowledged:
            thread = threading.Thread(target=self._retry, args=(payload,), daemon=True)
            self._retrying = [old for old in self._retrying if old.is_alive()] + [thread]
            thread.start()
            raise

    def _deliver_event(self, payload: things.Json, attempt: int) -> things.Ack:
        return self.deliver(
            "events_api",
            str(payload["event"]["type"]),
            payload,
            accepts_response=False,
            retry_attempt=attempt,
            retry_reason="timeout" if attempt else "",
        )

    def _retry(self, payload: things.Json) -> None:
        for attempt, delay in enumerate(self.retries, start=1):
            if self._stopping.wait(delay):
                return
            with contextlib.suppress(NotAcknowledged):
                self._deliver_event(payload, attempt)
                return

    # -- refresh --------------------------------------------------------------------------------

    def _refresh(self, reason: str, keep: float) -> None:
        with self._lock:
            old = [socket for socket in self._sockets if not socket.retiring]
        self._on_loop(self._retire, old, reason, keep)

    def _retire(self, sockets: list[Socket], reason: str, keep: float) -> None:
        """On the loop: ask sockets to be replaced, and close them later."""
        goodbye = json.dumps({"type": "disconnect", "reason": reason, "debug_info": {}})
        for socket in sockets:
            socket.retiring = True
            socket.outbox.put_nowait(goodbye)
            self._wire.note("socket", "disconnect", body={"reason": reason})
            asyncio.get_running_loop().call_later(keep, socket.outbox.put_nowait, None)

    def _cut(self) -> None:
        with self._lock:
            sockets = list(self._sockets)
        for socket in sockets:
            self._on_loop(socket.outbox.put_nowait, None)


async def _write(websocket: WebSocket, socket: Socket) -> None:
    """Send what is put into the outbox, in order; None closes."""
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        while (text := await socket.outbox.get()) is not None:
            await websocket.send_text(text)
        await websocket.close()
