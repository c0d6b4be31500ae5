"""Block Kit as HTML, drawn on the server for one reader.

A block type or an element this does not know becomes a visible box, never nothing: what the
product posts must not vanish here while Slack would show it.
"""

import datetime as dt
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from bot.demo.workspace import markdown, mrkdwn

TEMPLATES = Path(__file__).parent / "page" / "templates"

Json = Mapping[str, Any]
Option = dict[str, str]
"""What a list offers: value, label, and where given description and group."""

_INITIALS = (
    "initial_option",
    "initial_options",
    "initial_user",
    "initial_users",
    "initial_channel",
    "initial_channels",
    "initial_conversation",
    "initial_conversations",
)
_PLACES = ("users_select", "channels_select", "conversations_select")
_STYLES = (
    ("code", "code"),
    ("bold", "strong"),
    ("italic", "em"),
    ("strike", "s"),
    ("underline", "u"),
)


class _Soft(dict[str, Any]):
    """JSON in which an absent key reads as None, as optional fields do in Block Kit."""

    def __missing__(self, key: str) -> None:
        return None


def soften(value: Any) -> Any:
    """The same JSON with every object reading absent keys as None."""
    if isinstance(value, Mapping):
        return _Soft({key: soften(inner) for key, inner in value.items()})
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [soften(inner) for inner in value]
    return value


def environment() -> jinja2.Environment:
    """The templates of the page, with everything escaped."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True
    )


_ENVIRONMENT = environment()
_BLOCKS = _ENVIRONMENT.get_template("blocks.html.j2").module
_ELEMENTS = _ENVIRONMENT.get_template("elements.html.j2").module


def _nobody(_kind: str) -> list[Option]:
    return []


@dataclass(frozen=True, kw_only=True, slots=True)
class Renderer:
    """Draws blocks for `reader`.

    `scope` is the message or view the blocks belong to and keeps element ids apart; `errors` says
    by block_id what was wrong with a submission; `values` (block_id, action_id) is what was chosen or
    typed already; `listed` gives the options of `users_select`,
    `channels_select` and `conversations_select`.
    """

    reader: mrkdwn.Reader
    scope: str
    errors: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    listed: Callable[[str], list[Option]] = _nobody

    def blocks(self, blocks: Iterable[Json]) -> Markup:
        """All of a surface's blocks."""
        return Markup("").join(self.block(block) for block in blocks)

    def block(self, block: Json) -> Markup:
        """One block."""
        return self._draw(_BLOCKS, "block", soften(block))

    def element(self, element: Json, block: Json, *, labelled: bool = False) -> Markup:
        """One interactive element or image of `block`."""
        action = str(element.get("action_id") or "")
        state = self.values.get(str(block.get("block_id")), {}).get(action)
        named = self._named(element, block, labelled=labelled)
        drawn = soften(_with_state(element, state) if state else element)
        return self._draw(
            _ELEMENTS, "element", drawn, soften(block), self.key(block, action), named
        )

    def _draw(self, macros: Any, noun: str, thing: Json, *rest: Any) -> Markup:
        kind = str(thing.get("type") or "")
        macro = getattr(macros, f"{noun}_{kind}", None)
        if macro is None:
            return Markup(_BLOCKS.unknown(kind, noun))  # type: ignore[attr-defined]  # noqa: S704 - a template's own output
        try:
            return Markup(macro(self, thing, *rest))  # noqa: S704 - a template's own output
        except (TypeError, AttributeError, jinja2.TemplateError):
            return Markup(_BLOCKS.unknown(f"{kind} (malformed)", noun))  # type: ignore[attr-defined]  # noqa: S704 - as above

    def _named(self, element: Json, block: Json, *, labelled: bool) -> Markup:
        if not labelled:
            label = self.words(element.get("placeholder")) or self.words(block.get("text"))
            return Markup(' aria-label="{}"').format(label or "Choose")
        ids = [
            self.key(block, name)
            for name, there in (
                ("error", block.get("block_id") in self.errors),
                ("hint", block.get("hint")),
            )
            if there
        ]
        named = Markup(' aria-describedby="{}"').format(" ".join(ids)) if ids else Markup("")
        if block.get("block_id") in self.errors:
            named += Markup(' aria-invalid="true"')
        if element.get("type") in ("radio_buttons", "checkboxes", "datetimepicker"):
            named += Markup(' aria-labelledby="{}"').format(self.key(block, "label"))
        return named

    def key(self, block: Json, name: str | None) -> str:
        """An element id that stays the same while scope, block_id and name do."""
        raw = "\0".join((self.scope, str(block.get("block_id")), name or ""))
        return "e" + hashlib.blake2s(raw.encode(), digest_size=8).hexdigest()

    def text(self, text: Any) -> Markup:
        """A text object, or a bare string read as plain text."""
        if text is None:
            return Markup("")
        if not isinstance(text, Mapping):
            return mrkdwn.plain(str(text))
        if text.get("type") == "mrkdwn":
            return mrkdwn.html(
                text.get("text", ""), self.reader, verbatim=bool(text.get("verbatim"))
            )
        return mrkdwn.plain(text.get("text", ""), emoji=text.get("emoji") is not False)

    def words(self, text: Any) -> str:
        """A text object's words without formatting."""
        return self.text(text).striptags()

    def markdown(self, text: str) -> Markup:
        """The text of a markdown block."""
        return markdown.html(text or "")

    def web(self, url: str) -> str:
        """The address if it is one of the web, else nothing."""
        return url if str(url).startswith(("http://", "https://")) else ""

    def picture(self, image: Json) -> Markup:
        """An image with its alternative text; only the text where there is no web address."""
        alt = image.get("alt_text") or ""
        url = image.get("image_url") or (image.get("slack_file") or {}).get("url") or ""
        if not (self.web(url) or url.startswith("/")):
            return Markup('<span class="quiet">[{}]</span>').format(alt or "picture")
        return Markup('<img src="{}" alt="{}" loading="lazy" referrerpolicy="no-referrer">').format(
            url, alt
        )

    def file(self, block: Json) -> Markup:
        """What a file block names."""
        return escape(block.get("external_id") or "file")

    def dispatches(self, element: Json, block: Json) -> str:
        """When a field tells the app at once: "change", "enter", "character", or never ("")."""
        if block.get("type") == "input" and not block.get("dispatch_action"):
            return ""
        if "input" not in str(element.get("type")):
            return "change"
        asked = (element.get("dispatch_action_config") or {}).get("trigger_actions_on")
        return " ".join(
            {"on_enter_pressed": "enter", "on_character_entered": "character"}.get(name, "")
            for name in asked or ["on_enter_pressed"]
        )

    def choices(self, element: Json) -> list[Option]:
        """What a select offers without asking the app."""
        kind = str(element.get("type")).removeprefix("multi_")
        if kind in _PLACES:
            return self.listed(kind)
        return options(element)

    def chosen(self, element: Json) -> list[Option]:
        """What a select or a group of checks starts with."""
        given: Any = next((element[key] for key in _INITIALS if element.get(key)), [])
        listed = given if isinstance(given, list) else [given]
        names = {option["value"]: option for option in self.choices(element)}
        return [
            names.get(item, {"value": item, "label": item})
            if isinstance(item, str)
            else option(item)
            for item in listed
        ]

    def local(self, unix: int | None) -> str | None:
        """Unix seconds as a `datetime-local` value in the reader's zone."""
        if unix is None:
            return None
        return dt.datetime.fromtimestamp(unix, self.reader.zone).strftime("%Y-%m-%dT%H:%M")

    def cell(self, cell: Json) -> Markup:
        """One cell of a table."""
        kind = cell.get("type")
        if kind == "rich_text":
            return self.block(cell)
        if kind in ("raw_text", "raw_number"):
            return mrkdwn.plain(str(cell.get("text") or cell.get("value") or ""))
        return Markup(_BLOCKS.unknown(kind, "cell"))  # type: ignore[attr-defined]  # noqa: S704 - a template's own output

    def rich(self, elements: Iterable[Json]) -> Markup:
        """The elements within one line of rich text."""
        return Markup("").join(self._rich(element) for element in elements or ())

    def _rich(self, element: Json) -> Markup:
        write = _RICH.get(str(element.get("type")))
        drawn = write(self, element) if write else _unknown_rich(element)
        style = element.get("style") or {}
        for name, tag in _STYLES:
            if style.get(name):
                drawn = Markup(f"<{tag}>{{}}</{tag}>").format(drawn)  # noqa: S704 - the tag is ours
        return drawn


def _with_state(element: Json, state: Json) -> Json:
    """The element starting with what is chosen or typed in it, as `state.values` tells it."""
    started = {key: value for key, value in element.items() if not key.startswith("initial_")}
    for key, value in state.items():
        if key == "value" or key.startswith("selected_"):
            started["initial_" + key.removeprefix("selected_")] = value
    return started


def _unknown_rich(element: Json) -> Markup:
    return Markup('<span class="bk-unknown">not drawn here: {}</span>').format(element.get("type"))


def _rich_emoji(_renderer: Renderer, element: Json) -> Markup:
    if element.get("name") not in mrkdwn.EMOJI and element.get("unicode"):
        points = str(element["unicode"]).split("-")
        return escape("".join(chr(int(point, 16)) for point in points))
    return mrkdwn.emoji(str(element.get("name")))


def _rich_date(renderer: Renderer, element: Json) -> Markup:
    return mrkdwn.date(
        int(element.get("timestamp") or 0),
        str(element.get("format") or "{date_short} {time}"),
        renderer.reader,
        url=element.get("url"),
        fallback=str(element.get("fallback") or ""),
    )


def _rich_color(_renderer: Renderer, element: Json) -> Markup:
    return Markup("<code>{}</code>").format(element.get("value"))


_RICH: dict[str, Callable[[Renderer, Json], Markup]] = {
    "text": lambda _, e: Markup("<br>").join(escape(x) for x in str(e.get("text")).split("\n")),
    "link": lambda _, e: mrkdwn.link(str(e.get("url")), str(e.get("text") or "")),
    "user": lambda r, e: mrkdwn.user(str(e.get("user_id")), r.reader),
    "usergroup": lambda r, e: mrkdwn.group(str(e.get("usergroup_id")), r.reader),
    "channel": lambda r, e: mrkdwn.channel(str(e.get("channel_id")), r.reader),
    "broadcast": lambda _, e: Markup('<span class="mention me">@{}</span>').format(e.get("range")),
    "emoji": _rich_emoji,
    "date": _rich_date,
    "color": _rich_color,
}


def option(raw: Json) -> Option:
    """One option of Block Kit as the page's lists take it."""
    found = {"value": str(raw.get("value")), "label": _words(raw.get("text"))}
    if described := _words(raw.get("description")):
        found["description"] = described
    return found


def options(raw: Json) -> list[Option]:
    """`options` or `option_groups`, flattened with the group's label on each."""
    found = [option(each) for each in raw.get("options") or ()]
    for group in raw.get("option_groups") or ():
        label = _words(group.get("label"))
        found += [option(each) | {"group": label} for each in group.get("options") or ()]
    return found


def _words(text: Any) -> str:
    if not isinstance(text, Mapping):
        return str(text or "")
    return mrkdwn.plain(str(text.get("text", ""))).striptags()
