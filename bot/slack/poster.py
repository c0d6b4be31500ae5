"""Says in Slack what the outbox holds. Implements `outbox.Poster`: each row drawn from the record."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import slack_sdk
import slack_sdk.errors
import structlog

from bot import catalog as catalogs
from bot import clock as clocks
from bot import errors, model, store
from bot.audit import digest
from bot.slack import alarm, blocks, cards, identity, reports, scene, words
from bot.slack import client as clients
from bot.telling import outbox, outcry, render
from bot.telling.notices import Kind

_log = structlog.get_logger(__name__)

_PLAIN = {
    "channel_not_found": "the bot cannot see {where}",
    "not_in_channel": "the bot is not in {where}; invite it there",
    "is_archived": "{where} is archived",
    "restricted_action": "the bot may not post in {where}",
    "user_not_found": "Slack knows no such account",
    "message_not_found": "the message has been deleted in {where}",
    "cant_update_message": "the message in {where} is not ours",
    "edit_window_closed": "messages in {where} may no longer be edited",
    "not_enabled": "the Home tab is not switched on for this app",
}
WAIT_FOR_OPERATOR = 30.0  # seconds between attempts while a token is refused
CARD_WITHIN = timedelta(seconds=2)  # for which a line waits for the card it links to
_LOOK_EVERY = 0.05  # seconds

Story = model.Story
Ref = model.MessageRef


class Poster:
    """Posts, edits and publishes. Remembers nothing: the record knows what was posted where."""

    def __init__(
        self,
        *,
        client: slack_sdk.WebClient,
        store: store.Store,
        directory: identity.Directory,
        catalog: Callable[[], catalogs.Catalog],
        clock: clocks.Clock,
        scene: scene.Scene,
        home: Callable[[str], blocks.Block],
    ) -> None:
        """`home`: draws a person's Home tab."""
        self._client = client
        self._store = store
        self._directory = directory
        self._catalog = catalog
        self._clock = clock
        self._scene = scene
        self._home = home

    def deliver(self, row: store.OutboxRow, story: Story | None) -> Ref | None:
        """Post or edit; what was posted, or None. Raises Later, Never."""
        kind = Kind(row.kind)
        if kind is Kind.HOME:
            self._publish(row)
            return None
        if kind is Kind.DIGEST:
            return self._digest(row)
        if kind is Kind.FINDING:
            return self._audit(kind, "", alarm.finding(row.data))
        if kind is Kind.ALARM:
            return self._alarms().deliver(row, self._clock.now())
        if kind is Kind.WEBHOOK:  # not for Slack
            return None
        if story is None:
            raise outbox.Never("the request is not in the record")
        around = self._scene.around(story)
        return self._ways[kind](row, story, around)

    def cry(self, told: Mapping[str, object]) -> None:
        """Say it now in the audit channel, without the record. Raises Untold."""
        alarms = self._catalog().alarms.mention
        called = [] if told["over"] else [self._directory.mention(ref) for ref in alarms]
        said = render.Mrkdwn(" ".join([*called, render.escape(outcry.sentence(told))]))
        try:
            self._audit(Kind.ALARM, "", _spoken(said))
        except (outbox.Later, outbox.Never) as error:
            raise outcry.Untold(str(error)) from None

    def withdraw(self, message: Ref) -> None:
        """Delete a message of ours. Raises Later, Never."""
        self._call(
            self._client.chat_delete, message.channel_id, channel=message.channel_id, ts=message.ts
        )

    @property
    def _ways(self) -> Mapping[Kind, Callable[[store.OutboxRow, Story, words.Around], Ref | None]]:
        return {
            Kind.CARD: lambda _, story, around: self._card(story, cards.card(story, around)),
            Kind.THREAD: self._thread,
            Kind.SUMMARY: self._summary,
            Kind.RECEIPT: lambda row, story, around: self._direct(
                row, story, cards.receipt(story, around)
            ),
            Kind.LIVE: lambda row, story, around: self._direct(
                row, story, cards.live(story, around)
            ),
            Kind.TOLD: lambda row, story, around: self._tell(
                story, cards.told(story, around, str(row.data["line"]))
            ),
            Kind.AUDIT: self._audit_line,
        }

    def _thread(self, row: store.OutboxRow, story: Story, around: words.Around) -> Ref:
        del around
        return self._reply(Kind.THREAD, story, _spoken(reports.thread(story, row.data)))

    def _audit_line(self, row: store.OutboxRow, story: Story, around: words.Around) -> Ref:
        self._await_card(row, story)
        said = reports.audit(story, around, row.data, self.link)
        return self._audit(Kind.AUDIT, story.request.id, _spoken(said))

    def _await_card(self, row: store.OutboxRow, story: Story) -> None:
        """What nobody had to decide is live before its card is posted, and the line links to that.

        A line that has waited for Slack anyway goes as it is.
        """
        since, until = row.created_at, time.monotonic() + CARD_WITHIN.total_seconds()
        while (
            story.message(Kind.CARD) is None
            and time.monotonic() < until
            and self._clock.now() - since < CARD_WITHIN
        ):
            time.sleep(_LOOK_EVERY)
            story = self._store.story(story.request.id)

    def _alarms(self) -> alarm.Board:
        def mentions() -> list[render.Mrkdwn]:
            return [self._directory.mention(ref) for ref in self._catalog().alarms.mention]

        return alarm.Board(
            store=self._store,
            catalog=self._catalog,
            mentions=mentions,
            link=self.link,
            post=lambda message: self._audit(Kind.ALARM, "", message),
            edit=self._edit,
        )

    def link(self, request_id: str) -> render.Mrkdwn:
        """A link to the thread of a request; its id where there is none."""
        try:
            card = self._store.story(request_id).message(Kind.CARD)
        except errors.NotFound:
            return render.escape(request_id)
        return render.link(self._directory.permalink(card), request_id)

    def _card(self, story: Story, message: cards.Message) -> Ref | None:
        known = story.message(Kind.CARD)
        if known is not None:
            self._edit(known, message)
            return None
        try:
            return self._post(Kind.CARD, story.request.id, self._approvals(), message)
        except outbox.Never as never:
            self._card_failed(story, str(never))
            raise

    def _card_failed(self, story: Story, why: str) -> None:
        """Nobody will see the card, so the requester learns why nothing happens."""
        what = f"{story.request.entitlement} on {story.request.target}"
        text = (
            f"Your request for {what} could not be shown to those who decide: {why}. "
            "They can still decide it in this app's Home tab. Tell whoever runs the bot."
        )
        try:
            self._tell(story, _spoken(render.escape(text)))
        except (outbox.Later, outbox.Never) as error:
            _log.warning("requester_not_told", request=story.request.id, why=str(error))

    def _reply(self, kind: Kind, story: Story, message: cards.Message) -> Ref:
        card = story.message(Kind.CARD)
        if card is None:
            raise outbox.Never("there is no card to reply to")
        return self._post(kind, story.request.id, card.channel_id, message, thread_ts=card.ts)

    def _summary(self, row: store.OutboxRow, story: Story, around: words.Around) -> Ref:
        said = reports.grant_summary(story, around)
        message = cards.summary(story, said, reports.ender_says(story))
        return self._reply(Kind(row.kind), story, message)

    def _direct(self, row: store.OutboxRow, story: Story, message: cards.Message) -> Ref | None:
        kind = Kind(row.kind)
        known = story.message(kind)
        if known is not None:
            self._edit(known, message)
        if known is not None or row.data.get("only_edit"):
            return None
        return self._post(kind, story.request.id, story.request.requester_id, message)

    def _tell(self, story: Story, message: cards.Message) -> Ref:
        return self._post(Kind.TOLD, story.request.id, story.request.requester_id, message)

    def _audit(self, kind: Kind, request_id: str, message: cards.Message) -> Ref:
        return self._post(kind, request_id, self._channel(self._catalog().channels.audit), message)

    def _digest(self, row: store.OutboxRow) -> Ref | None:
        since, until = (datetime.fromisoformat(row.data[name]) for name in ("since", "until"))
        found = digest.of_period(
            self._store, since=since, until=until, zone=row.data["zone"], now=self._clock.now()
        )
        if found is None:
            return None
        return self._audit(Kind.DIGEST, "", _spoken(reports.period(found, self.link)))

    def _publish(self, row: store.OutboxRow) -> None:
        user_id = str(row.data["user"])
        try:
            view = self._home(user_id)
        except errors.NotFound as error:
            raise outbox.Never(str(error)) from error
        except errors.IdentityUnknown as error:
            raise outbox.Later(None, "Slack does not answer") from error
        self._call(self._client.views_publish, "the Home tab", user_id=user_id, view=view)

    def _approvals(self) -> str:
        return self._channel(self._catalog().channels.approvals)

    def _channel(self, ref: str) -> str:
        if not ref:  # nothing tells where to speak: no catalog, and no earlier one either
            raise outbox.Later(WAIT_FOR_OPERATOR, "no catalog names a channel")
        found = self._directory.resolve_channel(ref)
        if found is None:
            why = self._directory.reason(ref) or "Slack does not answer."
            if why in identity.PASSING:
                raise outbox.Later(None, why)
            if why == identity.REFUSED:
                raise outbox.Later(WAIT_FOR_OPERATOR, why)
            raise outbox.Never(why.rstrip("."))
        return found

    def _post(
        self, kind: Kind, request_id: str, channel: str, message: cards.Message, **more: str
    ) -> Ref:
        found = self._call(
            self._client.chat_postMessage,
            channel,
            channel=channel,
            text=message.text,
            **({"blocks": message.blocks} if message.blocks else {}),
            unfurl_links=False,
            unfurl_media=False,
            **more,
        )
        return Ref(
            request_id=request_id,
            kind=kind,
            channel_id=str(found["channel"]),
            ts=str(found["ts"]),
            thread_ts=more.get("thread_ts"),
        )

    def _edit(self, ref: Ref, message: cards.Message) -> None:
        self._call(
            self._client.chat_update,
            ref.channel_id,
            channel=ref.channel_id,
            ts=ref.ts,
            text=message.text,
            blocks=message.blocks,
        )

    def _call(self, method: Callable[..., Any], where: str, **arguments: Any) -> Any:
        """Call Slack; what it refuses becomes Later or Never."""
        try:
            return method(**arguments)
        except slack_sdk.errors.SlackApiError as error:
            raise _translated(error, where) from error
        except clients.NETWORK as error:
            raise outbox.Later(None, "Slack does not answer") from error


def _translated(error: slack_sdk.errors.SlackApiError, where: str) -> outbox.Later | outbox.Never:
    said, status = clients.error_of(error), clients.status_of(error)
    if status == 429 or said in {"ratelimited", "rate_limited"}:  # noqa: PLR2004
        return outbox.Later(clients.retry_after(error))
    if clients.is_passing(error):
        return outbox.Later(None, f"Slack does not answer as it should ({said or status})")
    if said in clients.TOKEN_REFUSED:
        return outbox.Later(WAIT_FOR_OPERATOR, f"Slack refuses the bot's token ({said})")
    return outbox.Never(_PLAIN.get(said, f"Slack refuses it ({said})").format(where=where))


def _spoken(text: render.Mrkdwn) -> cards.Message:
    """Text alone."""
    return cards.Message(text=text, blocks=[])
