"""What a person can do in the workspace: type, click, choose, submit, look.

Each act returns once the app acknowledged it, or raises `TimedOut`; so they block for up to three
seconds and must not be called on the server's event loop (a plain `def` route is right).
"""

from collections.abc import Mapping
from typing import Any

from bot.demo.workspace import state, things

Where = things.Message | things.View | tuple[str, str] | str
"""A message, a view, (channel, ts) or a view id. What is there NOW is used, not what was passed."""


class TimedOut(Exception):
    """The app did not acknowledge in time (or is not connected). The person was told so."""


class NotThere(Exception):
    """There is no such thing for this person to act on."""


class NeedsConfirming(Exception):
    """The button asks again first; `dialog` is its confirm object. Act again with confirm=True."""

    def __init__(self, dialog: things.Json) -> None:
        super().__init__(dialog.get("title", {}).get("text", "Are you sure?"))
        self.dialog = dialog


class BadAnswer(Exception):
    """The app acknowledged with something Slack refuses. The person was told of trouble."""


class Workspace(state.State):
    """The state and everything people do to it."""

    def slash(self, user: str, channel: str, text: str) -> things.Ack:
        """Type a slash command in a channel: `slash("U0ANA", "C0ACCESS", "/jit help")`."""
        raise NotImplementedError

    def say(
        self, user: str, channel: str, text: str, thread_ts: str | None = None
    ) -> things.Message:
        """Write a message in a channel or thread."""
        raise NotImplementedError

    def click(
        self,
        user: str,
        where: Where,
        action: str,
        value: str | None = None,
        *,
        confirm: bool = False,
    ) -> things.Ack:
        """Press a button, named by its visible label or its action_id (overflow: `value` = label)."""
        raise NotImplementedError

    def select(
        self, user: str, where: Where, action: str, value: Any, *, confirm: bool = False
    ) -> things.Ack | None:
        """Choose or type in an input, named by label, block_id or action_id.

        `value` is what a person sees: an option's text (or its value), a list of them, a text, a
        date. The app is told only where Slack tells it (no input block, or dispatch_action).
        """
        raise NotImplementedError

    def fill(self, user: str, values: Mapping[str, Any]) -> things.View:
        """Fill several inputs of the top modal, as `select` does each."""
        raise NotImplementedError

    def suggest(self, user: str, where: Where, action: str, typed: str = "") -> list[things.Json]:
        """Type into a type-ahead select and see the options the app offers."""
        raise NotImplementedError

    def submit(
        self, user: str, view_id: str | None = None, values: Mapping[str, Any] | None = None
    ) -> dict[str, str] | None:
        """Submit the top modal. Returns the errors by block_id, or None when it was taken."""
        raise NotImplementedError

    def close_view(self, user: str, *, everything: bool = False) -> None:
        """Close the top modal, or all of them."""
        raise NotImplementedError

    def shortcut(self, user: str, callback_id: str) -> things.Ack:
        """Use a global shortcut."""
        raise NotImplementedError

    def open_home(self, user: str, tab: str = "home") -> things.Ack:
        """Open the app's Home."""
        raise NotImplementedError
