"""The markdown of Slack's `markdown` block as safe HTML: the part of CommonMark people write."""

import re
from collections.abc import Callable, Iterator

from markupsafe import Markup, escape

from bot.demo.workspace import mrkdwn

_HEADING = re.compile(r"(#{1,6})\s+(.*)")
_ITEM = re.compile(r"\s*(?:[-*+]|(\d+)[.)])\s+(.*)")
_QUOTE = re.compile(r">\s?(.*)")
_RULE = re.compile(r"\s*(?:-{3,}|\*{3,}|_{3,})\s*")
_TOKEN = re.compile(r"`([^`\n]+)`|\[([^\]\n]+)\]\(([^)\s]+)\)")
_MARKS = (
    (re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*"), "strong"),
    (re.compile(r"(?<![\w*])\*(?=\S)(.+?)(?<=\S)\*(?![\w*])"), "em"),
    (re.compile(r"(?<!\w)_(?=\S)(.+?)(?<=\S)_(?!\w)"), "em"),
    (re.compile(r"~~(?=\S)(.+?)(?<=\S)~~"), "s"),
)


def html(text: str) -> Markup:
    """A whole markdown text: headings, lists, quotes, rules, fences and paragraphs."""
    lines = text.split("\n")
    out: list[Markup] = []
    while lines:
        out.append(next(_block(lines)))
    return Markup("").join(out)


def _block(lines: list[str]) -> Iterator[Markup]:
    first = lines[0]
    if first.startswith("```"):
        yield _fence(lines)
    if _RULE.fullmatch(first):
        lines.pop(0)
        yield Markup("<hr>")
    if found := _HEADING.fullmatch(first):
        lines.pop(0)
        level = min(len(found[1]) + 2, 6)
        yield Markup("<h{0}>{1}</h{0}>").format(level, inline(found[2]))
    if found := _ITEM.fullmatch(first):
        tag = "ol" if found[1] else "ul"
        items = _take(lines, _ITEM.fullmatch)
        drawn = Markup("").join(Markup("<li>{}</li>").format(inline(item[2])) for item in items)
        yield Markup("<{0}>{1}</{0}>").format(tag, drawn)
    if _QUOTE.fullmatch(first):
        quoted = "\n".join(found[1] for found in _take(lines, _QUOTE.fullmatch))
        yield Markup("<blockquote>{}</blockquote>").format(inline(quoted))
    lines.pop(0)
    words = [first, *_paragraph(lines)]
    yield Markup("<p>{}</p>").format(inline("\n".join(words))) if first.strip() else Markup("")


def _fence(lines: list[str]) -> Markup:
    lines.pop(0)
    inside: list[str] = []
    while lines and not lines[0].startswith("```"):
        inside.append(lines.pop(0))
    if lines:
        lines.pop(0)
    return Markup("<pre>{}</pre>").format("\n".join(inside))


def _take(lines: list[str], match: Callable[[str], re.Match[str] | None]) -> list[re.Match[str]]:
    found: list[re.Match[str]] = []
    while lines and (hit := match(lines[0])):
        found.append(hit)
        lines.pop(0)
    return found


def _paragraph(lines: list[str]) -> Iterator[str]:
    starts = (_HEADING.fullmatch, _ITEM.fullmatch, _QUOTE.fullmatch, _RULE.fullmatch)
    while lines and lines[0].strip() and not lines[0].startswith("```"):
        if any(start(lines[0]) for start in starts):
            return
        yield lines.pop(0)


def inline(text: str) -> Markup:
    """Emphasis, code and links within lines."""
    held: list[Markup] = []
    pieces: list[str] = []
    last = 0
    text = re.sub("[\ue000\ue001]", "", text)
    for match in _TOKEN.finditer(text):
        pieces += [str(escape(text[last : match.start()])), f"\ue000{len(held)}\ue001"]
        code, label, url = match.groups()
        held.append(Markup("<code>{}</code>").format(code) if code else mrkdwn.link(url, label))
        last = match.end()
    pieces.append(str(escape(text[last:])))
    drawn = "".join(pieces)
    for pattern, tag in _MARKS:
        drawn = pattern.sub(rf"<{tag}>\1</{tag}>", drawn)
    drawn = drawn.replace("\n", "<br>")
    return Markup(re.sub("\ue000(\\d+)\ue001", lambda m: str(held[int(m[1])]), drawn))  # noqa: S704 - escaped piece by piece above
