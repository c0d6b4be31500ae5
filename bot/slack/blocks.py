"""Block Kit as plain dicts, within Slack's limits. Only `render.Mrkdwn` gets into mrkdwn.

Limits: https://docs.slack.dev/reference/block-kit/blocks/ and the pages of its elements.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bot.telling import render

Block = dict[str, Any]

BUTTON_TEXT = 75
SECTION_TEXT = 3000
FIELD_TEXT = 2000
OPTION_TEXT = 75
OPTION_VALUE = 150
OPTIONS = 100
TITLE = 24
ERROR = 150  # longer ones are cut by clients


def plain(text: str, limit: int = SECTION_TEXT) -> Block:
    """A plain_text object: shown as it stands, nothing in it means anything."""
    return {"type": "plain_text", "text": render.cut(text, limit) or " ", "emoji": False}


def mrkdwn(text: render.Mrkdwn, limit: int = SECTION_TEXT) -> Block:
    """A mrkdwn object. A text too long is cut, which templates avoid by cutting its parts."""
    return {"type": "mrkdwn", "text": render.cut(text, limit) or " "}


def section(text: render.Mrkdwn, *, accessory: Block | None = None) -> Block:
    """A paragraph."""
    beside = {"accessory": accessory} if accessory else {}
    return {"type": "section", "text": mrkdwn(text), **beside}


def quote(text: str) -> Block:
    """A paragraph that holds somebody's words."""
    return {"type": "section", "text": plain(text)}


def fields(*texts: render.Mrkdwn) -> Block:
    """Facts in two columns."""
    return {"type": "section", "fields": [mrkdwn(text, FIELD_TEXT) for text in texts]}


def labelled(label: str, words: str) -> Block:
    """A label and somebody's words behind it, as rich text, which Slack does not parse."""
    parts = [
        {"type": "text", "text": f"{label}  ", "style": {"bold": True}},
        {"type": "text", "text": render.cut(words, SECTION_TEXT - 100) or "none"},
    ]
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": parts}]}


def verbatim(text: str) -> Block:
    """Text to be copied, in a box, with no meaning to Slack."""
    inside = [{"type": "text", "text": render.cut(text, SECTION_TEXT) or " "}]
    box = {"type": "rich_text_preformatted", "elements": inside}
    return {"type": "rich_text", "elements": [box]}


def context(*texts: render.Mrkdwn) -> Block:
    """Small print."""
    return {"type": "context", "elements": [mrkdwn(text) for text in texts]}


def header(text: str) -> Block:
    """A heading."""
    return {"type": "header", "text": plain(text, 150)}


def divider() -> Block:
    """A line."""
    return {"type": "divider"}


def actions(block_id: str, *elements: Block | None) -> Block:
    """A row of buttons; those that are None do not apply."""
    return {"type": "actions", "block_id": block_id, "elements": [e for e in elements if e]}


def button(
    text: str,
    action_id: str,
    value: str,
    *,
    style: str = "",
    confirm: Block | None = None,
    label: str = "",
) -> Block:
    """A button that carries an opaque id and nothing else. `label` is read out by screen readers."""
    extra: Block = {"style": style} if style else {}
    extra |= {"confirm": confirm} if confirm else {}
    extra |= {"accessibility_label": render.cut(label, BUTTON_TEXT)} if label else {}
    return {
        "type": "button",
        "text": plain(text, BUTTON_TEXT),
        "action_id": action_id,
        "value": value,
        **extra,
    }


def confirm(title: str, text: str, yes: str, *, no: str = "Keep it") -> Block:
    """Ask once more, in the client."""
    return {
        "title": plain(title, 100),
        "text": plain(text, 300),
        "confirm": plain(yes, 30),
        "deny": plain(no, 30),
        "style": "danger",
    }


def option(text: str, value: str, description: str = "") -> Block:
    """One choice of a select."""
    extra = {"description": plain(description, OPTION_TEXT)} if description else {}
    return {"text": plain(text, OPTION_TEXT), "value": value[:OPTION_VALUE], **extra}


def field(
    block_id: str,
    label: str,
    element: Block,
    *,
    optional: bool = False,
    hint: str = "",
    live: bool = False,
) -> Block:
    """An input. `live`: every choice is told to us at once."""
    extra = {"hint": plain(hint, 2000)} if hint else {}
    return {
        "type": "input",
        "block_id": block_id,
        "label": plain(label, 2000),
        "element": element,
        "optional": optional,
        "dispatch_action": live,
        **extra,
    }


def modal(
    callback_id: str,
    title: str,
    body: Sequence[Block],
    *,
    submit: str = "",
    close: str = "Close",
    metadata: str = "",
) -> Block:
    """A window."""
    extra: Mapping[str, Any] = {"submit": plain(submit, TITLE)} if submit else {}
    return {
        "type": "modal",
        "callback_id": callback_id,
        "title": plain(title, TITLE),
        "close": plain(close, TITLE),
        "blocks": list(body),
        "private_metadata": metadata,
        **extra,
    }
