"""A company's year on one bot: `python -m bench.company NAME SIZE STATE_URL`, alone in its process.

The load is that of a model (`COMPANIES`). What a year leaves on the record is written in bulk; then a
stretch of the peak hour is lived through event by event, on a clock that is moved, with the real
decision, record, sweeps, lanes, ends and outbox, targets in memory, and a Slack that keeps to its
published limits. On that state everything is measured. Prints one JSON object.
"""

import gc
import json
import logging
import random
import resource
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from bench import history, limits, measure, town
from bot import model, store
from bot.audit import digest
from proof import invariants, reality


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """The load: 25 % of the engineers ask on a day, 2 to 3 times; 15 % of a day in its peak hour;
    two hours a grant. An assumption, not a source. `services` ask ten times as often.
    """

    requests: int  # a working day
    live: int  # grants at the peak
    at_once: int  # that end in one instant: "until six"
    targets: int

    @property
    def peak(self) -> float:
        """Requests a second in the peak hour."""
        return self.requests * 0.15 / 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How much of a company's year is written, how much is lived through, and what ends at once."""

    past: int  # lives that are over
    lived: int  # requests, at the pace of the peak hour
    at_once: int


COMPANIES = {
    "100": Company(requests=60, live=12, at_once=10, targets=3),
    "10k": Company(requests=6_000, live=1_200, at_once=1_000, targets=20),
    "100k": Company(requests=60_000, live=12_000, at_once=10_000, targets=100),
    "100k+services": Company(requests=600_000, live=120_000, at_once=10_000, targets=100),
}
DAYS = 260  # working days a year
SHARES: Mapping[str, Mapping[str, Share]] = {
    "small": {
        "100": Share(past=500, lived=20, at_once=10),
        "10k": Share(past=500, lived=30, at_once=50),
    },
    "usual": {
        "100": Share(past=60 * DAYS, lived=60, at_once=10),
        "10k": Share(past=20_000, lived=45, at_once=1_000),
        "100k": Share(past=10_000, lived=75, at_once=2_000),
    },
    "full": {
        "100": Share(past=60 * DAYS, lived=60 * 20, at_once=10),
        "10k": Share(past=6_000 * DAYS, lived=900, at_once=1_000),
        "100k": Share(past=60_000 * 10, lived=900, at_once=10_000),
        "100k+services": Share(past=60_000 * 10, lived=900, at_once=10_000),
    },
}
_START = datetime(2026, 6, 1, 14, tzinfo=UTC)  # a Monday's peak hour
_OPERATIONS = 25  # of each kind, timed on the whole state


def run(name: str, size: str, url: str) -> dict[str, Any]:
    """Everything about one company."""
    company, share = COMPANIES[name], SHARES[size][name]
    with town.running(url, _START, company.targets) as made:
        told: dict[str, Any] = {
            "peak_per_s": round(company.peak, 4),
            "state": url.partition(":")[0],
        }
        told |= _written(made, company, share)
        told |= _looked(made)
        told |= _worked(made)
        told |= _lived(made, company, share)
        told |= _ended_at_once(made, company, share)
        told |= {"resident_mb": _resident()}
        told |= _verified(made, told)
        told |= _walls(told)
    return told


def _written(made: town.Town, company: Company, share: Share) -> dict[str, Any]:
    """The past, and what is live now, with roles on the targets."""
    empty, dice = made.bytes(), random.Random(4)
    over = history.mould(town.MOULD, over=True)
    step = timedelta(days=365) / max(1, share.past)
    past = (
        history.Life(
            id=model.new_id(),
            asked_at=_START - over.lasted - timedelta(hours=1) - step * (share.past - n),
            oid=10_000_000 + n,
            target=made.target(n),
            person=f"U0E{n % 9973:05}",
        )
        for n in range(share.past)
    )
    took = measure.timed(lambda: history.write(made.store, over, past))
    grown = made.bytes() - empty
    made.go_live(
        [(dice.uniform(60, 7200), f"U0E{n:05}", made.target(n)) for n in range(company.live)]
    )
    each = grown / share.past if share.past else 0
    return {
        "past_lives": share.past,
        "live": company.live,
        "written_per_s": round(share.past / took) if share.past else 0,
        "bytes_per_life": round(each),
        "record_mb": round(made.bytes() / 1e6, 1),
    }


def _looked(made: town.Town) -> dict[str, Any]:
    """What a look costs when nothing is due, and the first look at every target."""
    first = measure.timed(made.sweep)
    sweeps = [measure.timed(made.service.scheduler.sweep) for _ in range(10)]
    made.settle()
    now = made.clock.now()

    def sum_up(since: timedelta) -> None:
        digest.of_period(made.store, since=now - since, until=now, zone="UTC", now=now)

    return {
        "first_look_s": round(first, 2),
        "sweep_ms": _ms(sweeps),
        "digest_day_ms": _ms([measure.timed(lambda: sum_up(timedelta(days=1)))]),
        "digest_hour_ms": _ms([measure.timed(lambda: sum_up(timedelta(hours=1)))]),
    }


def _worked(made: town.Town) -> dict[str, Any]:
    """Each step of a life by itself; and what it says, to a Slack that takes all, and to one that waits."""
    took: dict[str, list[float]] = {}
    made.hush()
    for number in range(_OPERATIONS):
        for step, seconds in _life(made, number, made.hear).items():
            took.setdefault(step, []).append(seconds)
    said = dict(made.heard)
    made.heard.clear()
    for number in range(_OPERATIONS):
        _life(made, _OPERATIONS + number, lambda: None)
        made.hear()
    whole = sum(statistics.median(seconds) for seconds in took.values())
    told = {f"{step}_ms": _ms(seconds) for step, seconds in took.items()}
    told |= {f"{where}_per_life": n / _OPERATIONS for where, n in said.items()}
    late = {f"{where}_late_per_life": made.heard[where] / _OPERATIONS for where in said}
    return told | {"life_ms": round(whole * 1000, 1)} | late


def _life(made: town.Town, number: int, hear: Callable[[], None]) -> dict[str, float]:
    """`hear` is called after each step, and is not measured."""
    grants, who = made.service.grants, f"U0W{number:05}"
    took: dict[str, float] = {}

    def do(step: str, act: Callable[[], object]) -> None:
        took[step] = measure.timed(act)
        hear()

    ids: list[str] = []
    do("ask", lambda: ids.append(made.ask(made.draft(number, who))))
    grant_id = ids[0]
    made.clock.advance(timedelta(seconds=1))
    do("decide", lambda: made.approve(grant_id))
    do("make", lambda: grants.activate(grant_id))
    do("open", lambda: grants.reveal(grant_id, who))
    made.clock.advance(timedelta(seconds=1))
    grants.give_back(grant_id, who)
    hear()
    do("shut", lambda: grants.close(grant_id))
    do("clean", lambda: grants.clean(grant_id))
    return took


def _lived(made: town.Town, company: Company, share: Share) -> dict[str, Any]:
    """A stretch at the pace of the peak hour, by the moved clock."""
    began, said = made.clock.now(), made.slack.said
    spent = measure.timed(lambda: made.live(share.lived, company.peak))
    passed = (made.clock.now() - began).total_seconds()
    waits = made.slack.waits or [0.0]
    told = {
        "lived": share.lived,
        "lived_virtual_s": round(passed),
        "lived_real_s": round(spent, 1),
        "said": made.slack.said - said,
        "said_wait_p50_s": round(statistics.median(waits), 1),
        "said_wait_p95_s": round(measure.percentile(waits, 95), 1),
        "unsaid_at_the_end": made.store.outbox_depth(),
        "refused": made.slack.limits.refused,
        "say_ms": round(1000 * made.saying / max(1, made.slack.said - said), 2),
    }
    made.hush()
    return told


def _ended_at_once(made: town.Town, company: Company, share: Share) -> dict[str, Any]:
    """Many deadlines in one instant; how long until all doors are shut, and all is removed."""
    made.go_live([(900.0, f"U0X{n:05}", made.target(n)) for n in range(share.at_once)])
    made.clock.advance(timedelta(seconds=901))
    shut, gone = made.end_all()
    due = share.at_once
    return {
        "at_once": due,
        "at_once_of": company.at_once,
        "lane_depth_max": made.deepest,
        "at_once_shut_s": round(shut, 2),
        "at_once_gone_s": round(gone, 2),
    }


def _verified(made: town.Town, told: Mapping[str, Any]) -> dict[str, Any]:
    """The whole chain; then every invariant, on record and targets."""
    total, _ = made.store.chain_head()
    took = measure.timed(lambda: _sound(made.store))
    gc.collect()
    seen = reality.record(made.store, made.clock.now(), dump=False)
    targets = [reality.in_memory(name, engine) for name, engine in made.engines.items()]
    invariants.check(seen, targets, reality.Transcript())
    del told
    return {"events": total, "verified_per_s": round(total / took)}


def _sound(kept: store.Store) -> None:
    found = kept.verify_chain()
    assert found.ok, found.problem


def _walls(told: Mapping[str, Any]) -> dict[str, Any]:
    """Lives a second that each part can carry; the least of them is the first wall."""
    per_life = told["life_ms"] / 1000
    carries = {
        "approvals channel": 1 / max(0.01, told["approvals_per_life"]),
        "audit channel": 1 / max(0.01, told["audit_per_life"]),
        "edits": limits.A_MINUTE[limits.UPDATE] / 60 / max(0.01, told["edits_per_life"]),
        "home tabs": limits.A_MINUTE[limits.PUBLISH] / 60 / max(0.01, told["homes_per_life"]),
        "one process": 1 / per_life,
    }
    first = min(carries, key=lambda name: carries[name])
    return {
        "carries_per_s": {name: round(rate, 3) for name, rate in carries.items()},
        "first_wall": first,
        "share_of_it": round(told["peak_per_s"] / carries[first], 2),
    }


def _ms(seconds: list[float]) -> float:
    return round(statistics.median(seconds) * 1000, 2)


def _resident() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return round(pages * resource.getpagesize() / 1e6, 1)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    print(json.dumps(run(*sys.argv[1:4])))
