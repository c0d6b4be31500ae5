"""The ticket at the beginning of a justification, what one looks like, and whether it stands alone."""

import re

_READ_AT_MOST = 100  # characters of the justification, so that no pattern takes long
_TOKEN = re.compile(
    r"(?P<set>\[[^\]]+\]|\\d|\\w)(?:\{(?P<count>\d+)(?:,\d*)?\}|(?P<many>[+*]))?"
    r"|\\(?P<escaped>\W)|(?P<drop>[\^$()?:])|(?P<literal>[^\\\[\]{}|.+*])"
)
_ALTERNATIVES = re.compile(r"\((?:\?:)?([^()|]*)\|[^()]*\)")  # the first one is as good as any
_ADDRESS = re.compile(r"\w+://\S+")
_BETWEEN = re.compile(r"[\s:,;()]+")
_DIGITS = "4412" * 5
_LETTERS = "INC" + "A" * 17


def find(pattern: str, justification: str) -> str | None:
    """The ticket the justification begins with, if it does."""
    text = justification.strip()[:_READ_AT_MOST]
    found = re.match(rf"(?:{pattern})(?!\w)", text)
    return found[0] if found and found[0] else None


def is_bare(pattern: str | None, justification: str) -> bool:
    """Whether nothing but references stands there, and words could: tickets, links, numbers."""
    text = justification.strip()
    if pattern is not None and not find(pattern, f"{text} because"):  # it lets nothing follow
        return False
    said = _BETWEEN.split(_ADDRESS.sub(" ", text))
    return not any(_is_word(each) for each in said)


def _is_word(text: str) -> bool:
    return any(map(str.isalpha, text)) and not any(map(str.isdigit, text))


def example(pattern: str) -> str | None:
    """A ticket that fits the pattern, for "like INC-4412"; None when none could be thought of."""
    said, rest = "", _ALTERNATIVES.sub(r"\1", pattern)
    while rest:
        token = _TOKEN.match(rest)
        if token is None:
            return None
        said += _sample(token)
        rest = rest[token.end() :]
    return said if find(pattern, said) == said else None


def _sample(token: re.Match[str]) -> str:
    if token["drop"]:
        return ""
    if not token["set"]:
        return token["escaped"] or token["literal"]
    numeric = token["set"] in {"[0-9]", "\\d", "[1-9]"}
    lower = token["set"] == "[a-z]"
    length = (
        int(token["count"]) if token["count"] else (4 if numeric else 3) if token["many"] else 1
    )
    sample = _DIGITS if numeric else _LETTERS
    return (sample.lower() if lower else sample)[: min(length, 20)]
