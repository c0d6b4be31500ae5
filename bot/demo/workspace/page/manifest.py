"""What the app's manifest offers a person: slash commands with their sub-commands, and shortcuts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PLAIN: Mapping[str, Any] = {
    "features": {
        "slash_commands": [
            {
                "command": "/jit",
                "description": "Ask for database access",
                "usage_hint": "help | mine | pending | list | revoke ID | ENTITLEMENT [DURATION] why",
            }
        ],
        "shortcuts": [
            {"name": "Ask for access", "type": "global", "callback_id": "request.new"},
        ],
    }
}
"""What is offered when no manifest was handed in."""

IN_ONE_LINE = "Ask in one line"
_MEANINGS = {
    "help": "What can be typed",
    "mine": "My access now, and how to give it back",
    "pending": "Requests waiting for me",
    "list": "What I may ask for",
    "revoke": "End a grant",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """A line the composer offers. `done` tells whether it may be sent as it stands."""

    text: str
    about: str
    done: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Shortcut:
    """A global shortcut of the app."""

    name: str
    callback_id: str


def completions(manifest: Mapping[str, Any]) -> list[Completion]:
    """Every command, then what its usage hint lists between bars; patterns to fill in come last."""
    found: list[Completion] = []
    for each in _features(manifest).get("slash_commands") or ():
        command, about = str(each["command"]), str(each.get("description", ""))
        found.append(Completion(text=command, about=about, done=True))
        parts = [part.strip() for part in str(each.get("usage_hint", "")).split("|")]
        usages = [_usage(command, part) for part in parts if part]
        found += sorted(usages, key=lambda usage: usage.about == IN_ONE_LINE)
    return found


def _usage(command: str, part: str) -> Completion:
    if part.count("[") != part.count("]"):  # the brackets stand round the whole hint
        part = part.strip("[] ")
    first, *rest = part.split()
    if re.fullmatch(r"[a-z]+", first):
        about = _MEANINGS.get(first, "")
        return Completion(text=f"{command} {part}", about=about, done=not rest)
    return Completion(text=f"{command} {part}", about=IN_ONE_LINE, done=False)


def shortcuts(manifest: Mapping[str, Any]) -> list[Shortcut]:
    """The global shortcuts, as the "+" menu lists them."""
    return [
        Shortcut(name=str(each["name"]), callback_id=str(each["callback_id"]))
        for each in _features(manifest).get("shortcuts") or ()
        if each.get("type") == "global"
    ]


def _features(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    features = manifest.get("features") or {}
    return features if isinstance(features, Mapping) else {}
