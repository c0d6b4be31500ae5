"""What was typed behind `/jit`, as a value. Pure: knows neither people nor the catalog's contents."""

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from bot.catalog import duration
from bot.telling import render

LONGEST = 2000  # characters we are ready to look at


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """`/jit [ENTITLEMENT [DURATION] [why…]]`: open the form, or submit when all is there."""

    entitlement: str = ""
    duration: timedelta | None = None
    why: str = ""

    @property
    def complete(self) -> bool:
        """Whether nothing needs to be asked."""
        return bool(self.entitlement and self.duration and self.why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """`/jit help | mine | pending | list`."""

    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoke:
    """`/jit revoke ID [comment…]`."""

    id: str
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """Something we cannot make sense of; `message` is for the person who typed it."""

    message: str


Command = Ask | Show | Revoke | Wrong

SHOWN = frozenset({"help", "mine", "pending", "list"})
_HELP = frozenset({"?", "-h", "--help"})
_ID = re.compile(r"[0-9a-z]{4,16}")
_UNITS = frozenset({"m", "min", "mins", "minutes", "h", "hour", "hours"})
_LOOKS_LIKE_TIME = re.compile(
    r"[-+\u2212\u2013]?[0-9][0-9a-z.]*|[0-9]+[,:][0-9]+[a-z]*", re.IGNORECASE
)


def parse(text: str, entitlements: Collection[str]) -> Command:
    """Read what was typed. `entitlements`: those this person may request."""
    words = render.clean(text, limit=LONGEST).split()
    if not words:
        return Ask()
    first, rest = first_word(text), words[1:]
    known = {name.lower(): name for name in entitlements}  # names never differ in capitals only
    if first in _HELP:
        return Show(what="help")
    if first in SHOWN and not (rest and first in known):
        return Show(what=first)
    if first == "revoke":
        return _revoke(rest)
    if first in known:
        return _ask(known[first], rest)
    return Wrong(message=_unknown(words[0], entitlements))


def first_word(text: str) -> str:
    """What was typed first, as names are compared."""
    return "".join(render.clean(text, limit=LONGEST).split()[:1]).lower().strip("`\"'")


def _revoke(words: list[str]) -> Command:
    found = words[0].lower().strip("`").removeprefix("jit_") if words else ""
    if not _ID.fullmatch(found):
        return Wrong(message="Write which one: /jit revoke ID. /jit list shows the ids.")
    return Revoke(id=found, comment=" ".join(words[1:]))


def _ask(entitlement: str, words: list[str]) -> Command:
    if not words or not _LOOKS_LIKE_TIME.fullmatch(words[0]):
        return Ask(entitlement=entitlement, why=" ".join(words))
    split = 2 if len(words) > 1 and words[0].isdecimal() and words[1].lower() in _UNITS else 1
    try:
        length = duration.parse(" ".join(words[:split]))
        return Ask(entitlement=entitlement, duration=length, why=" ".join(words[split:]))
    except ValueError as error:
        return Wrong(message=f"{str(error)[:1].upper()}{str(error)[1:]}.")


def _unknown(word: str, entitlements: Collection[str]) -> str:
    nothing = f"There is nothing called '{render.cut(word, 60)}' that you may request."
    near = difflib.get_close_matches(word.lower(), [*entitlements, *SHOWN, "revoke"], n=3)
    if near:
        return f"{nothing} Did you mean {render.listing(near, 'or')}?"
    if entitlements:
        some = render.some(sorted(entitlements), 8)
        return f"{nothing} You may request {some}. See /jit help."
    return f"{nothing} Nothing is offered to you. See /jit help."
