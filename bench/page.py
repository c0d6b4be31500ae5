"""`make bench-page`: docs/benchmarks.md from the results that are committed, and from nothing else."""

import inspect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from bench import cases, felt, kept, measure, method

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"


_HEAD = """# Benchmarks

Made by `make bench-page` from `bench/results`; not written by hand.
"""
_GOALS = {
    "G1": "a grant",
    "G2": "an end",
    "G3": "beside OpenBao",
    "G4": "many tables",
    "G5": "many live grants",
    "G6": "many clients",
    "G7": "one deadline",
    "G8": "many deadlines at once",
    "G9": "crash and downtime",
    "G10": "several processes",
    "G11": "kill switch",
    "G12": "many commands at once",
    "G13": "a click, a command",
    "G14": "start and memory",
    "G15": "audit: appending",
    "G16": "audit: verifying",
    "G17": "audit: digest",
    "G18": "the target's catalogue",
    "G19": "sockets replaced",
    "G20": "Slack's limits",
}
_RAWS = ("raw", "raw-superuser", "raw-batches", "raw-scram", "raw-recorded")

_Told = dict[str, Any]


def text() -> str:
    """The page as the committed results say it."""
    found = {name: told for name in cases.CASES if (told := kept.read(name)) is not None}
    usual = Counter(_about(told["about"]) for told in found.values()).most_common(1)[0][0]
    return "\n".join(
        [_HEAD, *_felt(found, usual), *_goals(found), method.TEXT, *_cases(found, usual)]
    )


def _felt(found: Mapping[str, _Told], usual: str) -> Iterator[str]:
    yield "## What a user feels\n\n| | |\n|---|---|"
    for what, figure in felt.rows([row for told in found.values() for row in told["lines"]]):
        yield f"| {what} | {figure} |"
    dates = sorted({told["about"]["at"][:10] for told in found.values()})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    yield f"\nMeasured {when}: {usual}, unless a case below says otherwise.\n"


def _goals(found: Mapping[str, _Told]) -> Iterator[str]:
    rows = [row for told in found.values() for row in told["verdicts"]]
    met = Counter(measure.standing(row) for row in rows)
    told = ", ".join(f"{met[each]} {each}" for each in ("met", "not met", "undecided") if met[each])
    yield f"## Goals\n\n{told}.\n"
    yield "| goal | what | measured | goal is | |\n|---|---|---:|---:|---|"
    for goal, words in _GOALS.items():
        mine = folded([row for row in rows if row["goal"] == goal])
        for first, row in zip([True, *[False] * len(mine)], mine, strict=False):
            shown = f"| {row['what']} | {row['figure']} | {row['bound']} | {_standing(row)} |"
            yield f"| {f'{goal} {words}' if first else ''} {shown}"
        if not mine:
            yield f"| {goal} {words} | | | | not measured |"
    yield ""


def _standing(row: _Told) -> str:
    word = measure.standing(row)
    word = f"**{word}**" if word == "not met" else word
    return f"{word}: {row['note']}" if row.get("note") else word


def folded(rows: Sequence[_Told]) -> list[_Told]:
    """What was counted again and again and never was, in one row; the cases tell each."""
    never = [
        row for row in rows if (row["figure"], row["bound"]) == ("0", "≤ 0") and row["met"] is True
    ]
    if len(never) < _MANY:
        return list(rows)
    said = {row["what"].rpartition(": ")[2] for row in never}
    what = f"{', '.join(sorted(said))}: in each of {len(never)} runs"
    return [row for row in rows if row not in never] + [{**never[0], "what": what}]


_MANY = 3


def _cases(found: Mapping[str, _Told], usual: str) -> Iterator[str]:
    yield f"## Cases\n{_all_took(found)}"
    for name, told in found.items():
        about = _about(told["about"])
        words = (inspect.getdoc(cases.CASES[name]) or "").partition("\n")[0]
        yield f"### {name}\n\n{words}{'' if about == usual else f' ({about})'}{_took(told)}\n"
        if told["broken"]:
            yield f"This case broke off: `{told['broken']}`\n"
        yield "<details><summary>Every figure</summary>\n"
        yield from _companies(told["lines"]) if name == "companies" else _lines(told["lines"])
        yield "\n</details>\n"


def _lines(lines: Sequence[_Told]) -> Iterator[str]:
    raws = [each for each in _RAWS if any(each in line.get("ratios", {}) for line in lines)]
    heads = "".join(f" × {each} |" for each in raws)
    yield f"| case | implementation | n | p50 ms | p95 ms | per s |{heads} lost / doubled / failed |"
    yield f"|---|---|---:|---:|---:|---:|{'---:|' * len(raws)}---|"
    ordered = _ordered(lines)
    for line in ordered:
        yield _row(line, raws)
    yield from _notes(ordered)


def _ordered(lines: Sequence[_Told]) -> list[_Told]:
    """Case by case as they ran, size by size, ours first and then the limit."""
    ran = list(dict.fromkeys(line["case"] for line in lines))

    def rank(line: _Told) -> tuple[int, int, int]:
        impl = line["impl"]
        who = 0 if impl.startswith("ours") else 1 if impl in _RAWS else 2
        return ran.index(line["case"]), line["n"], who

    return sorted(lines, key=rank)


def _all_took(found: Mapping[str, _Told]) -> str:
    seconds = [told.get("took_s", 0.0) for told in found.values()]
    return f"\nAll of them took {sum(seconds) / 60:.0f} minutes.\n" if all(seconds) else ""


def _took(told: dict[str, Any]) -> str:
    return f" Took {told['took_s']:.0f} s." if told.get("took_s") else ""


def _companies(lines: list[dict[str, Any]]) -> Iterator[str]:
    """One column a company, one row a figure."""
    yield "What it means: [running-at-scale.md](running-at-scale.md#how-far-one-bot-carries).\n"
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
    if isinstance(value, list):
        return ", ".join(dict.fromkeys(map(_fact, value)))
    return value if isinstance(value, str) else f"{value:,}"


def _about(about: dict[str, Any]) -> str:
    servers = ", ".join(about["postgresql"])
    peer = f", OpenBao {about['openbao']}" if about["openbao"] else ", no OpenBao"
    return (
        f"{about['cores']} cores, Python {about['python']}, "
        f"PostgreSQL {servers}{peer}, size {about['size']}"
    )


def _row(line: _Told, raws: Sequence[str]) -> str:
    ratios = line.get("ratios", {})
    shown = [line.get(key) for key in ("p50_ms", "p95_ms", "rate")]
    shown += [ratios.get(each) for each in raws]
    numbers = " | ".join("" if value is None else f"{value:,}" for value in shown)
    counts = f"{line['lost']} / {line['doubled']} / {line['failed']}"
    return f"| {line['case']} | {line['impl']} | {line['n']:,} | {numbers} | {counts} |"


def _notes(lines: Sequence[_Told]) -> Iterator[str]:
    growing = {
        f"{line['case']}, {line['impl']}": line["growth"]
        for line in lines
        if line.get("growth") is not None
    }
    if growing:
        yield "\nGrowth, as the slope of log time over log n:"
        yield "; ".join(f"{what} {growth:g}" for what, growth in growing.items()) + "."
    peers = [line for line in lines if line["impl"].startswith("ours") and _others(line)]
    if peers:
        yield "\nOurs as a multiple of the other ways (of their time; of their rate where no time stands):\n"
        for (case, impl), some in groupby(peers, lambda line: (line["case"], line["impl"])):
            told = "; ".join(f"{_size(line, peers)}{_others(line)}" for line in some)
            yield f"- {case}, {impl}: {told}"
    telling = [line for line in lines if line.get("facts")]
    if telling:
        yield "\nAlso:\n"
        for line in telling:
            facts = ", ".join(f"{key} {_fact(value)}" for key, value in line["facts"].items())
            yield f"- {line['case']}, {line['impl']}, {line['n']:,}: {facts}"


def _size(line: _Told, among: Sequence[_Told]) -> str:
    """Where it tells one from another."""
    alike = [each for each in among if (each["case"], each["impl"]) == (line["case"], line["impl"])]
    return f"{line['n']:,}: " if len(alike) > 1 else ""


def _others(line: _Told) -> str:
    """Ratios to peers; raw SQL has its own columns."""
    ratios = line.get("ratios", {}).items()
    return ", ".join(
        f"{name} {ratio:g}"
        for name, ratio in ratios
        if name not in _RAWS and not name.startswith("ours")
    )


def main() -> None:
    """Write the page."""
    PAGE.write_text(text() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
