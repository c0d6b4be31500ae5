"""Random histories of everything that can happen, against a real PostgreSQL; I1 to I8 after each step.

In every run the same bounded number of histories; `JIT_STATEFUL=long` tries many more, other ones
each time. What such a run finds is kept below as a test of its own.
"""

import os
import pathlib
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import hypothesis
import psycopg
import pytest
from hypothesis import stateful
from hypothesis import strategies as st
from psycopg import sql

from bot import errors, faults, model, outbox
from db_grants import naming, spec
from tests.faults import records
from tests.fixtures_core import ANA, BO, CLEO, person
from tests.fixtures_postgres import Shop, drop_shop, make_shop
from tests.integration.test_core_crashes import ENDING, GRANTING, POSTING
from tests.real_world import RealWorld
from tests.stateful import flaws

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

LONG = os.environ.get("JIT_STATEFUL") == "long"
PROFILE = hypothesis.settings(
    max_examples=int(os.environ.get("JIT_STATEFUL_EXAMPLES", "300" if LONG else "14")),
    stateful_step_count=40 if LONG else 20,
    derandomize=not LONG,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)
MALLORY = person("U0MALLORY", "Mallory")
WHO = st.sampled_from([ANA, BO, CLEO, MALLORY])
REFUSALS = (errors.NotAllowed, errors.TooLate, errors.InvalidDraft, errors.IdentityUnknown)
LIVE = model.LIVE_GRANT


@contextmanager
def stopped_at(name: str) -> Iterator[None]:
    """The program stops at that checkpoint, if it comes there."""
    os.environ["JIT_FAULT"] = f"{name}:raise"
    try:
        yield
    except faults.Injected:
        pass
    finally:
        del os.environ["JIT_FAULT"]


class Histories(stateful.RuleBasedStateMachine):
    """People, time, faults and holders, in any order."""

    shop: Shop  # given by the test
    asked = stateful.Bundle("asked")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="jit-histories-")
        self.world = RealWorld(pathlib.Path(self.folder.name), self.shop)
        self.world.directory.people[MALLORY.id] = MALLORY
        self.deliveries: dict[str, tuple[Any, ...]] = {}
        self.credentials: list[tuple[str, spec.Credential]] = []
        self.sessions: list[tuple[str, psycopg.Connection]] = []
        self.head = (0, "")

    # -- people ---------------------------------------------------------------------------------

    @stateful.rule(
        target=asked,
        minutes=st.sampled_from([3, 30, 240]),
        entitlement=st.sampled_from(["read_customer_data", "write_orders"]),
        dies=st.booleans(),
    )
    def ask(self, minutes: int, entitlement: str, dies: bool) -> Any:
        key = secrets.token_hex(4)
        again = (minutes, entitlement)
        if dies:
            with stopped_at("request-recorded"), suppress(*REFUSALS):
                self.world.ask(minutes, entitlement, dedupe_key=key)
            self.world.restart()
        try:
            request_id = self.world.ask(minutes, entitlement, dedupe_key=key)
        except REFUSALS:
            return stateful.multiple()
        self.deliveries[request_id] = (key, *again)
        return request_id

    @stateful.initialize(target=asked)
    def somebody_holds_access(self) -> str:
        request_id = self.world.live()
        self.deliveries[request_id] = ("", 30, "read_customer_data")
        self.open_session(0)
        return request_id

    @stateful.rule(target=asked, asks=st.integers(1, 3))
    def more_are_granted(self, asks: int) -> Any:
        """Asked and approved without a hitch, as far as people are concerned."""
        made = []
        for _ in range(asks):
            with suppress(*REFUSALS):
                made.append(self.world.ask())
                self.deliveries[made[-1]] = ("", 30, "read_customer_data")
                self.world.review(made[-1], BO)
        self.world.sweep()
        return stateful.multiple(*made)

    @stateful.rule(request_id=asked)
    def delivered_again(self, request_id: str) -> None:
        key, minutes, entitlement = self.deliveries[request_id]
        if not key:
            return
        assert self.world.ask(minutes, entitlement, dedupe_key=key) == request_id

    @stateful.rule(request_id=asked, who=WHO, dies=st.booleans())
    def approve(self, request_id: str, who: model.Person, dies: bool) -> None:
        with suppress(*REFUSALS):
            if dies:
                with stopped_at("decision-recorded"):
                    self.world.review(request_id, who)
                self.world.restart()
            self.world.review(request_id, who)
        self.world.sweep()

    @stateful.rule(request_id=asked, who=WHO)
    def deny(self, request_id: str, who: model.Person) -> None:
        with suppress(*REFUSALS):
            self.world.review(request_id, who, model.Answer.DENY)

    @stateful.rule(request_id=asked, who=WHO)
    def cancel(self, request_id: str, who: model.Person) -> None:
        with suppress(*REFUSALS):
            self.world.bot.access.cancel(request_id, who.id)

    @stateful.rule(request_id=asked, who=WHO, act=st.sampled_from(["give_back", "revoke", "stop"]))
    def end(self, request_id: str, who: model.Person, act: str) -> None:
        grants = self.world.bot.grants
        acts: dict[str, Callable[[str, str], object]] = {
            "give_back": grants.give_back,
            "revoke": grants.revoke,
            "stop": grants.stop_trying,
        }
        with suppress(*REFUSALS, errors.NotFound):
            acts[act](request_id, who.id)

    @stateful.rule(request_id=asked, seconds=st.sampled_from([0, 60, 600, 100_000]))
    def shorten(self, request_id: str, seconds: int) -> None:
        before = self.world.store.find_grant(request_id)
        with suppress(*REFUSALS, errors.NotFound):
            after = self.world.bot.grants.shorten(request_id, timedelta(seconds=seconds), "root")
            assert before is not None
            assert after.expires_at < before.expires_at

    # -- time, crashes and faults ---------------------------------------------------------------

    @stateful.rule(seconds=st.sampled_from([0.5, 5, 31, 61, 600, 1801, 14_401]))
    def tick(self, seconds: float) -> None:
        self.world.clock.advance(timedelta(seconds=seconds))
        self.world.sweep()

    @stateful.rule(seconds=st.sampled_from([31, 1801]), trouble=st.sampled_from(["locked", "full"]))
    def tick_without_a_record(self, seconds: float, trouble: str) -> None:
        """What is due ends although nothing can be written; the record follows."""
        world = self.world
        broken = records.locked(world.path) if trouble == "locked" else records.full(world.store)
        with broken:
            world.clock.advance(timedelta(seconds=seconds))
            with suppress(errors.Busy, errors.StoreError):
                world.sweep()
            now = world.clock.now()
            due = {g.role_name for g in world.store.due(now) if not world.link.down}
            held = [r for r in world.target().managed if r.name in due and r.can_login]
            assert held == []
        world.sweep()

    @stateful.rule(name=st.sampled_from([*GRANTING[2:], *ENDING, POSTING]), later=st.booleans())
    def crash(self, name: str, later: bool) -> None:
        with stopped_at(name):
            self.world.sweep()
        if later:
            self.world.clock.advance(timedelta(hours=1))
        self.world.restart()
        self.world.sweep()

    @stateful.rule(down=st.booleans())
    def target(self, down: bool) -> None:
        self.world.link.down = down

    @stateful.rule(times=st.integers(1, 3))
    def answers_get_lost(self, times: int) -> None:
        self.world.link.unheard = times

    @stateful.rule(down=st.booleans())
    def slack(self, down: bool) -> None:
        def trouble(_row: object) -> None:
            if down:
                raise outbox.Later(reason="Slack does not answer")

        self.world.channel.trouble = trouble
        self.world.directory.silent = down

    @stateful.rule()
    def reconcile(self) -> None:
        """It finds nothing wrong with what we do ourselves, and harms nothing."""
        self.world.sweep()
        found = self.world.bot.reconciler.look_now("shop")
        ours = [f for f in found if f.kind not in {"gone", "overdue"}]
        assert ours == [], ours

    # -- holders --------------------------------------------------------------------------------

    @stateful.rule(number=st.integers(0, 9))
    def open_session(self, number: int) -> None:
        active = self.world.store.grants(status={model.GrantStatus.ACTIVE})
        if not active:
            return
        request_id = active[number % len(active)].id
        try:
            given = self.world.reveal(request_id)
        except (*REFUSALS, errors.NotFound, errors.Busy):
            return
        self.credentials.append((request_id, given))
        try:
            session = self.world.log_in(given)
        except psycopg.OperationalError as refused:
            if "too many connections for role" not in str(refused):
                raise
            return
        session.execute("SELECT count(*) FROM app.orders")
        self.sessions.append((request_id, session))

    @stateful.precondition(lambda self: self.sessions)
    @stateful.rule(
        number=st.integers(0, 9),
        act=st.sampled_from(["cursor", "set role", "prepare", "password", "lock", "settings"]),
    )
    def be_hostile(self, number: int, act: str) -> None:
        request_id, session = self.sessions[number % len(self.sessions)]
        me = sql.Identifier(f"jit_{request_id}")
        scope = self.world.store.request(request_id).scope
        role = naming.scope_role(str(scope["name"]), self.shop.database)
        acts: dict[str, list[sql.Composable | str]] = {
            "cursor": ["BEGIN", "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM app.orders"],
            "set role": [sql.SQL("SET ROLE {}").format(sql.Identifier(role))],
            "prepare": ["BEGIN", "SELECT 1", f"PREPARE TRANSACTION '{secrets.token_hex(4)}'"],
            "password": [sql.SQL("ALTER ROLE {} PASSWORD 'mine'").format(me)],
            "lock": ["BEGIN", sql.SQL("ALTER ROLE {} PASSWORD 'mine'").format(me)],
            "settings": [sql.SQL("ALTER ROLE {} SET statement_timeout = 0").format(me)],
        }
        for statement in acts[act]:
            with suppress(psycopg.Error):  # what is refused, or the session is cut
                session.execute(statement)

    @stateful.rule()
    def knock(self) -> None:
        """No password of ended access opens anything, and no session of it answers."""
        for request_id, given in self.credentials:
            if not self.is_over(request_id):
                continue
            for password in (given.password, "mine"):
                url = self.shop.server.url(self.shop.database, given.role, password)
                with pytest.raises(psycopg.OperationalError):
                    psycopg.connect(url).close()
        for request_id, session in self.sessions:
            if self.is_over(request_id):
                with pytest.raises(psycopg.OperationalError):
                    session.execute("SELECT 1")

    def is_over(self, request_id: str) -> bool:
        return self.world.store.grant(request_id).access_ended_at is not None

    # -- what always holds ----------------------------------------------------------------------

    @stateful.invariant()
    def holds(self) -> None:
        self.world.check(witness=self.head)
        self.head = self.world.store.chain_head()

    def teardown(self) -> None:
        """Let everything be well again: then all ends, all is said and nothing is left."""
        try:
            self.settle()
        finally:
            for _, session in self.sessions:
                session.close()
            self.world.close()
            self.folder.cleanup()

    def settle(self) -> None:
        self.target(down=False)
        self.world.link.unheard = 0
        self.slack(down=False)
        for _ in range(12):
            self.tick(3600)
        self.knock()
        self.world.check(witness=self.head)
        assert {g.id: g.status for g in self.world.store.grants(status=LIVE)} == {}
        assert self.world.store.pending() == ()
        assert self.world.store.outbox_depth() == 0
        assert self.world.target().managed == ()


@pytest.fixture(scope="module")
def histories_shop(postgres_server: Any) -> Iterator[Shop]:
    """One database for all histories: each leaves it as it was, or fails."""
    made = make_shop(postgres_server, f"histories_{secrets.token_hex(4)}")
    yield made
    drop_shop(made)


@pytest.mark.parametrize(
    "flaw",
    [
        flaws.closes_nothing,
        flaws.forgets_the_role,
        flaws.grants_too_much,
        flaws.never_lapses,
        flaws.says_it_first,
    ],
)
def test_a_flaw_built_in_on_purpose_is_found(
    histories_shop: Shop, flaw: Callable[[RealWorld], None]
) -> None:
    """The histories are hard enough, and the invariants sharp enough."""

    class Flawed(Histories):
        def __init__(self) -> None:
            super().__init__()
            flaw(self.world)
            restart = self.world.restart

            def restarted() -> None:
                restart()
                flaw(self.world)

            self.world.restart = restarted  # type: ignore[method-assign]

        def teardown(self) -> None:
            for _, session in self.sessions:
                session.close()
            with self.shop.connect() as admin:
                for role in self.world.target().managed:
                    name = sql.Identifier(role.name)
                    admin.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(name))
            self.world.close()
            self.folder.cleanup()

    Flawed.shop = histories_shop
    few = hypothesis.settings(
        PROFILE, max_examples=30, stateful_step_count=20, phases=[hypothesis.Phase.generate]
    )
    with pytest.raises(AssertionError, match="violations"):
        stateful.run_state_machine_as_test(Flawed, settings=few)


@pytest.mark.fault(
    "F-60",
    "any of it in any order: people, deadlines, crashes at checkpoints, target and Slack down,"
    " lost answers, hostile sessions",
    how="random histories (Hypothesis)",
    expects="I1 to I8 after every step; in the end nothing is left",
)
def test_whatever_happens_in_whatever_order_the_invariants_hold(histories_shop: Shop) -> None:
    Histories.shop = histories_shop
    stateful.run_state_machine_as_test(Histories, settings=PROFILE)
