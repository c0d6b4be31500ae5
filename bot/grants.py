"""Granting and ending: activate, reveal, give back, revoke, end.

Everywhere the same order: the intent is recorded, the thing is done, it is verified, the result is
recorded, and what is said in Slack is written with that record. Every step may be repeated after a
crash at any point. Doubt refuses a grant; it never stops an end.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta

from bot import catalog as catalogs
from bot import clock as clocks
from bot import context, model, store
from db_grants import engine as engines_
from db_grants import spec


class Grants:
    """The use cases of a grant.

    `wake` is called after each commit that leaves something to do or to say.
    """

    def __init__(
        self,
        *,
        store: store.Store,
        engines: Mapping[str, engines_.Engine],
        catalog: Callable[[], catalogs.Catalog],
        directory: context.Directory,
        clock: clocks.Clock,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._engines = engines
        self._catalog = catalog
        self._directory = directory
        self._clock = clock
        self._wake = wake

    def activate(self, grant_id: str) -> model.Grant:
        """One attempt to make the access real. Never raises for a target's failure."""
        raise NotImplementedError

    def reveal(self, grant_id: str, person_id: str) -> spec.Credential:
        """A fresh password, for the requester alone. Raises NotFound, NotAllowed, TooLate, Busy."""
        raise NotImplementedError

    def give_back(self, grant_id: str, person_id: str) -> model.Story:
        """The requester is done. Raises NotFound, NotAllowed, TooLate."""
        raise NotImplementedError

    def revoke(self, grant_id: str, person_id: str, comment: str = "") -> model.Story:
        """An approver of its rule (or the requester) ends it. Raises NotFound, NotAllowed, TooLate."""
        raise NotImplementedError

    def stop_trying(self, grant_id: str, person_id: str) -> model.Story:
        """Give up an activation. Raises NotFound, NotAllowed, TooLate."""
        raise NotImplementedError

    def begin_due(self) -> int:
        """Record the end of every grant past its deadline; how many there were."""
        raise NotImplementedError

    def close(self, grant_id: str) -> model.Grant:
        """First phase, one attempt: shut the door, cut the sessions, record that access has ended."""
        raise NotImplementedError

    def clean(self, grant_id: str) -> model.Grant:
        """Second phase, one attempt: read the activity, remove the role, record that it is gone."""
        raise NotImplementedError

    def end(self, grant_id: str) -> model.Grant:
        """Both phases, one attempt each."""
        raise NotImplementedError

    def revoke_as_operator(self, grant_id: str, login: str, comment: str = "") -> model.Grant:
        """Record an end from the command line; a running service does it within a second.

        Needs no engine. Raises NotFound, TooLate.
        """
        raise NotImplementedError

    def shorten(self, grant_id: str, left: timedelta, login: str) -> model.Grant:
        """Bring the deadline nearer, never later. Raises NotFound, TooLate, NotAllowed."""
        raise NotImplementedError
