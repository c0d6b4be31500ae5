"""A service, its targets in memory, its people and a Slack with limits, on a clock that is moved."""

import contextlib
import functools
import heapq
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from bench import history, limits, place
from bot import catalog as catalogs
from bot import clock as clocks
from bot import errors, model, service, store
from bot.store import mapping, tables
from bot.telling import outbox
from db_grants import memory

_DECIDERS = tuple(f"U0D{n:05}" for n in range(5))
_TABLES = ", ".join(f"{{table: app.t{n}, can: read}}" for n in range(10))
_HEAD = """
channels: {approvals: "#db-access", audit: "#db-audit"}
rules:
  owners: {approvers: [RULE]}
"""
_TARGET = "  NAME: {url_env: URL, environment: production, database: app}"
_ENTITLEMENT = "  ENT: {target: NAME, scope: [TABLES], requesters: [everyone], approval: owners}"
_SLACK = ("approvals", "audit")
_AFTER = timedelta(seconds=30)  # how much longer than requests come a stretch is lived
_EDITED = frozenset({"card", "receipt", "live"})


def _catalog(names: Sequence[tuple[str, str]], deciders: Sequence[str]) -> str:
    """Of targets and their one entitlement each."""
    targets = [_TARGET.replace("NAME", target) for _, target in names]
    granted = [
        _ENTITLEMENT.replace("ENT", name).replace("NAME", target).replace("TABLES", _TABLES)
        for name, target in names
    ]
    head = _HEAD.replace("RULE", ", ".join(deciders))
    return "\n".join([head, "targets:", *targets, "entitlements:", *granted, ""])


MOULD = _catalog([("read_10", "bench")], ["U0BO"])


class People:
    """Anybody whose id says so, and five who decide."""

    def person(self, user_id: str, *, fresh: bool = False) -> model.Person:  # noqa: ARG002
        if not user_id.startswith("U0"):
            raise errors.NotFound
        email = f"{user_id}@acme.test".lower()
        return model.Person(id=user_id, team_id="T0ACME", name=user_id, email=email)

    def members(self, ref: str, *, fresh: bool = False) -> frozenset[str] | None:  # noqa: ARG002
        return frozenset({ref})

    def resolve_channel(self, ref: str) -> str | None:
        return ref

    def reason(self, ref: str) -> str | None:  # noqa: ARG002
        return None


class Slack:
    """A poster that answers at once, within Slack's limits by the moved clock."""

    def __init__(self, clock: clocks.Clock) -> None:
        self._clock = clock
        self.limits = limits.Limits(lambda: clock.now().timestamp())
        self.said = 0
        self.told: Counter[str] = Counter()  # messages by channel, other calls by method
        self.waits: list[float] = []  # seconds from the commit to Slack

    def deliver(self, row: store.OutboxRow, story: model.Story | None) -> model.MessageRef | None:
        """As `slack.poster`: posts once, edits from then on."""
        where = outbox.destination(row)
        channel = where if where in _SLACK else f"direct {row.request_id}"
        known = story.message(row.kind) if story and row.kind in _EDITED else None
        method = limits.PUBLISH if row.kind == "home" else limits.UPDATE if known else limits.POST
        wait = self.limits.wait(method, channel)
        if wait:
            raise outbox.Later(wait)
        self.said += 1
        self.told[channel if method == limits.POST else method] += 1
        self.waits.append((self._clock.now() - row.created_at).total_seconds())
        if method != limits.POST or story is None:
            return None
        return model.MessageRef(
            request_id=story.request.id,
            kind=row.kind,
            channel_id=channel,
            ts=f"{1_800_000_000 + row.id}.000100",
        )

    def withdraw(self, message: model.MessageRef) -> None:
        """Nothing was posted twice."""


class Town:
    """Everything of one company."""

    def __init__(self, url: str, start: datetime, targets: int) -> None:
        self.clock = clocks.ManualClock(start)
        self.store = store.open_store(url, self.clock)
        self._url = url
        self._names = [(f"read_{n:03}", f"db_{n:03}") for n in range(targets)]
        self.engines = {name: memory.MemoryEngine(clock=self.clock.now) for _, name in self._names}
        catalog = catalogs.loads(_catalog(self._names, _DECIDERS))
        self.slack = Slack(self.clock)
        self.service = service.Service(
            store=self.store,
            engines=self.engines,
            catalog=lambda: catalog,
            directory=People(),
            poster=lambda _: self.slack,
            clock=self.clock,
        )
        self.deepest = 0  # work handed out at once, to one target
        self.saying = 0.0  # seconds spent on the outbox
        self.heard: Counter[str] = Counter()
        self._posted: set[tuple[str, str]] = set()  # kind and request of what can be edited
        self._number = itertools.count()

    def target(self, number: int) -> str:
        """One of them, by turns."""
        return self._names[number % len(self._names)][1]

    def bytes(self) -> int:
        """What the record takes on the disk."""
        if self._url.startswith("sqlite"):
            path = Path(self._url.removeprefix("sqlite:///"))
            return sum(each.stat().st_size for each in path.parent.glob(f"{path.name}*"))
        with self.store.begin(store.SYSTEM) as tx:
            size = tx.connection.execute(sa.text("SELECT pg_database_size(current_database())"))
            return int(size.scalar_one())

    def go_live(self, wanted: Sequence[tuple[float, str, str]]) -> None:
        """Grants (seconds left, who, target) that were made an hour ago, with their roles."""
        mould, now = history.mould(MOULD, over=False), self.clock.now()
        scope = catalogs.scope_of(catalogs.loads(MOULD).entitlements["read_10"])

        def lives() -> Iterator[history.Life]:
            for left, person, target in wanted:
                until = now + timedelta(seconds=left)
                spec = place.spec_of(model.new_id(), scope, until)
                made = self.engines[target].create(spec)
                yield history.Life(
                    id=spec.grant_id,
                    asked_at=now - timedelta(hours=1),
                    expires_at=until,
                    oid=made.oid,
                    target=target,
                    person=person,
                )

        history.write(self.store, mould, lives(), chatter=False)

    def draft(self, number: int, person: str) -> model.Draft:
        """A request nobody made yet."""
        return model.Draft(
            requester_id=person,
            entitlement=self._names[number % len(self._names)][0],
            duration=timedelta(hours=2),
            justification=f"INC-{next(self._number)}: the export of last night is stuck",
        )

    def ask(self, draft: model.Draft) -> str:
        """Submit it; its id."""
        return self.service.access.submit(draft).request.id

    def approve(self, request_id: str) -> None:
        """One of those who decide does."""
        self.service.access.review(request_id, _DECIDERS[0], model.Answer.APPROVE, source=None)

    def asker(self, request_id: str) -> str:
        """Whose it is."""
        return self.store.request(request_id).requester_id

    def settle(self) -> None:
        """Let the lanes finish what they have in hand."""
        assert self.service.lanes.wait_idle(600), "the lanes do not come to rest"

    def hear(self) -> None:
        """Take what waits for said, and count what it costs: posts by channel, edits, App Homes."""
        for row in self._waiting():
            kind, request_id = row.kind, str(row.request_id)
            edit = kind in _EDITED and (kind, request_id) in self._posted
            self._posted.add((kind, request_id))
            where = outbox.destination(row)
            channel = where if where in _SLACK else "direct"
            self.heard["homes" if kind == "home" else "edits" if edit else channel] += 1
        self.hush()

    def hush(self) -> None:
        """What waits is taken for said."""
        with self.store.begin(store.SYSTEM) as tx:
            waiting = sa.update(tables.outbox).where(tables.outbox.c.settled_at.is_(None))
            tx.connection.execute(waiting.values(settled_at=tx.at))

    def live(self, count: int, pace: float) -> None:
        """So many requests at that pace a second: asked, decided, opened, half of them given back."""
        dice, order = random.Random(7), itertools.count()
        agenda: list[tuple[datetime, int, Callable[[], None]]] = []

        def later(seconds: float, act: Callable[[], None]) -> None:
            at = self.clock.now() + timedelta(seconds=seconds)
            heapq.heappush(agenda, (at, next(order), act))

        def ask(number: int) -> None:
            request_id = self.ask(self.draft(number, f"U0L{number:05}"))
            later(dice.expovariate(1 / 120), lambda: decide(request_id))

        def decide(request_id: str) -> None:
            with contextlib.suppress(errors.TooLate):  # lapsed meanwhile
                self.approve(request_id)
                later(10, lambda: use(request_id))

        def use(request_id: str) -> None:
            self.service.grants.reveal(request_id, self.asker(request_id))

        at = 0.0
        for number in range(count):
            at += dice.expovariate(pace)
            later(at, functools.partial(ask, number))
        self._keep(agenda, self.clock.now() + timedelta(seconds=at) + _AFTER)

    def _keep(
        self, agenda: list[tuple[datetime, int, Callable[[], None]]], until: datetime
    ) -> None:
        """Act when it is time, and look each time; where words wait, second by second."""
        while agenda and self.clock.now() < until:
            now = self.clock.now()
            step = timedelta(seconds=1) if self.store.outbox_depth() else timedelta(days=1)
            self.clock.raise_to(max(now, min(agenda[0][0], now + step)))
            acted = False
            while agenda and agenda[0][0] <= self.clock.now():
                heapq.heappop(agenda)[2]()
                acted = True
            if acted:
                self.sweep()
            self._say()

    def sweep(self) -> None:
        """Look once, and let what is handed out be done."""
        self.service.scheduler.sweep()
        self.settle()

    def _say(self) -> None:
        began = time.perf_counter()
        self.service.outbox.pump()
        self.saying += time.perf_counter() - began

    def end_all(self) -> tuple[float, float]:
        """Seconds of real time until no door is open that should be shut, and until all is removed."""
        began, shut = time.perf_counter(), 0.0
        while True:
            self.service.scheduler.sweep()
            self._measure_depth()
            self.settle()
            if self.store.due(self.clock.now(), 1):
                continue
            left = self.store.grants(status={model.GrantStatus.REVOKING}, limit=100_000)
            if not shut and all(grant.access_ended_at for grant in left):
                shut = time.perf_counter() - began
            if not left:
                return shut, time.perf_counter() - began

    def _measure_depth(self) -> None:
        waiting = Counter(
            grant.target
            for grant in self.store.grants(status={model.GrantStatus.REVOKING}, limit=100_000)
        )
        self.deepest = max(self.deepest, *waiting.values(), 0)

    def _waiting(self) -> list[store.OutboxRow]:
        box = tables.outbox
        query = sa.select(box).where(box.c.settled_at.is_(None)).order_by(box.c.id)
        with self.store.begin(store.SYSTEM) as tx:
            rows = tx.connection.execute(query).all()
        return [mapping.value_from(store.OutboxRow, row, box) for row in rows]

    def close(self) -> None:
        """Stop what runs."""
        self.service.stop(10)
        self.store.close()


@contextlib.contextmanager
def running(url: str, start: datetime, targets: int) -> Iterator[Town]:
    """A town, closed in the end."""
    made = Town(url, start, targets)
    try:
        yield made
    finally:
        made.close()
