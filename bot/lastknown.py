"""What this process remembers of live grants, for the time in which the record cannot be read.

Not a second truth: it is thrown away and read anew at every sweep, and used for one thing only, to
shut the doors of what is due. What was done with it is told to the record when that is back.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from bot import model, store
from db_grants import spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Shut:
    """A door that was shut without the record knowing."""

    at: datetime
    cut: int  # sessions


def due_since(grant: model.Grant | store.Brief) -> datetime:
    """The moment at which access should have ended."""
    if grant.cause is model.EndCause.DEADLINE or grant.revoking_since is None:
        return grant.expires_at
    return grant.revoking_since


class Known:
    """The grants that may have a role in a target, as last read. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._grants: dict[str, model.Grant] = {}
        self._shut: dict[str, Shut] = {}

    def refresh(self, grants: Iterable[model.Grant]) -> None:
        """The record can be read, and says this."""
        with self._lock:
            self._grants = {grant.id: grant for grant in grants}
            self._shut = {id_: shut for id_, shut in self._shut.items() if id_ in self._grants}

    def learn(self, grants: Iterable[model.Grant]) -> None:
        """These too, without forgetting any."""
        with self._lock:
            self._grants |= {grant.id: grant for grant in grants}

    def grant(self, grant_id: str) -> model.Grant | None:
        """The grant as last read."""
        with self._lock:
            return self._grants.get(grant_id)

    def due(self, now: datetime) -> tuple[model.Grant, ...]:
        """Those whose access should have ended and was not seen to end, longest overdue first."""
        with self._lock:
            waiting = [grant for grant in self._grants.values() if grant.id not in self._shut]
        due = [g for g in waiting if g.access_ended_at is None and due_since(g) <= now]
        return tuple(sorted(due, key=due_since))

    def note_shut(self, grant: model.Grant, closed: spec.Closed | None, now: datetime) -> None:
        """The door was shut, and no session is left."""
        at, cut = (closed.at, len(closed.sessions_cut)) if closed else (now, 0)
        with self._lock:
            self._shut.setdefault(grant.id, Shut(at=at, cut=cut))

    def shut(self, grant_id: str) -> Shut | None:
        """When its door was shut without the record, if it was."""
        with self._lock:
            return self._shut.get(grant_id)
