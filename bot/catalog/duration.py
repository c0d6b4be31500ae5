"""Durations as people write and read them: `30m`, `1h30m`, `90 min`, `2 hours`; "1 h 30 min"."""

import re
from datetime import timedelta

LONGEST = timedelta(days=31)  # beyond this it is standing access, not a grant
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_PART = re.compile(
    r"([0-9]{1,7}(?:\.[0-9]{1,3})?)\s*"
    r"(d|days?|h|hrs?|hours?|m|mins?|minutes?|s|secs?|seconds?)?(?![a-z])\s*",
    re.ASCII,
)


def parse(text: str | int) -> timedelta:
    """What is meant by `text`; a number alone is minutes. Raises ValueError with words for people."""
    rest = str(text).strip().lower()
    total, parts = 0.0, 0
    while rest:
        found = _PART.match(rest)
        alone = parts == 0 and found is not None and found.end() == len(rest)
        if found is None or (found[2] is None and not alone):
            raise ValueError(
                f"{shown(text)} is not a duration; write it like 30m, 1h30m or 2 hours"
            )
        total += float(found[1]) * _SECONDS[(found[2] or "m")[0]]
        parts, rest = parts + 1, rest[found.end() :]
    return _sensible(text, total)


def shown(text: object) -> str:
    """`text` cut to a length that fits into a sentence."""
    said = str(text)
    return repr(said if len(said) <= 40 else said[:39] + "…")  # noqa: PLR2004


def words(length: timedelta) -> str:
    """`length` for people, to the second: "30 min", "1 h 30 min", "4 h", "2 d"."""
    left = max(0, round(length.total_seconds()))
    days, left = divmod(left, 86_400) if left >= 2 * 86_400 else (0, left)
    hours, left = divmod(left, 3_600)
    minutes, seconds = divmod(left, 60)
    named = ((days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s"))
    return " ".join(f"{count} {unit}" for count, unit in named if count) or "0 s"


def _sensible(text: str | int, seconds: float) -> timedelta:
    """Refuse what cannot be meant. Whole seconds only."""
    if seconds < 1:
        raise ValueError(f"{shown(text)} is no time at all; write it like 30m, 1h30m or 2 hours")
    if seconds > LONGEST.total_seconds():
        raise ValueError(f"{shown(text)} is longer than {words(LONGEST)}")
    return timedelta(seconds=round(seconds))
