"""The interactive elements of blocks: finding them, what is in them, what a person puts in."""

import copy
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.demo.workspace import things


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """How an element type keeps its value in `state.values`."""

    key: str
    initial: str
    many: bool = False
    holds: str = "text"
    """text, option, person, channel or plain."""


_TEXT = Kind(key="value", initial="initial_value")
_OPTION = Kind(key="selected_option", initial="initial_option", holds="option")
_OPTIONS = Kind(key="selected_options", initial="initial_options", many=True, holds="option")
KINDS: Mapping[str, Kind] = {
    "plain_text_input": _TEXT,
    "email_text_input": _TEXT,
    "url_text_input": _TEXT,
    "number_input": _TEXT,
    "static_select": _OPTION,
    "external_select": _OPTION,
    "radio_buttons": _OPTION,
    "checkboxes": _OPTIONS,
    "multi_static_select": _OPTIONS,
    "multi_external_select": _OPTIONS,
    "users_select": Kind(key="selected_user", initial="initial_user", holds="person"),
    "multi_users_select": Kind(
        key="selected_users", initial="initial_users", many=True, holds="person"
    ),
    "channels_select": Kind(key="selected_channel", initial="initial_channel", holds="channel"),
    "multi_channels_select": Kind(
        key="selected_channels", initial="initial_channels", many=True, holds="channel"
    ),
    "conversations_select": Kind(
        key="selected_conversation", initial="initial_conversation", holds="channel"
    ),
    "multi_conversations_select": Kind(
        key="selected_conversations", initial="initial_conversations", many=True, holds="channel"
    ),
    "datepicker": Kind(key="selected_date", initial="initial_date", holds="plain"),
    "timepicker": Kind(key="selected_time", initial="initial_time", holds="plain"),
    "datetimepicker": Kind(key="selected_date_time", initial="initial_date_time", holds="plain"),
    "rich_text_input": Kind(key="rich_text_value", initial="initial_value", holds="plain"),
    "file_input": Kind(key="files", initial="files", many=True, holds="plain"),
}
BUTTONS = frozenset({"button", "overflow", "workflow_button", "icon_button", "feedback_buttons"})
EXTERNAL = frozenset({"external_select", "multi_external_select"})
ECHOED = ("placeholder", "initial_option", "initial_date", "initial_time", "initial_user")
REQUIRED = "Please complete this required field."


@dataclass(frozen=True, kw_only=True, slots=True)
class Spot:
    """An interactive element and the block it stands in."""

    block: things.Json
    element: things.Json

    @property
    def action_id(self) -> str:
        """The app's name for it."""
        return str(self.element["action_id"])

    @property
    def block_id(self) -> str:
        """The app's name for its block."""
        return str(self.block["block_id"])

    @property
    def path(self) -> str:
        """What names it alone in its message or view."""
        return f"{self.block_id}/{self.action_id}"

    @property
    def is_input(self) -> bool:
        """Whether it stands in an input block, which says nothing to the app until submitted."""
        return bool(self.block["type"] == "input")

    @property
    def tells(self) -> bool:
        """Whether the app hears of it at once."""
        return not self.is_input or bool(self.block.get("dispatch_action"))

    @property
    def labels(self) -> set[str]:
        """All that a person or a test may call it by."""
        texts = [
            self.element.get("text", {}).get("text"),
            self.block.get("label", {}).get("text"),
            self.element.get("placeholder", {}).get("text"),
            self.element.get("accessibility_label"),
        ]
        names = {self.action_id} | ({self.block_id} if self.is_input else set())
        return names | {plain(text) for text in texts if text}


def plain(text: str) -> str:
    """A label as compared: no case, no spaces around it, no trailing dots or asterisk."""
    return text.strip().rstrip("*").strip().casefold()


def named(blocks: Sequence[things.Json]) -> list[things.Json]:
    """A copy of the blocks in which every block and element has its id, as Slack fills them in."""
    filled = copy.deepcopy(list(blocks))
    for block in filled:
        if not block.get("block_id"):
            block["block_id"] = secrets.token_urlsafe(4)
        for element in _elements(block):
            if not element.get("action_id"):
                element["action_id"] = secrets.token_urlsafe(4)
    return filled


def _elements(block: things.Json) -> Iterator[things.Json]:
    inside = [block.get("accessory"), block.get("element")]
    if block["type"] in ("actions", "context_actions"):
        inside += block.get("elements", [])
    for element in inside:
        if element and (element["type"] in KINDS or element["type"] in BUTTONS):
            yield element


def spots(blocks: Sequence[things.Json]) -> list[Spot]:
    """Every interactive element, in reading order."""
    return [Spot(block=block, element=element) for block in blocks for element in _elements(block)]


def initial_values(blocks: Sequence[things.Json]) -> things.Values:
    """`state.values` as it is before anybody touched anything."""
    values: dict[str, dict[str, things.Json]] = {}
    for spot in spots(blocks):
        kind = KINDS.get(spot.element["type"])
        if kind is not None:
            first = spot.element.get(kind.initial, [] if kind.many else None)
            entry = {"type": spot.element["type"], kind.key: first}
            values.setdefault(spot.block_id, {})[spot.action_id] = entry
    return values


def carried_values(blocks: Sequence[things.Json], before: things.Values) -> things.Values:
    """The values after an update: kept where block_id, action_id and type stayed the same."""
    values = initial_values(blocks)
    return {
        block_id: {
            action_id: _carry(entry, before.get(block_id, {}).get(action_id))
            for action_id, entry in entries.items()
        }
        for block_id, entries in values.items()
    }


def _carry(fresh: things.Json, old: things.Json | None) -> things.Json:
    return old if old is not None and old["type"] == fresh["type"] else fresh


def with_value(values: things.Values, spot: Spot, entry: things.Json) -> things.Values:
    """A copy of the values with one entry replaced."""
    changed = {block_id: dict(entries) for block_id, entries in values.items()}
    changed.setdefault(spot.block_id, {})[spot.action_id] = entry
    return changed


def options_of(element: things.Json) -> list[things.Json]:
    """The options an element carries itself, groups opened."""
    grouped = [o for group in element.get("option_groups") or [] for o in group["options"]]
    return list(element.get("options") or []) + grouped


def pick(options: Sequence[things.Json], wanted: Any) -> things.Json | None:
    """The option a person means by its text, or by its value."""
    if isinstance(wanted, dict):
        wanted = wanted.get("value")
    for option in options:
        if wanted == option.get("value") or plain(str(wanted)) == plain(option["text"]["text"]):
            return option
    return None


def chosen(values: things.Values, spot: Spot) -> list[things.Json]:
    """The options chosen in an element now, which may be chosen again without asking."""
    entry = values.get(spot.block_id, {}).get(spot.action_id, {})
    one, many = entry.get("selected_option"), entry.get("selected_options") or []
    return [one, *many] if one else list(many)


def entry_for(
    spot: Spot,
    value: Any,
    options: Sequence[things.Json],
    resolve: Callable[[str, str], str | None],
) -> things.Json | None:
    """The `state.values` entry for what a person chose or typed; None when there is no such choice.

    `resolve(kind, name)` finds the id of a person or channel by name.
    """
    kind = KINDS[spot.element["type"]]
    wanted = list(value or []) if kind.many else [value]
    found: list[Any] = []
    for one in wanted:
        if one is None or (one == "" and not kind.many):
            found.append(None)
            continue
        if kind.holds == "option":
            meant: Any = pick(options, one)
        elif kind.holds in ("person", "channel"):
            meant = resolve(kind.holds, str(one))
        else:
            meant = str(one) if kind.holds == "text" else one
        if meant is None:
            return None
        found.append(meant)
    return {"type": spot.element["type"], kind.key: found if kind.many else found[0]}


def action(spot: Spot, entry: things.Json | None, option: Any, action_ts: str) -> things.Json:
    """The item of a block_actions payload's `actions`."""
    element = spot.element
    told: things.Json = {
        "type": element["type"],
        "action_id": spot.action_id,
        "block_id": spot.block_id,
        "action_ts": action_ts,
    }
    if element["type"] in ("button", "workflow_button"):
        told |= {key: element[key] for key in ("text", "value", "style") if key in element}
    elif element["type"] == "overflow":
        told["selected_option"] = option
    else:
        told |= {key: element[key] for key in ECHOED if key in element}
        told |= entry or {}
    return told


def problems(blocks: Sequence[things.Json], values: things.Values) -> dict[str, str]:
    """What Slack's own client refuses before it tells the app: block_id -> why."""
    wrong = {}
    for spot in spots(blocks):
        if spot.is_input:
            trouble = _problem(spot, values.get(spot.block_id, {}).get(spot.action_id, {}))
            if trouble:
                wrong[spot.block_id] = trouble
    return wrong


def _problem(spot: Spot, entry: things.Json) -> str | None:
    value = entry.get(KINDS[spot.element["type"]].key)
    if value in (None, "", []):
        return None if spot.block.get("optional") else REQUIRED
    return _odd_text(spot.element, value) if isinstance(value, str) else None


def _odd_text(element: things.Json, text: str) -> str | None:
    most, least = element.get("max_length", 3000), element.get("min_length", 0)
    kind = element["type"]
    if kind == "plain_text_input" and len(text) > most:
        return f"This entry is too long. The limit is {most} characters."
    if kind == "plain_text_input" and len(text) < least:
        return f"This entry is too short. It needs {least} characters."
    if kind == "email_text_input" and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", text):
        return "Please enter a valid email address."
    if kind == "url_text_input" and not re.match(r"https?://\S+", text):
        return "Please enter a valid URL."
    if kind == "number_input":
        return _odd_number(element, text)
    return None


def _odd_number(element: things.Json, text: str) -> str | None:
    try:
        number = float(text)
    except ValueError:
        return "Please enter a number."
    if not element.get("is_decimal_allowed") and number != int(number):
        return "Please enter a whole number."
    if "min_value" in element and number < float(element["min_value"]):
        return f"Please enter at least {element['min_value']}."
    if "max_value" in element and number > float(element["max_value"]):
        return f"Please enter at most {element['max_value']}."
    return None
