"""G11: all access at once by one order: `jit revoke --all`, OpenBao's revoke-prefix, and raw SQL."""

import functools
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench import core, jobs, measure, openbao, ways
from bench.measure import Line, Verdict, at_least, at_most
from bench.stage import GOAL, Stage, Told

_SET_UPS = {  # bound
    openbao.MEMBERSHIP: ("by membership", 2.0),
    openbao.DIRECT: ("as documented", 50.0),
}
_FAIR = {openbao.DURABLE: "like with like", openbao.MEMORY: "extreme"}  # ours keeps everything
_SHUT, _REMOVED = "no access", "removed and proven"
_STEPS = {_SHUT: "shut", _REMOVED: "gone"}  # of an order, as it is told
_DIRECT_MOST = 100  # by OpenBao as documented, which takes a second for ten
_Peer = tuple[openbao.Bao, str]  # and the set-up
_ROOT = Path(__file__).parent.parent.parent


def kill_switch(stage: Stage) -> Iterator[Told]:
    """G11: `jit revoke --all` on a running service, and OpenBao's revoke-prefix, by turns."""
    count = stage.sizes.switch
    raws = [
        jobs.raw(stage.at, way, count, "kill-switch")
        for way in (ways.Raw, ways.RawSuperuser, ways.RawBatches)
    ]
    yield from raws
    ours: dict[str, list[_Order]] = {kind: [] for kind in core.KINDS}
    peers: dict[_Peer, list[float]] = {each: [] for each in itertools.product(stage.baos, _SET_UPS)}
    left = dict.fromkeys(peers, 0)
    turns: list[_Peer | str] = [*peers, *ours]
    for turn in measure.by_turns(stage.sizes.repeats, turns):
        if isinstance(turn, str):
            ours[turn].append(_ordered(stage, turn))
        else:
            seconds, lost = _by_bao(stage, *turn)
            peers[turn].append(seconds)
            left[turn] += lost
        stage.at.clear()
    rates = {raw.impl: raw.rate or 0 for raw in raws}
    for peer, took in peers.items():
        name, most = openbao.named(*peer), _most(stage, peer[1])
        rates[name] = 1 / statistics.median(took)
        facts = {"a second, by turn": ", ".join(f"{1 / each:,.0f}" for each in took)}
        rate = round(rates[name], 1)
        yield Line(case="kill-switch", impl=name, n=most, rate=rate, lost=left[peer], facts=facts)
    for kind, orders in ours.items():
        yield from _told(stage, kind, orders, rates)
    yield from _compared(stage, rates, peers, ours)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """What came of one order. Seconds from its first record, except `typed`."""

    typed: float  # from the command to that: most of it is the start of a process
    spread: float  # to the record of the last grant it ends
    shut: float
    gone: float
    lost: int
    doubled: int


def _told(
    stage: Stage, kind: str, orders: Sequence[_Order], rates: Mapping[str, float]
) -> Iterator[Told]:
    """One run of the command, told thrice: by when access had ended, when all was proven to be gone,
    and when that was since the command began, the start of its process included.
    """
    count = stage.sizes.switch
    lost, doubled = sum(each.lost for each in orders), sum(each.doubled for each in orders)
    typed = statistics.median(each.typed for each in orders)
    facts = {
        "command to first order s": round(typed, 2),
        "first order to last s": round(statistics.median(each.spread for each in orders), 2),
    }
    for case, took in (
        (_SHUT, [each.shut for each in orders]),
        (_REMOVED, [each.gone for each in orders]),
        ("from the command to removed", [each.typed + each.gone for each in orders]),
    ):
        rate = count / statistics.median(took)
        turns = {"s, by turn": ", ".join(f"{each:.2f}" for each in took)}
        yield Line(
            case=f"kill-switch: {case}",
            impl=f"ours/{kind}",
            n=count,
            rate=round(rate, 1),
            ratios={name: round(rate / other, 2) for name, other in rates.items()},
            lost=lost,
            doubled=doubled,
            facts={"s": round(statistics.median(took), 2)}
            | turns
            | (facts if case not in (_SHUT, _REMOVED) else {}),
        )
    words = f"kill switch, {kind}, {count:,} live: lost or doubled"
    yield at_most("G11", words, lost + doubled, 0, size=(count, GOAL.switch))


def _compared(
    stage: Stage,
    rates: Mapping[str, float],
    peers: Mapping[_Peer, Sequence[float]],
    ours: Mapping[str, Sequence[_Order]],
) -> Iterator[Verdict]:
    """Each record by itself, from the moment the order is on it."""
    size = (stage.sizes.switch, GOAL.switch)
    for (bao, role), theirs in peers.items():
        limit = rates[ways.RawBatches.name] / rates[openbao.named(bao, role)]
        set_up, bound = _SET_UPS[role]
        over = f"over {openbao.WORDS[bao.kept]}, {set_up}"
        for (case, of), (kind, orders) in itertools.product(_STEPS.items(), ours.items()):
            took = [getattr(each, of) / stage.sizes.switch for each in orders]
            ratio = measure.ratio(theirs, took)
            top = limit if case == _REMOVED else None
            words = f"{_FAIR[bao.kept]}: {case}/s, {kind}, {over}"
            yield at_least("G11", words, ratio, bound, size=size, limit=top)
        yield measure.told("G11", f"shut, cut and drop by raw SQL in batches/s {over}", limit)


def _ordered(stage: Stage, kind: str) -> _Order:
    count = stage.sizes.switch
    with core.state(stage.folder, kind, stage.at) as url, core.running(stage.at, url) as made:
        ids = core.record(made.store, stage.at, count, core.soon(3600))
        made.service.start()
        made.service.lanes.wait_idle(60)
        typed = datetime.now(UTC)
        _revoke_all(url)
        core.wait(lambda: not core.live(made.store, ids), 240, 0.1)
        grants = [made.store.grant(each) for each in ids]
        _, lost, doubled = core.ended(made.store, ids)
    orders = [each.revoking_since or typed for each in grants]
    first = min(orders)
    return _Order(
        typed=(first - typed).total_seconds(),
        spread=(max(orders) - first).total_seconds(),
        shut=max(((each.access_ended_at or typed) - first).total_seconds() for each in grants),
        gone=max(((each.cleaned_up_at or typed) - first).total_seconds() for each in grants),
        lost=lost + stage.at.live(),
        doubled=doubled,
    )


def _by_bao(stage: Stage, bao: openbao.Bao, role: str) -> tuple[float, int]:
    """Every lease of a role by its prefix: seconds for one, and how many were left. With memberships
    it cuts and drops; it proves nothing.
    """
    count = _most(stage, role)
    for _ in range(count):
        bao.lease(f"{role}-10")
    with stage.at.connect() as admin:
        stage.at.settle(admin)
    took = measure.timed(functools.partial(bao.revoke_all, f"{role}-10"))
    left = stage.at.ask("SELECT 1 FROM pg_roles WHERE rolname LIKE %s", "v-%")
    return took / count, len(left)


def _most(stage: Stage, role: str) -> int:
    """Leases that are made and revoked."""
    switch = stage.sizes.switch
    return switch if role == openbao.MEMBERSHIP else min(_DIRECT_MOST, switch)


def _revoke_all(url: str) -> None:
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(
            [sys.executable, "-m", "bot", "revoke", "--all"],
            env={**os.environ, "JIT_DATABASE_URL": url, "PYTHONPATH": str(_ROOT)},
            cwd=empty,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-300:]
