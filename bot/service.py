"""The service without its edges: use cases, workers, outbox and bell, wired to one another.

Everything that differs between production and a test (store, engines, who people are, how messages
are posted, what time it is) comes from outside; `app` brings the real ones.
"""

import time
from collections.abc import Callable, Mapping

import structlog

from bot import catalog as catalogs
from bot import clock as clocks
from bot import errors, model, scheduler, store, work
from bot.asking import access, grants
from bot.comparing import reconcile
from bot.deciding import context
from bot.granting import places
from bot.telling import digests, outbox, outcry
from db_grants import engine as engines_

_log = structlog.get_logger(__name__)


class Service:
    """One running service over one store."""

    def __init__(
        self,
        *,
        store: store.Store,
        engines: Mapping[str, engines_.Engine],
        catalog: Callable[[], catalogs.Catalog],
        directory: context.Directory,
        poster: Callable[["Service"], outbox.Poster],
        clock: clocks.Clock,
        strays: Mapping[str, engines_.Engine] | None = None,
    ) -> None:
        """`poster` makes the one who posts; what posts and what is pressed are one edge."""
        self._store = store
        self.lanes = work.Lanes()
        self.outcry = outcry.Outcry(clock=clock)
        self.access = access.Access(
            store=store,
            catalog=catalog,
            directory=directory,
            clock=clock,
            wake=self.wake,
            granted=self._granted,
            cry=self.outcry,
        )
        self.grants = grants.Grants(
            store=store,
            engines=engines,
            catalog=catalog,
            directory=directory,
            clock=clock,
            strays=strays,
            wake=self.wake,
            cry=self.outcry,
            rush=self.lanes.rush,
        )
        self.reconciler = reconcile.Reconciler(
            store=store, engines=places.reachable(engines), clock=clock, wake=self.wake
        )
        self.outbox = outbox.Outbox(
            store=store, poster=poster(self), clock=clock, rush=self.lanes.rush
        )
        self.scheduler = scheduler.Scheduler(
            store=store,
            access=self.access,
            grants=self.grants,
            outbox=self.outbox,
            lanes=self.lanes,
            digests=digests.Digests(store=store, catalog=catalog, clock=clock),
            reconciler=self.reconciler,
            clock=clock,
        )

    def wake(self) -> None:
        """Something was committed: there may be something to do or to say."""
        self.scheduler.wake()

    def _granted(self, grant: model.Grant) -> None:
        self.scheduler.hand_over(grant)

    def start(self) -> None:
        """Take up what the record says is unfinished, and run."""
        try:
            self._store.begin_serving()
        except (errors.Busy, errors.StoreError) as error:  # then claims of the dead run out
            _log.warning("claims_not_freed", why=str(error))
        self.grants.claims.start()
        self.outbox.start()
        self.scheduler.start()

    def stop(self, timeout: float = 8.0) -> bool:
        """Stop within `timeout` seconds; whether everything in hand was finished.

        What is abandoned stands in the record and is taken up at the next start.
        """
        deadline = time.monotonic() + timeout
        self.scheduler.stop(deadline)
        finished = self.lanes.stop(max(0.0, deadline - time.monotonic()))
        finished = self.outbox.stop(deadline) and finished
        self.grants.claims.stop()
        _log.info("stopped", finished=finished)
        return finished
