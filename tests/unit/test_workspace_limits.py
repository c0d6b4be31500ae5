"""What Slack refuses of blocks and views, the local workspace refuses in the same words."""

import copy
from typing import Any

import pytest

from bot.demo.workspace import limits


def text(words: str = "hello", kind: str = "plain_text") -> dict[str, Any]:
    return {"type": kind, "text": words}


def option(name: str = "one") -> dict[str, Any]:
    return {"text": text(name), "value": name}


def button(**more: Any) -> dict[str, Any]:
    return {"type": "button", "text": text("Approve"), "action_id": "a", **more}


def section(**more: Any) -> dict[str, Any]:
    return {"type": "section", "text": text("hello", "mrkdwn"), **more}


def actions(*elements: dict[str, Any]) -> dict[str, Any]:
    return {"type": "actions", "elements": list(elements)}


def field(element: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "input", "label": text("Why"), "element": element, **more}


def modal(*blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "modal",
        "title": text("Ask"),
        "submit": text("Go"),
        "blocks": list(blocks),
        **more,
    }


def select(kind: str = "static_select", **more: Any) -> dict[str, Any]:
    return {"type": kind, "action_id": "s", **more}


CONFIRM = {
    "title": text("Sure?"),
    "text": text("It ends now"),
    "confirm": text("End it"),
    "deny": text("Keep"),
}
RADIO = {"type": "radio_buttons", "action_id": "r", "options": [option("a"), option("b")]}
CHECKS = {"type": "checkboxes", "action_id": "c", "options": [option("a"), option("b")]}
GOOD_MESSAGE = [
    {"type": "header", "text": text("Access")},
    section(fields=[text("*For* 30 min", "mrkdwn"), text("why")], accessory=button()),
    {"type": "section", "fields": [text("only fields")]},
    {"type": "divider"},
    {
        "type": "context",
        "elements": [
            text("small", "mrkdwn"),
            {"type": "image", "image_url": "https://x.test/a.png", "alt_text": "a"},
        ],
    },
    actions(
        button(style="primary", value="k1", confirm=CONFIRM, accessibility_label="Approve it"),
        {"type": "overflow", "action_id": "o", "options": [option("a"), option("b")]},
        select(options=[option()], placeholder=text("Pick"), initial_option=option()),
        {"type": "datepicker", "action_id": "d", "initial_date": "2026-11-20"},
        {"type": "timepicker", "action_id": "t", "initial_time": "09:00"},
    ),
    {
        "type": "rich_text",
        "elements": [
            {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": "SELECT 1"}]}
        ],
    },
    {"type": "table", "rows": [[{"type": "raw_text", "text": "a"}]]},
    {"type": "image", "image_url": "https://x.test/a.png", "alt_text": "a", "title": text("A")},
    {"type": "markdown", "text": "# Title"},
]
GOOD_MODAL = modal(
    {"type": "alert", "text": text("Needs 1 of Bo, Cleo, Dan"), "level": "warning"},
    field(select("external_select", min_query_length=0, placeholder=text("What"))),
    field({"type": "plain_text_input", "action_id": "p", "multiline": True, "max_length": 300}),
    field({"type": "number_input", "action_id": "n", "is_decimal_allowed": False}),
    field(RADIO, optional=True, hint=text("hint")),
    field(CHECKS, dispatch_action=True),
    field(select("multi_users_select", initial_users=["U0BO"], max_selected_items=3)),
    field(
        select(
            "static_select",
            option_groups=[{"label": text("group"), "options": [option()]}],
            initial_option=option(),
        )
    ),
    private_metadata="{}",
    callback_id="request",
    close=text("Cancel"),
    notify_on_close=True,
)


def test_what_slack_takes_is_taken():
    assert limits.check_blocks(GOOD_MESSAGE, "message") == []
    assert limits.check_view(GOOD_MODAL, "modal") == []
    home = {
        "type": "home",
        "blocks": [section(), actions(button()), field(select(options=[option()]))],
    }
    assert limits.check_view(home, "home") == []


def test_checking_changes_nothing():
    before = copy.deepcopy(GOOD_MESSAGE)
    limits.check_blocks(GOOD_MESSAGE, "message")
    assert before == GOOD_MESSAGE


TOO_MUCH = [
    ([section()] * 51, "no more than 50 items allowed [json-pointer:/blocks]"),
    (
        [section(text=text("x" * 3001, "mrkdwn"))],
        "must be less than 3001 characters [json-pointer:/blocks/0/text/text]",
    ),
    (
        [section(text=text("", "mrkdwn"))],
        "must be more than 0 characters [json-pointer:/blocks/0/text/text]",
    ),
    (
        [section(fields=[text()] * 11)],
        "no more than 10 items allowed [json-pointer:/blocks/0/fields]",
    ),
    (
        [section(fields=[text("x" * 2001)])],
        "must be less than 2001 characters [json-pointer:/blocks/0/fields/0/text]",
    ),
    (
        [{"type": "header", "text": text("x" * 151)}],
        "must be less than 151 characters [json-pointer:/blocks/0/text/text]",
    ),
    (
        [{"type": "context", "elements": [text()] * 11}],
        "no more than 10 items allowed [json-pointer:/blocks/0/elements]",
    ),
    (
        [actions(*[button(action_id=f"a{n}") for n in range(26)])],
        "no more than 25 items allowed [json-pointer:/blocks/0/elements]",
    ),
    ([actions()], "no fewer than 1 items allowed [json-pointer:/blocks/0/elements]"),
    (
        [actions(button(text=text("x" * 76)))],
        "must be less than 76 characters [json-pointer:/blocks/0/elements/0/text/text]",
    ),
    (
        [actions(button(value="x" * 2001))],
        "must be less than 2001 characters [json-pointer:/blocks/0/elements/0/value]",
    ),
    (
        [actions(button(style="green"))],
        "must be one of: primary, danger [json-pointer:/blocks/0/elements/0/style]",
    ),
    (
        [actions(button(action_id="x" * 256))],
        "must be less than 256 characters [json-pointer:/blocks/0/elements/0/action_id]",
    ),
    (
        [actions(button(confirm=CONFIRM | {"text": text("x" * 301)}))],
        "must be less than 301 characters [json-pointer:/blocks/0/elements/0/confirm/text/text]",
    ),
    (
        [actions(button(text=text("*b*", "mrkdwn")))],
        "must be one of: plain_text [json-pointer:/blocks/0/elements/0/text/type]",
    ),
    (
        [actions(select(options=[option(str(n)) for n in range(101)]))],
        "no more than 100 items allowed [json-pointer:/blocks/0/elements/0/options]",
    ),
    (
        [actions(select())],
        "must define either `options` or `option_groups` [json-pointer:/blocks/0/elements/0]",
    ),
    (
        [actions(select(options=[option("x" * 76)]))],
        "must be less than 76 characters [json-pointer:/blocks/0/elements/0/options/0/text/text]",
    ),
    (
        [actions(select(options=[{"text": text("a"), "value": "x" * 151}]))],
        "must be less than 151 characters [json-pointer:/blocks/0/elements/0/options/0/value]",
    ),
    (
        [actions(select(options=[option("a")], initial_option=option("b")))],
        (
            "initial_option must match one of the options "
            "[json-pointer:/blocks/0/elements/0/initial_option]"
        ),
    ),
    (
        [actions({"type": "overflow", "options": [option(str(n)) for n in range(6)]})],
        "no more than 5 items allowed [json-pointer:/blocks/0/elements/0/options]",
    ),
    (
        [actions(RADIO | {"options": [option(str(n)) for n in range(11)]})],
        "no more than 10 items allowed [json-pointer:/blocks/0/elements/0/options]",
    ),
    ([{"type": "sectoin"}], "unsupported type: sectoin [json-pointer:/blocks/0/type]"),
    ([{"text": text()}], "missing required field: type [json-pointer:/blocks/0]"),
    (
        [{"type": "section"}],
        "must define either `text` or `fields` [json-pointer:/blocks/0]",
    ),
    (
        [section(colour="red")],
        "invalid additional property: colour [json-pointer:/blocks/0]",
    ),
    (
        [{"type": "alert", "text": text()}],
        "unsupported type: alert [json-pointer:/blocks/0/type]",
    ),
    (
        [actions({"type": "plain_text_input"})],
        "unsupported type: plain_text_input [json-pointer:/blocks/0/elements/0/type]",
    ),
    (
        [section(block_id="b"), section(block_id="b")],
        "`block_id` b already exists [json-pointer:/blocks]",
    ),
    (
        [actions(button(), button())],
        "`action_id` a already exists for block [json-pointer:/blocks/0]",
    ),
    (
        [{"type": "table", "rows": [[{"type": "raw_text", "text": "a"}]] * 101}],
        "no more than 100 items allowed [json-pointer:/blocks/0/rows]",
    ),
    (
        [{"type": "table", "rows": [[{"type": "raw_text", "text": "a"}]]}] * 2,
        "only one table block allowed [json-pointer:/blocks]",
    ),
    (
        [{"type": "markdown", "text": "x" * 7000}] * 2,
        "markdown blocks must be less than 12001 characters [json-pointer:/blocks]",
    ),
    (
        [{"type": "image", "image_url": "https://x.test/a.png"}],
        "missing required field: alt_text [json-pointer:/blocks/0]",
    ),
    (["section"], "must provide an object [json-pointer:/blocks/0]"),
]


@pytest.mark.parametrize(("blocks", "complaint"), TOO_MUCH)
def test_what_slack_refuses_in_a_message_is_refused_in_its_words(blocks, complaint):
    assert limits.check_blocks(blocks, "message") == [complaint]


BAD_VIEWS = [
    (
        modal(title=text("x" * 25)),
        "must be less than 25 characters [json-pointer:/view/title/text]",
    ),
    (
        modal(close=text("x" * 25)),
        "must be less than 25 characters [json-pointer:/view/close/text]",
    ),
    (
        modal(private_metadata="x" * 3001),
        "must be less than 3001 characters [json-pointer:/view/private_metadata]",
    ),
    (
        modal(callback_id="x" * 256),
        "must be less than 256 characters [json-pointer:/view/callback_id]",
    ),
    (modal(*[section()] * 101), "no more than 100 items allowed [json-pointer:/view/blocks]"),
    (
        modal(field({"type": "plain_text_input", "action_id": "p"}), submit=None),
        "`submit` is required when there are input blocks [json-pointer:/view]",
    ),
    (
        modal(field({"type": "button", "text": text()})),
        "unsupported type: button [json-pointer:/view/blocks/0/element/type]",
    ),
    (
        modal({"type": "input", "element": RADIO}),
        "missing required field: label [json-pointer:/view/blocks/0]",
    ),
    (
        modal(field({"type": "number_input"})),
        "missing required field: is_decimal_allowed [json-pointer:/view/blocks/0/element]",
    ),
    (
        modal({"type": "markdown", "text": "x"}),
        "unsupported type: markdown [json-pointer:/view/blocks/0/type]",
    ),
    (modal(colour="red"), "invalid additional property: colour [json-pointer:/view]"),
    ({"type": "modal", "title": text("a")}, "missing required field: blocks [json-pointer:/view]"),
    ({"type": "home", "blocks": []}, "unsupported type: home [json-pointer:/view/type]"),
]


@pytest.mark.parametrize(("view", "complaint"), BAD_VIEWS)
def test_what_slack_refuses_in_a_modal_is_refused_in_its_words(view, complaint):
    assert limits.check_view(view, "modal") == [complaint]


def test_a_home_has_neither_submit_nor_close():
    view = {"type": "home", "blocks": [], "submit": text("Go")}
    assert limits.check_view(view, "home") == [
        "invalid additional property: submit [json-pointer:/view]"
    ]


def test_several_faults_are_all_told():
    blocks = [section(text=text("x" * 3001)), {"type": "header", "text": text("x" * 151)}]
    assert len(limits.check_blocks(blocks, "message")) == 2
