"""`make bench-page`: docs/benchmarks.md from the results that are committed, and from nothing else."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import cases

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
RESULTS = Path(__file__).parent / "results"

_HEAD = """# Benchmarks

Made by `make bench-page` from `bench/results`; not written by hand. `make bench ARGS=--keep` measures
again, `make bench CASE=grant` one case alone, `make bench-smoke` only what noise cannot touch.

## Method

- Every run brings its own PostgreSQL servers (fsync on, SCRAM, loopback TCP), its own record on SQLite
  and on PostgreSQL, and OpenBao where its wheel can be had. Nothing else is needed.
- Implementations take turns round by round, each round beginning with another; the first tenth of the
  rounds is left out. Medians and p95 are of what is left. Only ratios within one case mean anything:
  milliseconds change by half between runs of the same machine.
- **raw** is the physical limit: one connection, a precomputed SCRAM verifier, one membership; shut, cut,
  drop. No record, no audit, no proof. It acts as the same unprivileged bot as ours.
- **ours** is the engine by its public API: create and verify, then a password; close, then remove and
  search every catalogue for what is left. **ours-service** adds decision, record, audit and messages.
- **vault-sql** is Vault's documented direct grants and revocation, as a superuser. **teleport-sql** is
  Teleport's procedure; it never ends a session. **apscheduler** is one persistent job a grant, which
  ends it by raw SQL; with the default grace of a second, and without limit.
- **openbao** is the real server by HTTP, with settings in its favour: storage in memory, no TLS, no
  audit, a superuser's connection. *membership* has revocation statements of two lines, *direct* is as
  documented.

## Limits

- All on one machine, which also runs the clients: rates are of client and server together.
- With a millisecond of network every turn on the wire costs one more; `make bench-smoke` counts turns.
- OpenBao's bursts are spread over the time its leases took to make; it cannot be given one instant.
- The sweeper of 60 s is worked out, not run.
- Each case says its size. The small and the usual one are smaller than the goals' own sizes, and a
  goal met there is not yet met at its own; `ARGS="--size full"` runs those and takes hours.
- The machine of the committed run did other work as well; what is close to its bound is undecided.
"""


def text() -> str:
    """The page as the committed results say it."""
    found = [(name, _read(name)) for name in cases.CASES if (RESULTS / f"{name}.json").exists()]
    return "\n".join([_HEAD, *_goals(found), *_runs(found)])


def _read(name: str) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return kept


def _goals(found: list[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    yield "## Goals\n\n| goal | what | measured | goal is | |\n|---|---|---:|---:|---|"
    rows = [row for _, kept in found for row in kept["verdicts"]]
    for row in sorted(rows, key=lambda row: int(row["goal"][1:])):
        met = {True: "met", False: "**not met**", None: "not measured"}[row["met"]]
        yield f"| {row['goal']} | {row['what']} | {row['figure']} | {row['bound']} | {met} |"
    yield ""


def _runs(found: list[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    for name, kept in found:
        about = kept["about"]
        yield f"## {name}\n\n{_about(about)}\n"
        if kept["broken"]:
            yield f"This case broke off: `{kept['broken']}`\n"
        yield "| case | implementation | n | p50 ms | p95 ms | per s | × raw | lost / doubled / failed |"
        yield "|---|---|---:|---:|---:|---:|---:|---|"
        for line in kept["lines"]:
            yield _row(line)
        yield from _notes(kept["lines"])
        yield ""


def _about(about: dict[str, Any]) -> str:
    servers = ", ".join(about["postgresql"])
    peer = f", OpenBao {about['openbao']}" if about["openbao"] else ", no OpenBao"
    return (
        f"{about['at'][:10]}, {about['cores']} cores, Python {about['python']}, "
        f"PostgreSQL {servers}{peer}, size {about['size']}."
    )


def _row(line: dict[str, Any]) -> str:
    shown = [
        line.get("p50_ms"),
        line.get("p95_ms"),
        line.get("rate"),
        line.get("ratios", {}).get("raw"),
    ]
    numbers = " | ".join("" if value is None else f"{value:,}" for value in shown)
    counts = f"{line['lost']} / {line['doubled']} / {line['failed']}"
    return f"| {line['case']} | {line['impl']} | {line['n']:,} | {numbers} | {counts} |"


def _notes(lines: list[dict[str, Any]]) -> Iterator[str]:
    growing = {
        (line["case"], line["impl"]): line["growth"]
        for line in lines
        if line.get("growth") is not None
    }
    if growing:
        yield "\nGrowth (slope of log time over log n):\n"
        for (case, impl), growth in growing.items():
            yield f"- {case}, {impl}: {growth}"
    told = [line for line in lines if line.get("facts")]
    if told:
        yield "\nAlso:\n"
        for line in told:
            facts = ", ".join(f"{key} {value}" for key, value in line["facts"].items())
            yield f"- {line['case']}, {line['impl']}, {line['n']:,}: {facts}"


def main() -> None:
    """Write the page."""
    PAGE.write_text(text() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
