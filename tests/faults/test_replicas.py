"""Several `jit serve` on one PostgreSQL record: real processes, a real target, the local workspace.

Killed or paused in the middle of their work, they end every grant once, say it once, and none is
lost. `python -m pytest tests/faults/test_replicas.py -s` prints what was measured.
"""

import os
import pathlib
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from bot import catalog, clock, model, store
from bot.asking import outcome
from bot.demo import bot_process
from bot.demo.workspace import server
from bot.store import tables
from tests.fixtures_core import wait_for
from tests.fixtures_postgres import Shop
from tests.fixtures_served import CATALOG
from tests.fixtures_store import a_request

pytestmark = pytest.mark.faults

PATIENCE = 30.0
TAKEN_OVER = 15.0  # seconds, at most, after the death of whoever worked on it
BURST = 12
FINAL = {model.GrantStatus.ENDED, model.GrantStatus.REVOKED}


class Fleet:
    """Replicas over one record, and what a test looks at."""

    def __init__(
        self, folder: pathlib.Path, shop: Shop, running: server.Server, state_url: str
    ) -> None:
        self.folder = folder
        self.shop = shop
        self.workspace: Any = running.workspace
        text = CATALOG.replace("production}", f"production, database: {shop.database}}}")
        (folder / "catalog.yml").write_text(text)
        self.catalog = catalog.loads(text)
        self.environ = {
            "SLACK_BOT_TOKEN": running.workspace.bot_token,
            "SLACK_APP_TOKEN": running.workspace.app_token,
            "SLACK_API_URL": running.api_url,
            "JIT_DATABASE_URL": state_url,
            "JIT_CATALOG": str(folder / "catalog.yml"),
            "SHOP_URL": shop.bot_url,
        }
        self.clock = clock.SystemClock()
        self.store = store.open_store(state_url, self.clock)
        self.replicas: list[bot_process.BotProcess] = []
        self.paused: set[int] = set()

    def start(self, *faults: str) -> None:
        """One replica for each, with that fault in it ("" for none)."""
        first = len(self.replicas)
        made = [self._process(first + n, fault) for n, fault in enumerate(faults)]
        with ThreadPoolExecutor(len(made)) as pool:
            list(pool.map(bot_process.BotProcess.start, made))
        self.replicas += made
        self.workspace.wait_for(
            lambda: self.workspace.connected >= len(self.replicas), timeout=PATIENCE
        )

    def _process(self, number: int, fault: str) -> bot_process.BotProcess:
        environ = {**self.environ, "JIT_FAULT": fault, "JIT_LOG": "info"}
        return bot_process.BotProcess(environ, self._log(number), self.folder)

    def _log(self, number: int) -> pathlib.Path:
        return self.folder / f"replica-{number}.log"

    def log(self, number: int) -> str:
        return self._log(number).read_text()

    def approved(self, count: int = 1) -> list[str]:
        """Requests that the rule approved; a replica makes them real."""
        scope = catalog.scope_to_json(catalog.scope_of(self.catalog.entitlements["read_orders"]))
        now = self.clock.now()
        made = [
            a_request(
                entitlement="read_orders",
                scope=scope,
                rule="owners",
                verdict=model.Verdict.AUTO_APPROVE,
                needs=0,
                created_at=now,
            )
            for _ in range(count)
        ]
        for request in made:
            with self.store.begin(store.SYSTEM) as tx:
                outcome.ask(tx, request)
        return [request.id for request in made]

    def live(self, count: int = 1) -> list[str]:
        """Grants that are active, and said to be: who dies while posting may say a line twice."""
        ids = self.approved(count)
        self.wait(lambda: all(self.status(i) is model.GrantStatus.ACTIVE for i in ids))
        self.wait(lambda: self.store.outbox_depth() == 0)
        return ids

    def end_at(self, ids: list[str], moment: datetime) -> None:
        """All of them are due in the same instant."""
        with self.store.begin(store.SYSTEM) as tx:
            for grant_id in ids:
                tx.note_grant(grant_id, model.GrantStatus.ACTIVE, event=None, expires_at=moment)

    def status(self, grant_id: str) -> model.GrantStatus:
        return self.store.grant(grant_id).status

    def wait(self, condition: Any, timeout: float = PATIENCE) -> None:
        wait_for(condition, timeout)

    def is_paused(self, number: int) -> bool:
        stat = pathlib.Path(f"/proc/{self.replicas[number].pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def signal(self, number: int, what: signal.Signals) -> None:
        pid = self.replicas[number].pid
        assert pid is not None
        os.kill(pid, what)

    def settled(self, ids: list[str]) -> None:
        """Everything is over, said, and was done and said once."""
        self.wait(lambda: all(self.status(i) in FINAL for i in ids))
        self.wait(lambda: self.store.outbox_depth() == 0)
        for grant_id in ids:
            events = Counter(event.type for event in self.store.events_of(grant_id))
            once = ("grant.active", "grant.revoking", "grant.access_ended")
            assert {name: events[name] for name in once} == dict.fromkeys(once, 1), events
            assert events["grant.ended"] + events["grant.revoked"] == 1
            self.thread_is_right(grant_id)
        assert self.roles() == []
        assert self.store.verify_chain().ok

    def thread_is_right(self, grant_id: str) -> None:
        """One card, which shows the end; under it each line once and in order."""
        cards = [m for m in self.workspace.messages("C0ACCESS") if m.thread_ts in (None, m.ts)]
        story = self.store.story(grant_id)
        (card,) = [m for m in cards if grant_id in str(m.blocks)]
        ref = story.message("card")
        assert ref is not None
        assert card.ts == ref.ts
        assert "Active until" not in str(card.blocks)
        thread = self.workspace.messages("C0ACCESS", thread_ts=card.ts)
        said = [m.text for m in sorted(thread, key=lambda m: m.ts) if m.ts != card.ts]
        assert len(said) == len(set(said))
        expected = ["Live as", "Access ended and verified"]
        found = [next(n for n, text in enumerate(said) if words in text) for words in expected]
        assert found == sorted(found)
        assert found[-1] == len(said) - 1

    def roles(self) -> list[str]:
        with psycopg.connect(self.shop.admin_url) as admin:
            query = "SELECT rolname FROM pg_roles WHERE rolname ~ '^jit_[0-9a-z]{8}$'"
            return [name for (name,) in admin.execute(query)]

    def lanes_out_of_order(self) -> list[str]:
        box = tables.outbox
        with self.store._database.read() as connection:
            rows = connection.execute(sa.select(box.c.lane, box.c.settled_at).order_by(box.c.id))
            latest: dict[str, datetime] = {}
            wrong = []
            for lane, settled_at in rows:
                wrong += [lane] if settled_at < latest.get(lane, settled_at) else []
                latest[lane] = settled_at
        return wrong

    def close(self) -> None:
        for replica in self.replicas:
            if replica.pid is not None:
                os.kill(replica.pid, signal.SIGCONT)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(bot_process.BotProcess.stop, self.replicas))
        self.store.close()


def measured(what: str) -> None:
    """Shown with `-s`."""
    sys.stdout.write(f"\n{what}\n")


@pytest.fixture
def fleet(
    tmp_path: pathlib.Path, shop: Shop, workspace_server: server.Server, record_url: str
) -> Iterator[Fleet]:
    made = Fleet(tmp_path, shop, workspace_server, record_url)
    yield made
    made.close()


@pytest.mark.fault(
    "F-45",
    "several replicas find the same grants due",
    how="two and four real processes, a burst",
    expects="each ended once, one summary, threads in order",
)
@pytest.mark.parametrize("replicas", [2, 4])
def test_a_burst_is_ended_once_by_several_replicas(fleet: Fleet, replicas: int) -> None:
    fleet.start(*[""] * replicas)
    ids = fleet.live(BURST)
    due = datetime.now(UTC) + timedelta(seconds=2)
    fleet.end_at(ids, due)
    fleet.settled(ids)
    assert fleet.lanes_out_of_order() == []
    assert len(fleet.store.replicas()) == replicas
    ended = [fleet.store.grant(i).access_ended_at for i in ids]
    lags = sorted((at - due).total_seconds() for at in ended if at is not None)
    shares = [fleet.log(n).count("grant_over") for n in range(replicas)]
    measured(
        f"{replicas} replicas, {BURST} at once: lag p50 {statistics.median(lags):.2f} s,"
        f" max {lags[-1]:.2f} s; ended by each: {shares}"
    )
    assert sum(shares) == BURST
    assert 0 <= lags[0] <= lags[-1] < TAKEN_OVER


@pytest.mark.fault(
    "F-45i",
    "a replica dies while it ends grants",
    how="SIGKILL of a real process",
    expects="another ends them within 15 s; nothing is doubled",
)
def test_what_a_killed_replica_was_ending_is_taken_over(fleet: Fleet) -> None:
    fleet.start("access-closed:kill", "")
    ids = fleet.live(3)
    fleet.signal(1, signal.SIGSTOP)
    fleet.end_at(ids, datetime.now(UTC))
    fleet.wait(lambda: not fleet.replicas[0].alive)
    died = time.monotonic()
    fleet.signal(1, signal.SIGCONT)
    fleet.wait(lambda: all(fleet.store.grant(i).access_ended_at for i in ids))
    took = time.monotonic() - died
    measured(f"taken over {took:.1f} s after the kill")
    assert took < TAKEN_OVER
    fleet.settled(ids)


@pytest.mark.fault(
    "F-45c",
    "a replica is paused while it ends a grant, and wakes",
    how="SIGSTOP and SIGCONT of a real process",
    expects="another ends it; the paused one is fenced off; the card is right",
)
def test_a_paused_replica_that_wakes_is_fenced_off(fleet: Fleet) -> None:
    fleet.start("access-closed:pause", "")
    fleet.signal(1, signal.SIGSTOP)
    fleet.wait(lambda: fleet.is_paused(1))
    ids = fleet.approved()
    fleet.wait(lambda: fleet.status(ids[0]) is model.GrantStatus.ACTIVE)
    fleet.end_at(ids, datetime.now(UTC))
    fleet.wait(lambda: fleet.is_paused(0))
    paused = time.monotonic()
    fleet.signal(1, signal.SIGCONT)
    fleet.wait(lambda: fleet.status(ids[0]) is model.GrantStatus.ENDED)
    measured(f"taken over {time.monotonic() - paused:.1f} s after the pause")
    fleet.signal(0, signal.SIGCONT)
    fleet.wait(lambda: "fenced_off" in fleet.log(0))
    fleet.settled(ids)


@pytest.mark.fault(
    "F-45d",
    "a replica is paused while it makes a role that is revoked meanwhile",
    how="SIGSTOP and SIGCONT of a real process",
    expects="the revocation is carried out by another, and no role remains",
)
def test_a_role_made_by_a_paused_replica_does_not_outlive_the_revocation(fleet: Fleet) -> None:
    fleet.start("role-created:pause", "")
    fleet.signal(1, signal.SIGSTOP)
    fleet.wait(lambda: fleet.is_paused(1))
    (grant_id,) = fleet.approved()
    fleet.wait(lambda: fleet.is_paused(0))
    assert fleet.roles() == [fleet.store.grant(grant_id).role_name]
    with fleet.store.begin(store.Actor(kind="operator", id="root", name="root")) as tx:
        tx.move_grant(
            grant_id,
            model.GrantStatus.ACTIVATING,
            model.GrantStatus.REVOKING,
            cause=model.EndCause.OPERATOR,
            revoking_since=tx.at,
        )
    begun = time.monotonic()
    fleet.signal(1, signal.SIGCONT)
    fleet.wait(lambda: fleet.status(grant_id) in FINAL)
    measured(f"taken over {time.monotonic() - begun:.1f} s after the revocation")
    assert time.monotonic() - begun < TAKEN_OVER + 2
    fleet.signal(0, signal.SIGCONT)
    fleet.wait(lambda: fleet.store.outbox_depth() == 0)
    fleet.wait(lambda: fleet.roles() == [])
    events = Counter(event.type for event in fleet.store.events_of(grant_id))
    assert events["grant.active"] == 0
    assert events["grant.access_ended"] == events["grant.revoked"] == 1
