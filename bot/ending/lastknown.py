"""What this process remembers of open doors, for the time in which the record cannot be read.

Not a second truth: it follows the record as the audit chain tells of changes, is read through once
more every ten minutes, and is used for one thing only, to shut the doors of what is due. What was
done with it is told to the record when that is back.
"""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from bot import model, store
from db_grants import spec

_PORTION = 0.01  # seconds spent on reading at a time: ends do not wait for it
_PAGE = 200
_AGAIN_EVERY = 600.0  # seconds; what somebody changed by hand is in no audit event


@dataclass(frozen=True, slots=True, kw_only=True)
class Shut:
    """A door that was shut without the record knowing."""

    at: datetime
    cut: int  # sessions


def due_since(grant: model.Grant | store.Brief) -> datetime:
    """The moment at which access should have ended."""
    return store.due_since(grant.expires_at, grant.cause, grant.revoking_since)


def door(grant: model.Grant) -> store.Door:
    """As much of a grant as is needed to shut its door."""
    return store.Door(
        id=grant.id,
        target=grant.target,
        role_name=grant.role_name,
        role_oid=grant.role_oid,
        server=grant.server,
        expires_at=grant.expires_at,
        cause=grant.cause,
        revoking_since=grant.revoking_since,
    )


class Known:
    """The doors that may be open, however many, as last read. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._doors: dict[str, store.Door] = {}
        self._shut: dict[str, Shut] = {}
        self._following = threading.Lock()
        self._seq: int | None = None  # of the chain, up to which changes were taken up
        self._page: store.Page | None = None  # where a walk along all doors has come to
        self._walked = float("-inf")

    def follow(self, kept: store.Store) -> None:
        """The record can be read: take up what it says, a portion at a time."""
        if not self._following.acquire(blocking=False):
            return  # another thread is at it
        try:
            until = time.monotonic() + _PORTION
            self._walk(kept, until)
            self._take_up_changes(kept, until)
        finally:
            self._following.release()

    def learn(self, doors: Iterable[store.Door]) -> None:
        """These too, without forgetting any."""
        with self._lock:
            self._doors |= {each.id: each for each in doors}

    def door(self, grant_id: str) -> store.Door | None:
        """The door of that grant as last read."""
        with self._lock:
            return self._doors.get(grant_id)

    def due(self, now: datetime, target: str | None = None) -> tuple[store.Door, ...]:
        """Those that should have been shut and were not seen to be, longest overdue first."""
        with self._lock:
            due = [
                each
                for each in self._doors.values()
                if each.due <= now and target in (None, each.target) and each.id not in self._shut
            ]
        return tuple(sorted(due, key=lambda each: each.due))

    def note_shut(self, grant_id: str, closed: spec.Closed | None, now: datetime) -> None:
        """The door was shut, and no session is left."""
        at, cut = (closed.at, len(closed.sessions_cut)) if closed else (now, 0)
        with self._lock:
            self._shut.setdefault(grant_id, Shut(at=at, cut=cut))

    def shut(self, grant_id: str) -> Shut | None:
        """When its door was shut without the record, if it was."""
        with self._lock:
            return self._shut.get(grant_id)

    def _walk(self, kept: store.Store, until: float) -> None:
        """Along all doors. What changes behind the walk is told by the chain."""
        if self._page is None and time.monotonic() - self._walked >= _AGAIN_EVERY:
            if self._seq is None:
                self._seq, _ = kept.chain_head()
            self._page, self._walked = store.Page(), time.monotonic()
        while self._page is not None and time.monotonic() < until:
            doors, self._page = kept.doors_page(self._page, _PAGE)
            self.learn(doors)

    def _take_up_changes(self, kept: store.Store, until: float) -> None:
        before = -1
        while self._seq is not None and self._seq != before and time.monotonic() < until:
            before = self._seq
            self._seq, ids, doors = kept.doors_changed(before, _PAGE)
            if ids:
                self._renew(ids, doors)

    def _renew(self, ids: Iterable[str], doors: Iterable[store.Door]) -> None:
        with self._lock:
            open_ = {each.id: each for each in doors}
            for grant_id in ids:
                if grant_id not in open_:  # by the record it is shut
                    self._doors.pop(grant_id, None)
                    self._shut.pop(grant_id, None)
            self._doors |= open_
