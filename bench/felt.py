"""What of all that a user feels: the few figures at the top of the page."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_KINDS = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
_BURST = 1000  # ends at once that the page tells of, where they were measured

Row = Mapping[str, Any]


def rows(lines: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """What happens, and how long it takes; what was not measured says so."""
    others = _most(lines, "lateness-of-one", "ours/")
    burst = _most([row for row in lines if row["n"] <= _BURST], "burst", "ours/")
    switch = _most(lines, "kill-switch: no access", "ours/")
    commands = _most(lines, "acks", "ours")
    memory = _most(lines, "memory", "ours")
    yield (
        "The approver clicks, and the access is there",
        _both(_most(lines, "click-to-active", "ours"), ("p50_ms", "p95_ms")),
    )
    yield (
        f"A deadline strikes, and the access is gone{_of(others, ', while {} others wait')}",
        _both(others, ("p50_ms", "max_ms")),
    )
    yield (
        f"{_of(burst, '{}', 'Many')} deadlines strike at once, and the last access is gone",
        _both(burst, ("max_ms",)),
    )
    yield (
        f"`jit revoke --all` is typed{_of(switch, ' with {} live')}, and the last access is gone",
        _joined((row, [f"{_since_typed(lines, row):.1f} s"]) for row in switch),
    )
    yield (
        f"{_of(commands, '{}', 'Many')} commands come at once, and each is answered",
        _both(commands, ("p50_ms", "max_ms")),
    )
    yield (
        f"A process holds {_of(memory, '{} ')}live grants",
        _joined((row, [f"{row['facts']['resident_mb']:g} MB"]) for row in memory),
    )


def _most(lines: Sequence[Row], case: str, impl: str) -> list[Row]:
    """Ours in a case, at the biggest size that was measured; one for each kind of record."""
    found = [row for row in lines if row["case"] == case and row["impl"].startswith(impl)]
    return [row for row in found if row["n"] == max(each["n"] for each in found)]


def _of(found: Sequence[Row], words: str, otherwise: str = "") -> str:
    """The size at which it was measured, in words."""
    return words.format(f"{found[0]['n']:,}") if found else otherwise


def _both(found: Sequence[Row], keys: Sequence[str]) -> str:
    return _joined((row, [_shown(key, row[key]) for key in keys]) for row in found)


def _shown(key: str, value: float) -> str:
    words = {"p50_ms": "half within ", "p95_ms": "95 % within ", "max_ms": "all within "}[key]
    return f"{words}{value:,.0f} ms"


def _joined(found: Iterator[tuple[Row, list[str]]]) -> str:
    told = []
    for row, figures in found:
        kind = _KINDS.get(row["impl"].partition("/")[2])
        told.append(", ".join(figures) + (f" ({kind})" if kind else ""))
    return "; ".join(told) or "not measured"


def _since_typed(lines: Sequence[Row], row: Row) -> float:
    """Seconds from the command to the last access, the start of its process included."""
    typed = _most(lines, "kill-switch: from the command to removed", row["impl"])
    before = sum(each["facts"]["command to first order s"] for each in typed)
    return float(row["facts"]["s"] + before)
