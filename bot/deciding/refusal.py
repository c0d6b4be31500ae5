"""A refused click leaves a trace: who wanted what, and what they were told."""

from collections.abc import Iterator
from contextlib import contextmanager

from bot import errors, store


@contextmanager
def recorded(
    record: store.Store, actor: store.Actor, request_id: str | None, act: str
) -> Iterator[None]:
    """Whatever is refused inside becomes an audit event, and is raised as before."""
    try:
        yield
    except (errors.NotAllowed, errors.IdentityUnknown, errors.TooLate) as refusal:
        told = {"act": act, "why": type(refusal).__name__, "words": str(refusal)}
        with record.begin(actor) as tx:
            tx.record("click.refused", request_id, told)
        raise
