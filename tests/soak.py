"""`make soak`: hundreds of short grants on a real PostgreSQL while the bot is killed again and again.

Real `jit serve` processes on the local workspace, as many as wanted; people ask through the use
cases, hold sessions open and reconnect; at random moments a bot is killed (or stopped for a while)
and started again. A superuser looks at the server all the time and notes when each access is really
over. In the end the invariants are checked, the figures printed, and the exit code is 1 if any of it
is not as promised.
"""

import argparse
import contextlib
import json
import os
import pathlib
import random
import secrets
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from bot import access, catalog, clock, errors, grants, model, store
from bot.demo import bot_process, postgres
from bot.demo.workspace import acts, server
from db_grants.postgres import PostgresEngine
from tests import invariants, reality
from tests.fixtures_core import ANA, Directory
from tests.fixtures_postgres import BOT_PASSWORD, SETTINGS, Shop, make_shop

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


class People:
    """Those who ask, use and outstay: each grant is one errand."""

    def __init__(self, kept: store.Store, shop: Shop, chosen: argparse.Namespace) -> None:
        self._store = kept
        self._shop = shop
        self._chosen = chosen
        self._until = time.monotonic() + chosen.limit
        self._engine = PostgresEngine(shop.bot_url)
        text = CATALOG.replace("DATABASE", shop.database)
        parts: dict[str, Any] = {
            "store": kept,
            "catalog": lambda: catalog.loads(text),
            "directory": Directory(),
            "clock": clock.SystemClock(),
        }
        self._access = access.Access(**parts)
        self._grants = grants.Grants(engines={"shop": self._engine}, **parts)
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
        dice = random.Random(f"{self._chosen.seed}/{number}")
        seconds = dice.uniform(self._chosen.shortest, self._chosen.longest)
        draft = model.Draft(
            requester_id=ANA.id,
            entitlement="read_orders",
            duration=timedelta(seconds=round(seconds)),
            justification=f"errand {number}",
            dedupe_key=f"errand-{number}-{secrets.token_hex(4)}",
        )
        request_id = self._again(lambda: self._access.submit(draft)).request.id
        if not self._reaches(request_id, {model.GrantStatus.ACTIVE, *FINAL}):
            return
        if dice.random() < self._chosen.sessions:
            self._use(request_id, storm=dice.random() < 0.1)
        if dice.random() < 0.1:
            with contextlib.suppress(errors.TooLate):
                self._again(lambda: self._grants.give_back(request_id, ANA.id))
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

    def _use(self, grant_id: str, *, storm: bool) -> None:
        """Open the credentials, log in, and work until cut off; some come again and again."""
        try:
            given = self._again(lambda: self._grants.reveal(grant_id, ANA.id))
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


@dataclass(kw_only=True)
class Outcome:
    """What it came to."""

    figures: dict[str, Any]
    wrong: list[str]


def run(chosen: argparse.Namespace) -> Outcome:
    """Everything set up, done, looked at and taken down."""
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jit-soak-")))
        target = postgres.Server.start(folder / "pg", settings=SETTINGS)
        stack.callback(target.discard)
        shop = make_shop(target, "soak")
        before = reality.postgres("shop", shop.admin_url)
        workspace = stack.enter_context(server.Server(acts.Workspace()))
        environ = _environ(folder, shop, workspace, chosen)
        kept = store.open_store(environ["JIT_DATABASE_URL"], clock.SystemClock())
        stack.callback(kept.close)
        bots = Bots(environ, folder, chosen.replicas)
        stack.callback(bots.stop)
        bots.start()
        people = People(kept, shop, chosen)
        stack.callback(people.close)
        began = time.monotonic()
        watching = Superuser(shop.admin_url)
        try:
            _work(people, bots, kept, chosen)
        finally:
            watching.stop()
        bots.stop()
        took = time.monotonic() - began
        return _judge(kept, shop, before, workspace.workspace, watching, people, bots, took)


def _environ(
    folder: pathlib.Path, shop: Shop, running: server.Server, chosen: argparse.Namespace
) -> dict[str, str]:
    (folder / "catalog.yml").write_text(CATALOG.replace("DATABASE", shop.database))
    record = f"sqlite:///{folder / 'state.sqlite3'}"
    if chosen.record == "postgresql":
        with psycopg.connect(shop.server.admin_url, autocommit=True) as admin:
            admin.execute("CREATE DATABASE record")
        record = shop.server.url_for_admin("record")
    return {
        "SLACK_BOT_TOKEN": running.workspace.bot_token,
        "SLACK_APP_TOKEN": running.workspace.app_token,
        "SLACK_API_URL": running.api_url,
        "JIT_DATABASE_URL": record,
        "JIT_CATALOG": str(folder / "catalog.yml"),
        "SHOP_URL": shop.bot_url,
    }


def _work(people: People, bots: Bots, kept: store.Store, chosen: argparse.Namespace) -> None:
    over = threading.Event()
    trouble = threading.Thread(target=bots.trouble, args=(chosen, over), name="trouble")
    trouble.start()
    try:
        people.errands()
    finally:
        over.set()
        trouble.join()
    _wait(lambda: kept.outbox_depth() == 0, chosen.patience)


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(errors.Busy, errors.StoreError):
            if condition():
                return True
        time.sleep(0.2)
    return False


def _judge(
    kept: store.Store,
    shop: Shop,
    before: reality.Target,
    workspace: acts.Workspace,
    watching: Superuser,
    people: People,
    bots: Bots,
    took: float,
) -> Outcome:
    recorded, found = (
        reality.record(kept, datetime.now(UTC)),
        reality.postgres("shop", shop.admin_url),
    )
    said = reality.of_workspace(workspace, recorded)
    shut = sorted(_lags(recorded, watching.shut))
    possible = sorted(_lags(recorded, watching.possible))
    summaries = Counter(s.request_id for s in said.said if s.kind == "summary" and s.at is None)
    figures: dict[str, Any] = {
        "grants": len(recorded.grants),
        "ended as": dict(Counter(str(grant.status) for grant in recorded.grants.values())),
        "seconds": round(took),
        **bots.done,
        "sessions cut": sum(grant.sessions_cut for grant in recorded.grants.values()),
        "end lag in s (door shut by us, no session)": _spread(shut),
        "end lag in s (nothing possible any more)": _spread(possible),
        "over 15 s": sum(lag > 15 for lag in shut),
        "alarms": sum(event.type == "alarm.overdue" for event in recorded.events),
        "orphans": len(found.managed),
        "residue": sum(bool(grant.residue) for grant in recorded.grants.values()),
        "lost": len(people.given_up)
        + sum(grant.status not in FINAL for grant in recorded.grants.values()),
        "doubled ends": sum(
            recorded.types(id_).count("grant.access_ended") > 1 for id_ in recorded.grants
        ),
        "summaries missing": len(_owed(recorded) - summaries.keys()),
        "summaries twice": sum(n > 1 for n in summaries.values()),
        "unsaid": recorded.waiting,
    }
    return Outcome(
        figures=figures,
        wrong=[*_wrong(figures), *_violated(recorded, found, said, before, people, bots)],
    )


def _owed(recorded: reality.Record) -> set[str]:
    return {grant.id for grant in recorded.grants.values() if grant.activated_at is not None}


def _lags(recorded: reality.Record, ends: Ends) -> Iterator[float]:
    """From the moment access should have ended to the first look at which it had."""
    for grant in recorded.grants.values():
        due = min(filter(None, (grant.expires_at, grant.revoking_since)))
        if grant.activated_at is not None and grant.role_name in ends.over:
            yield ends.over[grant.role_name] - due.timestamp()


def _spread(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    at = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    last = len(values) - 1
    return {name: round(values[min(last, int(part * len(values)))], 3) for name, part in at.items()}


def _wrong(figures: dict[str, Any]) -> list[str]:
    must_be_none = ("orphans", "residue", "lost", "doubled ends", "summaries missing", "unsaid")
    return [f"{name}: {figures[name]}" for name in must_be_none if figures[name]]


def _violated(
    recorded: reality.Record,
    found: reality.Target,
    said: reality.Transcript,
    before: reality.Target,
    people: People,
    bots: Bots,
) -> list[str]:
    seen = invariants.Evidence(
        record=recorded,
        targets=[found],
        transcript=said,
        secrets={BOT_PASSWORD, *people.secrets},
        before=[before],
        logs=bots.logs,
    )
    broken = [
        f"{name}: {violation}"
        for name, holds in invariants.INVARIANTS.items()
        for violation in holds(seen)
    ]
    late = [
        f"{g.id} ended {g.access_ended_at - g.expires_at} late without an alarm"
        for g in recorded.grants.values()
        if g.access_ended_at is not None
        and g.access_ended_at - g.expires_at > invariants.LIMIT
        and "alarm.overdue" not in recorded.types(g.id)
    ]
    return broken + late + people.given_up


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(prog="soak", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--grants", type=int, default=500)
    parser.add_argument("--shortest", type=float, default=5, help="seconds of access")
    parser.add_argument("--longest", type=float, default=20, help="seconds of access")
    parser.add_argument("--people", type=int, default=24, help="grants at a time")
    parser.add_argument("--sessions", type=float, default=0.6, help="share that logs in")
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--record", choices=["sqlite", "postgresql"], help="default: by replicas")
    parser.add_argument("--kill-every", type=float, default=10, help="seconds, on average")
    parser.add_argument(
        "--away", type=float, default=3, help="seconds a killed bot is away, at most"
    )
    parser.add_argument(
        "--pauses", type=float, default=0.0, help="share of kills that are SIGSTOPs"
    )
    parser.add_argument("--limit", type=float, default=900, help="seconds; then it is given up")
    parser.add_argument("--patience", type=float, default=60, help="seconds to say the rest")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    chosen.record = chosen.record or ("sqlite" if chosen.replicas == 1 else "postgresql")
    return chosen


def main(arguments: Sequence[str]) -> int:
    """Run it and tell; the exit code."""
    chosen = options(arguments)
    outcome = run(chosen)
    if chosen.json:
        print(json.dumps({"options": vars(chosen), **outcome.figures, "wrong": outcome.wrong}))
    else:
        for name, value in outcome.figures.items():
            print(f"{name + ':':44} {value}")
        print(*(f"WRONG {each}" for each in outcome.wrong), sep="\n")
        print("held" if not outcome.wrong else f"{len(outcome.wrong)} things are wrong")
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
