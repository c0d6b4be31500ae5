"""Who takes part in a soak: bots that are killed, people who ask, a superuser who watches."""

import argparse
import contextlib
import os
import pathlib
import queue
import random
import secrets
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg

from bot import catalog, clock, errors, model, store
from bot.asking import access, grants
from bot.demo import bot_process
from db_grants.postgres import PostgresEngine
from tests.fixtures_core import Directory, person
from tests.fixtures_postgres import Shop

CATALOG = """
channels: {approvals: "#db-access", audit: "#db-audit"}
targets:
  shop: {url_env: SHOP_URL, environment: production, database: DATABASE}
entitlements:
  read_orders:
    target: shop
    scope: [{table: app.orders, can: read}]
    requesters: [everyone]
    approval: owners
rules:
  owners: {approvers: ["@data-owners"], auto_approve_up_to: 30m}
"""
LOOK_EVERY = 0.02  # seconds
FINAL = frozenset(model.GrantStatus) - model.LIVE_GRANT
_LOOK = """
SELECT r.rolname, r.rolcanlogin, coalesce(r.rolvaliduntil, 'infinity') > clock_timestamp(),
       (SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = r.oid)
  FROM pg_roles r WHERE r.rolname ~ '^jit_[0-9a-z]{8}$'
"""


@dataclass(kw_only=True)
class Ends:
    """When each role was last seen usable, and first seen not to be after that."""

    usable: dict[str, float] = field(default_factory=dict)
    over: dict[str, float] = field(default_factory=dict)

    def note(self, seen: set[str], at: float) -> None:
        for name in seen:
            self.usable[name] = at
            self.over.pop(name, None)
        for name in self.usable.keys() - seen - self.over.keys():
            self.over[name] = at


class Superuser:
    """Looks at the server all the time."""

    def __init__(self, admin_url: str) -> None:
        self.shut = Ends()  # usable: may log in as far as the role says, or has a session
        self.possible = Ends()  # usable: could really do something: VALID UNTIL counts
        self._url = admin_url
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="superuser")
        self._thread.start()

    def _look(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as admin:
            while not self._over.wait(LOOK_EVERY):
                rows = admin.execute(_LOOK).fetchall()
                at = time.time()
                self.shut.note({name for name, login, _, n in rows if login or n}, at)
                timely = {name for name, login, valid, n in rows if (login and valid) or n}
                self.possible.note(timely, at)

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


class Bots:
    """The replicas, and what happens to them."""

    def __init__(self, environ: dict[str, str], folder: pathlib.Path, count: int) -> None:
        self.logs = [folder / f"bot{n}.log" for n in range(count)]
        self.all = [bot_process.BotProcess(environ, log, folder) for log in self.logs]
        self.done: Counter[str] = Counter()

    def start(self) -> None:
        for each in self.all:
            each.start()

    def trouble(self, chosen: argparse.Namespace, over: threading.Event) -> None:
        """Until it is over, kill or stop one at random, and let it come back."""
        dice = random.Random(chosen.seed)
        while not over.wait(dice.expovariate(1 / chosen.kill_every)):
            victim = dice.choice(self.all)
            if chosen.pauses and dice.random() < chosen.pauses:
                self._pause(victim, dice.uniform(1, 12), over)
                continue
            victim.kill()
            self.done["kills"] += 1
            over.wait(dice.uniform(0, chosen.away))
            victim.start()

    def _pause(self, victim: bot_process.BotProcess, seconds: float, over: threading.Event) -> None:
        if victim.pid is None:
            return
        self.done["pauses"] += 1
        pid = victim.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            over.wait(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)

    def stop(self) -> None:
        for each in self.all:
            each.stop()


def crowd(size: int) -> list[model.Person]:
    """So many colleagues."""
    return [person(f"U0ANA{number}", f"Ana {number}") for number in range(size)]


class People:
    """Those who ask, use and outstay: each grant is one errand."""

    def __init__(self, kept: store.Store, shop: Shop, chosen: argparse.Namespace) -> None:
        self._store = kept
        self._shop = shop
        self._chosen = chosen
        self._until = time.monotonic() + chosen.limit
        self._engine = PostgresEngine(shop.bot_url)
        text = CATALOG.replace("DATABASE", shop.database)
        directory = Directory()
        directory.people |= {each.id: each for each in crowd(chosen.people)}
        parts: dict[str, Any] = {
            "store": kept,
            "catalog": lambda: catalog.loads(text),
            "directory": directory,
            "clock": clock.SystemClock(),
        }
        self._access = access.Access(**parts)
        self._grants = grants.Grants(engines={"shop": self._engine}, **parts)
        self._idle: queue.SimpleQueue[str] = queue.SimpleQueue()  # who holds nothing now
        for each in crowd(chosen.people):
            self._idle.put(each.id)
        self.secrets: set[str] = set()
        self.given_up: list[str] = []

    def errands(self) -> None:
        """All of them, so many at a time."""
        with futures.ThreadPoolExecutor(self._chosen.people) as pool:
            list(pool.map(self._errand, range(self._chosen.grants)))

    def close(self) -> None:
        self._engine.dispose()

    def _errand(self, number: int) -> None:
        if time.monotonic() > self._until:
            self.given_up.append(f"errand {number}: not begun, the time was over")
            return
        who = self._idle.get()  # a rule gives nothing twice to one person
        self._run(number, who)
        self._idle.put(who)

    def _run(self, number: int, who: str) -> None:
        dice = random.Random(f"{self._chosen.seed}/{number}")
        seconds = dice.uniform(self._chosen.shortest, self._chosen.longest)
        draft = model.Draft(
            requester_id=who,
            entitlement="read_orders",
            duration=timedelta(seconds=round(seconds)),
            justification=f"errand {number}",
            dedupe_key=f"errand-{number}-{secrets.token_hex(4)}",
        )
        request_id = self._again(lambda: self._access.submit(draft)).request.id
        if not self._reaches(request_id, {model.GrantStatus.ACTIVE, *FINAL}):
            return
        if dice.random() < self._chosen.sessions:
            self._use(request_id, who, storm=dice.random() < 0.1)
        if dice.random() < 0.1:
            with contextlib.suppress(errors.TooLate):
                self._again(lambda: self._grants.give_back(request_id, who))
        self._reaches(request_id, FINAL)

    def _again(self, act: Callable[[], Any]) -> Any:
        """A record that is busy is asked again, as a person would."""
        while True:
            try:
                return act()
            except (errors.Busy, errors.StoreError):
                if time.monotonic() > self._until:
                    raise
                time.sleep(0.2)

    def _reaches(self, grant_id: str, wanted: set[model.GrantStatus] | frozenset[Any]) -> bool:
        while time.monotonic() < self._until:
            if self._again(lambda: self._store.grant(grant_id)).status in wanted:
                return True
            time.sleep(0.1)
        self.given_up.append(f"{grant_id}: not {'/'.join(sorted(wanted))} when the time was over")
        return False

    def _use(self, grant_id: str, who: str, *, storm: bool) -> None:
        """Open the credentials, log in, and work until cut off; some come again and again."""
        try:
            given = self._again(lambda: self._grants.reveal(grant_id, who))
        except (errors.TooLate, errors.NotAllowed):
            return
        self.secrets.add(given.password)
        url = self._shop.server.url(self._shop.database, given.role, given.password)
        with contextlib.suppress(psycopg.Error):
            while time.monotonic() < self._until:
                with psycopg.connect(url, autocommit=True) as session:
                    session.execute("SELECT count(*) FROM app.orders")
                    while not storm:
                        session.execute("SELECT pg_sleep(0.2)")
