"""The service core over a real PostgreSQL, with a clock that moves when told to.

Two clocks, on purpose. The service goes by the manual one, which is an hour ahead from the start
and only gains; a server's VALID UNTIL goes by the real one. So in these tests no login is
ever stopped by VALID UNTIL: whatever ends, was ended by the service.
"""

import pathlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import sqlalchemy as sa

from bot import catalog, clock, errors, model, service, store
from bot.asking import access
from bot.ending import fallback
from bot.granting import places
from bot.store import instant, tables
from db_grants import spec
from db_grants.postgres import engine as postgres
from proof import invariants, reality
from tests import holders, real_edges
from tests.fixtures_core import ANA, BO, Directory
from tests.fixtures_postgres import BOT_PASSWORD, Shop

AHEAD = timedelta(hours=1)
CATALOG = """
channels: {approvals: "#db-access", audit: "#db-audit"}
targets:
  shop: {url_env: SHOP_URL, environment: production, database: DATABASE}
entitlements:
  read_customer_data:
    target: shop
    scope:
      - {table: app.customers, columns: [id, name, email, city], can: read}
      - {table: app.orders, can: read}
    requesters: [everyone]
    approval: owners
    max_duration: 4h
  write_orders:
    target: shop
    scope:
      - {table: app.orders, can: [select, insert, update, delete]}
      - {table: app.logs, can: read}
    requesters: [everyone]
    approval: two
rules:
  owners: {approvers: ["@owners"], auto_approve_up_to: 5m}
  two: {approvers: ["@owners"], needs: 2}
"""
NOWHERE = "postgresql://nobody:x@127.0.0.1:9/none"  # port 9 (discard): nothing listens


class Replica:
    """One process that serves the record, with connections of its own. Only memory is in it: a
    restart makes all of it anew.
    """

    def __init__(self, world: "RealWorld") -> None:
        self.world = world
        now = world.clock.now
        self.link = real_edges.Link(world.shop.engine(now, deadline=5.0), now)
        self._nowhere = postgres.PostgresEngine(NOWHERE, clock=now)
        self.start()

    def start(self) -> None:
        """As `app.build`, but for the edges: serve what can be served, end what must end."""
        world = self.world
        self.store = store.open_store(world.url, world.clock, patience=0.3)
        self.store.begin_serving()
        read = self._read()
        connect = self._connect(read.unusable)
        targets = {
            t.name: places.Place(target=t.name, **places.noted(t))  # type: ignore[arg-type]
            for t in read.targets.values()
        }
        self.engines = {name: places.connected(place, connect) for name, place in targets.items()}
        self.catalog = replace(read, lost=places.unreachable(self.engines))
        self.strays = places.strays(self.store, read.targets, connect)
        self.bot = service.Service(
            store=self.store,
            engines=self.engines,
            strays=self.strays,
            catalog=lambda: self.catalog,
            directory=world.directory,
            poster=lambda _service: world.channel,
            clock=world.clock,
        )
        world.flaw(self)

    def _read(self) -> catalog.Catalog:
        try:
            read = catalog.load(self.world.file)
        except errors.CatalogError as wrong:
            return fallback.ends_only(self.store, wrong)
        fallback.remember(self.store, self.world.file, read)
        return read

    def _connect(self, unusable: str) -> places.Connect:
        def connect(place: places.Place) -> Any:
            if place.url_env not in self.world.variables:
                raise errors.SettingsError(f"{place.url_env} is not set.")
            engine: Any = self.link
            if self.world.variables[place.url_env] == NOWHERE:
                engine = self._nowhere
            return places.ends_only(engine, unusable) if unusable else engine

        return connect

    def stop(self) -> None:
        """End as on a signal."""
        assert self.bot.stop(5), "a worker did not stop"
        self.store.close()

    def freeze(self) -> None:
        """Dead in the middle of a step: what it claims, it lets go of no more."""
        for name in ("release_grants", "outbox_release"):
            setattr(self.store, name, lambda *_: None)

    def dispose(self) -> None:
        """Stopped for good."""
        self.link.engine.dispose()
        self._nowhere.dispose()

    def reaches(self, grant: model.Grant) -> bool:
        """Whether it could end that grant now, as far as the way there is concerned."""
        stray = self.strays.get(places.key(grant.id))
        return self._leads(stray or self.engines.get(grant.target))

    def sees(self, target: str) -> bool:
        """Whether its reconciler could look at that target now, and hear the answers."""
        return self._leads(self.engines.get(target)) and not self.link.unheard

    def _leads(self, engine: Any) -> bool:
        real = engine._engine if isinstance(engine, places.EndsOnly) else engine
        return real is self.link and not self.link.down

    def sweep(self) -> None:
        """What the running bot does once a second, here and now: one step for each grant."""
        grants, now = self.bot.grants, self.world.clock.now()
        for target in dict.fromkeys(door.target for door in grants.begin_due()):
            grants.shut_due(target)
        for waiting in self.store.ends_waiting(now):
            some = grants.close_some if waiting.open else grants.clean_some
            while some(waiting.target):
                pass
        for grant in self.store.activating(now):
            grants.activate(grant.id)
        for grant in grants.deadlines.behind():
            grants.deadlines.move(grant.id)
        self.bot.access.lapse()
        grants.watch()
        for target in self.bot.reconciler.due():
            self.bot.reconciler.look(target)
        self.bot.outbox.pump()


class RealWorld:
    """Everything around the service; its target is real."""

    def __init__(
        self,
        folder: pathlib.Path,
        shop: Shop,
        url: str | None = None,
        *,
        flaw: Callable[["Replica"], None] = lambda _replica: None,
    ) -> None:
        """`url`: of an empty state database; none: a SQLite file in `folder`. `flaw`: built into
        every process that starts.
        """
        self.flaw = flaw
        self.shop = shop
        self.clock = clock.ManualClock(datetime.now(UTC) + AHEAD)
        self.path = folder / "state.sqlite3"
        self.url = url or f"sqlite:///{self.path}"
        self.file = folder / "catalog.yaml"
        self.variables = {"SHOP_URL": shop.bot_url, "MAIN_URL": shop.bot_url, "WIKI_URL": NOWHERE}
        self.write(CATALOG)
        self.directory = Directory()
        self.channel = real_edges.Thread()
        self.passwords: set[str] = set()
        self._stands_for: dict[str, frozenset[str]] = {}
        self.replicas = [Replica(self)]
        self.before = self.target()

    @property
    def first(self) -> Replica:
        """The replica that people press buttons of."""
        return self.replicas[0]

    @property
    def bot(self) -> service.Service:
        """Its service."""
        return self.first.bot

    @property
    def store(self) -> store.Store:
        """Its record."""
        return self.first.store

    @property
    def link(self) -> real_edges.Link:
        """Its way to the target."""
        return self.first.link

    @property
    def catalog(self) -> catalog.Catalog:
        """What it goes by."""
        return self.first.catalog

    def write(self, text: str) -> None:
        """The catalog file from now on; a bot that runs does not look at it."""
        self.file.write_text(text.replace("DATABASE", self.shop.database))

    def restart(self) -> None:
        """All of the bot's memory is gone: only the record, the target and Slack remain."""
        for replica in self.replicas:
            replica.stop()
        for replica in self.replicas:
            replica.start()

    def leases_run_out(self) -> None:
        """As if everybody who holds a claim had been dead or paused for longer than it lasts."""
        over = instant.Instant(timedelta(seconds=-1))
        with self.store._database.write() as connection:
            for table in (tables.access_grant, tables.outbox):
                held = sa.update(table).where(table.c.claimed_until.is_not(None))
                connection.execute(held.values(claimed_until=over))

    def ask(self, minutes: int = 30, entitlement: str = "read_customer_data", **more: Any) -> str:
        """A request, said in Slack as far as Slack listens."""
        draft = model.Draft(
            requester_id=ANA.id,
            entitlement=entitlement,
            duration=timedelta(minutes=minutes),
            justification="export stuck",
            **more,
        )
        request_id = self.bot.access.submit(draft).request.id
        self.bot.outbox.pump()
        return request_id

    def review(
        self, request_id: str, who: model.Person = BO, answer: model.Answer = model.Answer.APPROVE
    ) -> model.Story:
        """A click on the card, or in a view where there is none."""
        ref = self.store.story(request_id).message("card")
        source = access.Source(channel_id=ref.channel_id, ts=ref.ts) if ref else None
        return self.bot.access.review(request_id, who.id, answer, "because", source=source)

    def reveal(self, request_id: str) -> spec.Credential:
        """The requester opens the credentials."""
        given = self.bot.grants.reveal(request_id, ANA.id)
        self.passwords.add(given.password)
        return given

    def log_in(self, given: spec.Credential) -> psycopg.Connection:
        """The holder's own session."""
        return holders.log_in(self.shop, given)

    def live(self) -> str:
        """A grant that Bo approved and that is active."""
        request_id = self.ask()
        self.review(request_id)
        self.sweep()
        assert self.store.grant(request_id).status is model.GrantStatus.ACTIVE
        return request_id

    def sweep(self) -> None:
        """One look of every replica, one after the other."""
        for replica in self.replicas:
            replica.sweep()

    def target(self) -> reality.Target:
        """The server as its superuser sees it."""
        return reality.postgres("shop", self.shop.admin_url)

    def check(
        self, witness: tuple[int, str] | None = None, target: reality.Target | None = None
    ) -> reality.Record:
        """I1 to I8, now. `witness`: a head of the chain that was seen; `target`: as it was seen.

        Returns the record that was looked at.
        """
        recorded = reality.record(self.store, self.clock.now())
        invariants.check(
            recorded,
            [target or self.target()],
            reality.of_teller(self.channel),
            {BOT_PASSWORD, *self.passwords},
            before=[self.before],
            witness=witness,
            scoped=lambda _, scope: self._scoped(scope),
        )
        return recorded

    def _scoped(self, scope: Mapping[str, Any]) -> frozenset[str]:
        known = str(scope)
        if known not in self._stands_for:
            self._stands_for[known] = reality.scoped(self.shop.admin_url, scope)
        return self._stands_for[known]

    def close(self) -> None:
        """Stop."""
        for replica in self.replicas:
            replica.stop()
            replica.dispose()
