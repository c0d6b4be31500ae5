"""Processes that are alive and do nothing: SIGSTOP of one backend. (A server: `Server.pause`.)"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg


@contextmanager
def backend(connection: psycopg.Connection) -> Iterator[int]:
    """The server's process of this connection stands still; it cannot even be terminated."""
    pid = connection.info.backend_pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGCONT)
