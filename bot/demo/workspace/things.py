"""The values the workspace is made of. Frozen: what changes is replaced, so a reader needs no lock."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
Values = Mapping[str, Mapping[str, Json]]
"""block_id -> action_id -> what is chosen or typed there, as `state.values` of Slack's payloads."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A message in a conversation. `only_for` makes it ephemeral: one person's eyes only."""

    channel: str
    ts: str
    user: str
    text: str
    blocks: tuple[Json, ...] = ()
    attachments: tuple[Json, ...] = ()
    files: tuple[Json, ...] = ()
    thread_ts: str | None = None
    broadcast: bool = False
    edited_ts: str | None = None
    only_for: str | None = None
    metadata: Json | None = None
    values: Values = field(default_factory=dict)
    """What people chose in its inputs."""

    @property
    def is_ephemeral(self) -> bool:
        """Whether only one person sees it."""
        return self.only_for is not None

    @property
    def is_reply(self) -> bool:
        """Whether it stands in a thread under another message."""
        return self.thread_ts is not None and self.thread_ts != self.ts

    @property
    def at(self) -> float:
        """When it was posted, in seconds since 1970."""
        return float(self.ts)


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """A modal on somebody's screen, or their App Home.

    `body` is what the app sent, with block_ids and action_ids filled in where it gave none.
    """

    id: str
    user: str
    type: str
    body: Json
    hash: str
    root_id: str
    previous_id: str | None = None
    values: Values = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    """block_id -> what the app said is wrong there, after the last submit."""

    @property
    def blocks(self) -> list[Json]:
        """The blocks shown."""
        blocks: list[Json] = self.body["blocks"]
        return blocks

    @property
    def title(self) -> str:
        """The modal's title."""
        return str(self.body.get("title", {}).get("text", ""))

    @property
    def callback_id(self) -> str:
        """The app's name for what this view is about."""
        return str(self.body.get("callback_id", ""))


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """What Slack itself tells one person, beside the conversation: a click nobody answered."""

    at: float
    user: str
    text: str
    where: str
    """A channel id or a view id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ack:
    """The app's acknowledgement of an envelope."""

    envelope_id: str
    payload: Json
    ms: float

    @property
    def text(self) -> str:
        """The text it answered with, if any."""
        return str(self.payload.get("text", ""))
