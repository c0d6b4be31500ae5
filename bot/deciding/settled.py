"""What a person is told who comes too late: who settled it, and when."""

from datetime import datetime, timedelta

from bot import errors, model
from bot.catalog import duration

_YOU = "You already"  # who reads of their own deed
_SOON = timedelta(minutes=2)  # from then on seconds do not matter


def ensure_open(story: model.Story, now: datetime, who: str) -> None:
    """Raise TooLate, in words for `who` is there, unless the request still waits for a decision."""
    if story.request.status is not model.RequestStatus.PENDING:
        raise errors.TooLate(told(story, now, who))
    if now >= story.request.decide_by:
        raise errors.TooLate("Nobody decided in time, so this has lapsed. Nothing was granted.")


def ensure_first(story: model.Story, now: datetime, reviewer_id: str) -> None:
    """As `ensure_open`; also raise TooLate if this person has already given an answer."""
    ensure_open(story, now, reviewer_id)
    if any(review.reviewer_id == reviewer_id for review in story.reviews):
        approvals = sum(review.answer is model.Answer.APPROVE for review in story.reviews)
        left = story.request.needs - approvals
        raise errors.TooLate(f"You have already approved this; {left} more must.")


def told(story: model.Story, now: datetime, who: str | None = None) -> str:
    """One sentence on how a settled request was settled, for `who` may have done so themselves."""
    request = story.request
    own = next((review for review in story.reviews if review.reviewer_id == who), None)
    ago = since((own.at if own else request.decided_at) or now, now)
    by = request.decided_by_name
    decider = _YOU if own else model.first_name(by) if by else f"Rule {request.rule}"
    asker = _YOU if request.requester_id == who else model.first_name(request.requester_name)
    sentences = {
        model.RequestStatus.APPROVED: f"{decider} approved this {ago}.",
        model.RequestStatus.DENIED: f"{decider} denied this {ago}.",
        model.RequestStatus.CANCELLED: f"{asker} withdrew this {ago}.",
        model.RequestStatus.EXPIRED: f"Nobody decided in time; this lapsed {ago}.",
        model.RequestStatus.SUPERSEDED: superseded(request.comment or ""),
        model.RequestStatus.PENDING: "This is waiting for a decision.",
    }
    return sentences[request.status]


def superseded(change: str) -> str:
    """That the request is void, and why."""
    return f"What was asked for has changed: {change}. Nothing was granted."


def ended(grant: model.Grant, now: datetime, who: str | None = None) -> str:
    """One sentence on a grant that is over or ending; `who` as for `told`."""
    if grant.status is model.GrantStatus.ACTIVATION_FAILED:
        return "Nothing was granted, so there is nothing to end."
    if grant.given_up:
        return f"{_ender(grant, who)}: it was given up, and its end is not proven."
    if grant.status is model.GrantStatus.REVOKING and grant.access_ended_at is None:
        return f"{_ender(grant, who)} {since(grant.revoking_since or now, now)}; it is being ended."
    return f"{_ender(grant, who)} {since(grant.access_ended_at or now, now)}."


def since(moment: datetime, now: datetime) -> str:
    """How long ago, for people: "4 s ago"."""
    passed = max(timedelta(0), now - moment)
    if passed < timedelta(seconds=1):
        return "just now"
    if passed > _SOON:
        passed -= timedelta(seconds=passed.total_seconds() % 60)
    return f"{duration.words(passed)} ago"


def _ender(grant: model.Grant, who: str | None) -> str:
    if grant.cause is model.EndCause.DEADLINE:
        return "Its time was over"
    if who and grant.ended_by == who:
        return f"{_YOU} ended this"
    by = grant.ended_by_name or (grant.ended_by or "").removeprefix("operator:")
    return f"{model.first_name(by) if by else 'The bot'} ended this"
