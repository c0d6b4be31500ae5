"""Alarms over an outgoing webhook: one JSON POST for each thing an alarm has to say.

The way out when Slack is the trouble. It goes through the outbox like everything else, so it is in
order, tried again, and in nobody's way. https only, except to this machine; redirects are not
followed, because whom the operator named is whom is told.
"""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import structlog

from bot import clock as clocks
from bot import model, store
from bot.telling import notices, outbox, outcry, render
from bot.watching import ringing

_log = structlog.get_logger(__name__)

TIMEOUT = 5.0  # seconds, for each step of the conversation
_PASSING = frozenset({408, 425, 429})
_BROKEN = 500  # from here on it is the other side's fault, and passing
_WORDS = {
    "overdue": "access to {target} should have ended and may still exist ({grants})",
    "unsure": "it is not certain what exists on {target} ({grants})",
    "unclean": "access to {target} has ended, something remains to be removed ({grants})",
    "stranded": "there is no connection to {target} ({grants} live there)",
    "ends-only": "the catalog cannot be used, so nothing is granted; what is live ends",
    "skew": "the clock of {target} is far off; nothing is granted there",
    "unsaid": "messages do not get out to Slack",
}
_OVER = {
    "overdue": "access to {target} has ended after all ({grants})",
    "unsure": "nothing uncertain exists on {target} any more ({grants})",
    "unclean": "nothing remains to be removed on {target} ({grants})",
    "stranded": "nothing on {target} is without a connection any more",
    "ends-only": "the catalog can be used again",
    "skew": "the clock of {target} is in order again",
    "unsaid": "messages get out to Slack again",
}
_UNPROVEN = "access to {target} is no longer waited for; nothing proves the end of {unproven}"


class Webhook:
    """Posts alarms to a URL. Implements `outbox.Poster` for rows of kind `webhook`."""

    def __init__(
        self,
        *,
        url: str | None,
        store: store.Store,
        clock: clocks.Clock,
        timeout: float = TIMEOUT,
        lacks: str = "",
    ) -> None:
        """`url`: none when the catalog names no webhook; then there is nothing to do.

        `lacks`: why there is none although the catalog names one; what is to be posted waits.
        """
        self._url = url
        self._lacks = lacks
        self._store = store
        self._clock = clock
        self._timeout = timeout

    def deliver(self, row: store.OutboxRow, story: model.Story | None) -> model.MessageRef | None:
        """Post it. Raises Later, Never; neither holds the URL, which is a secret."""
        del story
        now = self._clock.now()
        if self._lacks:
            raise outbox.Later(None, self._lacks)
        if self._url is None or ringing.stale(self._store, row.data, row.created_at, now):
            return None
        told = {"text": text(row.data), **row.data, "at": row.created_at.isoformat()}
        status = self._post(self._url, json.dumps(told).encode())
        if status in _PASSING or status >= _BROKEN:
            raise outbox.Later(None, f"the webhook answers {status}")
        if not 200 <= status < 300:  # noqa: PLR2004
            raise outbox.Never(f"the webhook answers {status}")
        return None

    def cry(self, told: Mapping[str, object]) -> None:
        """Post it now, without the record. Raises Untold."""
        if self._url is None:
            raise outcry.Untold(self._lacks or "the catalog names no webhook")
        body = {"text": outcry.sentence(told), **told}
        try:
            status = self._post(self._url, json.dumps(body).encode())
        except outbox.Later as silence:
            raise outcry.Untold(str(silence)) from None
        if not 200 <= status < 300:  # noqa: PLR2004
            raise outcry.Untold(f"the webhook answers {status}")

    def withdraw(self, message: model.MessageRef) -> None:
        """What was posted there cannot be taken back."""

    def _post(self, url: str, body: bytes) -> int:
        request = urllib.request.Request(  # noqa: S310 - the settings let nothing but http(s) in
            url, data=body, method="POST", headers={"Content-Type": "application/json"}
        )
        try:
            with _opener(url).open(request, timeout=self._timeout) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refusal:
            refusal.close()
            return refusal.code
        except (OSError, http.client.HTTPException) as error:
            raise outbox.Later(None, f"the webhook does not answer ({_kind(error)})") from None


class Branch:
    """Takes rows for the webhook to the webhook, and all others to Slack."""

    def __init__(self, *, slack: outbox.Poster, webhook: outbox.Poster) -> None:
        self._slack = slack
        self._webhook = webhook

    def deliver(self, row: store.OutboxRow, story: model.Story | None) -> model.MessageRef | None:
        """See `outbox.Poster.deliver`."""
        way = self._webhook if row.kind == notices.Kind.WEBHOOK else self._slack
        return way.deliver(row, story)

    def withdraw(self, message: model.MessageRef) -> None:
        """See `outbox.Poster.withdraw`."""
        self._slack.withdraw(message)


def text(data: Mapping[str, Any]) -> str:
    """One sentence for people, as chat systems' incoming webhooks show it."""
    what = _what(data)
    match data["state"]:
        case "over":
            return f"Over: {what}. Alarm {data['id']}."
        case "acknowledged":
            return f"{data['by']} knows: {what}. Alarm {data['id']}."
    return f"Alarm {data['id']}: {what}. {data['error']}".strip()


def _what(data: Mapping[str, Any]) -> str:
    """What is so, or what has become of it; an end that was given up is never told as one."""
    known, unproven = str(data["alarm"]), data.get("unproven") or 0
    words = _WORDS.get(known, "{target} needs a person")
    if data["state"] == "over":
        words = _UNPROVEN if unproven else _OVER.get(known, "{target} needs nobody any more")
    counts = {"grants": data["count"], "unproven": unproven}
    said = {name: str(render.count(number, "grant")) for name, number in counts.items()}
    return words.format(target=data["target"], **said)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any, **_more: Any) -> None:
        return None


def _opener(url: str) -> urllib.request.OpenerDirector:
    """Through the proxy of the environment, but not to reach this very machine."""
    if urlsplit(url).scheme == "http":
        return urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(_NoRedirect)


def _kind(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    return type(reason).__name__ if isinstance(reason, Exception) else type(error).__name__
