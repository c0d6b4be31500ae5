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
import pathlib
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from bot import clock, errors, store
from bot.demo import postgres
from bot.demo.workspace import acts, server
from bot.demo.workspace import people as accounts
from proof import invariants, reality
from tests.fixtures_postgres import BOT_PASSWORD, SETTINGS, Shop, make_shop
from tests.soak_cast import CATALOG, FINAL, Bots, Ends, People, Superuser, crowd


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
        for each in crowd(chosen.people):
            account = accounts.User(id=each.id, name=each.id, real_name=each.name)
            workspace.workspace.add_user(account)
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
