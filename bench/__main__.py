"""`make bench`: set up servers of our own, measure, tell, and keep what was found."""

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import structlog

from bench import cases, kept, measure, openbao, place, stage


def main(arguments: Sequence[str]) -> int:
    """Run the cases named, or all; 1 when a case broke off."""
    asked = _asked(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)  # it tells each job it drops
    chosen = {name: case for name, case in cases.CASES.items() if asked.case in ("", name)}
    if not chosen:
        print(f"There is no case {asked.case}; there are {', '.join(cases.CASES)}.")
        return 2
    if asked.resume:
        chosen = {n: case for n, case in chosen.items() if not kept.is_done(n, asked.size)}
    began, found = time.monotonic(), {name: kept.nothing() for name in chosen}
    with ExitStack() as stack:
        set_up = _stage(stack, stage.SIZES[asked.size])
        for name, case in chosen.items():
            _run(set_up, name, case, found[name])
            if asked.keep:
                kept.write(name, found[name], kept.about(set_up, size=asked.size))
    _table(found)
    _say(f"all {len(chosen)} cases: {time.monotonic() - began:.0f} s")
    return 1 if any(each["broken"] for each in found.values()) else 0


def _asked(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--case", default=os.environ.get("CASE", ""), help="one case alone")
    parser.add_argument(
        "--size",
        choices=list(stage.SIZES),
        default="usual",
        help="small: minutes, to try it; usual: the goals' own sizes; full: hours",
    )
    parser.add_argument("--keep", action="store_true", help="write what was found to bench/results")
    parser.add_argument(
        "--resume", action="store_true", help="leave out what was kept of this size and this code"
    )
    return parser.parse_args(arguments)


def _run(set_up: stage.Stage, name: str, case: stage.Case, found: kept.Found) -> None:
    """One case, to its end or to where it breaks; the next one finds the place empty either way."""
    began = time.monotonic()
    try:
        for told in case(set_up):
            _tell(found, name, told)
    except Exception as error:
        words = _words(error) + (f", as of {_words(error.__cause__)}" if error.__cause__ else "")
        found["broken"] = words[:300]
        _say(f"! {name} broke off: {words[:2000]}")
    for at in filter(None, (set_up.at, set_up.older)):
        with suppress(Exception):  # then the server is what broke, and the next case says so
            at.clear()
    found["took_s"] = round(time.monotonic() - began, 1)
    _say(f"{name}: {found['took_s']:.0f} s")


def _words(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _stage(stack: ExitStack, sizes: stage.Sizes) -> stage.Stage:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jit-bench-")))
    at = place.Place(stack.enter_context(place.serving(folder / "default")), "bench")
    older, programs = None, place.older_server()
    if programs is None:
        _say("No PostgreSQL 15 is installed; only the wheel's is measured.")
    else:
        server = stack.enter_context(place.serving(folder / "older", bin_dir=programs))
        older = place.Place(server, "bench", tables=10)
    baos = stack.enter_context(openbao.running(folder, at))
    if not baos:
        _say("OpenBao's wheel cannot be had; its cases are left out.")
    return stage.Stage(sizes=sizes, folder=folder, at=at, older=older, baos=baos)


def _say(words: str) -> None:
    print(f"· {words}", file=sys.stderr, flush=True)


def _tell(found: kept.Found, case: str, told: stage.Told) -> None:
    row = {"group": case, **told.told()}
    found["lines" if isinstance(told, measure.Line) else "verdicts"].append(row)
    print(json.dumps(row, ensure_ascii=False), flush=True)


def _table(found: dict[str, kept.Found]) -> None:
    for row in _rows(found):
        print(row)


def _rows(found: dict[str, kept.Found]) -> Iterator[str]:
    heads = f"{'n':>7} {'p50 ms':>9} {'p95 ms':>9} {'per s':>8} {'× raw':>7} lost/doubled/failed"
    yield f"\n{'case':34} {'impl':26} {heads}"
    for each in _all(found, "lines"):
        numbers = [each.get(key) for key in ("p50_ms", "p95_ms", "rate")]
        shown = " ".join(
            f"{'' if value is None else value:>{width}}"
            for value, width in zip(numbers, (9, 9, 8), strict=True)
        )
        raw = each.get("ratios", {}).get("raw", "")
        counts = f"{each['lost']}/{each['doubled']}/{each['failed']}"
        yield f"{each['case']:34} {each['impl']:26} {each['n']:>7} {shown} {raw:>7} {counts}"
    yield ""
    for each in sorted(_all(found, "verdicts"), key=lambda row: int(row["goal"][1:])):
        said = f"{each['what']:78} {each['figure']:>20} {each['bound']:>10}"
        yield f"{each['goal']:4} {said}  {measure.standing(each)}"
        if each.get("note"):
            yield f"{'':83} {each['note']}"


def _all(found: dict[str, kept.Found], key: str) -> list[dict[str, Any]]:
    return [row for each in found.values() for row in each[key]]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
