"""How a catalog names people: everyone, a user group, a channel's members, an account, an e-mail."""

import re
import unicodedata
from enum import StrEnum


class Kind(StrEnum):
    """What a reference points at. The value is what people read."""

    EVERYONE = "everyone"  # every full, active member of our workspace
    GROUP = "user group"  # @handle or S…
    CHANNEL = "channel"  # #name, C… or G…
    ACCOUNT = "account"  # U… or W…
    EMAIL = "e-mail"


PLAIN = frozenset({Kind.ACCOUNT, Kind.EMAIL})  # exactly one person, whatever Slack says

_KINDS = (
    (Kind.EVERYONE, re.compile(r"everyone")),
    (Kind.GROUP, re.compile(r"@[^\s@#,]{1,80}|S[A-Z0-9]{2,20}")),
    (Kind.CHANNEL, re.compile(r"#[^\s@#,]{1,80}|[CG][A-Z0-9]{2,20}")),
    (Kind.ACCOUNT, re.compile(r"[UW][A-Z0-9]{2,20}")),
    (Kind.EMAIL, re.compile(r"[^\s@<>,]+@[^\s@<>,]+\.[^\s@<>,]+")),
)


def kind(ref: str) -> Kind:
    """What `ref` points at. Raises ValueError with words for people."""
    for found, shape in _KINDS:
        if shape.fullmatch(ref):
            return found
    raise ValueError(
        f"{ref!r} names nobody; write everyone, @user-group, #channel, an account like U012ABCDEF, "
        "or an e-mail address"
    )


def parse(text: str) -> str:
    """`text` in its one spelling, so that equal references compare equal. Raises ValueError."""
    ref = unicodedata.normalize("NFKC", text).strip()
    if ref[:1] in {"@", "#"} or "@" in ref or ref.casefold() == Kind.EVERYONE:
        ref = ref.casefold()
    kind(ref)
    return ref
