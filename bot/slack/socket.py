"""Socket Mode: the socket on which Slack sends us what people do, kept open without a gap.

Slack replaces a socket every few hours: it sends `disconnect` and keeps the old socket for a while.
The stock client stops reading the new one until the old one's last `recv` times out, three seconds
later, which is as long as a trigger lives. So here the new socket is read at once, by a reader of its
own, while the old one is read to its end. The stock reader also recurses once a frame, up to Python's
limit, when many come at once, and does not notice an end of file.
"""

import contextlib
import itertools
import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import slack_bolt
import slack_sdk.errors
import structlog
from slack_bolt.adapter.socket_mode import builtin as adapter
from slack_sdk.socket_mode import builtin
from slack_sdk.socket_mode.builtin import connection as connections
from slack_sdk.socket_mode.interval_runner import IntervalRunner

from bot import errors
from bot.slack import client as clients
from bot.slack import frames

_log = structlog.get_logger(__name__)

WORKERS = 64  # envelopes in hand at once; a worker is only busy while an acknowledgement is made
# bytes a read: the SDK recurses once a frame and once a read, up to Python's limit
RECEIVE = 1 << 20
PING = 5  # seconds; after four silent ones the socket counts as dead
OLD_SOCKET = 5.0  # seconds an old socket is still read after its successor is there
RETRY = (0.5, 1, 2, 4, 8, 15)  # seconds between attempts to connect; the last one repeats


class _Connection(connections.Connection):
    """The stock connection with a reader that notices a lost socket and never recurses."""

    def run_until_completion(self, state: connections.ConnectionState) -> None:
        """Read until `state` says stop or the socket is gone."""
        received, begun = frames.Frames(), False
        while not state.terminated and (sock := self.sock) is not None:
            data = self._read(sock)
            if data is None:
                continue
            fresh = data if begun else data.removeprefix(b"\n")  # the SDK's handshake leaves one
            for frame in received.feed(fresh):
                self._take(frame)
            begun = begun or bool(fresh)
            if not data:
                self._lost()
        state.terminated = True

    def _read(self, sock: socket.socket) -> bytes | None:
        """What came; empty when the socket is gone, None when nothing came for a while."""
        try:
            with self.sock_receive_lock:
                return sock.recv(RECEIVE)
        except TimeoutError:
            return None
        except OSError:
            return b""

    def _take(self, frame: frames.Frame) -> None:
        match frame.opcode:
            case frames.TEXT if self.on_message_listener is not None:
                self.on_message_listener(frame.payload.decode())
            case frames.PING:
                self.pong(frame.payload)
            case frames.PONG:
                self.last_ping_pong_time = time.time()
            case frames.CLOSE:
                self._lost()

    def disconnect(self) -> None:
        """Close, once, whoever else is closing at the same time."""
        with self.sock_send_lock, self.sock_receive_lock:
            sock, self.sock = self.sock, None
        if sock is not None:
            sock.close()

    def _lost(self) -> None:
        self.disconnect()
        if self.on_close_listener is not None:
            self.on_close_listener(1006, "")


class _Client(builtin.SocketModeClient):
    """The stock client, but for the change of sockets."""

    _changing = threading.Lock()

    def connect_to_new_endpoint(self, force: bool = False) -> None:  # noqa: FBT001, FBT002 - theirs
        """Make a new socket, in a thread of its own: nobody waits for that."""
        if not self.closed and (force or not self.is_connected()):
            threading.Thread(target=self._change, name="socket-change", daemon=True).start()

    def _change(self) -> None:
        """One at a time; a second wish while one is under way is granted by the first."""
        if not self._changing.acquire(blocking=False):
            return
        try:
            for pause in pauses():
                if self.closed or self._changed():
                    return
                time.sleep(pause)
        finally:
            self._changing.release()

    def _changed(self) -> bool:
        try:
            self.wss_uri = self.issue_new_wss_url()
            self.connect()
        except (slack_sdk.errors.SlackApiError, *clients.NETWORK) as error:
            _log.warning("socket_change_failed", error=type(error).__name__)
            return False
        return True

    def connect(self) -> None:
        """Open a socket with a reader of its own, and let the old one be read to its end.

        Raises ConnectionError, and keeps the old socket, when there is no new one.
        """
        session = self._open()
        old = (self.current_session, self.current_session_state, self.current_session_runner)
        self.current_session_state = connections.ConnectionState()  # type: ignore[no-untyped-call]
        self.current_session = session
        if old[0] is not None:
            self.current_session_runner = IntervalRunner(self._run_current_session, 0.1).start()
            threading.Thread(target=_read_out, args=old, name="socket-old", daemon=True).start()
        if not self.current_app_monitor_started:
            self.current_app_monitor_started = True
            self.current_app_monitor.start()

    def _open(self) -> _Connection:
        session = _Connection(
            url=self.wss_uri or "",
            logger=self.logger,
            ping_interval=self.ping_interval,
            receive_buffer_size=self.receive_buffer_size,
            proxy=self.proxy,
            proxy_headers=self.proxy_headers,
            on_message_listener=self._on_message,
            on_error_listener=self._on_error,
            on_close_listener=self._on_close,
            ssl_context=self.web_client.ssl,
        )
        session.connect()
        if not session.is_active():
            raise ConnectionError("no socket")
        return session

    def close(self) -> None:
        """Close at once, instead of when the last read times out."""
        self.closed = True
        self.auto_reconnect_enabled = False
        self.current_session_state.terminated = True
        self.enqueue_message("")  # wakes the thread that waits for the next message
        if self.current_session is not None:
            _hang_up(self.current_session)
        super().close()


def _read_out(
    session: connections.Connection, state: connections.ConnectionState, runner: IntervalRunner
) -> None:
    """Give the server time to say its last on an old socket, then close it."""
    runner.event.set()  # its reader goes on until `state` says stop, and then takes no new session
    deadline = time.monotonic() + OLD_SOCKET
    while not state.terminated and session.is_active() and time.monotonic() < deadline:
        time.sleep(0.05)
    state.terminated = True
    _hang_up(session)
    session.close()


def _hang_up(session: connections.Connection) -> None:
    """Wake a reader that waits for the next byte."""
    with contextlib.suppress(OSError, AttributeError):
        session.sock.shutdown(socket.SHUT_RD)  # type: ignore[union-attr]


def pauses() -> Iterator[float]:
    """Seconds between attempts, without end."""
    return itertools.chain(RETRY, itertools.repeat(RETRY[-1]))


class _Handler(adapter.SocketModeHandler):
    """The stock handler around our client."""

    def __init__(self, app: slack_bolt.App, app_token: str) -> None:
        self.app = app
        self.app_token = app_token
        self.client = _Client(
            app_token=app_token,
            logger=logging.getLogger("slack_sdk.socket_mode"),
            web_client=app.client,
            ping_interval=PING,
            receive_buffer_size=RECEIVE,
            concurrency=WORKERS,
        )
        if clients.is_local(app.client.base_url):
            # the SDK takes one from the environment, whatever NO_PROXY says
            self.client.proxy = None
        self.client.socket_mode_request_listeners.append(self.handle)  # type: ignore[arg-type]


class Gateway:
    """The connection of an app to Slack: started, watched and stopped."""

    def __init__(self, app: slack_bolt.App, app_token: str) -> None:
        self._handler = _Handler(app, app_token)
        self._stopping = threading.Event()
        self._connecting: threading.Thread | None = None

    def start(self) -> None:
        """Connect. Raises SettingsError when Slack refuses the app token.

        When Slack does not answer it returns, and goes on trying: access must end all the same.
        """
        if not self._attempt():
            self._connecting = threading.Thread(
                target=self._go_on, name="socket-connect", daemon=True
            )
            self._connecting.start()

    def connected(self) -> bool:
        """Whether Slack can reach us now."""
        return bool(self._handler.client.is_connected())

    def stop(self) -> None:
        """Disconnect and let every thread of the socket end."""
        self._stopping.set()
        if self._connecting is not None:
            self._connecting.join(clients.TIMEOUT + 1)
        self._handler.close()  # type: ignore[no-untyped-call]

    def _attempt(self) -> bool:
        client = self._handler.client
        try:
            client.wss_uri = client.issue_new_wss_url()
            client.connect()
        except slack_sdk.errors.SlackApiError as error:
            found = clients.refused("SLACK_APP_TOKEN", "an app-level token (xapp-…)", error)
            if isinstance(found, errors.SettingsError):
                raise found from error
            return False
        except clients.NETWORK:
            return False
        return self.connected()

    def _go_on(self) -> None:
        for pause in pauses():
            if self._stopping.wait(pause):
                return
            try:
                if self._attempt():
                    return
            except errors.SettingsError as error:
                _log.error("app_token_refused", error=str(error))


def executor() -> ThreadPoolExecutor:
    """For Bolt's own listener threads."""
    return ThreadPoolExecutor(max_workers=WORKERS, thread_name_prefix="listener")
