"""Answering one person privately, whatever happened; and words for every error."""

import secrets
import urllib.parse
from collections.abc import Sequence
from typing import Any

import slack_sdk
import slack_sdk.errors
import slack_sdk.webhook
import structlog

from bot import errors
from bot.slack import blocks, modals
from bot.slack import client as clients
from bot.slack.origin import Origin
from bot.telling import render

_log = structlog.get_logger(__name__)

BUSY = str(errors.Busy())
_HOOKS = frozenset({"hooks.slack.com", "hooks.slack-gov.com"})
_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"


def reference() -> str:
    """`7F3K-22`: what a person can read out to whoever has the log."""
    letters = "".join(secrets.choice(_LETTERS) for _ in range(6))
    return f"{letters[:4]}-{letters[4:]}"


def words_for(error: Exception, doing: str) -> str:
    """What to tell a person. A bug is logged with its traceback under the reference they see."""
    if isinstance(error, errors.UserError):
        return str(error)
    if isinstance(error, errors.Conflict):
        return "Somebody was quicker. Nothing was changed by you. Look again."
    number = reference()
    if isinstance(error, errors.StoreError):
        _log.error("record_refused", doing=doing, reference=number, why=str(error))
        return (
            "My record cannot be written just now, so nothing was changed. Try again later; whoever"
            f" runs me has to look at it. Reference {number}."
        )
    _log.error("unexpected", doing=doing, reference=number, exc_info=error)
    return f"That did not work, and nothing was changed. Reference {number}."


class Answers:
    """Private answers through whatever way is open: response_url, a window, a direct message."""

    def __init__(self, client: slack_sdk.WebClient) -> None:
        self._client = client

    def private(
        self, origin: Origin, text: str, parts: Sequence[blocks.Block] | None = None
    ) -> None:
        """Tell only this person. Never raises: when Slack is down there is nobody to tell."""
        said = render.escape(text)
        shown = list(parts) if parts is not None else [blocks.quote(text)]
        ways = (self._by_url, self._by_ephemeral, self._by_window, self._by_message)
        if not any(way(origin, said, shown) for way in ways):
            _log.warning("answer_lost", user=origin.user_id)

    def update(self, view_id: str, view: blocks.Block, *, hash_: str = "") -> str:
        """Replace a window; its new hash, or "" when it is closed or Slack does not take it."""
        if not view_id:
            return ""
        extra = {"hash": hash_} if hash_ else {}
        try:
            found: Any = self._client.views_update(view_id=view_id, view=view, **extra)
        except slack_sdk.errors.SlackApiError as error:
            _log.info("view_not_updated", error=clients.error_of(error), said=_messages(error))
            return ""
        except clients.NETWORK:
            return ""
        return str(found["view"].get("hash") or "")

    def open(self, origin: Origin, view: blocks.Block) -> tuple[str, str]:
        """Open a window over what the person sees; its id and hash, or "" and "" when refused."""
        opener = self._client.views_push if origin.in_modal else self._client.views_open
        try:
            found: Any = opener(trigger_id=origin.trigger_id, view=view)
        except slack_sdk.errors.SlackApiError as error:
            _log.info("view_not_opened", error=clients.error_of(error), said=_messages(error))
            return "", ""
        except clients.NETWORK:
            return "", ""
        return str(found["view"]["id"]), str(found["view"].get("hash") or "")

    def _by_url(self, origin: Origin, text: render.Mrkdwn, parts: list[blocks.Block]) -> bool:
        if not origin.response_url or not self._trusted(origin.response_url):
            return False
        hook = slack_sdk.webhook.WebhookClient(origin.response_url, timeout=clients.TIMEOUT)
        hook.proxy = self._client.proxy
        try:
            answer = hook.send(
                text=text, blocks=parts, response_type="ephemeral", replace_original=False
            )
        except (*clients.NETWORK, ValueError):
            return False
        return answer.status_code == 200  # noqa: PLR2004

    def _trusted(self, url: str) -> bool:
        """Slack's own host when we talk to Slack itself; any when an operator chose the server."""
        if self._client.base_url != slack_sdk.WebClient.BASE_URL:
            return True
        parts = urllib.parse.urlsplit(url)
        return parts.scheme == "https" and parts.hostname in _HOOKS

    def _by_ephemeral(self, origin: Origin, text: render.Mrkdwn, parts: list[blocks.Block]) -> bool:
        if not origin.channel_id:
            return False
        try:
            self._client.chat_postEphemeral(
                channel=origin.channel_id, user=origin.user_id, text=text, blocks=parts
            )
        except clients.NETWORK:
            return False
        return True

    def _by_window(self, origin: Origin, text: render.Mrkdwn, parts: list[blocks.Block]) -> bool:
        del text
        view = modals.saying("Database access", "") | {"blocks": parts}
        return bool(origin.trigger_id and self.open(origin, view)[0])

    def _by_message(self, origin: Origin, text: render.Mrkdwn, parts: list[blocks.Block]) -> bool:
        try:
            self._client.chat_postMessage(channel=origin.user_id, text=text, blocks=parts)
        except clients.NETWORK:
            return False
        return True


def _messages(error: slack_sdk.errors.SlackApiError) -> list[str]:
    """What Slack's validation complains about; never holds what people wrote."""
    data = error.response.get("response_metadata") if error.response else None
    return list((data or {}).get("messages") or [])[:5]
