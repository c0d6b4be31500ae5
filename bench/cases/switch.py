"""G11: all access at once by one order: `jit revoke --all`, OpenBao's revoke-prefix, and raw SQL."""

import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from bench import core, jobs, measure, openbao, ways
from bench.measure import Line, at_least, at_most
from bench.stage import GOAL, Stage, Told

_BOUNDS = {openbao.MEMBERSHIP: 2.0, openbao.DIRECT: 50.0}
_SHUT, _REMOVED = "no access", "removed and proven"
_DIRECT_MOST = 100  # by OpenBao as documented, which takes a second for ten
_ROOT = Path(__file__).parent.parent.parent


def kill_switch(stage: Stage) -> Iterator[Told]:
    """G11: `jit revoke --all` on a running service, and OpenBao's revoke-prefix."""
    count = stage.sizes.switch
    others = [
        jobs.raw(stage.at, way, count, "kill-switch")
        for way in (ways.Raw, ways.RawSuperuser, ways.RawBatches)
    ]
    if stage.bao is not None:
        others += [_by_bao(stage, stage.bao, name) for name in _BOUNDS]
    yield from others
    rates = {line.impl: line.rate or 0 for line in others}
    slowest: dict[str, float] = {}
    for kind in core.KINDS:
        for line in _ordered(stage, kind, rates):
            yield line
            slowest[line.case] = min(slowest.get(line.case, line.rate or 0), line.rate or 0)
        words = f"kill switch, {kind}, {count:,} live: lost or doubled"
        size = (count, GOAL.switch)
        yield at_most("G11", words, line.lost + line.doubled, 0, size=size)
    yield from _peers(stage, rates, slowest)


def _peers(stage: Stage, rates: Mapping[str, float], ours: Mapping[str, float]) -> Iterator[Told]:
    """On the slower record of the two, from the moment the order is recorded."""
    size = (stage.sizes.switch, GOAL.switch)
    for name in [each for each in _BOUNDS if each in rates]:
        limit = rates[ways.RawBatches.name] / rates[name]
        for case in (_SHUT, _REMOVED):
            ratio, top = (
                ours[f"kill-switch: {case}"] / rates[name],
                limit if case == _REMOVED else None,
            )
            words = f"{case}/s over {name}"
            yield at_least("G11", words, ratio, _BOUNDS[name], size=size, limit=top)
        words = f"shut, cut and drop by raw SQL in batches/s over {name}"
        yield measure.told("G11", words, limit)


def _ordered(stage: Stage, kind: str, rates: Mapping[str, float]) -> Iterator[Line]:
    """One run of the command, told thrice: by when access had ended, when all was proven to be gone,
    and when that was since the command began, the start of its process included.
    """
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
    lost += stage.at.live()
    orders = [each.revoking_since or typed for each in grants]
    shut = max(each.access_ended_at or typed for each in grants)
    gone = max(each.cleaned_up_at or typed for each in grants)
    facts = {
        "command to first order s": round((min(orders) - typed).total_seconds(), 2),
        "first order to last s": round((max(orders) - min(orders)).total_seconds(), 2),
    }
    for case, since, until in (
        (f"kill-switch: {_SHUT}", min(orders), shut),
        (f"kill-switch: {_REMOVED}", min(orders), gone),
        ("kill-switch: from the command to removed", typed, gone),
    ):
        rate = count / (until - since).total_seconds()
        yield Line(
            case=case,
            impl=f"ours/{kind}",
            n=count,
            rate=round(rate, 1),
            ratios={name: round(rate / other, 2) for name, other in rates.items()},
            lost=lost,
            doubled=doubled,
            facts={"s": round((until - since).total_seconds(), 2)}
            | (facts if since is typed else {}),
        )


def _by_bao(stage: Stage, bao: openbao.Bao, name: str) -> Line:
    """Every lease of a role by its prefix. With memberships it cuts and drops; it proves nothing."""
    count = (
        stage.sizes.switch if name == openbao.MEMBERSHIP else min(_DIRECT_MOST, stage.sizes.switch)
    )
    for _ in range(count):
        bao.lease(f"{name}-10")
    took = measure.timed(functools.partial(bao.revoke_all, f"{name}-10"))
    left = stage.at.ask("SELECT 1 FROM pg_roles WHERE rolname LIKE %s", "v-%")
    return Line(case="kill-switch", impl=name, n=count, rate=round(count / took, 1), lost=len(left))


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
