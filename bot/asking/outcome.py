"""What a request becomes, and what is said of it: each inside the caller's transaction."""

from bot import model, store
from bot.granting import activation
from bot.telling import notices
from db_grants import naming

MOST_HOMES = 20  # deciders whose App Home is redrawn for one request


def ask(tx: store.Transaction, request: model.AccessRequest) -> None:
    """Record a request with what the machine decided; by rule alone it is approved at once."""
    tx.add_request(request)
    if request.verdict is model.Verdict.AUTO_APPROVE:
        approve(tx, request, rule=request.rule)
        return
    notices.redraw(tx, request.id, notices.Kind.RECEIPT)
    notices.line(tx, request.id, notices.Line.ASKED, tx.at, count=len(request.approvers))
    notices.home(tx, request.requester_id, *_deciders(request))


def withdraw(tx: store.Transaction, request: model.AccessRequest) -> None:
    """Its requester takes it back."""
    tx.settle_request(request.id, model.RequestStatus.CANCELLED)
    notices.redraw(tx, request.id, notices.Kind.RECEIPT)
    notices.line(tx, request.id, notices.Line.CANCELLED, tx.at, who=request.requester_name)
    notices.home(tx, request.requester_id, *_deciders(request))


def lapse(tx: store.Transaction, request: model.AccessRequest) -> None:
    """Nobody decided in time."""
    tx.settle_request(request.id, model.RequestStatus.EXPIRED)
    notices.redraw(tx, request.id, notices.Kind.RECEIPT)
    notices.line(tx, request.id, notices.Line.LAPSED, tx.at)
    notices.tell(tx, request.id, notices.Line.LAPSED, tx.at)
    notices.home(tx, request.requester_id, *_deciders(request))


def answer(
    tx: store.Transaction,
    story: model.Story,
    reviewer: model.Person,
    answer: model.Answer,
    comment: str,
    needs: int,
) -> None:
    """One person's review, and what follows from it."""
    request = story.request
    tx.add_review(
        model.Review(
            request_id=request.id,
            reviewer_id=reviewer.id,
            reviewer_name=reviewer.name,
            answer=answer,
            comment=comment,
            at=tx.at,
        )
    )
    approvals = 1 + sum(review.answer is model.Answer.APPROVE for review in story.reviews)
    if answer is model.Answer.DENY:
        deny(tx, request, reviewer, comment)
    elif approvals >= needs:
        approve(tx, request, who=reviewer, comment=comment)
    else:
        who = reviewer.name
        notices.redraw(tx, request.id)
        notices.line(
            tx, request.id, notices.Line.REVIEWED, tx.at, who=who, count=approvals, needs=needs
        )


def approve(
    tx: store.Transaction,
    request: model.AccessRequest,
    *,
    who: model.Person | None = None,
    rule: str | None = None,
    comment: str = "",
) -> None:
    """The decision and the grant that follows from it, together."""
    name = who.name if who else None
    tx.settle_request(
        request.id,
        model.RequestStatus.APPROVED,
        decided_by=who.id if who else None,
        decided_by_name=name,
        comment=comment or None,
    )
    tx.add_grant(activation.planned(request, naming.managed_role(request.id), tx.at))
    kinds = (notices.Kind.RECEIPT,) if who else ()  # by rule it is live before a receipt is read
    notices.redraw(tx, request.id, *kinds)
    notices.line(tx, request.id, notices.Line.APPROVED, tx.at, who=name, rule=rule)
    # the requester's follows with what comes of it, mostly before it could be read: see `activation`
    notices.home(tx, *_deciders(request))


def deny(
    tx: store.Transaction, request: model.AccessRequest, reviewer: model.Person, comment: str
) -> None:
    """A person said no."""
    tx.settle_request(
        request.id,
        model.RequestStatus.DENIED,
        decided_by=reviewer.id,
        decided_by_name=reviewer.name,
        comment=comment or None,
    )
    notices.redraw(tx, request.id, notices.Kind.RECEIPT)
    for say in (notices.line, notices.tell, notices.audit):
        say(tx, request.id, notices.Line.DENIED, tx.at, who=reviewer.name)
    notices.home(tx, request.requester_id, *_deciders(request))


def supersede(tx: store.Transaction, request: model.AccessRequest, change: str) -> None:
    """What was asked for is no longer what would be given."""
    tx.settle_request(request.id, model.RequestStatus.SUPERSEDED, comment=change)
    notices.redraw(tx, request.id, notices.Kind.RECEIPT)
    for say in (notices.line, notices.tell):
        say(tx, request.id, notices.Line.SUPERSEDED, tx.at, change=change)
    notices.home(tx, request.requester_id, *_deciders(request))


def _deciders(request: model.AccessRequest) -> tuple[str, ...]:
    return request.approvers[:MOST_HOMES]
