"""What stands beside the conversation on the page: real tools, handed in by whoever runs a demo."""

from typing import Any, Protocol


class Bench(Protocol):
    """A database client for each person, the deadlines, and trouble outside the workspace."""

    def sql_connect(self, person: str, url: str) -> dict[str, Any]:
        """Open `person`'s database session: {"ok": bool, "message": str}."""

    def sql_run(self, person: str, statement: str) -> dict[str, Any]:
        """Run a statement in it: {"ok", "message", "columns": [str], "rows": [[str | None]]}."""

    def grants(self) -> list[dict[str, Any]]:
        """The active grants: id, requester, entitlement, expires_at (unix seconds)."""

    def clock(self, grant_id: str, left_seconds: int) -> str:
        """Bring a grant's end to `left_seconds` from now; returns what the command said."""

    def trouble(self, name: str, on: bool) -> str:  # noqa: FBT001 - a switch
        """Switch "target_down" or "bot_down"; returns what came of it."""

    def status(self) -> dict[str, str]:
        """What is "up" or "down": bot, target."""
