"""A whole bot in the local workspace, on a real target: sockets, listeners, poster and all."""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bench import core, place
from bench.stage import Stage
from bot import catalog as catalogs
from bot import clock as clocks
from bot import model, service, slack, store
from bot.cli import serve
from bot.demo.workspace import acts, server
from bot.slack import client, identity
from bot.telling import outbox
from db_grants.postgres import PostgresEngine
from db_grants.spec import Scope
from proof import invariants, reality

_CATALOG = """
channels: {approvals: "#db-access", audit: "#db-audit"}
targets:
  bench: {url_env: BENCH_URL, environment: production, database: DATABASE}
entitlements:
ENTITLEMENTS
rules:
  owners: {approvers: ["@data-owners"]}
"""
ASKED = 120  # entitlements: nobody asks for what they wait for already
_TABLES = 8  # that these are about
PEOPLE = ("U0ANA", "U0CLEO")  # who ask


class Slow:
    """A target that takes its time."""

    def __init__(self, engine: PostgresEngine, seconds: float) -> None:
        self._engine = engine
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._engine, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            time.sleep(self._seconds)
            return real(*args, **kwargs)

        return call


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """What a case works with."""

    workspace: acts.Workspace
    store: store.Store
    service: service.Service
    slack: slack.Slack
    api_url: str

    def cards(self) -> list[Any]:
        """The cards in the approval channel, oldest first."""
        return [m for m in self.workspace.messages("C0ACCESS") if m.thread_ts in (None, m.ts)]

    def status(self, grant_id: str) -> model.GrantStatus | None:
        """Of a grant, once there is one."""
        found = self.store.find_grant(grant_id)
        return found.status if found else None


@contextmanager
def opened(
    stage: Stage,
    *,
    slow: float = 0,
    clock: clocks.Clock | None = None,
    poster: Callable[[outbox.Poster], outbox.Poster] = lambda real: real,
    serving: bool = True,
) -> Iterator[Office]:
    """It runs, and in the end is stopped and every invariant holds, what was said included.

    `slow`: seconds that every call to the target takes. `clock`: of the service. `serving`: without
    it only the Slack side runs.
    """
    time_, catalog = clock or clocks.SystemClock(), _catalog(stage.at)
    engine = stage.at.engine()
    _prepare(stage.at, engine, [catalogs.scope_of(e) for e in catalog.entitlements.values()])
    running = server.Server(acts.Workspace())
    with running, core.state(stage.folder, "sqlite", stage.at) as url:
        kept = store.open_store(url, time_)
        web = client.web_client(running.workspace.bot_token, running.api_url)
        directory = identity.Directory(web)
        slacks: list[slack.Slack] = []

        def connect(made: service.Service) -> Any:
            slacks.append(
                slack.create(
                    client=web,
                    app_token=running.workspace.app_token,
                    access=made.access,
                    grants=made.grants,
                    store=kept,
                    directory=directory,
                    lanes=made.lanes,
                    catalog=lambda: catalog,
                    clock=time_,
                )
            )
            return poster(slacks[0].poster)

        made = service.Service(
            store=kept,
            engines={"bench": Slow(engine, slow) if slow else engine},
            catalog=lambda: catalog,
            directory=directory,
            poster=connect,
            clock=time_,
        )
        slacks[0].start()
        if serving:
            made.start()
        serve.keep_for_good()  # as a bot that starts
        try:
            running.workspace.wait_for(lambda: running.workspace.connected)
            yield Office(
                workspace=running.workspace,
                store=kept,
                service=made,
                slack=slacks[0],
                api_url=running.api_url,
            )
            slacks[0].stop()
            made.stop(10)
            _prove(kept, stage.at, running.workspace, time_)
        finally:
            gc.unfreeze()
            slacks[0].stop()
            made.stop(5)
            kept.close()
            _prepare(stage.at, engine, [stage.at.scope(size) for size in stage.at.sizes])
            engine.dispose()
    stage.at.clear()


def _prepare(at: place.Place, engine: PostgresEngine, scopes: Sequence[Scope]) -> None:
    """For these and no others; the place's own are wanted by the cases that follow."""
    with at.connect() as admin:
        admin.execute(engine.bootstrap(scopes))


def _prove(
    kept: store.Store, at: place.Place, workspace: acts.Workspace, clock: clocks.Clock
) -> None:
    recorded = reality.record(kept, max(clock.now(), datetime.now(UTC)))
    targets = [reality.postgres("bench", at.admin_url)]
    invariants.check(recorded, targets, reality.of_workspace(workspace, recorded))


def _catalog(at: place.Place) -> catalogs.Catalog:
    listed = "\n".join(
        f"  read_{n}: {{target: bench, scope: [{{table: app.t{n % _TABLES}, can: read}}],"
        " requesters: [everyone], approval: owners}"
        for n in range(ASKED)
    )
    text = _CATALOG.replace("DATABASE", at.database).replace("ENTITLEMENTS", listed)
    return catalogs.loads(text)
