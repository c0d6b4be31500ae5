"""Ends that people wanted while the record could not be written: done at once, recorded when it can be.

Doubt never stops an end. What is kept here is kept in memory alone: should the process die first,
the door stays shut, and whoever wanted it is told to look and to press again.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from bot import errors, model, store
from bot.ending import phases
from bot.telling import outcry

_log = structlog.get_logger(__name__)

_ENDS = "ends wanted"
_SHUT = (
    "The login is shut and its sessions are cut, but my record cannot be written just now. I write it"
    " down as soon as that works; until then it is shown as it was. Look again later, and press again"
    " if it is still live."
)
_TRYING = (
    "My record cannot be written just now, and the target does not answer. I go on trying to end it."
    " Look again later, and press again if it is still live."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An end, and who wanted it."""

    grant: model.Grant  # as it was then
    cause: model.EndCause
    actor: store.Actor
    comment: str


class Unrecorded:
    """Ends what the record cannot be told of. Thread-safe."""

    def __init__(
        self,
        *,
        kept: store.Store,
        end: phases.Ending,
        cry: outcry.Outcry,
        reaches: Callable[[model.Grant], bool],
    ) -> None:
        """`reaches`: whether there is a way to the target of a grant; the command line has none."""
        self._reaches = reaches
        self._store = kept
        self._ending = end
        self._outcry = cry
        self._lock = threading.Lock()
        self._wanted: dict[str, Wanted] = {}

    @contextmanager
    def done_all_the_same(
        self, grant: model.Grant, cause: model.EndCause, actor: store.Actor, comment: str
    ) -> Iterator[None]:
        """Around the recording of an end: where that fails, access ends now. Raises Busy, which says so."""
        try:
            yield
        except (errors.Busy, errors.StoreError) as error:
            if not self._reaches(grant):
                raise
            wanted = Wanted(grant=grant, cause=cause, actor=actor, comment=comment)
            with self._lock:
                self._wanted.setdefault(grant.id, wanted)
            self._outcry.broken(_ENDS, str(error), waiting=len(self._wanted))
            self.shut(grant.id)
            raise errors.Busy(_SHUT if self._ending.is_shut(grant.id) else _TRYING) from error

    def shut(self, grant_id: str) -> None:
        """End its access: it is due, or somebody wants that."""
        with self._lock:
            wanted = self._wanted.get(grant_id)
        self._ending.shut(grant_id, wanted.grant if wanted else None)

    def open_on(self, target: str) -> tuple[str, ...]:
        """Grants on that target whose end was wanted and whose doors were not seen to be shut."""
        with self._lock:
            wanted = [each.grant for each in self._wanted.values() if each.grant.target == target]
        return tuple(grant.id for grant in wanted if not self._ending.is_shut(grant.id))

    def record(self) -> tuple[model.Grant, ...]:
        """Record what was wanted; returns those that wait for that with their doors open."""
        with self._lock:
            waiting = tuple(self._wanted.values())
        for wanted in waiting:
            try:
                self._begin(wanted)
            except errors.Conflict:  # it moved on in this instant: at the next look
                continue
            except (errors.Busy, errors.StoreError) as error:
                _log.error("end_unrecorded", waiting=len(waiting), why=str(error))
                self._outcry.broken(_ENDS, str(error), waiting=len(waiting))
                return tuple(w.grant for w in waiting if not self._ending.is_shut(w.grant.id))
            with self._lock:
                self._wanted.pop(wanted.grant.id, None)
        self._outcry.well(_ENDS)
        return ()

    def _begin(self, wanted: Wanted) -> None:
        grant = self._store.grant(wanted.grant.id)
        if grant.status in phases.MAY_BE_ENDED:
            self._ending.begin(grant, wanted.cause, wanted.actor, wanted.comment)
