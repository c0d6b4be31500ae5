"""Carrying a shortened deadline to the target, so that a dead bot is no longer access than recorded.

The record changes first and notes that the target is behind; the running bot moves VALID UNTIL and
the marker and strikes the note out. It is tried until it is done or the grant ends, and it has a
place of its own in the target's lane: an end never waits for it.
"""

from collections.abc import Mapping
from datetime import datetime

import structlog

from bot import clock as clocks
from bot import model, retry, store
from bot.granting import places
from db_grants import engine as engines_
from db_grants import errors as target_errors
from db_grants import spec

_log = structlog.get_logger(__name__)

_BEHIND = "deadline.behind:"  # followed by the grant's id; holds the recorded deadline (ISO)


def note_behind(tx: store.Transaction, grant: model.Grant) -> None:
    """The target still carries a later deadline than `grant`."""
    tx.put(_BEHIND + grant.id, grant.expires_at.isoformat())


class Deadlines:
    """Brings targets up to the recorded deadlines. Thread-safe as far as one grant has one worker."""

    def __init__(
        self, *, store: store.Store, engines: Mapping[str, engines_.Engine], clock: clocks.Clock
    ) -> None:
        self._store = store
        self._engines = engines
        self._clock = clock
        self._waits: dict[str, tuple[int, datetime]] = {}  # failed attempts, and not before

    def behind(self) -> tuple[model.Grant, ...]:
        """Grants whose target is to be told now. Those that are ending need it no more."""
        now, due = self._clock.now(), []
        for key in self._store.kept(_BEHIND):
            grant = self._store.find_grant(key.removeprefix(_BEHIND))
            if grant is None or grant.status is not model.GrantStatus.ACTIVE:
                self._store.forget(key)
                self._waits.pop(key, None)
            elif self._waits.get(grant.id, (0, now))[1] <= now < grant.expires_at:
                due.append(grant)
        return tuple(due)

    def move(self, grant_id: str) -> bool:
        """One attempt; whether the target carries the deadline that was decided. Its failure is logged.

        A record that was edited since, to a later one, puts off nothing.
        """
        grant = self._store.grant(grant_id)
        engine = places.engine_of(self._engines, grant)
        if grant.status is not model.GrantStatus.ACTIVE or engine is None or not grant.role_oid:
            return False
        role = spec.ManagedRole(grant_id=grant.id, name=grant.role_name, oid=grant.role_oid)
        decided = self._store.get(_BEHIND + grant.id) or grant.expires_at.isoformat()
        try:
            engine.set_deadline(role, min(datetime.fromisoformat(decided), grant.expires_at))
        except target_errors.DbGrantsError as error:
            self._again(grant, error)
            return False
        self._waits.pop(grant.id, None)
        self._store.forget(_BEHIND + grant.id, decided)
        return True

    def _again(self, grant: model.Grant, error: target_errors.DbGrantsError) -> None:
        attempt = self._waits.get(grant.id, (0, None))[0] + 1
        self._waits[grant.id] = (attempt, self._clock.now() + retry.pause(attempt))
        _log.warning(
            "deadline_delayed",
            grant=grant.id,
            target=grant.target,
            attempt=attempt,
            why=str(error),
        )
