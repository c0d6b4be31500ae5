"""Slack's mrkdwn as safe HTML: everything is escaped first, and times are the reader's own.

The grammar follows docs.slack.dev, "Formatting message text": `*bold*`, `_italic_`, `~strike~`,
code, fences, `>` quotes, and `<…>` for links, mentions and dates. `&amp;`, `&lt;` and `&gt;` are
the only entities.
"""

import datetime as dt
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

EMOJI = {
    "arrows_counterclockwise": "\U0001f504",
    "bell": "\U0001f514",
    "bust_in_silhouette": "\U0001f464",
    "calendar": "\U0001f4c6",
    "clock3": "\U0001f552",
    "closed_lock_with_key": "\U0001f510",
    "eyes": "\U0001f440",
    "hourglass": "\u231b",
    "hourglass_flowing_sand": "\u23f3",
    "information_source": "\u2139\ufe0f",
    "key": "\U0001f511",
    "large_blue_circle": "\U0001f535",
    "large_green_circle": "\U0001f7e2",
    "large_yellow_circle": "\U0001f7e1",
    "lock": "\U0001f512",
    "memo": "\U0001f4dd",
    "no_entry": "\u26d4",
    "no_entry_sign": "\U0001f6ab",
    "red_circle": "\U0001f534",
    "rotating_light": "\U0001f6a8",
    "shield": "\U0001f6e1\ufe0f",
    "stopwatch": "\u23f1\ufe0f",
    "tada": "\U0001f389",
    "thumbsup": "\U0001f44d",
    "unlock": "\U0001f513",
    "warning": "\u26a0\ufe0f",
    "wave": "\U0001f44b",
    "white_check_mark": "\u2705",
    "white_circle": "\u26aa",
    "x": "\u274c",
}

Marks = Sequence[tuple[re.Pattern[str], str]]
"""What stands round emphasised words, group 1 being the words, and the tag they get."""

_FENCE = re.compile(r"```(.+?)```", re.DOTALL)
_TOKEN = re.compile(
    r"`(?P<code>[^`\n]+)`"
    r"|<(?P<angle>[^<>\n]+)>"
    r"|(?P<url>https?://[^\s<>|`]*[^\s<>|`.,;:!?)'\"*_~])"
    r"|:(?P<emoji>[a-z0-9_+-]+):"
)
_HELD = re.compile("\ue000([0-9]+)\ue001")
_PRIVATE = re.compile("[\ue000\ue001]")
_DATE = re.compile(r"!date\^(-?\d{1,14})\^([^|^]+)(?:\^([^|]+))?(?:\|(.*))?")
_MARKS = [
    (re.compile(rf"(?<![\w{mark}]){mark}(?![\s{mark}])(.+?)(?<!\s){mark}(?![\w{mark}])"), tag)
    for mark, tag in ((r"\*", "strong"), ("_", "em"), ("~", "s"))
]
_QUOTE = re.compile(r"(?:&gt;|>) ?(.*)")
_BROADCASTS = {"channel", "here", "everyone"}


class Names(Protocol):
    """What the page calls people and places."""

    def user(self, user_id: str) -> str | None:
        """The display name of an account, None where nobody has that id."""

    def channel(self, channel_id: str) -> str | None:
        """The name of a channel without its `#`, None where there is none."""

    def group(self, group_id: str) -> str | None:
        """The handle of a user group without its `@`, None where there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """The person a text is drawn for."""

    user_id: str
    zone: dt.tzinfo
    names: Names
    now: dt.datetime


def zone_of(name: str | None) -> dt.tzinfo:
    """The named IANA zone; UTC for a name this machine does not know."""
    try:
        return ZoneInfo(name or "UTC")
    except (KeyError, ValueError, OSError):
        return dt.UTC


def unescape(text: str) -> str:
    """Text with Slack's three entities turned back into characters."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def escape_typed(text: str) -> str:
    """What a person typed as Slack keeps it: only formatting, no `<…>` of their own making."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def plain(text: str, *, emoji: bool = True) -> Markup:
    """A plain_text string: nothing in it is formatting save line breaks and emoji names."""
    lines = text.split("\n")
    drawn = [_with_emoji(line) if emoji else escape(line) for line in lines]
    return Markup("<br>").join(drawn)


def html(text: str, reader: Reader, *, verbatim: bool = False) -> Markup:
    """A mrkdwn string as HTML for one reader; `verbatim` leaves bare URLs alone."""
    text = _PRIVATE.sub("", text)
    parts = _FENCE.split(text)
    drawn = [
        fence(part) if index % 2 else _paragraphs(part, reader, verbatim=verbatim)
        for index, part in enumerate(parts)
    ]
    return Markup("").join(drawn)


def fence(text: str) -> Markup:
    """The inside of a code fence."""
    return Markup("<pre>{}</pre>").format(unescape(text.strip("\n")))


def _paragraphs(text: str, reader: Reader, *, verbatim: bool) -> Markup:
    out: list[Markup] = []
    plain_lines: list[str] = []
    quoted: list[str] = []

    def flush() -> None:
        if quoted:
            inner = inline("\n".join(quoted), reader, verbatim=verbatim)
            out.append(Markup("<blockquote>{}</blockquote>").format(inner))
            quoted.clear()
        if any(plain_lines):
            out.append(inline("\n".join(plain_lines).strip("\n"), reader, verbatim=verbatim))
        plain_lines.clear()

    for line in text.split("\n"):
        quote = _QUOTE.fullmatch(line)
        if bool(quote) != bool(quoted) and (quoted or plain_lines):
            flush()
        (quoted if quote else plain_lines).append(quote[1] if quote else line)
    flush()
    return Markup("").join(out)


def inline(text: str, reader: Reader, *, verbatim: bool = False) -> Markup:
    """Formatting within lines. Code, links and mentions are set aside while emphasis is found."""
    held: list[Markup] = []

    def hold(match: re.Match[str]) -> str:
        if verbatim and match["url"]:
            return str(escape(match[0]))
        held.append(_token(match, reader))
        return f"\ue000{len(held) - 1}\ue001"

    pieces: list[str] = []
    last = 0
    for match in _TOKEN.finditer(text):
        pieces += [str(escape(unescape(text[last : match.start()]))), hold(match)]
        last = match.end()
    pieces.append(str(escape(unescape(text[last:]))))
    drawn = "".join(pieces)
    drawn = emphasis(drawn, _MARKS).replace("\n", "<br>")
    return Markup(_HELD.sub(lambda match: str(held[int(match[1])]), drawn))  # noqa: S704 - escaped piece by piece above


def emphasis(escaped: str, marks: Marks) -> str:
    """Text that is escaped already, with the tags of `marks` put in and properly nested."""
    done, at = "", 0
    while hits := [(hit, tag) for mark, tag in marks if (hit := mark.search(escaped, at))]:
        hit, tag = min(hits, key=lambda found: found[0].start())
        inner = emphasis(hit[1], marks)
        done += f"{escaped[at : hit.start()]}<{tag}>{inner}</{tag}>"
        at = hit.end()
    return done + escaped[at:]


def _token(match: re.Match[str], reader: Reader) -> Markup:
    if match["code"] is not None:
        return Markup("<code>{}</code>").format(unescape(match["code"]))
    if match["url"] is not None:
        return link(unescape(match["url"]))
    if match["emoji"] is not None:
        return emoji(match["emoji"])
    return _angle(match["angle"], reader)


def _angle(body: str, reader: Reader) -> Markup:
    target, _, label = body.partition("|")
    if target[:1] == "@":
        return user(target[1:], reader)
    if target[:1] == "#":
        return channel(target[1:], reader, label=unescape(label))
    if target[:1] == "!":
        return _special(body, label, reader)
    return link(unescape(target), unescape(label))


def _special(body: str, label: str, reader: Reader) -> Markup:
    if found := _DATE.fullmatch(body):
        unix, template, url, fallback = found.groups()
        return date(
            int(unix), unescape(template), reader, url=url, fallback=unescape(fallback or "")
        )
    kind, _, group_id = body[1:].partition("|")[0].partition("^")
    if kind == "subteam":
        return group(group_id, reader, label=unescape(label))
    if kind in _BROADCASTS:
        return _mention(f"@{kind}", me=True)
    return escape(unescape(label) or f"<{unescape(body)}>")


def link(url: str, label: str = "") -> Markup:
    """A link that opens beside the page; an address that is not of the web stays text."""
    if not url.startswith(("http://", "https://", "mailto:")):
        return escape(f"{label} ({url})" if label else url)
    return Markup('<a href="{}" target="_blank" rel="noopener noreferrer">{}</a>').format(
        url, label or url.removeprefix("mailto:")
    )


def _mention(text: str, *, me: bool = False) -> Markup:
    return Markup('<span class="mention{}">{}</span>').format(" me" if me else "", text)


def user(user_id: str, reader: Reader) -> Markup:
    """A mention of an account."""
    return _mention(f"@{reader.names.user(user_id) or user_id}", me=user_id == reader.user_id)


def group(group_id: str, reader: Reader, *, label: str = "") -> Markup:
    """A mention of a user group."""
    name = reader.names.group(group_id) or label.removeprefix("@") or group_id
    return _mention(f"@{name}")


def channel(channel_id: str, reader: Reader, *, label: str = "") -> Markup:
    """A mention of a channel, as a link to it."""
    name = reader.names.channel(channel_id) or label or channel_id
    return Markup('<a class="mention" href="?as={}&amp;in={}">#{}</a>').format(
        reader.user_id, channel_id, name
    )


def emoji(name: str) -> Markup:
    """A named emoji with its name as the spoken label; an unknown one stays as typed."""
    if name not in EMOJI:
        return escape(f":{name}:")
    return Markup('<span class="emoji" role="img" aria-label="{}">{}</span>').format(
        name.replace("_", " "), EMOJI[name]
    )


def _with_emoji(text: str) -> Markup:
    pieces = re.split(r":([a-z0-9_+-]+):", text)
    drawn = [emoji(piece) if index % 2 else escape(piece) for index, piece in enumerate(pieces)]
    return Markup("").join(drawn)


def date(
    unix: int, template: str, reader: Reader, *, url: str | None = None, fallback: str = ""
) -> Markup:
    """A moment (unix seconds) written by Slack's date template in the reader's zone."""
    try:
        moment = dt.datetime.fromtimestamp(unix, reader.zone)
    except (OverflowError, ValueError, OSError):
        return escape(fallback or str(unix))
    text = re.sub(r"\{(\w+)\}", lambda found: _date_part(found, moment, reader.now), template)
    drawn = Markup('<time datetime="{}" title="{}"{}>{}</time>').format(
        moment.isoformat(),
        fallback or moment.strftime("%A, %d %B %Y, %H:%M:%S %Z"),
        Markup(' data-ago=""') if template == "{ago}" else "",
        text,
    )
    return Markup('<a href="{}" rel="noopener">{}</a>').format(url, drawn) if _web(url) else drawn


def _web(url: str | None) -> bool:
    return bool(url and url.startswith(("http://", "https://")))


def _date_part(found: re.Match[str], moment: dt.datetime, now: dt.datetime) -> str:
    name = found[1]
    if name == "ago":
        return ago(moment, now)
    base = name.removesuffix("_pretty")
    if base != name and (near := _near(moment, now)):
        return near
    writer = _WRITERS.get("date" if base == "day_divider" else base)
    return writer(moment) if writer else found[0]


def _near(moment: dt.datetime, now: dt.datetime) -> str | None:
    days = (moment.date() - now.astimezone(moment.tzinfo).date()).days
    return {-1: "yesterday", 0: "today", 1: "tomorrow"}.get(days)


def _day(moment: dt.datetime) -> str:
    day = moment.day
    suffix = "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{moment:%B} {day}{suffix}"


_WRITERS: dict[str, Callable[[dt.datetime], str]] = {
    "date_num": lambda moment: f"{moment:%Y-%m-%d}",
    "date_slash": lambda moment: f"{moment:%m/%d/%Y}",
    "date": lambda moment: f"{_day(moment)}, {moment.year}",
    "date_short": lambda moment: f"{moment:%b} {moment.day}, {moment.year}",
    "date_long": lambda moment: f"{moment:%A}, {_day(moment)}, {moment.year}",
    "time": lambda moment: f"{moment:%H:%M}",
    "time_secs": lambda moment: f"{moment:%H:%M:%S}",
}


def ago(moment: dt.datetime, now: dt.datetime) -> str:
    """How far a moment is from now, in the largest whole unit."""
    seconds = round((now - moment).total_seconds())
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        count = abs(seconds) // size
        if count:
            text = f"{count} {unit}{'s' if count > 1 else ''}"
            return f"{text} ago" if seconds > 0 else f"in {text}"
    return "just now" if seconds >= 0 else "in less than a minute"
