"""What can go wrong between the app and Slack, on demand.

Every tool is armed for a number of times or switched on and off; `clear()` ends all trouble.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

ANY = "*"
KEEP_OLD_SOCKET = 10.0

How = Literal["503", "reset"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """How a call fails before anything is done. `reset` cuts the connection without a word."""

    error: str
    status: int = 200
    retry_after: int | None = None
    reset: bool = False


@dataclass(kw_only=True, slots=True)
class _Armed:
    left: int
    fault: Fault


class Trouble:
    """The switches. `method` is a Web API method, or "*" for any of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: dict[str, _Armed] = {}
        self._drops: dict[str, int] = {}
        self._duplicates = 0
        self._swaps = 0
        self._down: How | None = None
        self.slow_ms = 0
        """How long every Web API call takes longer."""
        self.refresh: Callable[[str, float], None] = lambda _reason, _keep: None
        """Set by the socket side."""
        self.cut: Callable[[], None] = lambda: None
        """Set by the socket side."""

    def rate_limit(self, method: str = ANY, n: int = 1, retry_after: int = 1) -> None:
        """Answer the next `n` calls with 429 and `Retry-After` in seconds."""
        self._arm(method, n, Fault(error="ratelimited", status=429, retry_after=retry_after))

    def fail(self, method: str, error: str, n: int = 1) -> None:
        """Answer the next `n` calls with `{"ok": false, "error": error}`."""
        self._arm(method, n, Fault(error=error))

    def _arm(self, method: str, n: int, fault: Fault) -> None:
        with self._lock:
            self._armed[method] = _Armed(left=n, fault=fault)

    def down(self, on: bool = True, how: How = "503") -> None:  # noqa: FBT001, FBT002 # a switch
        """The Web API answers 503, or resets every connection, until switched off."""
        with self._lock:
            self._down = how if on else None

    @property
    def is_down(self) -> bool:
        """Whether the Web API is down."""
        return self._down is not None

    def drop_responses(self, method: str = ANY, n: int = 1) -> None:
        """Do what the next `n` calls ask, then cut the connection instead of answering."""
        with self._lock:
            self._drops[method] = n

    def duplicate(self, n: int = 1) -> None:
        """Deliver each of the next `n` envelopes twice."""
        with self._lock:
            self._duplicates = n

    def reorder(self, n: int = 1) -> None:
        """Hold each of the next `n` envelopes back until another was sent (or half a second)."""
        with self._lock:
            self._swaps = n

    def refresh_sockets(
        self, reason: str = "refresh_requested", keep: float = KEEP_OLD_SOCKET
    ) -> None:
        """Ask every socket to be replaced; the old ones stay open for `keep` seconds."""
        self.refresh(reason, keep)

    def close_sockets(self) -> None:
        """Close every socket without warning."""
        self.cut()

    def clear(self) -> None:
        """End all trouble."""
        with self._lock:
            self._armed.clear()
            self._drops.clear()
            self._duplicates = self._swaps = self.slow_ms = 0
            self._down = None

    def now_on(self) -> dict[str, str]:
        """What is armed or switched on, in words, for a page to show."""
        with self._lock:
            told = {f"fail {m}": f"{a.fault.error}, {a.left} left" for m, a in self._armed.items()}
            told |= {f"drop {m}": f"{n} left" for m, n in self._drops.items()}
            if self._down:
                told["down"] = self._down
            if self.slow_ms:
                told["slow"] = f"{self.slow_ms} ms"
            return told

    # -- asked by the server --------------------------------------------------------------------

    def strikes(self, method: str) -> Fault | None:
        """How this call fails, if it does; counts it."""
        with self._lock:
            if self._down:
                reset = self._down == "reset"
                return Fault(error="service_unavailable", status=503, reset=reset)
            for name in (method, ANY):
                armed = self._armed.get(name)
                if armed is None:
                    continue
                armed.left -= 1
                if armed.left <= 0:
                    del self._armed[name]
                return armed.fault
            return None

    def loses(self, method: str) -> bool:
        """Whether the answer of this call gets lost; counts it."""
        with self._lock:
            for name in (method, ANY):
                if name in self._drops:
                    self._drops[name] -= 1
                    if self._drops[name] <= 0:
                        del self._drops[name]
                    return True
            return False

    def doubles(self) -> bool:
        """Whether this envelope goes out twice; counts it."""
        with self._lock:
            if self._duplicates <= 0:
                return False
            self._duplicates -= 1
            return True

    def holds(self) -> bool:
        """Whether this envelope waits for the next one; counts it."""
        with self._lock:
            if self._swaps <= 0:
                return False
            self._swaps -= 1
            return True
