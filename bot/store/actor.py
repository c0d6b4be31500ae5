"""Who does something to the record: written into every audit event."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["user", "policy", "operator", "system"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A person (`user`, Slack id), a rule (`policy`), a login on the command line (`operator`), or us."""

    kind: Kind
    id: str | None = None
    name: str | None = None


SYSTEM = Actor(kind="system")
