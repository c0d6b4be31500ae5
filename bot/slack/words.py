"""What a story says: its state, and the facts that templates print. No Block Kit here."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from bot import catalog as catalogs
from bot import model
from bot.deciding import policy
from bot.slack import remains
from bot.telling import render
from db_grants.spec import Privilege, TableScope


class State(StrEnum):
    """Where a request stands, as people see it."""

    WAITING = "waiting"
    GRANTING = "granting"
    DELAYED = "delayed"  # approved, the target does not play along yet
    ACTIVE = "active"
    ENDING = "ending"
    OVERDUE = "overdue"  # should be gone and may not be
    UNSURE = "unsure"  # an activation whose outcome is not known
    CLEANING = "cleaning"  # access has ended, something remains
    ENDED = "ended"
    GIVEN_UP = "given_up"  # over without proof of it
    FAILED = "failed"
    DENIED = "denied"
    CANCELLED = "cancelled"
    LAPSED = "lapsed"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What is not in the story itself but belongs on the card."""

    now: datetime
    names: Callable[[str], str]  # account id -> what people call them
    granted: int = 0  # grants of the same in 30 days
    unused: int = 0
    others: int = 0  # grants the requester holds besides
    sensitivity: str = ""
    used: str = ""  # "used 11 of 30 min"
    reasons: tuple[str, ...] = field(default=())


QUOTED = 600  # characters of a comment or an error in a message

_SETTLED = {
    model.RequestStatus.PENDING: State.WAITING,
    model.RequestStatus.APPROVED: State.GRANTING,  # until there is a grant to look at
    model.RequestStatus.DENIED: State.DENIED,
    model.RequestStatus.CANCELLED: State.CANCELLED,
    model.RequestStatus.EXPIRED: State.LAPSED,
    model.RequestStatus.SUPERSEDED: State.SUPERSEDED,
}
_NEVER_LIVE = frozenset({model.EndCause.ACTIVATION_UNKNOWN, model.EndCause.STOPPED})
_VERBS = frozenset({
    "add", "change", "check", "clean", "correct", "create", "delete", "edit", "export", "fix",
    "insert", "inspect", "list", "look", "maintain", "manage", "migrate", "purge", "query", "read",
    "repair", "report", "reset", "restore", "run", "see", "update", "use", "view", "write",
})  # fmt: skip


def state(story: model.Story) -> State:
    """Where it stands, from committed facts only."""
    if story.grant is None:
        return _SETTLED[story.request.status]
    return _grant_state(story.grant)


def _grant_state(grant: model.Grant) -> State:
    match grant.status:
        case model.GrantStatus.ACTIVATING:
            return State.DELAYED if grant.last_error else State.GRANTING
        case model.GrantStatus.ACTIVE:
            return State.ACTIVE
        case model.GrantStatus.REVOKING:
            return _revoking_state(grant)
        case model.GrantStatus.ACTIVATION_FAILED:
            return State.FAILED
        case _:
            return State.GIVEN_UP if grant.given_up else State.ENDED


def _revoking_state(grant: model.Grant) -> State:
    if grant.access_ended_at is not None:
        return State.CLEANING
    if grant.activated_at is None and grant.cause in _NEVER_LIVE:
        return State.UNSURE
    return State.OVERDUE if grant.alarmed_at else State.ENDING


def headline(request: model.AccessRequest) -> render.Mrkdwn:
    """`Ana Lima asks to read customer data on shop (production)`."""
    words = request.entitlement.replace("_", " ").replace("-", " ")
    asks = (
        f"asks to {words}" if words.split()[:1][0] in _VERBS else f"asks for {request.entitlement}"
    )
    who = render.name(request.requester_name)
    where = render.escape(f"{asks} on {request.target} ({request.environment})")
    return render.Mrkdwn(f"{who} {where}")


def holder(story: model.Story, around: Around) -> render.Mrkdwn:
    """`Ana Lima: read_customer_data on shop`, and below it how that stands."""
    request = story.request
    what = render.escape(f"{request.entitlement} on {request.target}")
    return render.Mrkdwn(f"*{render.name(request.requester_name)}*: {what}\n{line(story, around)}")


def scope(request: model.AccessRequest) -> tuple[render.Mrkdwn, render.Mrkdwn]:
    """What can only be read, and what can be changed; one of them may be empty.

    `customers (id, name, email, city), orders`; long ones end in `and 5 more`.
    """
    tables = catalogs.scope_from_json(request.scope).tables
    kinds = ([each for each in tables if only_reads(each) is reads] for reads in (True, False))
    read, changed = (render.some([_table(each) for each in kind], 4) for kind in kinds)
    return render.escape(read), render.escape(changed)


def _table(table: TableScope) -> str:
    shown = table.table
    if table.columns:
        shown += f" ({render.some(table.columns, 5)})"
    return shown if only_reads(table) else f"{shown}: {privileges(table)}"


def only_reads(table: TableScope) -> bool:
    """Whether nothing can be changed through it."""
    return table.privileges == {Privilege.SELECT}


def privileges(table: TableScope) -> str:
    """`select, insert`, in the order of the enum."""
    return ", ".join(each.value for each in Privilege if each in table.privileges)


def reach(request: model.AccessRequest) -> render.Mrkdwn:
    """`*Sees*  customers · *Can change*  orders: update`, or one of them."""
    labels = zip(("Sees", "Can change"), scope(request), strict=True)
    return render.Mrkdwn(" · ".join(f"*{label}*  {what}" for label, what in labels if what))


def person(name: str | None) -> render.Mrkdwn:
    """A colleague, as one says it."""
    return render.name(render.short(name or "someone"))


def decided(story: model.Story) -> render.Mrkdwn:
    """`by Bo`, `by Bo and Cleo`, `automatically (rule low-risk)`."""
    approving = [r for r in story.reviews if r.answer is model.Answer.APPROVE]
    names = [str(person(each.reviewer_name)) for each in approving]
    if not names and story.request.decided_by:
        names = [str(person(story.request.decided_by_name))]
    if names:
        return render.Mrkdwn(f"by {render.listing(names)}")
    return render.Mrkdwn(f"automatically (rule {render.escape(story.request.rule)})")


def approvers(request: model.AccessRequest, around: Around, most: int = 6) -> list[str]:
    """Names of those who may decide, short, as mrkdwn."""
    known = {each: around.names(each) for each in request.approvers}
    names = [str(render.name(each)) for each in policy.called(request.approvers, known)]
    rest = len(names) - most
    return [*names[:most], f"{rest} more"] if rest > 0 else names


def cause(
    what: str | None, who: str | None, *, requester: str = "", target: str = ""
) -> render.Mrkdwn:
    """Why it ended or is ending: `time is over`, `revoked by Bo`."""
    by = person((who or "").removeprefix("operator:")) if who else person(requester)
    known = {
        model.EndCause.DEADLINE: "time is over",
        model.EndCause.RETURNED: f"{by} is done",
        model.EndCause.REVOKED: f"revoked by {by}",
        model.EndCause.OPERATOR: f"revoked from the command line by {by}",
        model.EndCause.STOPPED: f"stopped by {by}",
        model.EndCause.ACTIVATION_UNKNOWN: f"it was not certain what existed on {render.escape(target)}",
    }
    return render.Mrkdwn(known.get(model.EndCause(what), "ended") if what else "ended")


def facts(story: model.Story, around: Around) -> dict[str, Any]:
    """Everything the templates about one story may print."""
    request = story.request
    common = {
        "state": str(state(story)),
        "what": request.entitlement,
        "target": request.target,
        "requester": request.requester_name,
        "length": render.duration(request.duration),
        "needs": request.needs,
        "approvals": _approvals(story),
        "so_far": render.Mrkdwn(", ".join(_approvals(story))),
        "asked": render.Mrkdwn(render.listing(approvers(request, around))),
        "decide_by": render.when(request.decide_by, around.now),
        "decider": person(request.decided_by_name),
        "comment": render.clean(request.comment or "", limit=QUOTED),
        "by": decided(story),
        "decided": request.status is model.RequestStatus.APPROVED,
        "took": _took(request),
        "used": around.used,
    }
    return common | _grant_facts(story, around.now)


def _approvals(story: model.Story) -> list[render.Mrkdwn]:
    approving = [r for r in story.reviews if r.answer is model.Answer.APPROVE]
    return [render.Mrkdwn(f"{person(r.reviewer_name)}, {render.clock(r.at)}") for r in approving]


def _took(request: model.AccessRequest) -> str:
    if request.decided_by is None or request.decided_at is None:
        return ""
    took = request.decided_at - request.created_at
    return render.about(took) if took.total_seconds() >= 1 else ""


def _grant_facts(story: model.Story, now: datetime) -> dict[str, Any]:
    grant = story.grant
    if grant is None:
        return {}
    why = cause(
        grant.cause,
        grant.ended_by_name or grant.ended_by,
        requester=story.request.requester_name,
        target=grant.target,
    )
    early = grant.cause not in {None, model.EndCause.DEADLINE}
    stopped = grant.cause is model.EndCause.STOPPED
    ended = grant.access_ended_at or grant.cleaned_up_at or grant.expires_at
    return {
        "role": grant.role_name,
        "expires_at": render.when(grant.expires_at, now),
        "activate_by": render.when(grant.activate_by, now),
        "due_at": render.when(grant.revoking_since or grant.expires_at, now),
        "ended_at": render.when(ended, now),
        "ended_by": render.Mrkdwn(f"({why})") if early else "",
        "ender": person(grant.ended_by_name),
        "proven": grant.access_ended_at is not None,
        "end_comment": render.clean(grant.end_comment or "", limit=QUOTED),
        "cause": render.Mrkdwn(f"{why[:1].upper()}{why[1:]}."),
        "error": why if stopped else problem(grant.last_error, grant.target),
        "left": render.some([*remains.told(grant.residue), *grant.quarantined], 3),
        "quarantined": render.some(grant.quarantined, 3),
    }


def problem(error: str | None, target: str) -> str:
    """A target's error for the middle of a sentence: `shop could not be reached`."""
    said = (
        render.clean(error or "The target does not answer.", limit=QUOTED)
        .partition(". ")[0]
        .rstrip(".")
    )
    if said.startswith("The target "):
        return f"{target} {said.removeprefix('The target ')}"
    return f"{said[:1].lower()}{said[1:]}" if said[1:2].islower() else said


def line(story: model.Story, around: Around) -> render.Mrkdwn:
    """The state in one sentence."""
    return render.text("card", **facts(story, around))


def message(template: str, story: model.Story, around: Around, **more: Any) -> render.Mrkdwn:
    """One of the direct messages about a story."""
    said = line(story, around)
    return render.text(template, card=said, lowered=lower(said), **facts(story, around), **more)


def lower(text: render.Mrkdwn) -> render.Mrkdwn:
    """The same for the middle of a sentence."""
    return render.Mrkdwn(f"{text[:1].lower()}{text[1:]}")
