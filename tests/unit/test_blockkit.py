import datetime as dt
import html.parser
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.demo.workspace import blockkit, markdown, mrkdwn

NOON = int(dt.datetime(2026, 11, 20, 12, 0, 5, tzinfo=dt.UTC).timestamp())
HOSTILE = "<script>alert(1)</script>"


class Names:
    def user(self, user_id):
        return {"U0ANA": "Ana Lima", "U0BO": "<b>Bo</b>"}.get(user_id)

    def channel(self, channel_id):
        return {"C0ACCESS": "db-access"}.get(channel_id)

    def group(self, group_id):
        return {"S0OWNERS": "data-owners"}.get(group_id)


def reader(zone="Europe/Berlin"):
    return mrkdwn.Reader(
        user_id="U0ANA",
        zone=mrkdwn.zone_of(zone),
        names=Names(),
        now=dt.datetime.fromtimestamp(NOON, dt.UTC),
    )


def draw(*blocks, **more):
    return str(blockkit.Renderer(reader=reader(), scope="m", **more).blocks(blocks))


def md(text, zone="Europe/Berlin"):
    return str(mrkdwn.html(text, reader(zone)))


def plain(text):
    return {"type": "plain_text", "text": text}


def option(text, value=None):
    return {"text": plain(text), "value": value or text}


def field(element, **more):
    return {
        "type": "input",
        "block_id": "b",
        "label": plain("Label"),
        "element": {"action_id": "a", **element},
        **more,
    }


class Elements(html.parser.HTMLParser):
    """The tags of a fragment and whether they nest."""

    VOID = ("br", "img", "input", "hr")

    def __init__(self, text):
        super().__init__()
        self.tags, self._open = [], []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("*bold* and _italic_ and ~gone~", "<strong>bold</strong> and <em>italic</em> and <s>gone</s>"),
        ("*bold _both_*", "<strong>bold <em>both</em></strong>"),
        ("read_customer_data and 2*3*4", "read_customer_data and 2*3*4"),
        ("*read_customer_data*", "<strong>read_customer_data</strong>"),
        ("`*code*` stays", "<code>*code*</code> stays"),
        ("two\nlines", "two<br>lines"),
        ("&gt; said\nanswer", "<blockquote>said</blockquote>answer"),
        ("a &amp; b &lt;c&gt;", "a &amp; b &lt;c&gt;"),
        ("```select *\nfrom x```", "<pre>select *\nfrom x</pre>"),
        (":eyes:", '<span class="emoji" role="img" aria-label="eyes">\U0001f440</span>'),
        (":nothing_such:", ":nothing_such:"),
    ],
)  # fmt: skip
def test_mrkdwn_is_written_as_slack_writes_it(text, drawn):
    assert md(text) == drawn


def test_mentions_are_names_and_ones_own_is_marked():
    assert md("<@U0ANA>") == '<span class="mention me">@Ana Lima</span>'
    assert md("<!subteam^S0OWNERS>") == '<span class="mention">@data-owners</span>'
    assert md("<!channel>") == '<span class="mention me">@channel</span>'
    assert "in=C0ACCESS" in md("<#C0ACCESS>")
    assert "#db-access" in md("<#C0ACCESS>")


def test_a_name_cannot_carry_markup():
    assert md("<@U0BO>") == '<span class="mention">@&lt;b&gt;Bo&lt;/b&gt;</span>'


def test_links_open_beside_the_page_and_lead_only_to_the_web():
    assert md("<https://a.test/x|here>") == (
        '<a href="https://a.test/x" target="_blank" rel="noopener noreferrer">here</a>'
    )
    assert "<a " in md("see https://a.test/x?a=1&amp;b=2.")
    assert "<a " not in md("<javascript:alert(1)|here>")


def test_a_moment_is_told_in_the_readers_own_zone():
    text = f"until <!date^{NOON}^{{date_num}} {{time_secs}}|12:00 UTC>"
    assert "2026-11-20 13:00:05" in md(text, "Europe/Berlin")
    assert "2026-11-20 07:00:05" in md(text, "America/New_York")
    assert 'title="12:00 UTC"' in md(text)


@pytest.mark.parametrize(
    ("template", "written"),
    [
        ("{date}", "November 20th, 2026"),
        ("{date_short}", "Nov 20, 2026"),
        ("{date_long}", "Friday, November 20th, 2026"),
        ("{date_pretty} at {time}", "today at 13:00"),
        ("{ago}", "just now"),
        ("{unheard_of}", "{unheard_of}"),
    ],
)
def test_every_date_token_is_written(template, written):
    assert f">{written}<" in md(f"<!date^{NOON}^{template}|x>")


def test_a_moment_beyond_the_calendar_falls_back_to_its_words():
    assert md("<!date^99999999999999^{time}|never>") == "never"


def test_an_unknown_zone_is_utc():
    assert mrkdwn.zone_of("Mars/Olympus") is dt.UTC


@given(st.text(alphabet="ab<>&\"'`*_~:|!@#^{}\n \ue000\ue0010123", max_size=60))
@settings(max_examples=400, deadline=None)
def test_no_text_makes_other_elements_than_those_of_formatting(text):
    allowed = {"strong", "em", "s", "code", "pre", "br", "blockquote", "span", "a", "time"}
    for drawn in (md(text), str(mrkdwn.plain(text))):
        for tag, attributes in Elements(drawn).tags:
            assert tag in allowed
            assert not any(name.startswith("on") for name in attributes)


@given(st.text(alphabet="ab<>&\"'`*_~[]()#->1.\n \ue000\ue001", max_size=60))
@settings(max_examples=200, deadline=None)
def test_no_markdown_makes_other_elements_than_those_of_formatting(text):
    allowed = {"p", "h3", "h4", "h5", "h6", "ul", "ol", "li", "hr", "br"}
    allowed |= {"strong", "em", "s", "code", "pre", "blockquote", "a"}
    assert {tag for tag, _ in Elements(str(markdown.html(text))).tags} <= allowed


def test_markdown_has_headings_lists_links_and_fences():
    drawn = str(
        markdown.html("# Title\n\n- one **bold**\n- two\n\n[x](https://a.test)\n```\na<b\n```")
    )
    assert "<h3>Title</h3>" in drawn
    assert "<ul><li>one <strong>bold</strong></li><li>two</li></ul>" in drawn
    assert 'href="https://a.test"' in drawn
    assert "<pre>a&lt;b</pre>" in drawn


@pytest.mark.parametrize(
    "kind", ["data_visualization", "carousel", "", "__class__", "actions.evil"]
)
def test_a_block_that_is_not_known_is_shown_as_a_box(kind):
    assert "This block is not drawn here" in draw({"type": kind})


def test_an_element_that_is_not_known_is_shown_as_a_box():
    drawn = draw({"type": "actions", "elements": [{"type": "workflow_button", "action_id": "a"}]})
    assert "This element is not drawn here: <code>workflow_button</code>" in drawn


def test_a_malformed_block_is_a_box_and_the_rest_is_drawn():
    drawn = draw({"type": "table", "rows": 7}, {"type": "header", "text": plain("still here")})
    assert "malformed" in drawn
    assert "still here" in drawn


@pytest.mark.parametrize(
    "element",
    [
        {"type": "static_select", "options": [option("one"), option("two")]},
        {"type": "external_select"},
        {"type": "users_select"},
        {"type": "conversations_select"},
        {"type": "channels_select"},
        {"type": "multi_static_select", "options": [option("one")]},
        {"type": "multi_external_select"},
        {"type": "multi_users_select"},
        {"type": "radio_buttons", "options": [option("one")]},
        {"type": "checkboxes", "options": [option("one")]},
        {"type": "plain_text_input"},
        {"type": "plain_text_input", "multiline": True},
        {"type": "datepicker", "initial_date": "2026-11-20"},
        {"type": "timepicker", "initial_time": "14:00"},
        {"type": "datetimepicker", "initial_date_time": NOON},
        {"type": "number_input", "is_decimal_allowed": False, "min_value": "1"},
        {"type": "email_text_input"},
        {"type": "url_text_input"},
    ],
    ids=lambda element: "-".join([element["type"], *(["many"] if "multiline" in element else [])]),
)
def test_every_input_has_a_label_and_says_what_is_wrong_with_it(element):
    drawn = draw(field(element, hint=plain("A hint")), errors={"b": "At most 4 h."})
    tags = Elements(drawn).tags
    ids = {attributes.get("id") for _, attributes in tags}
    label = next(attributes for tag, attributes in tags if attributes.get("class") == "bk-label")
    named = [a for _, a in tags if label["id"] in (a.get("aria-labelledby") or "")]
    assert label.get("for") in ids or named
    described = " ".join(a.get("aria-describedby", "") for _, a in tags).split()
    assert described
    assert set(described) <= ids
    assert "At most 4 h." in drawn
    assert 'aria-invalid="true"' in drawn
    assert "not drawn here" not in drawn


def started(drawn):
    """The values a drawn select starts with."""
    (box,) = [a for _, a in Elements(drawn).tags if "data-chosen" in a]
    return [each["value"] for each in json.loads(box["data-chosen"])]


def test_a_select_starts_with_its_initial_option_and_then_with_what_was_chosen():
    element = {
        "type": "static_select",
        "options": [option("30 min", "30m"), option("1 h", "1h")],
        "initial_option": option("30 min", "30m"),
    }
    chosen = {"b": {"a": {"type": "static_select", "selected_option": option("1 h", "1h")}}}
    assert started(draw(field(element))) == ["30m"]
    assert started(draw(field(element), values=chosen)) == ["1h"]


def test_options_of_groups_know_their_group():
    grouped = {"option_groups": [{"label": plain("Logs"), "options": [option("read_logs")]}]}
    assert blockkit.options(grouped) == [
        {"value": "read_logs", "label": "read_logs", "group": "Logs"}
    ]


@pytest.mark.parametrize(
    ("element", "more", "told"),
    [
        ({"type": "static_select", "options": [option("x")]}, {}, ""),
        ({"type": "static_select", "options": [option("x")]}, {"dispatch_action": True}, "change"),
        ({"type": "plain_text_input"}, {"dispatch_action": True}, "enter"),
        (
            {
                "type": "plain_text_input",
                "dispatch_action_config": {"trigger_actions_on": ["on_character_entered"]},
            },
            {"dispatch_action": True},
            "character",
        ),
    ],
)
def test_a_field_tells_the_app_only_when_the_block_asks_for_it(element, more, told):
    renderer = blockkit.Renderer(reader=reader(), scope="v")
    assert renderer.dispatches(element, field(element, **more)) == told


def test_a_moment_to_edit_is_shown_in_the_readers_zone():
    drawn = draw(field({"type": "datetimepicker", "initial_date_time": NOON}))
    assert 'value="2026-11-20T13:00"' in drawn


def test_a_button_carries_its_names_its_style_and_its_question():
    ask = {
        "title": plain("Sure?"),
        "text": plain("It ends."),
        "confirm": plain("End"),
        "deny": plain("Keep"),
    }
    button = {
        "type": "button",
        "action_id": "end",
        "text": plain("Revoke"),
        "style": "danger",
        "confirm": ask,
    }
    drawn = draw({"type": "actions", "block_id": "b", "elements": [button]})
    tags = Elements(drawn).tags
    attributes = next(a for tag, a in tags if tag == "button")
    assert attributes["data-block"] == "b"
    assert attributes["data-action"] == "end"
    assert "danger" in attributes["class"]
    assert ("template", {"class": "confirm"}) in tags


def test_rich_text_is_drawn_with_all_its_parts():
    section = {
        "type": "rich_text_section",
        "elements": [
            {"type": "text", "text": "why: ", "style": {"bold": True, "code": True}},
            {"type": "user", "user_id": "U0ANA"},
            {"type": "usergroup", "usergroup_id": "S0OWNERS"},
            {"type": "channel", "channel_id": "C0ACCESS"},
            {"type": "link", "url": "https://a.test", "text": "ticket"},
            {"type": "emoji", "name": "eyes"},
            {"type": "date", "timestamp": NOON, "format": "{time}", "fallback": "x"},
            {"type": "broadcast", "range": "here"},
            {"type": "hologram"},
        ],
    }
    items = {"type": "rich_text_list", "style": "ordered", "elements": [section]}
    sql = {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": HOSTILE}]}
    quote = {"type": "rich_text_quote", "elements": [{"type": "text", "text": "said"}]}
    drawn = draw({"type": "rich_text", "elements": [section, items, sql, quote]})
    Elements(drawn)
    for part in (
        "<strong><code>why: </code></strong>", "@Ana Lima", "@data-owners", "#db-access",
        'href="https://a.test"', ">13:00<", "@here", "not drawn here: hologram", "<ol",
        "&lt;script&gt;", "<blockquote>said</blockquote>",
    ):  # fmt: skip
        assert part in drawn


def test_a_table_has_headings_and_aligned_cells():
    cell = lambda text: {"type": "raw_text", "text": text}  # noqa: E731
    drawn = draw(
        {
            "type": "table",
            "rows": [
                [cell("Table"), cell("Reads")],
                [cell("orders"), {"type": "raw_number", "value": 4}],
            ],
            "column_settings": [{}, {"align": "right"}],
        }
    )
    assert '<th class="left" scope="col">Table</th>' in drawn
    assert '<td class="right">4</td>' in drawn


def test_an_alert_says_its_level_in_words():
    drawn = draw({"type": "alert", "level": "warning", "text": plain("Careful")})
    assert '<span class="sr">warning: </span>Careful' in drawn


def test_a_picture_that_is_not_of_the_web_is_only_its_words():
    drawn = draw({"type": "image", "image_url": "javascript:alert(1)", "alt_text": "a chart"})
    assert "<img" not in drawn
    assert "[a chart]" in drawn


@pytest.mark.parametrize(
    "block",
    [
        {"type": "header", "text": plain(HOSTILE)},
        {"type": "section", "text": {"type": "mrkdwn", "text": HOSTILE}, "fields": [plain(HOSTILE)]},
        {"type": "context", "elements": [plain(HOSTILE)]},
        {"type": HOSTILE},
        {"type": "markdown", "text": HOSTILE},
        {"type": "image", "image_url": 'https://a.test/"onerror="x', "alt_text": HOSTILE},
        {"type": "actions", "block_id": '"><script>', "elements": [
            {"type": "button", "action_id": HOSTILE, "text": plain(HOSTILE), "url": "javascript:x"},
            {"type": "overflow", "action_id": "o", "options": [option(HOSTILE)]},
        ]},
        field({"type": "static_select", "options": [option("it's " + HOSTILE)]}),
        field({"type": "plain_text_input", "multiline": True, "initial_value": "</textarea>" + HOSTILE}),
        field({"type": "plain_text_input", "initial_value": '"><script>'}, label=plain(HOSTILE)),
        field({"type": "radio_buttons", "options": [option(HOSTILE)]}),
    ],
    ids=lambda block: str(block["type"])[:12],
)  # fmt: skip
def test_nothing_an_app_or_a_person_writes_becomes_an_element(block):
    for tag, attributes in Elements(draw(block, errors={"b": HOSTILE})).tags:
        assert tag != "script"
        assert not any(name.startswith("on") for name in attributes)
        assert "javascript" not in (attributes.get("href") or attributes.get("data-url") or "")
