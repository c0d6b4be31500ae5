"""Slack's published limits, by whatever clock: what it takes now, and when it takes the next.

One posted message a second a channel; chat.update is of tier 3, fifty a minute; views.publish of tier 4,
a hundred a minute; each for one app in one workspace. https://docs.slack.dev/apis/web-api/rate-limits
A tier's calls may come in one burst at the beginning of its minute; posted messages may not.
"""

import threading
from collections import Counter
from collections.abc import Callable

POST, UPDATE, PUBLISH = "chat.postMessage", "chat.update", "views.publish"
A_MINUTE = {UPDATE: 50, PUBLISH: 100}


class Limits:
    """How long each call has to wait. Thread-safe."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now`: seconds, on the clock that counts."""
        self._now = now
        self._lock = threading.Lock()
        self._free: dict[str, float] = {}  # from when on a channel takes the next
        self._minutes: Counter[tuple[str, int]] = Counter()  # calls of a tier's method, by minute
        self.refused = 0

    def wait(self, method: str, channel: str = "") -> float:
        """Seconds to wait before this call may be made again; 0 when it is taken."""
        with self._lock:
            now = self._now()
            left = self._post(channel, now) if method == POST else self._call(method, now)
            self.refused += left > 0
            return left

    def _post(self, channel: str, now: float) -> float:
        left = self._free.get(channel, 0.0) - now
        if left <= 0:
            self._free[channel] = now + 1
        return max(0.0, left)

    def _call(self, method: str, now: float) -> float:
        if method not in A_MINUTE:
            return 0.0
        minute = int(now // 60)
        if self._minutes[method, minute] >= A_MINUTE[method]:
            return 60 * (minute + 1) - now
        self._minutes[method, minute] += 1
        return 0.0
