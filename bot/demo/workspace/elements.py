"""What Slack refuses of interactive elements and of the small objects inside them.

Numbers from Slack's Block Kit reference (docs.slack.dev/reference/block-kit).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from bot.demo.workspace import shapes
from bot.demo.workspace.shapes import Check, anything, boolean, integer, items, one_of, string

NAME = string(255)
_PLAIN_EXTRA: Mapping[str, Check] = {"emoji": boolean}
_MRKDWN_EXTRA: Mapping[str, Check] = {"verbatim": boolean}


def plain_text(most: int) -> Check:
    """A plain_text object of at most so many characters, and not empty."""
    inside = string(most, 1)
    return shapes.record({"type": one_of("plain_text"), "text": inside}, _PLAIN_EXTRA)


def any_text(most: int) -> Check:
    """A plain_text or mrkdwn object of at most so many characters, and not empty."""
    inside = string(most, 1)
    mrkdwn = shapes.record({"type": anything, "text": inside}, _MRKDWN_EXTRA)
    return shapes.by_type({"plain_text": plain_text(most), "mrkdwn": mrkdwn})


CONFIRM = shapes.record(
    {
        "title": plain_text(100),
        "text": any_text(300),
        "confirm": plain_text(30),
        "deny": plain_text(30),
    },
    {"style": one_of("primary", "danger")},
)
PLACEHOLDER = plain_text(150)


def _option(text: Check, **more: Check) -> Check:
    return shapes.record(
        {"text": text, "value": string(150)}, {"description": any_text(75), **more}
    )


OPTION = _option(plain_text(75))
RICH_OPTION = _option(any_text(75))
LINK_OPTION = _option(plain_text(75), url=string(3000))
OPTIONS = items(OPTION, 100, 1)
OFFERED = items(OPTION, 100)
"""What an app may answer while a person types; nothing found is an answer too."""
GROUP = shapes.record({"label": plain_text(75), "options": items(OPTION, 100)}, {})
GROUPS = items(GROUP, 100, 1)
FILTER = shapes.record(
    {},
    {
        "include": items(one_of("im", "mpim", "private", "public"), 4, 1),
        "exclude_external_shared_channels": boolean,
        "exclude_bot_users": boolean,
    },
)
DISPATCH = shapes.record(
    {"trigger_actions_on": items(one_of("on_enter_pressed", "on_character_entered"), 2, 1)}, {}
)


def element(required: Mapping[str, Check], optional: Mapping[str, Check]) -> Check:
    """An interactive element: its own fields, and those that all have."""
    return shapes.record(
        {"type": anything, **required}, {"action_id": NAME, "confirm": CONFIRM, **optional}
    )


def _picker(**more: Check) -> Check:
    return element({}, {"placeholder": PLACEHOLDER, "focus_on_load": boolean, **more})


def _typed(**more: Check) -> Check:
    common = {"placeholder": PLACEHOLDER, "focus_on_load": boolean}
    return element({}, {**common, "dispatch_action_config": DISPATCH, **more})


def _chosen_is_offered(value: Any, path: str) -> Iterator[str]:
    """An initial option must be exactly one of the options."""
    groups = value.get("option_groups") or []
    offered = [*(value.get("options") or []), *(o for g in groups for o in g["options"])]
    first = value.get("initial_option")
    if first is not None and first not in offered:
        yield shapes.at("initial_option must match one of the options", f"{path}/initial_option")
    for index, one in enumerate(value.get("initial_options") or []):
        if one not in offered:
            where = f"{path}/initial_options/{index}"
            yield shapes.at("initial_options must match the options", where)


def _with_options(check: Check) -> Check:
    return shapes.both(
        shapes.both(check, shapes.needs_one("options", "option_groups")), _chosen_is_offered
    )


_STATIC: Mapping[str, Check] = {"options": OPTIONS, "option_groups": GROUPS}
_MOST: Mapping[str, Check] = {"max_selected_items": integer(1)}
_BUTTON = element(
    {"text": plain_text(75)},
    {
        "url": string(3000),
        "value": string(2000),
        "style": one_of("primary", "danger"),
        "accessibility_label": string(75),
    },
)
BUTTON: Mapping[str, Check] = {"button": _BUTTON}
SELECTS: Mapping[str, Check] = {
    "static_select": _with_options(_picker(**_STATIC, initial_option=OPTION)),
    "external_select": _picker(initial_option=OPTION, min_query_length=integer(0)),
    "users_select": _picker(initial_user=string()),
    "conversations_select": _picker(
        initial_conversation=string(),
        default_to_current_conversation=boolean,
        response_url_enabled=boolean,
        filter=FILTER,
    ),
    "channels_select": _picker(initial_channel=string(), response_url_enabled=boolean),
}
MULTI: Mapping[str, Check] = {
    "multi_static_select": _with_options(
        _picker(**_STATIC, **_MOST, initial_options=items(OPTION, 100))
    ),
    "multi_external_select": _picker(
        **_MOST, initial_options=items(OPTION, 100), min_query_length=integer(0)
    ),
    "multi_users_select": _picker(**_MOST, initial_users=items(string())),
    "multi_conversations_select": _picker(
        **_MOST,
        initial_conversations=items(string()),
        default_to_current_conversation=boolean,
        filter=FILTER,
    ),
    "multi_channels_select": _picker(**_MOST, initial_channels=items(string())),
}
CHOICES: Mapping[str, Check] = {
    "radio_buttons": _with_options(
        element(
            {"options": items(RICH_OPTION, 10, 1)},
            {"initial_option": RICH_OPTION, "focus_on_load": boolean},
        )
    ),
    "checkboxes": _with_options(
        element(
            {"options": items(RICH_OPTION, 10, 1)},
            {"initial_options": items(RICH_OPTION, 10), "focus_on_load": boolean},
        )
    ),
}
TIMES: Mapping[str, Check] = {
    "datepicker": _picker(initial_date=string(10, 10)),
    "timepicker": _picker(initial_time=string(5, 5), timezone=string()),
    "datetimepicker": _picker(initial_date_time=integer(1)),
}
OVERFLOW: Mapping[str, Check] = {"overflow": element({"options": items(LINK_OPTION, 5, 1)}, {})}
TYPED: Mapping[str, Check] = {
    "plain_text_input": _typed(
        initial_value=string(3000),
        multiline=boolean,
        min_length=integer(0, 3000),
        max_length=integer(1, 3000),
    ),
    "email_text_input": _typed(initial_value=string()),
    "url_text_input": _typed(initial_value=string()),
    "number_input": shapes.both(
        _typed(
            is_decimal_allowed=boolean,
            initial_value=string(),
            min_value=string(),
            max_value=string(),
        ),
        lambda value, path: (
            iter(())
            if "is_decimal_allowed" in value
            else iter([shapes.at("missing required field: is_decimal_allowed", path)])
        ),
    ),
    "rich_text_input": _typed(initial_value=anything),
    "file_input": element({}, {"filetypes": items(string()), "max_files": integer(1, 10)}),
}
IMAGE: Mapping[str, Check] = {
    "image": shapes.record(
        {"type": anything, "alt_text": string(2000, 1)},
        {"image_url": string(3000), "slack_file": anything},
    )
}
IN_SECTION: Mapping[str, Check] = {
    **BUTTON,
    **SELECTS,
    **MULTI,
    **CHOICES,
    **TIMES,
    **OVERFLOW,
    **IMAGE,
} | {"workflow_button": anything}
IN_ACTIONS: Mapping[str, Check] = {**BUTTON, **SELECTS, **MULTI, **CHOICES, **TIMES, **OVERFLOW} | {
    "workflow_button": anything
}
IN_INPUT: Mapping[str, Check] = {**SELECTS, **MULTI, **CHOICES, **TIMES, **TYPED}
IN_CONTEXT: Mapping[str, Check] = {
    **IMAGE,
    "plain_text": plain_text(2000),
    "mrkdwn": any_text(2000),
}
