"""Where something came from: who did it, in which message or window, and how to answer them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.asking import access

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """One delivery from Slack. `key` is the same for every delivery of the same deed."""

    user_id: str
    key: str
    trigger_id: str = ""
    response_url: str = ""
    channel_id: str = ""
    message_ts: str = ""
    view: Mapping[str, Any] = field(default_factory=dict)
    action_id: str = ""
    block_id: str = ""
    value: str = ""
    action_ts: str = ""

    @property
    def view_id(self) -> str:
        """The window or Home in which it was done; empty elsewhere."""
        return str(self.view.get("id") or "")

    @property
    def in_modal(self) -> bool:
        """Whether it was done in a window."""
        return self.view.get("type") == "modal"

    @property
    def source(self) -> access.Source | None:
        """The message in which a button was pressed; none in a view of ours."""
        if self.view_id:
            return None
        return access.Source(channel_id=self.channel_id, ts=self.message_ts)

    @property
    def place(self) -> tuple[str, str] | None:
        """The same as (channel, ts)."""
        return (self.channel_id, self.message_ts) if self.source else None


def of_command(body: Body) -> Origin:
    """A slash command."""
    return Origin(
        user_id=str(body["user_id"]),
        key=f"command:{body.get('trigger_id', '')}",
        trigger_id=str(body.get("trigger_id", "")),
        response_url=str(body.get("response_url", "")),
        channel_id=str(body.get("channel_id", "")),
    )


def of_interaction(body: Body) -> Origin:
    """A button, a choice, a sent window or a shortcut."""
    action = (body.get("actions") or [{}])[0]
    place = body.get("container") or {}
    user, trigger = str((body.get("user") or {})["id"]), str(body.get("trigger_id", ""))
    unique = action.get("action_ts") or body.get("action_ts") or trigger
    about = (body.get("type"), user, action.get("action_id"), unique, place.get("message_ts"))
    return Origin(
        user_id=user,
        key=":".join(str(each or "") for each in (*about, "" if action else trigger)),
        trigger_id=trigger,
        response_url=str(body.get("response_url") or ""),
        channel_id=str((body.get("channel") or {}).get("id") or place.get("channel_id") or ""),
        message_ts=str(place.get("message_ts") or (body.get("message") or {}).get("ts") or ""),
        view=body.get("view") or {},
        action_id=str(action.get("action_id") or ""),
        block_id=str(action.get("block_id") or ""),
        value=str(action.get("value") or ""),
        action_ts=str(action.get("action_ts") or ""),
    )
