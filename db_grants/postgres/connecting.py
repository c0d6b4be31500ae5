"""To a server by name: the name looked up, and its addresses tried, within one deadline.

libpq's connect_timeout counts for each address anew and does not cover looking the name up at all.
"""

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import psycopg

from db_grants import lookup

Connected = TypeVar("Connected")

_LEAST = 2  # seconds; less is taken for this much (fe-connect.c)


def connect(
    attempt: Callable[..., Connected], parameters: Mapping[str, Any], **more: Any
) -> Connected:
    """The first connection that comes about. Raises psycopg's errors; of several, the last.

    `parameters`: by libpq's names; `connect_timeout` of them holds for all of it.
    """
    end = time.monotonic() + float(parameters["connect_timeout"])
    failed: psycopg.Error = psycopg.errors.ConnectionTimeout("connection timeout expired")
    for place in _places(parameters, end):
        left = end - time.monotonic()
        if left <= 0:
            break
        try:
            return attempt(**place, connect_timeout=max(_LEAST, int(left)), **more)
        except psycopg.Error as error:
            failed = error
    raise failed


def _places(parameters: Mapping[str, Any], end: float) -> Iterator[dict[str, Any]]:
    """The parameters once for each address of their host."""
    given = {name: value for name, value in parameters.items() if name != "connect_timeout"}
    host = str(given.get("host") or "")
    if not _is_one_name(host) or given.get("hostaddr"):  # a path, or several: psycopg sees to it
        yield given
        return
    patience = max(0.0, end - time.monotonic())
    try:
        found = lookup.limited().within(
            patience,
            host,
            str(given.get("port") or 5432),
            0,
            socket.SOCK_STREAM,
            socket.IPPROTO_TCP,
        )
    except (OSError, UnicodeError) as error:
        raise psycopg.OperationalError(f"failed to resolve host {host!r}: {error}") from None
    for address in dict.fromkeys(each[4][0] for each in found):
        yield {**given, "hostaddr": address}


def _is_one_name(host: str) -> bool:
    return bool(host) and host[0] not in "/@" and "," not in host
