"""Several replicas on one PostgreSQL record see the same trouble in the same instant: one speaks.

Both are let to the point from which on only one may write, and go on together.
"""

import pathlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from bot import store
from bot.store import tip
from bot.watching import alarms, ringing
from db_grants import engine
from tests.fixtures_core import World, wait_for

pytestmark = pytest.mark.faults

REPLICAS = 2
WAITING = (
    "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
    " WHERE d.datname = current_database() AND l.locktype = 'advisory' AND NOT l.granted"
)


class Watch:
    """Replicas that each have a connection of their own, and look when they are told to."""

    def __init__(self, world: World, url: str) -> None:
        self.world = world
        self.url = url
        self.stores = [store.open_store(url, world.clock) for _ in range(REPLICAS)]

    def look(self, engines: dict[str, engine.Engine]) -> None:
        """All at once: nobody writes before everybody has looked."""
        watchers = [
            alarms.Alarms(
                store=kept,
                engines=engines,
                catalog=lambda: self.world.catalog,
                directory=self.world.directory,
                clock=self.world.clock,
            )
            for kept in self.stores
        ]
        with (
            psycopg.connect(self.url) as gate,
            psycopg.connect(self.url, autocommit=True) as seeing,
            ThreadPoolExecutor(REPLICAS) as pool,
        ):
            gate.execute("SELECT pg_advisory_xact_lock(%s)", [tip.LOCK])
            looks = [pool.submit(watcher.watch) for watcher in watchers]
            wait_for(lambda: seeing.execute(WAITING).fetchone() == (REPLICAS,))
            gate.commit()
            for look in looks:
                look.result(10)

    def events(self, request_id: str) -> Counter[str]:
        """What was recorded of alarms."""
        told = (event.type for event in self.stores[0].events_of(request_id))
        return Counter(type_ for type_ in told if type_.startswith("alarm."))

    def owed(self) -> int:
        """Messages about alarms, to Slack and over the webhook, that wait to be posted."""
        due = self.stores[0].outbox_due(self.world.clock.now())
        return sum(row.kind in {"alarm", "webhook"} for row in due)

    def close(self) -> None:
        for kept in self.stores:
            kept.close()


@pytest.fixture
def watch(tmp_path: pathlib.Path, record_url: str) -> Iterator[Watch]:
    world = World(tmp_path)
    world.store.close()
    world.url, world.store = record_url, store.open_store(record_url, world.clock)
    made = Watch(world, record_url)
    yield made
    made.close()
    world.close()


@pytest.mark.fault(
    "F-46",
    "several replicas see the same trouble at the same moment",
    how="two watchers on one PostgreSQL record, held before they write and let go together",
    expects="the alarm is raised, repeated and said to be over once each",
)
def test_of_two_replicas_that_see_the_same_trouble_one_raises_the_alarm(watch: Watch) -> None:
    world = watch.world
    bot = world.new_bot()
    request_id = world.live(bot, duration=ringing.REPEAT_EVERY * 4)
    bot.outbox.pump()
    nowhere: dict[str, engine.Engine] = {}
    watch.look(nowhere)
    assert watch.events(request_id) == {"alarm.raised": 1}
    assert watch.owed() == 1 + 1
    world.clock.advance(ringing.REPEAT_EVERY)
    watch.look(nowhere)
    assert watch.events(request_id) == {"alarm.raised": 1, "alarm.repeated": 1}
    watch.look({"shop": world.shop})
    once = {"alarm.raised": 1, "alarm.repeated": 1, "alarm.over": 1}
    assert watch.events(request_id) == once
    assert ringing.everything(watch.stores[0]) == ()
