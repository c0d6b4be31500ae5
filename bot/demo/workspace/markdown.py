"""The markdown of Slack's `markdown` block as safe HTML: the part of CommonMark people write."""

import re
from collections.abc import Callable

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
        if lines[0].strip():
            out.append(_block(lines))
        else:
            lines.pop(0)
    return Markup("").join(out)


def _block(lines: list[str]) -> Markup:
    """Takes the lines of one block away and draws it."""
    for starts, draw in _KINDS:
        if starts(lines[0]):
            return draw(lines)
    words = [lines.pop(0)]
    while lines and lines[0].strip() and not any(starts(lines[0]) for starts, _ in _KINDS):
        words.append(lines.pop(0))
    return Markup("<p>{}</p>").format(inline("\n".join(words)))


def _fence(lines: list[str]) -> Markup:
    lines.pop(0)
    inside: list[str] = []
    while lines and not lines[0].startswith("```"):
        inside.append(lines.pop(0))
    del lines[:1]
    return Markup("<pre>{}</pre>").format("\n".join(inside))


def _rule(lines: list[str]) -> Markup:
    lines.pop(0)
    return Markup("<hr>")


def _heading(lines: list[str]) -> Markup:
    (found,) = _take(lines[:1], _HEADING)
    lines.pop(0)
    return Markup("<h{0}>{1}</h{0}>").format(min(len(found[1]) + 2, 6), inline(found[2]))


def _list(lines: list[str]) -> Markup:
    items = _take(lines, _ITEM)
    tag = "ol" if items[0][1] else "ul"
    drawn = Markup("").join(Markup("<li>{}</li>").format(inline(item[2])) for item in items)
    return Markup("<{0}>{1}</{0}>").format(tag, drawn)


def _quote(lines: list[str]) -> Markup:
    quoted = "\n".join(found[1] for found in _take(lines, _QUOTE))
    return Markup("<blockquote>{}</blockquote>").format(inline(quoted))


def _take(lines: list[str], pattern: re.Pattern[str]) -> list[re.Match[str]]:
    """Takes the lines away that match, as far as they follow one another."""
    found: list[re.Match[str]] = []
    while lines and (hit := pattern.fullmatch(lines[0])):
        found.append(hit)
        lines.pop(0)
    return found


_KINDS: tuple[tuple[Callable[[str], object], Callable[[list[str]], Markup]], ...] = (
    (lambda line: line.startswith("```"), _fence),
    (_RULE.fullmatch, _rule),
    (_HEADING.fullmatch, _heading),
    (_ITEM.fullmatch, _list),
    (_QUOTE.fullmatch, _quote),
)


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
    drawn = mrkdwn.emphasis(drawn, _MARKS).replace("\n", "<br>")
    return Markup(re.sub("\ue000(\\d+)\ue001", lambda m: str(held[int(m[1])]), drawn))  # noqa: S704 - escaped piece by piece above
