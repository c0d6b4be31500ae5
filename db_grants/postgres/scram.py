"""Passwords and their SCRAM-SHA-256 verifiers, as PostgreSQL keeps them (RFC 5803).

They are worked out on our side: hashlib's PBKDF2 is OpenSSL's, which takes half the time of libpq's own
and lets other threads run. Best while the server has nothing of the kind to do: it works out as much
when it is given one, and may be on the same few cores.
"""

import base64
import hashlib
import hmac
import secrets
import threading
from concurrent import futures
from typing import NamedTuple

# As the server's own default, scram_iterations. Half of what making a role costs is this, and it guards
# a password of 192 random bits from nothing; but clients in use refuse less (RFC 7677, section 4; in
# pgjdbc's library https://github.com/ongres/scram/issues/20).
_ITERATIONS = 4096
_SALT_BYTES = 16
_PASSWORD_BYTES = 24


class Fresh(NamedTuple):
    """A password nobody has, and its verifier."""

    password: str
    verifier: str


class Ahead:
    """One of these at most, worked out before anybody asks for it. Thread-safe.

    Until it is given to a role it opens nothing; it is given once, and kept nowhere else.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worker: futures.Executor | None = None
        self._next: futures.Future[Fresh] | None = None
        self._closed = False

    def begin(self) -> None:
        """One will be wanted: have it ready soon."""
        with self._lock:
            if self._next is None and not self._closed:
                self._worker = self._worker or futures.ThreadPoolExecutor(1, "scram")
                self._next = self._worker.submit(fresh)

    def take(self) -> Fresh:
        """The one that is ready, or one made now."""
        with self._lock:
            begun, self._next = self._next, None
        if begun is None:
            return fresh()
        return begun.result()

    def close(self) -> None:
        """Keep none."""
        with self._lock:
            self._closed, self._next = True, None
            if self._worker is not None:
                self._worker.shutdown(wait=False)


def fresh() -> Fresh:
    """One that never was before."""
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    return Fresh(password, verifier(password))


def verifier(password: str) -> str:
    """The verifier of a password with a salt of its own.

    Plain ASCII only, so that SASLprep would change nothing; raises UnicodeEncodeError otherwise.
    """
    salt = secrets.token_bytes(_SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, _ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${_ITERATIONS}:{_text(salt)}${_text(stored)}:{_text(server)}"


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
