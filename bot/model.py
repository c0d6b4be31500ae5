"""The values everything speaks in: requests, decisions, reviews, grants, and how they may change.

Values are frozen and changed by replacement. Times are aware UTC. A request and its grant share one
id: a grant is made from exactly one request, and its managed role is `jit_<id>`, never used again.
"""

import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

_ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: nothing to misread


def new_id() -> str:
    """A fresh random id of 8 characters (40 bits); uniqueness is enforced by the store."""
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(8))


class RequestStatus(StrEnum):
    """Where a request stands. All but PENDING are final."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    CANCELLED = "cancelled"  # by the requester
    EXPIRED = "expired"  # nobody decided in time
    SUPERSEDED = "superseded"  # what was asked for changed meanwhile


class GrantStatus(StrEnum):
    """Where a grant stands."""

    ACTIVATING = "activating"
    ACTIVE = "active"
    REVOKING = "revoking"  # tried again for ever
    ENDED = "ended"  # time was over
    REVOKED = "revoked"  # earlier than planned
    ACTIVATION_FAILED = "activation_failed"  # nothing was granted, and that is proven


REQUEST_TRANSITIONS: frozenset[tuple[RequestStatus, RequestStatus]] = frozenset(
    (RequestStatus.PENDING, final) for final in RequestStatus if final is not RequestStatus.PENDING
)

GRANT_TRANSITIONS: frozenset[tuple[GrantStatus, GrantStatus]] = frozenset(
    {
        (GrantStatus.ACTIVATING, GrantStatus.ACTIVE),
        (GrantStatus.ACTIVATING, GrantStatus.ACTIVATION_FAILED),
        (GrantStatus.ACTIVATING, GrantStatus.REVOKING),
        (GrantStatus.ACTIVE, GrantStatus.REVOKING),
        (GrantStatus.REVOKING, GrantStatus.ENDED),
        (GrantStatus.REVOKING, GrantStatus.REVOKED),
        (GrantStatus.REVOKING, GrantStatus.ACTIVATION_FAILED),
    }
)

LIVE_GRANT = frozenset({GrantStatus.ACTIVATING, GrantStatus.ACTIVE, GrantStatus.REVOKING})


class EndCause(StrEnum):
    """Why a grant ended."""

    DEADLINE = "deadline"  # the time was over
    RETURNED = "returned"  # the requester was done
    REVOKED = "revoked"  # a person who may revoke did
    OPERATOR = "operator"  # from the command line
    STOPPED = "stopped"  # activation was given up
    ACTIVATION_UNKNOWN = "activation_unknown"  # unsure what exists in the target


class Verdict(StrEnum):
    """What policy says."""

    DENY = "deny"
    AUTO_APPROVE = "auto_approve"
    NEEDS_APPROVAL = "needs_approval"


class Answer(StrEnum):
    """What a reviewer says."""

    APPROVE = "approve"
    DENY = "deny"


class Refusal(StrEnum):
    """Why an account may not take part at all. The value is what people read."""

    GUEST = "guests of this workspace"
    STRANGER = "people from outside this workspace"
    FOREIGN_TEAM = "people from another workspace"
    BOT = "bots"
    DEACTIVATED = "deactivated accounts"


def _mailbox(email: str | None) -> str | None:
    """Where mail to `email` arrives: case, width and plus-tags aside. None when there is none."""
    local, at, domain = (
        unicodedata.normalize("NFKC", email or "").strip().casefold().rpartition("@")
    )
    return f"{local.partition('+')[0]}@{domain}" if at else None


def first_name(name: str) -> str:
    """What colleagues say: the first name, where the first word is one."""
    first = name.split(maxsplit=1)[0] if name.split() else name
    return name if first.endswith(".") or len(first) == 1 else first


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """An account as Slack describes it at one moment."""

    id: str
    team_id: str
    name: str  # what people call them
    handle: str = ""
    email: str | None = None
    tz: str = "UTC"  # IANA name
    refusal: Refusal | None = None  # set: may neither ask nor decide

    def same_as(self, other: "Person") -> bool:
        """Whether two accounts are one person, as far as ids and e-mail addresses tell."""
        if self.id == other.id:
            return True
        mailbox = _mailbox(self.email)
        return mailbox is not None and mailbox == _mailbox(other.email)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a person asks for, before anything is decided or stored."""

    requester_id: str
    entitlement: str
    duration: timedelta | None = None  # none: the entitlement's default
    justification: str = ""
    tables: tuple[str, ...] = ()  # labels (`schema.table`); none: all of the entitlement
    channel_id: str | None = None  # where it was typed
    dedupe_key: str | None = None  # one delivery, one request


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The machine's verdict on a draft, with everything needed to explain it.

    `fields` holds errors beside fields of the draft; a draft with such errors has verdict DENY.
    """

    verdict: Verdict
    rule: str  # the rule that matched, or "" when none did
    reasons: tuple[str, ...]
    approvers: tuple[str, ...] = ()  # ids of people who may decide; never the requester
    needs: int = 0  # how many distinct people must approve
    duration: timedelta | None = None  # what would be granted
    decide_within: timedelta | None = None
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRequest:
    """A request as it is recorded. `scope` is the exact access asked for, frozen at submission."""

    id: str
    status: RequestStatus
    requester_id: str
    requester_name: str
    requester_tz: str
    team_id: str
    target: str
    environment: str
    entitlement: str
    tables: tuple[str, ...]
    scope: Mapping[str, object]  # catalog.scope_to_json(): enough to end it without the catalog
    scope_hash: str
    catalog_version: str
    duration: timedelta
    justification: str
    ticket: str | None
    verdict: Verdict
    rule: str
    reasons: tuple[str, ...]
    approvers: tuple[str, ...]  # as resolved at submission, for show; re-read at the click
    needs: int
    created_at: datetime
    decide_by: datetime
    decided_at: datetime | None = None
    decided_by: str | None = None  # person id; None for policy
    decided_by_name: str | None = None
    comment: str | None = None  # the reviewer's words
    dedupe_key: str | None = None
    channel_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One person's approve or deny. At most one a person and request."""

    request_id: str
    reviewer_id: str
    reviewer_name: str
    answer: Answer
    comment: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Time-bound access that exists, is coming, going or gone."""

    id: str
    status: GrantStatus
    target: str
    requester_id: str
    role_name: str
    duration: timedelta
    created_at: datetime
    expires_at: datetime  # the deadline; while ACTIVATING, what the next attempt will use
    activate_by: datetime  # activation is given up then
    role_oid: int | None = None
    server: str | None = None  # which one its role was made on; see Engine.identity
    activated_at: datetime | None = None
    cause: EndCause | None = None
    ended_by: str | None = None  # person id, "operator:<login>", None for the clock
    ended_by_name: str | None = None
    end_comment: str | None = None
    revoking_since: datetime | None = None
    access_ended_at: datetime | None = None  # door shut, no session: surely no access
    cleaned_up_at: datetime | None = None  # and nothing remains
    attempts: int = 0  # of the present step
    next_attempt_at: datetime | None = None
    last_error: str | None = None
    alarmed_at: datetime | None = None
    reveals: int = 0
    sessions_cut: int = 0
    quarantined: tuple[str, ...] = ()
    residue: tuple[str, ...] = ()
    activity: Mapping[str, object] | None = None  # audit.summary.activity_to_json()
    fence: int = 0  # how often it was claimed; see store.claims

    @property
    def given_up(self) -> bool:
        """Whether it is over without proof that access has ended: an operator closed it."""
        over = self.status in {GrantStatus.ENDED, GrantStatus.REVOKED}
        return over and self.cleaned_up_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known at one moment, for policy. None, or absent, means: not known."""

    requester: Person | None  # who asks; at the click, who asked
    members: Mapping[str, frozenset[str] | None] = field(default_factory=dict)  # ids by reference
    names: Mapping[str, str] = field(default_factory=dict)  # what people are called, by id
    unfit: frozenset[str] = frozenset()  # known not to count: guests, bots, the requester's aliases
    holds: "tuple[Story, ...]" = ()  # what the requester holds already, or is being granted


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRef:
    """A message we posted for a request. A click counts only from one of these."""

    request_id: str
    kind: str  # outbox.Kind value
    channel_id: str
    ts: str
    thread_ts: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One link of the chain. `body` is the exact text that was hashed."""

    seq: int
    at: datetime
    type: str
    request_id: str | None
    body: str
    prev: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Everything recorded about one request: what every message is drawn from."""

    request: AccessRequest
    reviews: tuple[Review, ...] = ()
    grant: Grant | None = None
    messages: tuple[MessageRef, ...] = ()

    def message(self, kind: str) -> MessageRef | None:
        """Our message of that kind, if it has been posted."""
        return next((m for m in self.messages if m.kind == kind), None)
