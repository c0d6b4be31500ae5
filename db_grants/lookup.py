"""Names to addresses, within a limit of ours.

`getaddrinfo` cannot be told how long to wait: a name server that says nothing holds its caller for
5 s, twice, for each server of resolv.conf, and no client's timeout covers that. So it is asked in a
thread of its own, and given up. Who asks the same meanwhile waits for the same answer, so that a
silent name server costs one thread a name, however often it is asked.
https://man7.org/linux/man-pages/man5/resolv.conf.5.html
"""

import functools
import ipaddress
import socket
import threading
from collections.abc import Callable
from concurrent import futures
from typing import Any

WITHIN = 5.0  # seconds

Found = list[Any]  # as socket.getaddrinfo tells them


class Limited:
    """`socket.getaddrinfo` that gives up in time. Thread-safe; raises socket.gaierror."""

    def __init__(self, ask: Callable[..., Found]) -> None:
        """`ask`: who knows."""
        self._ask = ask
        self._lock = threading.Lock()
        self._asked: dict[object, futures.Future[Found]] = {}

    def __call__(
        self,
        host: Any,
        port: Any,
        family: int = 0,
        type: int = 0,  # noqa: A002 - socket's word
        proto: int = 0,
        flags: int = 0,
    ) -> Found:
        """See `socket.getaddrinfo`."""
        return self.within(WITHIN, host, port, family, type, proto, flags)

    def within(self, seconds: float, host: Any, *more: Any) -> Found:
        """The same, with so much patience."""
        if _is_address(host):
            return self._ask(host, *more)
        try:
            return self._answer((host, *more)).result(seconds)
        except TimeoutError:
            raise socket.gaierror(socket.EAI_AGAIN, "no name server answered in time") from None

    def _answer(self, question: tuple[Any, ...]) -> "futures.Future[Found]":
        with self._lock:
            if question not in self._asked:
                answer: futures.Future[Found] = futures.Future()
                self._asked[question] = answer
                threading.Thread(
                    target=self._learn, args=(question, answer), name="lookup", daemon=True
                ).start()
            return self._asked[question]

    def _learn(self, question: tuple[Any, ...], answer: "futures.Future[Found]") -> None:
        try:
            answer.set_result(self._ask(*question))
        except (OSError, UnicodeError) as error:
            answer.set_exception(error)
        finally:
            with self._lock:
                del self._asked[question]


def limited() -> Limited:
    """As the process looks names up by now, with the limit."""
    present = socket.getaddrinfo
    return present if isinstance(present, Limited) else _over(present)


def limit_process() -> None:
    """Every library of this process gives up looking for a name in time."""
    socket.getaddrinfo = limited()


@functools.lru_cache(maxsize=2)
def _over(ask: Callable[..., Found]) -> Limited:
    """One for all, so that who asks the same waits for the same answer."""
    return Limited(ask)


def _is_address(host: Any) -> bool:
    if host is None:
        return True
    try:
        ipaddress.ip_address(host.decode() if isinstance(host, bytes) else host)
    except ValueError:
        return False
    return True
