"""The end of a grant: how it begins, when it is due, and its two phases, each tried again for ever.

First the door (`closing`): no login possible, no session left (`access_ended_at`). Only then the
cleaning (`cleaning`): what was done is read, the role removed, its absence proven (`cleaned_up_at`).
All due doors are shut before anything is cleaned, and nothing that fails in cleaning can give
anybody access back. Many ends are begun, closed and cleaned by the batch: what the record costs is
paid once for all of them.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import timedelta
from typing import Any

import structlog

from bot import clock as clocks
from bot import errors, faults, model, store, work
from bot.ending import cleaning, closing, lastknown
from bot.granting import claims
from bot.telling import notices
from db_grants import engine as engines_

_log = structlog.get_logger(__name__)

CLOSED_WITHIN = timedelta(seconds=15)  # the published limit on the end of access
CLEANED_WITHIN = timedelta(minutes=5)  # of the end of access
_AT_ONCE = 100  # ends begun in the first transaction, so that the first doors are shut soon
_AT_MOST = 500  # in each that follows: fewer turns at the record, none so long that people feel it
_LOOKED_AT = 5000  # due grants looked up when their ends cannot be recorded

_ACTIVE, _REVOKING = model.GrantStatus.ACTIVE, model.GrantStatus.REVOKING
MAY_BE_ENDED = frozenset({model.GrantStatus.ACTIVATING, _ACTIVE})
_IN_TURN = (_ACTIVE, model.GrantStatus.ACTIVATING, _ACTIVE)  # what becomes active meanwhile, too

due_since = lastknown.due_since  # the moment at which access should have ended
final_status = cleaning.final_status  # what a REVOKING grant becomes


class Ending:
    """Begins ends, and carries them through."""

    def __init__(
        self,
        *,
        store: store.Store,
        engines: Mapping[str, engines_.Engine],
        clock: clocks.Clock,
        wake: Callable[[], None],
        claimed: claims.Claims,
        rush: work.Rush,
        unrecorded: Callable[[str | None, int], None] = lambda _why, _waiting: None,
    ) -> None:
        """`unrecorded`: told why ends cannot be recorded, and how many wait; None: they can be."""
        self._tell_unrecorded = unrecorded
        self._store = store
        self._clock = clock
        self._wake = wake
        self._rush = rush
        self._known = lastknown.Known()
        self.closing = closing.Closing(
            store=store,
            engines=engines,
            clock=clock,
            wake=wake,
            claimed=claimed,
            rush=rush,
            known=self._known,
        )
        self.cleaning = cleaning.Cleaning(
            store=store, engines=engines, clock=clock, wake=wake, claimed=claimed, rush=rush
        )

    def begin(
        self,
        grant: model.Grant,
        cause: model.EndCause,
        actor: store.Actor = store.SYSTEM,
        comment: str = "",
    ) -> model.Grant:
        """Record that it is to end, and why. Raises Conflict when it has changed meanwhile."""
        with self._store.begin(actor) as tx:
            changes = self._begun(cause, actor, comment)
            begun = tx.move_grant(grant.id, grant.status, _REVOKING, **changes)
            if cause is not model.EndCause.DEADLINE:  # on time it is over before it could be read
                notices.redraw(tx, grant.id)
            if cause is model.EndCause.STOPPED:
                notices.correct(tx, grant.id, notices.Kind.RECEIPT)
        faults.checkpoint("end-begun")
        self._wake()
        return begun

    def begin_all(
        self, cause: model.EndCause, actor: store.Actor, comment: str = ""
    ) -> Iterator[tuple[str, ...]]:
        """Record the end of every grant there is, a batch at a time; which ones.

        What has become of each is told when access has ended, or at the first attempt that fails.
        """
        most = _AT_ONCE
        for status in _IN_TURN:
            while begun := self._begin_some(status, most, cause, actor, comment):
                yield begun
                most = _AT_MOST

    def begin_due(
        self, begun: Callable[[Collection[str]], None] = lambda _targets: None
    ) -> tuple[store.Door, ...]:
        """Record the end of every grant past its deadline; `begun` is told the targets, batch by batch.

        Returns those whose end could not be recorded, or not even be looked up, because the store is
        locked, full or broken: their doors are to be shut all the same (`closing.shut_due`), from what
        is remembered of them, and the record follows when it can.
        """
        try:
            if self._store.is_any_due(self._clock.now()):
                self._begin_batches(begun)
            elif not self._rush.is_tidying():  # no door hangs on what is remembered then
                self._known.follow(self._store)
        except (errors.Busy, errors.StoreError) as error:
            return self._unrecorded(error)
        self._tell_unrecorded(None, 0)
        return ()

    def is_shut(self, grant_id: str) -> bool:
        """Whether its door was shut without the record knowing."""
        return self._known.shut(grant_id) is not None

    def shut(self, grant_id: str, wanted: model.Grant | None = None) -> None:
        """End access without the record, because it cannot be used. Doubt never stops an end.

        `wanted`: the grant, of which somebody wants that although its time is not over.
        """
        self.closing.shut(grant_id, wanted)

    def _begin_batches(self, begun: Callable[[Collection[str]], None]) -> None:
        with self._rush.on(work.Urgency.CLOSE):
            most = _AT_ONCE
            while found := self._begin_batch(most):
                begun(frozenset(found.values()))
                if len(found) < most:
                    return
                most = _AT_MOST

    def _begin_batch(self, most: int) -> Mapping[str, str]:
        """A batch of what is due; of each, the target by its id."""
        with self._store.begin(store.SYSTEM) as tx:
            found = tx.move_due(most, **self._begun(model.EndCause.DEADLINE, store.SYSTEM))
        if found:
            faults.checkpoint("end-begun")
        return found

    def _begin_some(
        self,
        status: model.GrantStatus,
        most: int,
        cause: model.EndCause,
        actor: store.Actor,
        comment: str,
    ) -> tuple[str, ...]:
        with self._store.begin(actor) as tx:
            found = tx.move_all(status, most, **self._begun(cause, actor, comment))
        if found:
            faults.checkpoint("end-begun")
            self._wake()
        return found

    def _begun(
        self, cause: model.EndCause, actor: store.Actor, comment: str = ""
    ) -> dict[str, Any]:
        return {
            "cause": cause,
            "ended_by": f"operator:{actor.id}" if actor.kind == "operator" else actor.id,
            "ended_by_name": actor.name,
            "end_comment": comment or None,
            "revoking_since": self._clock.now(),
            "attempts": 0,
            "next_attempt_at": None,
            "last_error": None,
        }

    def _unrecorded(self, error: Exception) -> tuple[store.Door, ...]:
        """What is due by the record if that can at least be read, and by memory."""
        now = self._clock.now()
        try:
            due = self._store.due(now, _LOOKED_AT)
        except (errors.Busy, errors.StoreError):
            event, due = "ends_unread", ()
        else:
            event = "end_unrecorded"
            self._known.learn(map(lastknown.door, due))
        overdue = self._known.due(now)
        waiting = max(len(due), len(overdue))
        _log.error(event, waiting=waiting, why=str(error))
        self._tell_unrecorded(str(error), waiting)
        return overdue
