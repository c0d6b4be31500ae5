"""What the workspace hands out for later: trigger ids and response urls, each with its limits."""

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from bot.demo.workspace import refusal

TRIGGER_SECONDS = 3.0
RESPONSE_SECONDS = 30 * 60.0
RESPONSE_POSTS = 5
MOST_KEPT = 5000


@dataclass(kw_only=True, slots=True)
class Trigger:
    """The right to open one modal on one person's screen, for three seconds."""

    user: str
    at: float
    spent: bool = False


class Triggers:
    """All trigger ids handed out lately."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._known: dict[str, Trigger] = {}

    def issue(self, user: str) -> str:
        """A new trigger id for `user`, in Slack's form "123.456.abc"."""
        at = self._now()
        trigger_id = f"{int(at * 1000)}.{secrets.randbelow(10**9)}.{secrets.token_hex(16)}"
        with self._lock:
            self._known[trigger_id] = Trigger(user=user, at=at)
            _forget_oldest(self._known)
        return trigger_id

    def spend(self, trigger_id: str) -> str:
        """Whose screen it is for. Refused when unknown, used before, or older than 3 s."""
        with self._lock:
            trigger = self._known.get(trigger_id)
            if trigger is None:
                raise refusal.Refused("invalid_trigger_id")
            if trigger.spent:
                raise refusal.Refused("exchanged_trigger_id")
            if self._now() - trigger.at > TRIGGER_SECONDS:
                raise refusal.Refused("expired_trigger_id")
            trigger.spent = True
            return trigger.user


@dataclass(kw_only=True, slots=True)
class ResponseUrl:
    """The right to answer one act of one person five times in half an hour."""

    user: str
    channel: str
    at: float
    message_ts: str | None = None
    """The message the act was on, which `replace_original` replaces."""
    thread_ts: str | None = None
    posts: int = field(default=0)


class ResponseUrls:
    """All response urls handed out lately, by their last part."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._known: dict[str, ResponseUrl] = {}

    def issue(
        self,
        user: str,
        channel: str,
        message_ts: str | None = None,
        thread_ts: str | None = None,
    ) -> str:
        """A new token, the last part of the url."""
        token = secrets.token_urlsafe(18)
        with self._lock:
            self._known[token] = ResponseUrl(
                user=user,
                channel=channel,
                at=self._now(),
                message_ts=message_ts,
                thread_ts=thread_ts,
            )
            _forget_oldest(self._known)
        return token

    def spend(self, token: str) -> ResponseUrl:
        """Count a post. Refused when unknown or too old (`expired_url`) or used up (`used_url`)."""
        with self._lock:
            known = self._known.get(token)
            if known is None or self._now() - known.at > RESPONSE_SECONDS:
                raise refusal.Refused("expired_url")
            if known.posts >= RESPONSE_POSTS:
                raise refusal.Refused("used_url")
            known.posts += 1
            return known


def _forget_oldest(known: dict[str, Trigger] | dict[str, ResponseUrl]) -> None:
    while len(known) > MOST_KEPT:
        known.pop(next(iter(known)))
