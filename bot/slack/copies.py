"""Copies: messages of ours that the record does not know, because we died or Slack's answer was lost
between posting and recording. Their buttons decide nothing; once one is pressed, they are taken off.
"""

import slack_sdk
import structlog

from bot import errors, model, store
from bot.slack import blocks, identity
from bot.slack import client as clients
from bot.slack.origin import Origin
from bot.telling import render
from bot.telling.notices import Kind

_log = structlog.get_logger(__name__)

_OURS = frozenset({Kind.CARD, Kind.RECEIPT, Kind.LIVE, Kind.TOLD, Kind.SUMMARY})


class Copies:
    """Finds and marks them."""

    def __init__(
        self, *, client: slack_sdk.WebClient, store: store.Store, directory: identity.Directory
    ) -> None:
        self._client = client
        self._store = store
        self._directory = directory

    def may_be(self, origin: Origin) -> bool:
        """Whether something was pressed in a message that says it is one of ours. Reads nothing."""
        kind, _, request_id = origin.block_id.partition(".")
        return origin.source is not None and kind in _OURS and request_id == origin.value

    def retire(self, origin: Origin) -> None:
        """If it is a copy, let it say so, and point to the one that counts."""
        try:
            story = self._store.story(origin.value)
        except errors.NotFound:
            return
        counts = story.message(origin.block_id.partition(".")[0])
        if counts is None or any(_is_there(each, origin) for each in story.messages):
            return
        in_thread = counts.thread_ts is not None
        what = "card" if in_thread or counts.kind == Kind.CARD else "message"
        shown = story.message(Kind.CARD) if in_thread else counts
        link = render.link(self._directory.permalink(shown), story.request.id)
        said = render.Mrkdwn(f"This is a copy. The {what} that counts: {link}")
        try:
            self._client.chat_update(
                channel=origin.channel_id,
                ts=origin.message_ts,
                text=said,
                blocks=[blocks.section(said)],
            )
        except clients.NETWORK:  # Slack refuses when it is not ours: none of our business then
            return
        _log.info("copy_retired", request=story.request.id, kind=counts.kind)


def _is_there(message: model.MessageRef, origin: Origin) -> bool:
    return (message.channel_id, message.ts) == (origin.channel_id, origin.message_ts)
