"""Reading what an app sent along with a call."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bot.demo.workspace import acts, people, refusal, things

Call = Callable[[acts.Workspace, things.Json], things.Json]
MOST_ON_A_PAGE = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """A method: what does it, and which scopes let an app call it (any one of them is enough)."""

    call: Call
    scopes: tuple[str, ...] = ()
    app_token: bool = False
    """Whether it is called with the app-level token and not with the bot's."""


def need(args: things.Json, name: str) -> str:
    """A text that must be given."""
    value = args.get(name)
    if value in (None, ""):
        raise refusal.malformed("invalid_arguments", [f"missing required field: {name}"])
    return str(value)


def flag(args: things.Json, name: str) -> bool:
    """A boolean, which forms send as words or digits."""
    return args.get(name) in (True, 1, "1", "true", "True")


def page(args: things.Json, key: str, everything: Sequence[Any]) -> things.Json:
    """One page of a list, with the cursor to the next."""
    start = _start(args.get("cursor"))
    size = min(int(args.get("limit") or MOST_ON_A_PAGE), MOST_ON_A_PAGE)
    after = start + size
    more = after < len(everything)
    cursor = base64.b64encode(f"next:{after}".encode()).decode() if more else ""
    return {
        key: list(everything[start:after]),
        "response_metadata": {"next_cursor": cursor},
    }


def _start(cursor: object) -> int:
    if not cursor:
        return 0
    try:
        word, _, number = base64.b64decode(str(cursor), validate=True).decode().partition(":")
        if word == "next":
            return int(number)
    except (ValueError, binascii.Error):
        pass
    raise refusal.Refused("invalid_cursor")


def place(workspace: acts.Workspace, named: str) -> people.Channel:
    """The channel of that id or #name, if the bot may know of it."""
    channel = workspace.channels.get(named)
    if channel is None:
        name = named.removeprefix("#")
        found = (c for c in workspace.channels.values() if c.name == name and not c.is_im)
        channel = next(found, None)
    if channel is None or (channel.is_private and people.BOT not in channel.members):
        raise refusal.Refused("channel_not_found")
    return channel


def place_to_write(workspace: acts.Workspace, named: str) -> people.Channel:
    """The channel to write to; a user id means the conversation with that person."""
    if named in workspace.users:
        if named in (people.BOT, people.SLACKBOT):
            raise refusal.Refused("channel_not_found")
        named = workspace.dm(named)
    channel = place(workspace, named)
    if channel.is_archived:
        raise refusal.Refused("is_archived")
    if people.BOT not in channel.members:
        raise refusal.Refused("not_in_channel")
    return channel
