"""Putting messages into conversations, by whatever way they come: API, answer, response url."""

from dataclasses import dataclass, replace
from typing import Any

from bot.demo.workspace import inputs, limits, people, refusal, slips, state, things


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What a message says."""

    text: str
    blocks: tuple[things.Json, ...] = ()
    attachments: tuple[things.Json, ...] = ()
    metadata: things.Json | None = None


def content(args: things.Json) -> Content:
    """The content an app sent. Refused as Slack refuses it: no_text, invalid_blocks and so on."""
    text, markdown = args.get("text") or "", args.get("markdown_text")
    if markdown and (text or args.get("blocks")):
        raise refusal.Refused("markdown_text_conflict")
    blocks = checked_blocks(args.get("blocks"))
    attachments = _list(args.get("attachments"), "invalid_attachments")
    for attachment in attachments:
        checked_blocks(attachment.get("blocks"))
    if not (text or markdown or blocks or attachments):
        raise refusal.Refused("no_text")
    return Content(
        text=str(markdown or text),
        blocks=blocks,
        attachments=tuple(attachments),
        metadata=_metadata(args.get("metadata")),
    )


def checked_blocks(given: Any) -> tuple[things.Json, ...]:
    """The blocks of a message with ids filled in; refused where Slack refuses them."""
    blocks = _list(given, "invalid_blocks_format")
    wrong = limits.check_blocks(blocks, "message")
    if wrong:
        raise refusal.malformed("invalid_blocks", wrong)
    return tuple(inputs.named(blocks))


def _list(given: Any, error: str) -> list[things.Json]:
    if given in (None, ""):
        return []
    if not isinstance(given, list):
        raise refusal.Refused(error)
    return given


def _metadata(given: Any) -> things.Json | None:
    if not given:
        return None
    if not isinstance(given, dict) or {"event_type", "event_payload"} - set(given):
        raise refusal.Refused("invalid_metadata_format")
    return given


def post(
    places: state.State,
    channel: str,
    said: Content,
    *,
    user: str = people.BOT,
    thread_ts: str | None = None,
    only_for: str | None = None,
    broadcast: bool = False,
    files: tuple[things.Json, ...] = (),
) -> things.Message:
    """Put a new message into a channel."""
    with places.changing():
        return places.put_message(
            things.Message(
                channel=channel,
                ts=places.next_ts(),
                user=user,
                text=said.text[: limits.MOST_TEXT],
                blocks=said.blocks,
                attachments=said.attachments,
                metadata=said.metadata,
                files=files,
                thread_ts=thread_ts,
                only_for=only_for,
                broadcast=broadcast,
                values=inputs.initial_values(said.blocks),
            )
        )


def edit(places: state.State, old: things.Message, said: Content) -> things.Message:
    """Replace what a message says; it keeps its place."""
    with places.changing():
        return places.put_message(
            replace(
                old,
                text=said.text,
                blocks=said.blocks,
                attachments=said.attachments,
                metadata=said.metadata or old.metadata,
                edited_ts=places.next_ts(),
                values=inputs.carried_values(said.blocks, old.values),
            )
        )


def respond(places: state.State, slip: slips.ResponseUrl, args: things.Json) -> None:
    """Do what a post to a response url asks: replace or delete the original, or say something."""
    original = (
        places.find_message(slip.channel, slip.message_ts) if slip.message_ts is not None else None
    )
    if _true(args.get("delete_original")):
        if original is not None:
            places.drop_message(original.channel, original.ts)
        return
    said = content(args)
    if _true(args.get("replace_original")) and original is not None:
        edit(places, original, said)
        return
    in_channel = args.get("response_type") == "in_channel"
    only_for = None if in_channel else slip.user
    post(places, slip.channel, said, thread_ts=args.get("thread_ts"), only_for=only_for)


def _true(value: object) -> bool:
    return value in (True, "true", "1", 1)
