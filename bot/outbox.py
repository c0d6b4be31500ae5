"""What must still be said in Slack: delivered in order a lane, tried again, never in anybody's way.

Rows are written with the change they tell of (see `notices`) and are delivered after the commit,
each lane strictly in order, one at a time. Slack being down delays words, never deeds.
"""

from typing import Protocol

from bot import errors, model, store
from bot.notices import Alarm, Kind, Line

__all__ = ["Alarm", "Kind", "Later", "Line", "Never", "Outbox", "Poster"]


class Later(errors.JitError):
    """Slack cannot take this message now."""

    def __init__(self, seconds: float, reason: str = "Slack asks us to wait") -> None:
        """`seconds`: do not try again before."""
        super().__init__(reason)
        self.seconds = seconds


class Never(errors.JitError):
    """Slack will not take this message, ever."""


class Poster(Protocol):
    """What turns a row into a message."""

    def deliver(self, row: store.OutboxRow, story: model.Story | None) -> model.MessageRef | None:
        """Post or edit; return what was posted, or none for an edit or a view.

        `story` is the record as it is now; none when the row belongs to no request. Raises Later,
        Never.
        """


class Outbox:
    """Takes rows from the store to the poster."""
