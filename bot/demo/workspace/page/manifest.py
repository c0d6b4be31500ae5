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
    """Every command, then its sub-commands as its usage hint lists them between bars."""
    found: list[Completion] = []
    for each in _features(manifest).get("slash_commands") or ():
        command = str(each["command"])
        found.append(Completion(text=command, about=str(each.get("description", "")), done=True))
        found += _subcommands(command, str(each.get("usage_hint", "")))
    return found


def _subcommands(command: str, hint: str) -> list[Completion]:
    parts = [part.strip() for part in re.sub(r"^\[|\]$", "", hint.strip()).split("|")]
    found = []
    for part in filter(None, parts):
        first, *rest = part.split()
        if not re.fullmatch(r"[a-z]+", first):
            about = "Ask in one line" if rest else "Ask for it"
            found.append(Completion(text=f"{command} {part}", about=about, done=False))
            continue
        found.append(
            Completion(text=f"{command} {part}", about=_MEANINGS.get(first, ""), done=not rest)
        )
    return found


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
