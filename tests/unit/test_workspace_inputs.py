"""What people choose and type stands in `state.values` exactly as Slack puts it there."""

import pytest

from bot.demo.workspace import inputs

OPTIONS = [
    {"text": {"type": "plain_text", "text": "Read customers"}, "value": "read_customer_data"},
    {"text": {"type": "plain_text", "text": "Write logs"}, "value": "write_logs"},
]
USERS = {"bo chen": "U0BO", "U0BO": "U0BO", "general": "C0GENERAL"}


def spot(element, **more):
    block = {"type": "input", "block_id": "b", "label": {"text": "Why"}, "element": element, **more}
    return inputs.spots(inputs.named([block]))[0]


def entry(element, value):
    one = spot(element)
    options = inputs.options_of(one.element)
    return inputs.entry_for(one, value, options, lambda _kind, name: USERS.get(name))


CHOSEN = [
    ({"type": "plain_text_input"}, "INC-1", {"value": "INC-1"}),
    ({"type": "number_input"}, 3, {"value": "3"}),
    ({"type": "static_select", "options": OPTIONS}, "Write logs", {"selected_option": OPTIONS[1]}),
    ({"type": "static_select", "options": OPTIONS}, "write_logs", {"selected_option": OPTIONS[1]}),
    ({"type": "static_select", "options": OPTIONS}, None, {"selected_option": None}),
    (
        {"type": "static_select", "option_groups": [{"options": OPTIONS}]},
        "read customers",
        {"selected_option": OPTIONS[0]},
    ),
    ({"type": "radio_buttons", "options": OPTIONS}, "Write logs", {"selected_option": OPTIONS[1]}),
    (
        {"type": "checkboxes", "options": OPTIONS},
        ["Write logs", "Read customers"],
        {"selected_options": [OPTIONS[1], OPTIONS[0]]},
    ),
    ({"type": "checkboxes", "options": OPTIONS}, None, {"selected_options": []}),
    ({"type": "users_select"}, "bo chen", {"selected_user": "U0BO"}),
    ({"type": "multi_users_select"}, ["U0BO"], {"selected_users": ["U0BO"]}),
    ({"type": "channels_select"}, "general", {"selected_channel": "C0GENERAL"}),
    (
        {"type": "conversations_select"},
        "general",
        {"selected_conversation": "C0GENERAL"},
    ),
    ({"type": "datepicker"}, "2026-11-20", {"selected_date": "2026-11-20"}),
    ({"type": "timepicker"}, "09:00", {"selected_time": "09:00"}),
    ({"type": "datetimepicker"}, 1795100000, {"selected_date_time": 1795100000}),
]


@pytest.mark.parametrize(("element", "value", "kept"), CHOSEN)
def test_a_choice_is_kept_in_slacks_shape(element, value, kept):
    assert entry(element, value) == {"type": element["type"], **kept}


@pytest.mark.parametrize(
    ("element", "value"),
    [
        ({"type": "static_select", "options": OPTIONS}, "Drop everything"),
        ({"type": "checkboxes", "options": OPTIONS}, ["Write logs", "no"]),
        ({"type": "users_select"}, "Nobody"),
    ],
)
def test_what_is_not_offered_cannot_be_chosen(element, value):
    assert entry(element, value) is None


def test_blocks_and_elements_without_a_name_get_one():
    blocks = [
        {"type": "divider"},
        {"type": "actions", "elements": [{"type": "button"}, {"type": "button"}]},
        {"type": "input", "block_id": "mine", "element": {"type": "datepicker", "action_id": "d"}},
    ]
    filled = inputs.named(blocks)
    assert all(block["block_id"] for block in filled)
    assert all(element["action_id"] for element in filled[1]["elements"])
    assert filled[2] == blocks[2]
    assert "block_id" not in blocks[0]


def test_initial_values_are_there_from_the_start():
    blocks = [
        {
            "type": "input",
            "block_id": "how",
            "element": {
                "type": "static_select",
                "action_id": "s",
                "options": OPTIONS,
                "initial_option": OPTIONS[0],
            },
        },
        {
            "type": "input",
            "block_id": "w",
            "element": {"type": "plain_text_input", "action_id": "p"},
        },
        {
            "type": "section",
            "block_id": "who",
            "accessory": {"type": "multi_users_select", "action_id": "m"},
        },
        {"type": "actions", "block_id": "a", "elements": [{"type": "button", "action_id": "go"}]},
    ]
    assert inputs.initial_values(blocks) == {
        "how": {"s": {"type": "static_select", "selected_option": OPTIONS[0]}},
        "w": {"p": {"type": "plain_text_input", "value": None}},
        "who": {"m": {"type": "multi_users_select", "selected_users": []}},
    }


def test_an_update_keeps_what_was_typed_where_the_names_stayed():
    def view(first, second):
        return [
            {
                "type": "input",
                "block_id": name,
                "element": {"type": "plain_text_input", "action_id": "p"},
            }
            for name in (first, second)
        ]

    typed = {
        "why": {"p": {"type": "plain_text_input", "value": "INC-1"}},
        "old": {"p": {"type": "plain_text_input", "value": "x"}},
    }
    carried = inputs.carried_values(view("why", "new"), typed)
    assert carried["why"]["p"]["value"] == "INC-1"
    assert carried["new"]["p"]["value"] is None
    assert "old" not in carried


@pytest.mark.parametrize(
    ("element", "value", "wrong"),
    [
        ({"type": "plain_text_input"}, None, inputs.REQUIRED),
        ({"type": "plain_text_input", "max_length": 3}, "four", "too long"),
        ({"type": "plain_text_input", "min_length": 5}, "four", "too short"),
        ({"type": "email_text_input"}, "ana", "email"),
        ({"type": "url_text_input"}, "ana", "URL"),
        ({"type": "number_input"}, "many", "number"),
        ({"type": "number_input", "is_decimal_allowed": False}, "1.5", "whole"),
        ({"type": "number_input", "min_value": "2"}, "1", "at least 2"),
        ({"type": "number_input", "max_value": "2"}, "3", "at most 2"),
        ({"type": "checkboxes", "options": OPTIONS}, [], inputs.REQUIRED),
    ],
)
def test_the_client_refuses_what_slacks_client_refuses(element, value, wrong):
    one = spot(element)
    values = {"b": {one.action_id: entry(one.element, value)}}
    assert wrong in inputs.problems([one.block], values)["b"]


def test_an_optional_field_may_stay_empty():
    one = spot({"type": "plain_text_input"}, optional=True)
    assert inputs.problems([one.block], inputs.initial_values([one.block])) == {}
