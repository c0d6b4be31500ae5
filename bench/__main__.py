"""`make bench`: set up servers of our own, measure, tell, and keep what was found."""

import argparse
import json
import logging
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from bench import cases, openbao, place, stage
from bench.measure import Line

RESULTS = Path(__file__).parent / "results"


def main(arguments: Sequence[str]) -> int:
    """Run the cases named, or all; 1 when a case broke off."""
    asked = _asked(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    chosen = {name: case for name, case in cases.CASES.items() if asked.case in ("", name)}
    if not chosen:
        print(f"There is no case {asked.case}; there are {', '.join(cases.CASES)}.")
        return 2
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)  # it tells each job it drops
    found: dict[str, Any] = {"lines": [], "verdicts": [], "broken": {}}
    with ExitStack() as stack:
        set_up = _stage(stack, stage.SIZES[asked.size])
        about = _about(set_up, size=asked.size)
        for name, case in chosen.items():
            began = time.monotonic()
            try:
                for told in case(set_up):
                    _tell(found, name, told)
            except Exception as error:
                found["broken"][name] = f"{type(error).__name__}: {error}"[:300]
                print(f"! {name} broke off: {found['broken'][name]}", file=sys.stderr, flush=True)
            print(f"· {name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            if asked.keep:
                _keep({"about": about, **found}, name)
    _table(found)
    return 1 if found["broken"] else 0


def _asked(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--case", default=os.environ.get("CASE", ""), help="one case alone")
    parser.add_argument("--size", choices=list(stage.SIZES), default="usual", help="how much")
    parser.add_argument("--keep", action="store_true", help="write what was found to bench/results")
    return parser.parse_args(arguments)


def _stage(stack: ExitStack, sizes: stage.Sizes) -> stage.Stage:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jit-bench-")))
    at = place.Place(stack.enter_context(place.serving(folder / "default")), "bench")
    older, programs = None, place.older_server()
    if programs is None:
        print("· No PostgreSQL 15 is installed; only the wheel's is measured.", file=sys.stderr)
    else:
        server = stack.enter_context(place.serving(folder / "older", bin_dir=programs))
        older = place.Place(server, "bench", tables=10)
    bao = stack.enter_context(openbao.running(folder))
    if bao is None:
        print("· OpenBao's wheel cannot be had; its cases are left out.", file=sys.stderr)
    else:
        bao.serve(at)
    return stage.Stage(sizes=sizes, folder=folder, at=at, older=older, bao=bao)


def _about(made: stage.Stage, *, size: str) -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "postgresql": [p.version for p in (made.at, made.older) if p is not None],
        "openbao": openbao.version() if made.bao is not None else None,
        "size": size,
    }


def _tell(found: dict[str, Any], case: str, told: stage.Told) -> None:
    row = {"group": case, **told.told()}
    found["lines" if isinstance(told, Line) else "verdicts"].append(row)
    print(json.dumps(row, ensure_ascii=False), flush=True)


def _table(found: dict[str, Any]) -> None:
    for row in _rows(found):
        print(row)


def _rows(found: dict[str, Any]) -> Iterator[str]:
    heads = f"{'n':>7} {'p50 ms':>9} {'p95 ms':>9} {'per s':>8} {'× raw':>7} lost/doubled/failed"
    yield f"\n{'case':34} {'impl':20} {heads}"
    for each in found["lines"]:
        numbers = [each.get(key) for key in ("p50_ms", "p95_ms", "rate")]
        shown = " ".join(
            f"{'' if value is None else value:>{width}}"
            for value, width in zip(numbers, (9, 9, 8), strict=True)
        )
        raw = each.get("ratios", {}).get("raw", "")
        counts = f"{each['lost']}/{each['doubled']}/{each['failed']}"
        yield f"{each['case']:34} {each['impl']:20} {each['n']:>7} {shown} {raw:>7} {counts}"
    yield ""
    for each in found["verdicts"]:
        met = {True: "met", False: "NOT met", None: "not measured"}[each["met"]]
        yield f"{each['goal']:4} {each['what']:64} {each['figure']:>12} {each['bound']:>9}  {met}"


def _keep(found: dict[str, Any], name: str) -> None:
    """One file a group of cases, so that one can be measured again by itself."""
    RESULTS.mkdir(exist_ok=True)
    kept = {
        "about": found["about"],
        "lines": [row for row in found["lines"] if row["group"] == name],
        "verdicts": [row for row in found["verdicts"] if row["group"] == name],
        "broken": found["broken"].get(name),
    }
    text = json.dumps(kept, indent=1, ensure_ascii=False)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
