"""How the workspace says no, in Slack's own words."""

from typing import Any


class Refused(Exception):
    """The Web API's `{"ok": false, "error": …}`; `more` is added to it."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.error = error
        self.more = more

    def answer(self) -> dict[str, Any]:
        """The answer to the call."""
        return {"ok": False, "error": self.error, **self.more}


def malformed(error: str, messages: list[str]) -> Refused:
    """`invalid_blocks` or `invalid_arguments` with what is wrong where, as Slack lays it out."""
    told = [f"[ERROR] {message}" for message in messages]
    return Refused(error, errors=messages, response_metadata={"messages": told})
