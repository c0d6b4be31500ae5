"""Domain values into words: Jinja2 templates, dates, durations, names. Knows nothing of Slack's API.

What comes out is Slack's `mrkdwn`. Every value a template prints is cleaned and escaped unless it is
already `Mrkdwn`, so a name or a reason can neither mention people nor draw links.
https://docs.slack.dev/messaging/formatting-message-text/#escaping
"""

import functools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import jinja2
import jinja2.sandbox

from bot import model


class Mrkdwn(str):
    """Text that is safe to hand to Slack as mrkdwn: made here, never by casting somebody's words."""

    __slots__ = ()


# Bidirectional controls reorder what a reader sees (CVE-2021-42574), so they are named, not dropped.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
NAME_LONGEST = 80  # characters; Slack's own limit for a name
_FORMATTING = str.maketrans({"*": "", "~": "", "`": "'"})


def clean(text: str, *, limit: int = 0, lines: bool = False) -> str:
    """`text` without characters that hide or reorder; one line unless `lines`; cut at `limit`."""
    kept = "".join(_visible(each) for each in text)
    if lines:
        kept = re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in kept.splitlines()))
    else:
        kept = " ".join(kept.split())
    return cut(kept.strip(), limit) if limit else kept.strip()


def _visible(character: str) -> str:
    if character in _BIDI:
        return f"⟦U+{ord(character):04X}⟧"
    if character in "\n\t":
        return character
    return "" if unicodedata.category(character) in _HIDDEN else character


def cut(text: str, limit: int) -> str:
    """`text`, at most `limit` characters long, with an ellipsis where it was cut."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def escape(text: object) -> Mrkdwn:
    """Any value as mrkdwn: cleaned, `& < >` escaped. What is Mrkdwn already stays as it is."""
    if isinstance(text, Mrkdwn):
        return text
    return Mrkdwn(clean("" if text is None else str(text)).translate(_ESCAPES))


def unescape(text: Mrkdwn) -> str:
    """The same text for a plain_text object. Only for text without dates or links."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def link(url: str, label: str) -> Mrkdwn:
    """A link; without a URL only its label."""
    target = re.sub(r"[\s<>|]", "", url)
    return Mrkdwn(f"<{target}|{escape(label)}>") if target else escape(label)


def name(text: str) -> Mrkdwn:
    """Somebody's name as mrkdwn, without the marks that would make it bold or struck out."""
    kept = clean(text.translate(_FORMATTING), limit=NAME_LONGEST).strip("_ ")
    return escape(kept or "someone")


def short(text: str) -> str:
    """What colleagues say: the first name, where the first word is one."""
    return model.first_name(text)


def duration(length: timedelta) -> str:
    """`45 s`, `1 min 30 s`, `30 min`, `1 h 30 min`: two units at most, seconds only below 10 min."""
    seconds = max(0, round(length.total_seconds()))
    return _units(seconds if seconds < 10 * 60 else round(seconds / 60) * 60)


def about(length: timedelta) -> str:
    """`45 s`, `2 min`, `1 h 5 min`: how long something took, to the minute."""
    seconds = max(0, round(length.total_seconds()))
    return _units(seconds if seconds < 60 else round(seconds / 60) * 60)  # noqa: PLR2004


def _units(seconds: int) -> str:
    parts = (
        (seconds // 86400, "d"),
        (seconds // 3600 % 24, "h"),
        (seconds // 60 % 60, "min"),
        (seconds % 60, "s"),
    )
    shown = [f"{number} {unit}" for number, unit in parts if number]
    return " ".join(shown[:2]) or "0 s"


def clock(moment: datetime, *, full: bool = False, seconds: bool = False) -> Mrkdwn:
    """A time every reader sees in their own zone; where it cannot be drawn, plain UTC."""
    token = "{time_secs}" if seconds else "{time}"
    token = f"{{date_short_pretty}} at {token}" if full else token
    return Mrkdwn(f"<!date^{int(moment.timestamp())}^{token}|{plain_clock(moment, full=full)}>")


def plain_clock(moment: datetime, *, full: bool = False) -> str:
    """The same in UTC, for places that draw no date tokens."""
    form = "%d %b %H:%M UTC" if full else "%H:%M UTC"
    return moment.astimezone(UTC).strftime(form).lstrip("0" if full else "")


def countdown(moment: datetime, now: datetime) -> Mrkdwn:
    """`in 29 minutes`, kept right by the reader's own client; else the time left as of now."""
    return Mrkdwn(f"<!date^{int(moment.timestamp())}^{{ago}}|{about(moment - now)} left>")


def when(moment: datetime, now: datetime) -> Mrkdwn:
    """A time of day while that is clear, with its date when it is not."""
    return clock(moment, full=abs(moment - now) > timedelta(hours=20))


def listing(items: Iterable[str], word: str = "and") -> str:
    """`Bo`, `Bo and Cleo`, `Bo, Cleo and Dan`."""
    every = list(items)
    return f" {word} ".join(filter(None, [", ".join(every[:-1]), every[-1]])) if every else ""


def some(items: Sequence[str], most: int) -> str:
    """At most `most` of them, then `and 5 more`."""
    rest = len(items) - most
    return ", ".join(items[:most]) + (f" and {rest} more" if rest > 0 else "")


def count(number: int, one: str, many: str = "") -> str:
    """`1 session`, `2 sessions`, `1,204 rows`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.sandbox.SandboxedEnvironment(
        loader=jinja2.PackageLoader("bot.telling", "templates"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # Jinja's own escaping is HTML's; `finalize` does mrkdwn's
        finalize=escape,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        name=name,
        short=lambda text: name(short(text)),
        duration=duration,
        about=about,
        clock=clock,
        when=when,
        listing=listing,
        some=some,
        clean=clean,
    )
    environment.globals.update(count=count)
    return environment


def text(template: str, **values: Any) -> Mrkdwn:
    """Render templates/<template>.j2. An unknown name in it is an error, never an empty gap."""
    drawn = _environment().get_template(f"{template}.j2").render(**values)
    return Mrkdwn("\n".join(line.rstrip() for line in drawn.splitlines() if line.strip()))
