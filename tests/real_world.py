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

from bot import access, catalog, clock, model, service, store
from db_grants import errors as target_errors
from db_grants import spec
from proof import invariants, reality
from tests.fixtures_core import ANA, BO, Channel, Directory
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


class Link:
    """The real engine behind a link that can be cut: before the statement, or after the answer."""

    def __init__(self, engine: Any, now: Callable[[], datetime]) -> None:
        self.engine = engine
        self.now = now
        self.down = False
        self.unheard = 0  # so many next changes are made, and the answer is lost

    def __getattr__(self, name: str) -> Callable[..., Any]:
        real = getattr(self.engine, name)
        if name in {"carries", "describe", "dispose", "bootstrap"}:
            return real  # type: ignore[no-any-return]

        def call(*args: Any, **kwargs: Any) -> Any:
            if self.down:
                raise target_errors.TargetUnavailable
            answer = real(*args, **kwargs)
            if self.unheard and name in {"create", "reveal", "close", "remove"}:
                self.unheard -= 1
                raise target_errors.OutcomeUnknown
            return answer

        return call

    def survey(self) -> spec.Survey:
        """With the service's time: that the two differ is the test's doing, not a fault."""
        seen: spec.Survey = self.__getattr__("survey")()
        return replace(seen, at=self.now())

    def server_time(self) -> datetime:
        """As in `survey`."""
        self.__getattr__("server_time")()
        return self.now()

    def close(self, role: spec.ManagedRole) -> spec.Closed:
        """Stamped by the service's clock, as in production."""
        done: spec.Closed = self.__getattr__("close")(role)
        return replace(done, at=self.now())


class RealWorld:
    """Everything around the service; its target is real."""

    def __init__(self, folder: pathlib.Path, shop: Shop) -> None:
        self.shop = shop
        self.clock = clock.ManualClock(datetime.now(UTC) + AHEAD)
        self.path = folder / "state.sqlite3"
        self.url = f"sqlite:///{self.path}"
        self.text = CATALOG.replace("DATABASE", shop.database)
        self.catalog = catalog.loads(self.text)
        self.directory = Directory()
        self.channel = Channel()
        self.link = Link(shop.engine(self.clock.now, deadline=5.0), self.clock.now)
        self.passwords: set[str] = set()
        self._stands_for: dict[str, frozenset[str]] = {}
        self.store = store.open_store(self.url, self.clock, patience=0.3)
        self.bot = self._service()
        self.before = self.target()

    def _service(self) -> service.Service:
        return service.Service(
            store=self.store,
            engines={"shop": self.link},
            catalog=lambda: self.catalog,
            directory=self.directory,
            poster=lambda _service: self.channel,
            clock=self.clock,
        )

    def restart(self) -> None:
        """All of the bot's memory is gone: only the record, the target and Slack remain."""
        assert self.bot.stop(5), "a worker did not stop"
        self.store.close()
        self.store = store.open_store(self.url, self.clock, patience=0.3)
        self.bot = self._service()

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
        url = self.shop.server.url(self.shop.database, given.role, given.password)
        return psycopg.connect(url, autocommit=True)

    def live(self) -> str:
        """A grant that Bo approved and that is active."""
        request_id = self.ask()
        self.review(request_id)
        self.sweep()
        assert self.store.grant(request_id).status is model.GrantStatus.ACTIVE
        return request_id

    def sweep(self) -> None:
        """What the running bot does once a second, here and now: one step for each grant."""
        grants, now = self.bot.grants, self.clock.now()
        for grant in grants.begin_due():
            grants.shut(grant.id)
        for grant in self.store.revoking(now):
            (grants.close if grant.access_ended_at is None else grants.clean)(grant.id)
        for grant in self.store.activating(now):
            grants.activate(grant.id)
        for grant in grants.deadlines.behind():
            grants.deadlines.move(grant.id)
        self.bot.access.lapse()
        grants.watch()
        self.bot.outbox.pump()

    def target(self) -> reality.Target:
        """The server as its superuser sees it."""
        return reality.postgres("shop", self.shop.admin_url)

    def check(self, witness: tuple[int, str] | None = None) -> None:
        """I1 to I8, now. `witness`: a head of the chain that was seen."""
        recorded = reality.record(self.store, self.clock.now())
        invariants.check(
            recorded,
            [self.target()],
            reality.of_teller(self.channel),
            {BOT_PASSWORD, *self.passwords},
            before=[self.before],
            witness=witness,
            scoped=lambda _, scope: self._scoped(scope),
        )

    def _scoped(self, scope: Mapping[str, Any]) -> frozenset[str]:
        known = str(scope)
        if known not in self._stands_for:
            self._stands_for[known] = reality.scoped(self.shop.admin_url, scope)
        return self._stands_for[known]

    def close(self) -> None:
        """Stop."""
        assert self.bot.stop(5), "a worker did not stop"
        self.store.close()
        self.link.engine.dispose()
