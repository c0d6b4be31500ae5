"""Companies of 100, 10,000 and 100,000 engineers, each in a process of its own; see `bench.company`."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench import company, core
from bench.measure import Line
from bench.stage import Stage, Told

_MOST_SECONDS = {"small": 300, "usual": 900, "full": 20_000}  # for one company
_ROOT = Path(__file__).parent.parent.parent


def companies(stage: Stage) -> Iterator[Told]:
    """What a year of each leaves behind and costs, and where its first wall stands."""
    for name in company.SHARES[stage.sizes.companies]:
        kind = "sqlite" if name == "100" else "postgresql"
        with core.state(stage.folder, kind, stage.at) as url:
            told = _run(name, stage.sizes.companies, url)
        requests = company.COMPANIES[name].requests
        yield Line(case="company", impl=name, n=requests, facts=told)


def _run(name: str, size: str, url: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.company", name, size, url],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=_MOST_SECONDS[size],
    )
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr.strip()[-1500:]}")
    found: dict[str, object] = json.loads(done.stdout)
    return found
