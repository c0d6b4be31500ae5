"""What Slack refuses of messages, modals and Homes.

The complaints are Slack's own in form, so what passes here is not refused there. Newer blocks whose
inside is not described here are only checked for where they may stand.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from bot.demo.workspace import elements, inputs, shapes
from bot.demo.workspace.shapes import Check, anything, boolean, items, one_of, string

Surface = Literal["message", "modal", "home"]
MOST_BLOCKS: Mapping[str, int] = {"message": 50, "modal": 100, "home": 100}
MOST_TEXT = 40_000
MOST_UPDATE_TEXT = 4_000
MOST_MARKDOWN = 12_000


def _block(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    return shapes.record(
        {"type": anything, **required}, {"block_id": elements.NAME, **(optional or {})}
    )


_CELL = shapes.by_type(
    {"raw_text": anything, "raw_number": anything, "rich_text": anything, "mrkdwn": anything}
)
_EVERYWHERE: Mapping[str, Check] = {
    "section": shapes.both(
        _block(
            {},
            {
                "text": elements.any_text(3000),
                "fields": items(elements.any_text(2000), 10, 1),
                "accessory": shapes.by_type(elements.IN_SECTION),
                "expand": boolean,
            },
        ),
        shapes.needs_one("text", "fields"),
    ),
    "divider": _block({}),
    "header": _block({"text": elements.plain_text(150)}, {"level": anything}),
    "image": shapes.both(
        _block(
            {"alt_text": string(2000, 1)},
            {
                "image_url": string(3000),
                "slack_file": anything,
                "title": elements.plain_text(2000),
            },
        ),
        shapes.needs_one("image_url", "slack_file"),
    ),
    "actions": _block({"elements": items(shapes.by_type(elements.IN_ACTIONS), 25, 1)}),
    "context": _block({"elements": items(shapes.by_type(elements.IN_CONTEXT), 10, 1)}),
    "input": _block(
        {"label": elements.plain_text(2000), "element": shapes.by_type(elements.IN_INPUT)},
        {"hint": elements.plain_text(2000), "optional": boolean, "dispatch_action": boolean},
    ),
    "rich_text": _block({"elements": items(anything)}),
    "video": anything,
}
_MESSAGES: Mapping[str, Check] = {
    "markdown": _block({"text": string(MOST_MARKDOWN, 1)}),
    "table": _block(
        {"rows": items(items(_CELL, 20, 1), 100, 1)}, {"column_settings": items(anything, 20)}
    ),
    "file": anything,
    "context_actions": _block({"elements": items(anything, 5, 1)}),
    "data_table": anything,
    "data_visualization": anything,
    "card": anything,
    "carousel": anything,
    "container": anything,
    "plan": anything,
    "task_card": anything,
}
_MODALS: Mapping[str, Check] = {
    "alert": _block(
        {"text": elements.any_text(200)},
        {"level": one_of("default", "info", "warning", "error", "success")},
    ),
}
_SURFACES: Mapping[str, Mapping[str, Check]] = {
    "message": {**_EVERYWHERE, **_MESSAGES},
    "modal": {**_EVERYWHERE, **_MODALS},
    "home": _EVERYWHERE,
}
_VIEW_COMMON: Mapping[str, Check] = {
    "private_metadata": string(3000),
    "callback_id": elements.NAME,
    "external_id": elements.NAME,
}
_VIEWS: Mapping[str, Check] = {
    "modal": shapes.record(
        {"type": anything, "title": elements.plain_text(24), "blocks": anything},
        {
            **_VIEW_COMMON,
            "submit": elements.plain_text(24),
            "close": elements.plain_text(24),
            "clear_on_close": boolean,
            "notify_on_close": boolean,
            "submit_disabled": boolean,
        },
    ),
    "home": shapes.record({"type": anything, "blocks": anything}, _VIEW_COMMON),
}


def check_blocks(blocks: Any, surface: Surface, at: str = "/blocks") -> list[str]:
    """All that Slack would refuse of the blocks of a message, modal or Home; [] when it is well."""
    each = shapes.by_type(_SURFACES[surface])
    wrong = list(items(each, MOST_BLOCKS[surface])(blocks, at))
    return wrong or list(_check_together(blocks, surface, at))


def _check_together(blocks: list[Any], surface: Surface, at: str) -> Iterator[str]:
    """What only shows when all blocks are seen at once."""
    names = Counter(block["block_id"] for block in blocks if block.get("block_id"))
    for name, times in names.items():
        if times > 1:
            yield shapes.at(f"`block_id` {name} already exists", at)
    for index, block in enumerate(blocks):
        yield from _doubled_actions(block, f"{at}/{index}")
    if surface == "message":
        yield from _message_totals(blocks, at)


def _doubled_actions(block: dict[str, Any], at: str) -> Iterator[str]:
    names = Counter(
        spot.element["action_id"] for spot in inputs.spots([block]) if "action_id" in spot.element
    )
    for name, times in names.items():
        if times > 1:
            yield shapes.at(f"`action_id` {name} already exists for block", at)


def _message_totals(blocks: list[Any], at: str) -> Iterator[str]:
    written = sum(len(block["text"]) for block in blocks if block["type"] == "markdown")
    if written > MOST_MARKDOWN:
        yield shapes.at(f"markdown blocks must be less than {MOST_MARKDOWN + 1} characters", at)
    if sum(block["type"] == "table" for block in blocks) > 1:
        yield shapes.at("only one table block allowed", at)


def check_view(body: Mapping[str, Any], kind: str) -> list[str]:
    """All that Slack would refuse of a view; `kind` is what it must be, modal or home."""
    if body.get("type") != kind:
        return [shapes.at(f"unsupported type: {body.get('type')}", "/view/type")]
    wrong = list(_VIEWS[kind](body, "/view"))
    if wrong:
        return wrong
    surface: Surface = "modal" if kind == "modal" else "home"
    wrong = check_blocks(body["blocks"], surface, "/view/blocks")
    if not wrong and kind == "modal" and not body.get("submit"):
        wrong = list(_inputs_without_submit(body["blocks"]))
    return wrong


def _inputs_without_submit(blocks: list[dict[str, Any]]) -> Iterator[str]:
    if any(block["type"] == "input" for block in blocks):
        yield shapes.at("`submit` is required when there are input blocks", "/view")
