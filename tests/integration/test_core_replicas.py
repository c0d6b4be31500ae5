"""Two services over one PostgreSQL record, step by step: what comes late does no harm."""

import pathlib
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from bot import catalog, clock, faults, model, service, store
from bot.asking import access
from bot.comparing import reconcile
from bot.granting import claims
from bot.telling import digests, outbox
from db_grants import errors as target_errors
from db_grants import memory, naming, spec
from db_grants.postgres import links
from tests.fixtures_core import BO, CATALOG, NOON, Channel, World
from tests.fixtures_postgres import Shop
from tests.integration.test_core_races import together

OVER = timedelta(seconds=-1)


class Late:
    """A real engine whose next call of one kind is held up until something else has happened."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.before: dict[str, Callable[[], object]] = {}

    def __getattr__(self, name: str) -> Any:
        meanwhile = self.before.pop(name, None)
        if meanwhile is not None:
            meanwhile()
        return getattr(self.engine, name)


class Pair:
    """Two replicas over one record and one real target."""

    def __init__(self, folder: pathlib.Path, shop: Shop, url: str) -> None:
        self.clock = clock.SystemClock()
        self.world = World(folder)  # for who people are; its own record is not used
        text = CATALOG.replace("database: shop}", f"database: {shop.database}}}")
        self.catalog = catalog.loads(text.replace("[id, name]", "[id, name, email, city]"))
        self.stores = [store.open_store(url, self.clock) for _ in range(2)]
        self.channels = [Channel(), Channel()]
        self.slow = Late(shop.engine(self.clock.now))
        engines = [self.slow, shop.engine(self.clock.now)]
        self.one, self.two = (self._service(n, engines[n]) for n in range(2))
        self.shop = shop

    def _service(self, number: int, engine: Any) -> service.Service:
        return service.Service(
            store=self.stores[number],
            engines={"shop": engine, "wiki": memory.MemoryEngine(clock=self.clock.now)},
            catalog=lambda: self.catalog,
            directory=self.world.directory,
            poster=lambda _service: self.channels[number],
            clock=self.clock,
        )

    def approved(self) -> str:
        """A request that waits to be made real."""
        request_id = self.one.access.submit(self.world.draft(entitlement="read_orders")).request.id
        self.one.outbox.pump()
        found = self.stores[0].story(request_id).message("card")
        assert found is not None
        self.one.access.review(
            request_id,
            BO.id,
            model.Answer.APPROVE,
            source=access.Source(channel_id=found.channel_id, ts=found.ts),
        )
        return request_id

    def claim_runs_out(self, grant_id: str) -> None:
        """As if the holder had been paused for longer than its lease."""
        grant = self.stores[0].grant(grant_id)
        assert self.stores[0].renew_grant(grant_id, grant.fence, OVER)

    def ended_by_two(self, grant_id: str) -> None:
        """What the other replica does meanwhile: somebody revoked, so it ends the grant."""
        self.claim_runs_out(grant_id)
        self.two.grants.revoke_as_operator(grant_id, "root")
        self.two.grants.end(grant_id)
        assert self.stores[1].grant(grant_id).status is model.GrantStatus.REVOKED

    def roles(self) -> list[str]:
        return [role.name for role in self.slow.engine.managed()]

    def events(self, grant_id: str) -> list[str]:
        return [event.type for event in self.stores[0].events_of(grant_id)]

    def close(self) -> None:
        for made in (self.one, self.two):
            made.stop(5)
        assert self.stores[0].verify_chain().ok
        for each in self.stores:
            each.close()
        self.world.close()


CATALOG_ORDERS = """
  read_orders:
    target: shop
    scope: [{table: app.orders, can: read}]
    requesters: [everyone]
    approval: owners
"""


@pytest.fixture
def pair(
    tmp_path: pathlib.Path, shop: Shop, record_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pair]:
    text = CATALOG.replace("rules:", f"{CATALOG_ORDERS.strip(chr(10))}\nrules:")
    monkeypatch.setattr("tests.integration.test_core_replicas.CATALOG", text)
    made = Pair(tmp_path, shop, record_url)
    yield made
    made.close()


@pytest.mark.fault(
    "F-45e",
    "a role is made after another replica has ended its grant",
    how="its claim runs out before CREATE ROLE",
    expects="whoever made it removes it at once",
)
def test_a_role_made_after_the_grant_was_ended_elsewhere_is_removed_again(pair: Pair) -> None:
    grant_id = pair.approved()
    pair.slow.before["create"] = lambda: pair.ended_by_two(grant_id)
    assert pair.one.grants.activate(grant_id).status is model.GrantStatus.REVOKED
    assert pair.roles() == []
    events = pair.events(grant_id)
    assert events.count("grant.late_role_removed") == 1
    assert "grant.active" not in events


def test_whoever_lost_its_claim_before_it_began_makes_nothing(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant_id = pair.approved()
    made: list[object] = []

    def paused(where: str) -> None:
        if where == "activation-intended":
            pair.ended_by_two(grant_id)
            later = clock.passed() + claims.MAKING.total_seconds()
            monkeypatch.setattr(pair.one.grants.claims, "_passed", lambda: later)

    monkeypatch.setattr(faults, "checkpoint", paused)
    pair.slow.before["create"] = lambda: made.append("made")
    assert pair.one.grants.activate(grant_id).status is model.GrantStatus.REVOKED
    assert (made, pair.roles()) == ([], [])


def test_a_role_made_late_has_the_deadline_of_whoever_took_over(pair: Pair) -> None:
    grant_id = pair.approved()

    def taken_over() -> None:
        pair.claim_runs_out(grant_id)
        assert pair.two.grants.activate(grant_id).status is model.GrantStatus.ACTIVE

    pair.slow.before["create"] = taken_over
    grant = pair.one.grants.activate(grant_id)
    (role,) = pair.slow.engine.managed()
    assert role.valid_until == grant.expires_at
    assert pair.events(grant_id).count("grant.active") == 1


def test_an_end_that_is_done_twice_is_recorded_and_told_once(pair: Pair) -> None:
    grant_id = pair.approved()
    pair.one.grants.activate(grant_id)
    pair.one.grants.revoke_as_operator(grant_id, "root")

    def taken_over() -> None:
        pair.claim_runs_out(grant_id)
        pair.two.grants.end(grant_id)

    pair.slow.before["close"] = taken_over
    assert pair.one.grants.close(grant_id).status is model.GrantStatus.REVOKED
    events = pair.events(grant_id)
    assert events.count("grant.access_ended") == events.count("grant.revoked") == 1
    pair.two.outbox.pump()
    assert pair.channels[1].kinds(grant_id).count("summary") == 1


@pytest.mark.fault(
    "F-45f",
    "a message is posted after another replica has posted it",
    how="its claim runs out before the call",
    expects="it is deleted again; the other one counts",
)
def test_a_message_posted_late_is_taken_back(pair: Pair) -> None:
    request_id = pair.one.access.submit(pair.world.draft(entitlement="read_orders")).request.id

    def paused(row: store.OutboxRow) -> None:
        if row.kind == outbox.Kind.CARD:
            pair.channels[0].trouble = lambda _row: None
            pair.stores[0].outbox_renew({row.id: row.fence}, OVER)
            pair.two.outbox.pump()

    pair.channels[0].trouble = paused
    pair.one.outbox.pump()
    kept = pair.stores[0].story(request_id).message("card")
    assert kept is not None
    (withdrawn,) = pair.channels[0].withdrawn
    assert pair.channels[1].withdrawn == []
    assert [row.kind for row, _ in pair.channels[1].said].count("card") == 1
    assert withdrawn.request_id == request_id


def test_a_card_edited_late_is_drawn_again(pair: Pair) -> None:
    request_id = pair.one.access.submit(pair.world.draft(entitlement="read_orders")).request.id
    pair.one.outbox.pump()
    pair.one.access.cancel(request_id, pair.world.draft().requester_id)

    def paused(row: store.OutboxRow) -> None:
        pair.channels[0].trouble = lambda _row: None
        pair.stores[0].outbox_renew({row.id: row.fence}, OVER)
        pair.two.outbox.pump()

    pair.channels[0].trouble = paused
    before = len(pair.channels[0].said)
    pair.one.outbox.pump()
    assert [row.kind for row, _ in pair.channels[0].said[before:]].count("card") == 2
    assert pair.stores[0].outbox_depth() == 0


@pytest.mark.fault(
    "F-45g",
    "four replicas find the digest due",
    how="at the same moment",
    expects="it is said once",
)
def test_the_digest_is_said_by_one_of_four(
    record_url: str, world: World, bot: service.Service
) -> None:
    now = clock.ManualClock(NOON)
    opened = [store.open_store(record_url, now) for _ in range(4)]
    made = [digests.Digests(store=s, catalog=lambda: world.catalog, clock=now) for s in opened]
    _something_happened(opened[0])
    said = together(*[each.say_if_due for each in made])
    assert sorted(map(str, said)) == ["False", "False", "False", "True"]
    assert opened[0].outbox_depth() == 1
    for each in opened:
        each.close()


def test_a_target_is_reconciled_by_one_of_four(record_url: str) -> None:
    now = clock.ManualClock(NOON)
    opened = [store.open_store(record_url, now) for _ in range(4)]
    engine = memory.MemoryEngine(clock=now.now)
    made = [reconcile.Reconciler(store=s, engines={"shop": engine}, clock=now) for s in opened]
    together(*[lambda each=each: each.look("shop") for each in made])
    assert engine.calls.count(("survey", "")) == 1
    now.advance(reconcile.EVERY)
    together(*[lambda each=each: each.look("shop") for each in made])
    assert engine.calls.count(("survey", "")) == 2
    for each in opened:
        each.close()


@pytest.mark.fault(
    "F-45h",
    "a creation is held up before its COMMIT",
    how="a pause longer than its deadline",
    expects="the server refuses to commit; nothing was made",
)
def test_a_creation_that_was_held_up_is_never_committed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, told = shop.engine(deadline=1.0), links.Link.tell
    wanted = spec.GrantSpec(
        grant_id="late0000",
        role_name=naming.managed_role("late0000"),
        scope=shop.scope(),
        expires_at=clock.SystemClock().now() + timedelta(minutes=30),
    )

    def late(link: links.Link, *statements: Any) -> Any:
        time.sleep(1.1)  # the server's own clock decides, and cannot be moved
        return told(link, *statements)

    monkeypatch.setattr(links.Link, "tell", late)
    with pytest.raises(target_errors.TargetUnavailable, match="nothing was changed"):
        engine.create(wanted)
    monkeypatch.undo()
    assert engine.find(wanted.grant_id, wanted.role_name) is None
    assert engine.create(wanted).oid


def _something_happened(opened: store.Store) -> None:
    from tests.fixtures_store import submit

    submit(opened, created_at=NOON - timedelta(hours=6))
