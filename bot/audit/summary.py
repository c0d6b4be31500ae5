"""What one grant came to: the facts of the summary that ends its thread."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bot import catalog, model, store
from bot.store import mapping
from db_grants import spec
from db_grants.spec import Activity, Evidence, SessionSeen, Statement

REFUSED = "refused"  # the kind under which an engine counts what the server refused

_MAKING = timedelta(seconds=60)  # it takes less to make a role, and the deadline counts from before
_COMPLETE = frozenset({Evidence.STATEMENT_LOG})
# PostgreSQL's words (aclchk.c); the name may be quoted and may hold anything
_DENIED = re.compile(
    r"permission denied for (?:foreign table|foreign server|foreign-data wrapper|materialized view"
    r"|large object|event trigger|text search \w+|\w+) (\S.*)$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The facts of one grant. None means unknown or not yet; zero means zero."""

    request_id: str
    requester_id: str
    requester_name: str
    requester_tz: str
    target: str
    environment: str
    entitlement: str
    ticket: str | None
    justification: str
    status: model.GrantStatus
    asked: timedelta
    granted: timedelta | None  # as decided, whatever became of the deadline; None: never came alive
    used: timedelta | None  # from the first session's start to the last one's end
    never_used: bool  # known to be unused, not merely unknown
    activated_at: datetime | None
    expires_at: datetime
    access_ended_at: datetime | None
    cleaned_up_at: datetime | None
    rule: str
    approvers: tuple[str, ...]  # names of those who approved; none: the rule did
    latency: timedelta | None  # from asking to the decision
    sessions: tuple[SessionSeen, ...]
    statements: int | None  # refused ones included
    counts: tuple[tuple[str, int], ...]  # by kind, most frequent first, without the refused
    refused: int
    refused_on: tuple[str, ...]  # what the refused statements wanted, as the server names it
    touched: tuple[tuple[str, int], ...]  # (schema.table, times), most frequent first
    unnamed: tuple[str, ...]  # offered, named in nothing that was run; empty when evidence is thin
    evidence: Evidence
    note: str  # why the evidence is thin
    cause: model.EndCause | None
    ended_by_name: str | None
    lateness: timedelta | None  # behind the deadline, or the order to end it early
    sessions_cut: int
    quarantined: tuple[str, ...]
    residue: tuple[str, ...]

    @property
    def shortened(self) -> timedelta | None:
        """How much was left of what was granted, where somebody brought the deadline nearer."""
        if self.granted is None or self.activated_at is None:
            return None
        left = self.expires_at - self.activated_at
        return left if self.granted - left > _MAKING else None

    @property
    def verified(self) -> bool:
        """Whether it is proven that nothing of the role remains."""
        return self.cleaned_up_at is not None and not self.residue


def summarise(story: model.Story) -> Summary:
    """The facts of a story's grant. ValueError when nothing was granted."""
    request, grant = story.request, story.grant
    if grant is None:
        raise ValueError(f"request {request.id} has no grant")
    activity = activity_from_json(grant.activity)
    counts = dict(activity.counts)
    refused = counts.pop(REFUSED, 0)
    return Summary(
        request_id=request.id,
        requester_id=request.requester_id,
        requester_name=request.requester_name,
        requester_tz=request.requester_tz,
        target=request.target,
        environment=request.environment,
        entitlement=request.entitlement,
        ticket=request.ticket,
        justification=request.justification,
        status=grant.status,
        asked=request.duration,
        granted=grant.duration if grant.activated_at else None,
        used=_used(grant, activity),
        never_used=mapping.was_used(grant.activity) is False,
        activated_at=grant.activated_at,
        expires_at=grant.expires_at,
        access_ended_at=grant.access_ended_at,
        cleaned_up_at=grant.cleaned_up_at,
        rule=request.rule,
        approvers=_approvers(story),
        latency=request.decided_at - request.created_at if request.decided_at else None,
        sessions=activity.sessions,
        statements=None if activity.evidence is Evidence.NONE else sum(counts.values()) + refused,
        counts=tuple(counts.items()),
        refused=refused,
        refused_on=_refused_on(activity),
        touched=_touched(request, activity),
        unnamed=_unnamed(request, activity),
        evidence=activity.evidence,
        note=activity.note,
        cause=grant.cause,
        ended_by_name=grant.ended_by_name,
        lateness=lateness(
            store.due_since(grant.expires_at, grant.cause, grant.revoking_since),
            grant.access_ended_at,
        ),
        sessions_cut=grant.sessions_cut,
        quarantined=grant.quarantined,
        residue=grant.residue,
    )


def lateness(due: datetime, access_ended_at: datetime | None) -> timedelta | None:
    """How long after it should have ended access did; None when it has not, or did before."""
    if access_ended_at is None or access_ended_at < due:
        return None
    return access_ended_at - due


def activity_to_json(activity: Activity) -> dict[str, Any]:
    """As stored in `model.Grant.activity`."""
    plain: dict[str, Any] = mapping.plain(
        {
            "evidence": activity.evidence,
            "note": activity.note,
            "sessions": [mapping.values_of(session) for session in activity.sessions],
            "statements": [mapping.values_of(statement) for statement in activity.statements],
            "counts": activity.counts,
            "tables": activity.tables,
        }
    )
    return plain


def activity_from_json(stored: Mapping[str, Any] | None) -> Activity:
    """The value that was stored; nothing stored is evidence NONE."""
    if stored is None:
        return Activity(evidence=Evidence.NONE)
    return Activity(
        evidence=Evidence(stored["evidence"]),
        note=stored["note"],
        sessions=tuple(_session(each) for each in stored["sessions"]),
        statements=tuple(
            Statement(**{**each, "at": datetime.fromisoformat(each["at"])})
            for each in stored["statements"]
        ),
        counts=tuple((kind, n) for kind, n in stored["counts"]),
        tables=tuple((label, n) for label, n in stored["tables"]),
    )


def _session(stored: Mapping[str, Any]) -> SessionSeen:
    ended = stored["ended_at"]
    return SessionSeen(
        started_at=datetime.fromisoformat(stored["started_at"]),
        ended_at=datetime.fromisoformat(ended) if ended else None,
        application=stored["application"],
        client=stored["client"],
    )


def _used(grant: model.Grant, activity: Activity) -> timedelta | None:
    """A session whose end was not seen ended when access did: it was cut."""
    if not activity.sessions:
        return timedelta(0) if mapping.was_used(grant.activity) is False else None
    start = min(session.started_at for session in activity.sessions)
    ends = [session.ended_at or grant.access_ended_at for session in activity.sessions]
    known = [end for end in ends if end is not None]
    return max(max(known) - start, timedelta(0)) if known else None


def _approvers(story: model.Story) -> tuple[str, ...]:
    return tuple(
        review.reviewer_name for review in story.reviews if review.answer is model.Answer.APPROVE
    )


def _refused_on(activity: Activity) -> tuple[str, ...]:
    found = (_DENIED.search(statement.error or "") for statement in activity.statements)
    return tuple(dict.fromkeys(match[1] for match in found if match))


def _touched(request: model.AccessRequest, activity: Activity) -> tuple[tuple[str, int], ...]:
    """A name without a schema counts for the one table of that name that was offered or named."""
    offered = [each.label for each in catalog.scope_from_json(request.scope).tables]
    known = {*offered, *(label for label, _ in activity.tables if "." in label)}
    counts: Counter[str] = Counter()
    for label, n in activity.tables:
        meant = [each for each in known if each.partition(".")[2] == label]
        counts[meant[0] if len(meant) == 1 else label] += n
    return tuple(sorted(counts.items(), key=lambda each: (-each[1], each[0])))


def _unnamed(request: model.AccessRequest, activity: Activity) -> tuple[str, ...]:
    """What was offered and occurs in no text that was run, each of which must have been kept whole.

    More is not known: a block of code or a function may read what no statement names, so this is not
    told as "never touched" where anything was run.
    """
    texts = [statement.text for statement in activity.statements]
    told = len(texts) == sum(n for _, n in activity.counts)
    if activity.evidence not in _COMPLETE or not told or any(map(_may_hide, texts)):
        return ()
    said = "\n".join(texts).casefold()
    offered = {t.label: t.table for t in catalog.scope_from_json(request.scope).tables}
    return tuple(label for label, table in offered.items() if not _occurs(table, said))


def _occurs(table: str, said: str) -> bool:
    name = table.casefold()
    return name in said or name.replace('"', '""') in said


def _may_hide(text: str) -> bool:
    """Whether a text may name what cannot be read in it: it was cut, or spells names in escapes.

    https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS
    """
    return len(text) >= spec.TEXT_KEPT or 'u&"' in text.casefold()
