"""What is to be said in Slack, as outbox rows: kinds, lines of a thread, and the lanes they queue in.

A row carries names and figures that were true when it was written; everything else is read from the
record at the moment of delivery, so a late message tells the present state. Rows are written in the
same transaction as the change they tell of. Of redraws of one thing that nobody has taken up yet one is
enough; what has words of its own is always written.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from bot import store

AUDIT_LANE = "audit"
WEBHOOK_LANE = "webhook"

About: TypeAlias = str | tuple[str, ...]  # a request, or several of which the same is said


class Kind(StrEnum):
    """What sort of message a row becomes."""

    CARD = "card"  # the approval card: posted once, then edited in place
    THREAD = "thread"  # one line under the card; data: a Line and its figures
    RECEIPT = "receipt"  # direct message to the requester: asked whom, until when; edited in place
    LIVE = "live"  # direct message: yours until …; edited when it ends
    TOLD = "told"  # direct message: denied, lapsed, failed, ended by others …; data: a Line
    SUMMARY = "summary"  # under the card, once, at the very end
    AUDIT = "audit"  # a line in the audit channel; data: a Line and its figures
    ALARM = "alarm"  # audit channel: something needs a person, or does no more; data: see alarms
    WEBHOOK = "webhook"  # the same, posted to where the catalog says
    FINDING = "finding"  # audit channel: record and reality differ; data: see reconcile, and over
    DIGEST = "digest"  # audit channel; data: since, until (ISO), zone
    HOME = "home"  # App Home of data["user"] is stale


class Line(StrEnum):
    """What happened. Data beside it: `at` (ISO, UTC) always; the rest as noted."""

    ASKED = "asked"  # count: how many people may decide
    REVIEWED = "reviewed"  # who, count, needs: one approval of several
    APPROVED = "approved"  # who (person's name), or rule when it was automatic
    DENIED = "denied"  # who
    CANCELLED = "cancelled"  # who
    LAPSED = "lapsed"
    SUPERSEDED = "superseded"  # change: what is different now, for people
    LIVE = "live"  # role
    DELAYED = "delayed"  # until (ISO), why: granting is being tried again
    FAILED = "failed"  # why: nothing was granted, proven
    ENDED = "ended"  # cause, who, cut (sessions), late (seconds): access has ended, surely
    MISSED = "missed"  # alarm: its end takes longer than it may
    UNDONE = "undone"  # what (list of str): done as a scope role by whoever had it, and taken back
    GIVEN_UP = "given_up"  # who, because, proven (whether access had ended): closed
    LEFT = "left"  # what (list of str): something still refers to the role; being tried again


class Alarm(StrEnum):
    """Why people are called."""

    OVERDUE = "overdue"  # access should have ended and perhaps has not
    UNSURE = "unsure"  # nobody can log in, but whether a role exists is not known
    UNCLEAN = "unclean"  # access has surely ended; something remains to be removed
    STRANDED = "stranded"  # there is no connection to a target; live grants on it are not ended
    ENDS_ONLY = "ends-only"  # the catalog cannot be used: what is live ends, nothing is granted
    SKEW = "skew"  # the clock of a target is far off; nothing is granted there
    UNSAID = "unsaid"  # messages do not get out


def lane_of(request_id: str) -> str:
    """The lane in which everything about one request is said in order."""
    return f"request:{request_id}"


def home(tx: store.Transaction, *people: str) -> None:
    """The App Home of these people shows something old."""
    for user in dict.fromkeys(people):
        tx.say(Kind.HOME, None, f"home:{user}", {"user": user}, redraw=True)


def redraw(tx: store.Transaction, about: About, *kinds: Kind) -> None:
    """Bring the card (and other messages edited in place) up to the record."""
    for kind in (Kind.CARD, *kinds):
        tx.say_of_each(kind, _each(about), lane_of(store.EACH), {}, redraw=True)


def summary(tx: store.Transaction, about: About) -> None:
    """What was done, in the thread."""
    tx.say_of_each(Kind.SUMMARY, _each(about), lane_of(store.EACH), {})


def correct(tx: store.Transaction, request_id: str, kind: Kind) -> None:
    """Bring a direct message up to the record if there is one; post none."""
    tx.say(kind, request_id, lane_of(request_id), {"only_edit": True}, redraw=True)


def line(
    tx: store.Transaction, about: About, what: Line, at: datetime, /, **figures: object
) -> None:
    """One line in the thread."""
    data = _data(what, at, figures)
    tx.say_of_each(Kind.THREAD, _each(about), lane_of(store.EACH), data)


def tell(
    tx: store.Transaction, about: About, what: Line, at: datetime, /, **figures: object
) -> None:
    """Tell the requester in a direct message."""
    data = _data(what, at, figures)
    tx.say_of_each(Kind.TOLD, _each(about), lane_of(store.EACH), data)


def audit(
    tx: store.Transaction, about: About, what: Line, at: datetime, /, **figures: object
) -> None:
    """One line in the audit channel."""
    tx.say_of_each(Kind.AUDIT, _each(about), AUDIT_LANE, _data(what, at, figures))


def _each(about: About) -> Sequence[str]:
    return (about,) if isinstance(about, str) else about


def _data(what: Line, at: datetime, figures: Mapping[str, object]) -> dict[str, object]:
    return {"line": str(what), "at": at.isoformat(), **figures}
