"""The service core over a real store, a memory engine and a clock that moves when told to.

`world` is everything around one service: who people are, what was posted, what the target does.
A second `world.new_bot()` over the same store is the bot after a restart.
"""

import pathlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot import catalog, clock, errors, model, service, store
from bot.asking import access
from bot.telling import outbox
from db_grants import errors as target_errors
from db_grants import memory, spec

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

CATALOG = """
channels: {approvals: "#db-access", audit: "#db-audit"}
digest: {at: "09:00", zone: Europe/Berlin}
targets:
  shop: {url_env: SHOP_URL, environment: production, database: shop}
  wiki: {url_env: WIKI_URL, environment: production, database: wiki}
entitlements:
  read_customers:
    target: shop
    scope:
      - {table: app.customers, columns: [id, name], can: read}
      - {table: app.orders, can: read}
    requesters: [everyone]
    approval: owners
    max_duration: 4h
  read_pages:
    target: wiki
    scope: [{table: app.pages, can: read}]
    requesters: [everyone]
    approval: owners
  write_orders:
    target: shop
    scope: [{table: app.orders, can: write}]
    requesters: [everyone]
    approval: two
rules:
  owners: {approvers: ["@owners"], auto_approve_up_to: 5m}
  two: {approvers: ["@owners"], needs: 2}
"""


def person(id_: str, name: str, **changes: Any) -> model.Person:
    return replace(model.Person(id=id_, team_id="T0ACME", name=name), **changes)


ANA = person("U0ANA", "Ana Lima", email="ana@acme.test", tz="Europe/Berlin")
BO = person("U0BO", "Bo Chen", email="bo@acme.test")
CLEO = person("U0CLEO", "Cleo Diaz", email="cleo@acme.test")
DAN = person("U0DAN", "Dan Eze", email="dan@acme.test")
GUS = person("U0GUS", "Gus Guest", refusal=model.Refusal.GUEST)


class Directory:
    """Slack's answers about people."""

    def __init__(self) -> None:
        self.people = {each.id: each for each in (ANA, BO, CLEO, DAN, GUS)}
        self.groups = {"@owners": frozenset({BO.id, CLEO.id, GUS.id})}
        self.remembered: dict[str, model.Person] = {}  # what is told unless asked afresh
        self.silent = False

    def person(self, user_id: str, *, fresh: bool = False) -> model.Person:
        if self.silent:
            raise errors.IdentityUnknown
        if not fresh and user_id in self.remembered:
            return self.remembered[user_id]
        if user_id not in self.people:
            raise errors.NotFound
        return self.people[user_id]

    def members(self, ref: str, *, fresh: bool = False) -> frozenset[str] | None:
        return None if self.silent else self.groups.get(ref)

    def resolve_channel(self, ref: str) -> str | None:
        return {"#db-access": "C0ACCESS", "#db-audit": "C0AUDIT"}.get(ref)

    def reason(self, ref: str) -> str | None:
        return f"There is no {ref}."


class Channel:
    """A poster that remembers what was said, and fails when told to."""

    def __init__(self) -> None:
        self.said: list[tuple[store.OutboxRow, model.Story | None]] = []
        self.withdrawn: list[model.MessageRef] = []
        self.trouble: Callable[[store.OutboxRow], None] = lambda _row: None
        self._lock = threading.Lock()

    def deliver(self, row: store.OutboxRow, story: model.Story | None) -> model.MessageRef | None:
        self.trouble(row)
        with self._lock:
            self.said.append((row, story))
            if row.kind != outbox.Kind.CARD or story is None or story.message("card"):
                return None
            ts = f"{1700000000 + len(self.said)}.000100"
        return model.MessageRef(
            request_id=story.request.id, kind="card", channel_id="C0ACCESS", ts=ts
        )

    def withdraw(self, message: model.MessageRef) -> None:
        with self._lock:
            self.withdrawn.append(message)

    def kinds(self, request_id: str, lane: str | None = None) -> list[str]:
        """What was said of a request (in one lane): kinds, and the line where there is one."""
        with self._lock:
            rows = [row for row, _ in self.said if row.request_id == request_id]
        rows = [row for row in rows if lane in (None, row.lane)]
        return [f"{r.kind}:{r.data['line']}" if "line" in r.data else r.kind for r in rows]


class Target:
    """An engine whose methods can be made to fail, wait or hang, then do what the real one does."""

    def __init__(self, engine: memory.MemoryEngine) -> None:
        self.engine = engine
        self.down = False
        self.calls: list[str] = []
        self.failing: dict[str, list[Exception]] = defaultdict(list)
        self.gate: dict[str, threading.Event] = {}
        self.entered: dict[str, threading.Event] = defaultdict(threading.Event)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        real = getattr(self.engine, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            self.entered[name].set()
            if name in self.gate:
                assert self.gate[name].wait(10)
            if self.down:
                raise target_errors.TargetUnavailable
            if self.failing[name]:
                raise self.failing[name].pop(0)
            return real(*args, **kwargs)

        return call

    def close_all(self, roles: Sequence[spec.ManagedRole]) -> dict[str, Any]:
        """One by one, so that each can be made to fail, wait or hang."""
        return {role.grant_id: _outcome(self.close, role) for role in roles}

    def remove_all(self, roles: Sequence[spec.ManagedRole]) -> dict[str, Any]:
        """As `close_all`."""
        return {role.grant_id: _outcome(self.remove, role) for role in roles}


def _outcome(step: Callable[[spec.ManagedRole], Any], role: spec.ManagedRole) -> Any:
    try:
        return step(role)
    except target_errors.DbGrantsError as error:
        return error


class World:
    """Everything around the service."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.clock = clock.ManualClock(NOON)
        self.url = f"sqlite:///{folder / 'state.sqlite3'}"
        self.store = store.open_store(self.url, self.clock)
        self.text = CATALOG
        self.catalog = catalog.loads(CATALOG)
        self.directory = Directory()
        self.channel = Channel()
        self.shop = Target(memory.MemoryEngine(clock=self.clock.now))
        self.wiki = Target(memory.MemoryEngine(clock=self.clock.now))
        self._services: list[service.Service] = []

    def new_bot(self) -> service.Service:
        """A bot over this store: the first, or one after a restart."""
        made = service.Service(
            store=self.store,
            engines={"shop": self.shop, "wiki": self.wiki},  # type: ignore[dict-item]
            catalog=lambda: self.catalog,
            directory=self.directory,
            poster=lambda _service: self.channel,
            clock=self.clock,
        )
        self._services.append(made)
        return made

    def change_catalog(self, old: str, new: str) -> None:
        assert old in self.text
        self.text = self.text.replace(old, new)
        self.catalog = catalog.loads(self.text)

    def advance(self, **length: float) -> None:
        self.clock.advance(timedelta(**length))

    def draft(self, **changes: Any) -> model.Draft:
        base = model.Draft(
            requester_id=ANA.id,
            entitlement="read_customers",
            duration=timedelta(minutes=30),
            justification="export stuck",
        )
        return replace(base, **changes)

    def ask(self, bot: service.Service, **changes: Any) -> str:
        """A request; its card is posted."""
        request_id = bot.access.submit(self.draft(**changes)).request.id
        bot.outbox.pump()
        return request_id

    def approve(self, bot: service.Service, request_id: str, who: model.Person = BO) -> model.Story:
        return bot.access.review(
            request_id, who.id, model.Answer.APPROVE, source=self.source(request_id)
        )

    def source(self, request_id: str) -> access.Source:
        wait_for(lambda: self.store.story(request_id).message("card"))  # a running bot may be at it
        found = self.store.story(request_id).message("card")
        assert found is not None
        return access.Source(channel_id=found.channel_id, ts=found.ts)

    def live(self, bot: service.Service, **changes: Any) -> str:
        """A grant that is active."""
        request_id = self.ask(bot, **changes)
        self.approve(bot, request_id)
        bot.grants.activate(request_id)
        wait_for(lambda: self.store.grant(request_id).status is model.GrantStatus.ACTIVE)
        return request_id

    def grant(self, request_id: str) -> model.Grant:
        return self.store.grant(request_id)

    def events(self, request_id: str) -> list[str]:
        return [event.type for event in self.store.events_of(request_id)]

    def quiet(self, bot: service.Service, timeout: float = 10.0) -> None:
        """Wait until the service has nothing more to do at this moment."""
        wait_for(lambda: bot.lanes.wait_idle(0.1) and not self._unfinished(), timeout)

    def _unfinished(self) -> bool:
        now = self.clock.now()
        moving = self.store.activating(now) + self.store.revoking(now) + self.store.due(now)
        return bool(moving) or bool(self.store.outbox_due(now))

    def close(self) -> None:
        for made in self._services:
            assert made.stop(5), "a worker did not stop"
        assert self.store.verify_chain().ok
        self.store.close()


def wait_for(condition: Callable[[], object], timeout: float = 10.0) -> None:
    """Wait for something another thread does."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


@pytest.fixture
def world(tmp_path: pathlib.Path) -> Iterator[World]:
    """Everything around one service; the audit chain is verified at the end."""
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def bot(world: World) -> service.Service:
    """A service that only does what the test asks of it (it is not started)."""
    return world.new_bot()
