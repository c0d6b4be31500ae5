"""`make bench-page`: docs/benchmarks.md from the results that are committed, and from nothing else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import cases, kept

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"

_HEAD = """# Benchmarks

Made by `make bench-page` from `bench/results`; not written by hand. `make bench ARGS=--keep` measures
all of it again in one go, `make bench CASE=grant` one case alone, `make bench-smoke` only what noise
cannot touch. `ARGS="--keep --resume"` leaves out what was kept of this size and of the same code.

## Method

- Every run brings its own PostgreSQL servers (fsync on, SCRAM, loopback TCP), its own record on SQLite
  and on PostgreSQL, and OpenBao where its wheel can be had. Nothing else is needed.
- Implementations take turns round by round, each round beginning with another; the first tenth of the
  rounds is left out. Medians and p95 are of what is left. Only ratios within one case mean anything:
  milliseconds change by half between runs of the same machine.
- **raw** is the physical limit: one connection, one membership; shut, cut, drop. No record, no audit, no
  proof. Its SCRAM verifier is made beforehand and used again and again, while ours makes a fresh
  password and verifier for every grant. It acts as the same unprivileged bot as ours.
- **ours** is the engine by its public API: create and verify, then a password; close, then remove and
  search every catalogue for what is left. **ours-service** adds decision, record, audit and messages.
- **vault-sql** is Vault's documented direct grants and revocation, as a superuser. **teleport-sql** is
  Teleport's procedure; it never ends a session. **apscheduler** is one persistent job a grant, which
  ends it by raw SQL; with the default grace of a second, and without limit. **sweeper** ends by raw SQL
  what it finds due at each turn.
- **openbao** is the real server by HTTP, with settings in its favour: storage in memory, no TLS, no
  audit, a superuser's connection. *membership* has revocation statements of two lines, *direct* is as
  documented.
- Big records are made of honest rows: a life that was really lived by the use cases, written again with
  other ids, people and times, and linked into the chain.
- Every case with a record ends with the invariants of [architecture.md](architecture.md), checked from
  outside on the record, the server and what was said. A violation breaks the case off.

## Limits

- All on one machine, which also runs the clients: rates are of client and server together.
- With a millisecond of network every turn on the wire costs one more; `make bench-smoke` counts turns.
- OpenBao's bursts are spread over the time its leases took to make; it cannot be given one instant.
- The sweeper is run each 3 s; what one of 60 s comes to is worked out from that.
- The 100,000 others that wait while one ends are on targets in memory, five thousand each.
- Each case says its size. `usual` is the goals' own size, but for the 50,000 live grants of G5 and the
  10,000 cycles of G18, which `ARGS="--size full"` measures; `small` is for trying it.
- What is close to its bound on a machine that does other work is undecided.
"""
_GOALS = [f"G{n}" for n in range(1, 21)]


def text() -> str:
    """The page as the committed results say it."""
    found = [(name, told) for name in cases.CASES if (told := kept.read(name)) is not None]
    return "\n".join([_HEAD, *_goals(found), *_runs(found)])


def _goals(found: list[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    yield "## Goals\n\n| goal | what | measured | goal is | |\n|---|---|---:|---:|---|"
    rows = [row for _, told in found for row in told["verdicts"]]
    for goal in _GOALS:
        mine = [row for row in rows if row["goal"] == goal]
        for row in mine:
            met = {True: "met", False: "**not met**", None: "not measured"}[row["met"]]
            yield f"| {row['goal']} | {row['what']} | {row['figure']} | {row['bound']} | {met} |"
        if not mine:
            yield f"| {goal} | | | | not measured |"
    yield ""


def _runs(found: list[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    for name, told in found:
        yield f"## {name}\n\n{_about(told['about'])}{_took(told)}\n"
        if told["broken"]:
            yield f"This case broke off: `{told['broken']}`\n"
        if name == "companies":
            yield from _companies(told["lines"])
            continue
        yield "| case | implementation | n | p50 ms | p95 ms | per s | × raw | lost / doubled / failed |"
        yield "|---|---|---:|---:|---:|---:|---:|---|"
        for line in told["lines"]:
            yield _row(line)
        yield from _notes(told["lines"])
        yield ""


def _took(told: dict[str, Any]) -> str:
    return f" Took {told['took_s']:.0f} s." if told.get("took_s") else ""


def _companies(lines: list[dict[str, Any]]) -> Iterator[str]:
    """One column a company, one row a figure."""
    yield "What it means: [running-at-scale.md](running-at-scale.md).\n"
    yield f"| engineers | {' | '.join(line['impl'] for line in lines)} |"
    yield f"|---|{'---:|' * len(lines)}"
    yield f"| requests a day | {' | '.join(_fact(line['n']) for line in lines)} |"
    for key in dict.fromkeys(key for line in lines for key in line["facts"]):
        shown = [_fact(line["facts"].get(key, "")) for line in lines]
        yield f"| {key.replace('_', ' ')} | {' | '.join(shown)} |"
    yield ""


def _fact(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_fact(each)}" for key, each in value.items())
    return value if isinstance(value, str) else f"{value:,}"


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
    peers = [line for line in lines if line["impl"].startswith("ours") and _others(line)]
    if peers:
        yield "\nOurs as a multiple of each other way (of its time, or where there is none, its rate):\n"
        for line in peers:
            yield f"- {line['case']}, {line['impl']}, {line['n']:,}: {_others(line)}"
    told = [line for line in lines if line.get("facts")]
    if told:
        yield "\nAlso:\n"
        for line in told:
            facts = ", ".join(f"{key} {value}" for key, value in line["facts"].items())
            yield f"- {line['case']}, {line['impl']}, {line['n']:,}: {facts}"


def _others(line: dict[str, Any]) -> str:
    """Ratios to peers; raw has its own column."""
    ratios = line.get("ratios", {}).items()
    return ", ".join(f"{name} {ratio:g}" for name, ratio in ratios if name != "raw")


def main() -> None:
    """Write the page."""
    PAGE.write_text(text() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
