"""Closing the record of a grant whose end can never be proven, because its server is gone for good.

Nothing is claimed: the grant is over without a time at which access ended, and every place that tells
of it says so. Only an operator does this, with a reason, after an attempt has failed.
"""

from bot import errors, model, store
from bot.telling import notices

_REVOKING = model.GrantStatus.REVOKING


def give_up(kept: store.Store, grant_id: str, because: str, login: str) -> model.Grant:
    """Close it without proof. Raises NotFound, NotAllowed, TooLate."""
    grant = kept.grant(grant_id)
    _check(grant, because)
    actor = store.Actor(kind="operator", id=login, name=login)
    with kept.begin(actor) as tx:
        try:
            over = tx.move_grant(
                grant_id,
                _REVOKING,
                model.GrantStatus.REVOKED,
                cause=model.EndCause.OPERATOR,
                ended_by=f"operator:{login}",
                ended_by_name=login,
                end_comment=because.strip(),
                last_error=grant.last_error,
            )
        except errors.Conflict:
            raise errors.TooLate(f"Grant {grant_id} has ended in this instant.") from None
        told = {"because": over.end_comment, "last_error": over.last_error, "server": over.server}
        tx.record("grant.given_up", grant_id, told)
        notices.redraw(tx, grant_id, notices.Kind.LIVE)
        proven = over.access_ended_at is not None
        figures = {"who": login, "because": over.end_comment, "proven": proven}
        notices.line(tx, grant_id, notices.Line.GIVEN_UP, tx.at, **figures)
        notices.audit(tx, grant_id, notices.Line.GIVEN_UP, tx.at, **figures)
        notices.home(tx, over.requester_id)
    return over


def _check(grant: model.Grant, because: str) -> None:
    if not because.strip():
        raise errors.NotAllowed("Say why, with --because: it is recorded and told.")
    if grant.status not in model.LIVE_GRANT:
        raise errors.TooLate(f"Grant {grant.id} is over already.")
    if grant.status is not _REVOKING:
        raise errors.NotAllowed(
            f"Grant {grant.id} is not ending. End it first: jit revoke {grant.id}."
        )
    if not grant.attempts:
        raise errors.NotAllowed(
            f"No attempt to end {grant.id} has failed yet. Let the running bot try first."
        )
