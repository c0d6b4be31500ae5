"""What every history has: a world, a memory of it, what is checked after each step and at the end.

The rules are mixed in by kind: people, trouble, holders, catalogs, replicas, records.
"""

import pathlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import stateful
from psycopg import sql

from bot import errors, faults, model
from bot.telling import outbox
from db_grants import spec
from tests.fixtures_core import person
from tests.fixtures_postgres import Shop
from tests.holders import is_cut
from tests.real_world import CATALOG, RealWorld, Replica
from tests.stateful import memory

_PREPARED = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"
MALLORY = person("U0MALLORY", "Mallory")
REFUSALS = (
    errors.NotAllowed,
    errors.TooLate,
    errors.InvalidDraft,
    errors.IdentityUnknown,
    errors.NotFound,  # of a request that a record which was put back does not know
)


@contextmanager
def at_checkpoint(name: str, act: Any) -> Iterator[None]:
    """Do that when the program comes to that checkpoint, once."""
    real = faults.checkpoint

    def come(place: str) -> None:
        if place == name:
            patched.undo()
            act()
        else:
            real(place)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(faults, "checkpoint", come)
        yield


class History(stateful.RuleBasedStateMachine):
    """One world, and what was seen of it."""

    shop: Shop  # given by the test
    flaw: Callable[[Replica], None] = staticmethod(lambda _replica: None)
    asked = stateful.Bundle("asked")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="jit-histories-")
        self.world = self.new_world(pathlib.Path(self.folder.name))
        self.world.directory.people[MALLORY.id] = MALLORY
        self.world.directory.groups["@others"] = frozenset({MALLORY.id})
        self.memory = memory.Memory(self.world)
        self.deliveries: dict[str, tuple[Any, ...]] = {}
        self.credentials: list[tuple[str, spec.Credential]] = []
        self.sessions: list[tuple[str, psycopg.Connection]] = []
        self.head = (0, "")

    def new_world(self, folder: pathlib.Path) -> RealWorld:
        """The world that it plays in."""
        return RealWorld(folder, self.shop, flaw=self.flaw)

    @stateful.initialize(target=asked)
    def somebody_holds_access(self) -> str:
        request_id = self.world.live()
        self.deliveries[request_id] = ("", 30, "read_customer_data")
        self.connect(0)
        return request_id

    @contextmanager
    def stopped_at(self, name: str) -> Iterator[None]:
        """The program stops at that checkpoint, if it comes there."""

        def stop() -> None:
            if name == "message-posted":  # it will be posted again: the copy does not count
                self.world.channel.forget(last=1)
            raise faults.Injected(name)

        try:
            with at_checkpoint(name, stop):
                yield
        except faults.Injected:
            pass

    def approved(self) -> str | None:
        """A request that Bo approved, and that waits for a look of any replica; if people could."""
        try:
            request_id = self.world.ask()
            self.deliveries[request_id] = ("", 30, "read_customer_data")
            self.world.review(request_id)
        except REFUSALS:
            return None
        return request_id

    def connect(self, number: int) -> None:
        """Somebody opens the credentials of an active grant, and uses them."""
        active = self.world.store.grants(status={model.GrantStatus.ACTIVE})
        if not active:
            return
        request_id = active[number % len(active)].id
        try:
            given = self.world.reveal(request_id)
        except (*REFUSALS, errors.Busy):
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

    def environment(self, *, whole: bool) -> None:
        """Whether the variable that live grants were made by is still set."""
        self.world.variables.pop("SHOP_URL", None)
        if whole:
            self.world.variables["SHOP_URL"] = self.shop.bot_url

    def is_over(self, request_id: str) -> bool:
        """Whether the record says that this access has ended."""
        grant = self.world.store.find_grant(request_id)
        return grant is not None and grant.access_ended_at is not None

    @stateful.invariant()
    def holds(self) -> None:
        target = self.memory.look()
        record = self.world.check(witness=self.head, target=target)
        self.memory.check(record, target)
        self.head = self.world.store.chain_head()

    def teardown(self) -> None:
        """Let everything be well again: then all ends, all is said and nothing is left."""
        try:
            self.settle()
        finally:
            self.leave()

    def leave(self) -> None:
        """Whatever was found, nothing of it is in the way of the next history."""
        for _, session in self.sessions:
            session.close()
        with self.shop.connect() as admin:
            for (prepared,) in admin.execute(_PREPARED).fetchall():
                admin.execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(prepared)))
            for role in self.world.target().managed:
                name = sql.Identifier(role.name)
                admin.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(name))
        self.world.close()
        self.folder.cleanup()

    def pass_time(self, seconds: float) -> None:
        """And what a running bot does then."""
        self.world.clock.advance(timedelta(seconds=seconds))
        self.world.sweep()

    def slack_answers(self, *, answers: bool) -> None:
        def trouble(_row: object) -> None:
            if not answers:
                raise outbox.Later(reason="Slack does not answer")

        self.world.channel.trouble = trouble
        self.world.directory.silent = not answers

    def mend(self) -> None:
        """Nothing stands in the way of anything any more."""
        for replica in self.world.replicas:
            replica.link.down, replica.link.unheard = False, 0
        self.slack_answers(answers=True)
        self.world.write(CATALOG)
        self.environment(whole=True)
        self.world.variables["WIKI_URL"] = self.shop.bot_url  # it answers at last
        self.world.restart()
        self.world.leases_run_out()

    def settle(self) -> None:
        world = self.world
        self.mend()
        for _ in range(12 + self._hours_recorded()):
            self.pass_time(3600)
        self.locked_out()
        world.check(witness=self.head)
        live = world.store.grants(status=model.LIVE_GRANT)
        assert {grant.id: grant.status for grant in live} == {}
        assert world.store.pending() == ()
        assert world.store.outbox_depth() == 0
        assert world.target().managed == ()
        assert all(self.is_refused(given) for _, given in self.credentials)

    def _hours_recorded(self) -> int:
        """Whole hours until the last deadline in the record, which edits may have put off often."""
        live = self.world.store.grants(status=model.LIVE_GRANT)
        now = self.world.clock.now()
        return max([0, *((g.expires_at - now) // timedelta(hours=1) for g in live)])

    def locked_out(self) -> None:
        """No password of ended access opens anything, and no session of it answers."""
        for request_id, given in self.credentials:
            assert not self.is_over(request_id) or self.is_refused(given)
        for request_id, session in self.sessions:
            if self.is_over(request_id):
                assert is_cut(session)

    def is_refused(self, given: spec.Credential) -> bool:
        for password in (given.password, "mine"):
            url = self.shop.server.url(self.shop.database, given.role, password)
            with suppress(psycopg.OperationalError):
                psycopg.connect(url).close()
                return False
        return True
