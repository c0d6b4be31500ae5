"""Asking and deciding: preview, submit, review, cancel, lapse.

The machine's verdict is recorded at submission and only a person's review follows; who that person
is and whether they may decide is read again, fresh, at their click.
"""

from collections.abc import Callable
from dataclasses import dataclass

from bot import catalog as catalogs
from bot import clock as clocks
from bot import context, model, store


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The message in which a button was pressed."""

    channel_id: str
    ts: str


class Access:
    """The use cases of a request, up to the moment a grant exists.

    `wake` is called after each commit that leaves something to do or to say.
    """

    def __init__(
        self,
        *,
        store: store.Store,
        catalog: Callable[[], catalogs.Catalog],
        directory: context.Directory,
        clock: clocks.Clock,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._directory = directory
        self._clock = clock
        self._wake = wake

    def preview(self, draft: model.Draft) -> model.Decision:
        """What would happen to this draft, with reasons. Records nothing."""
        raise NotImplementedError

    def offered(self, person_id: str) -> tuple[catalogs.Entitlement, ...]:
        """What this person may request."""
        raise NotImplementedError

    def submit(self, draft: model.Draft) -> model.Story:
        """Ask. The same `dedupe_key` gives the same story.

        Raises InvalidDraft (words beside fields), NotAllowed, IdentityUnknown.
        """
        raise NotImplementedError

    def review(
        self,
        request_id: str,
        reviewer_id: str,
        answer: model.Answer,
        comment: str = "",
        *,
        source: Source | None,
    ) -> model.Story:
        """Approve or deny. `source` is none only for a view that we drew ourselves.

        Raises NotFound, NotAllowed, IdentityUnknown, TooLate; each refusal is an audit event.
        """
        raise NotImplementedError

    def check_source(self, request_id: str, person_id: str, source: Source) -> None:
        """Raise NotAllowed (and record it) unless we posted that message for that request."""
        raise NotImplementedError

    def cancel(self, request_id: str, person_id: str) -> model.Story:
        """Withdraw one's own request. Raises NotFound, NotAllowed, TooLate."""
        raise NotImplementedError

    def lapse(self) -> int:
        """Settle every request that nobody decided in time; how many there were."""
        raise NotImplementedError
