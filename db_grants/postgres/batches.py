"""Many ends at once: what one of them runs into does not stop the others."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from db_grants import errors
from db_grants.postgres import failures, links
from db_grants.spec import ManagedRole

_Result = TypeVar("_Result")


def one_by_one(
    link: links.Link, roles: Iterable[ManagedRole], step: Callable[[ManagedRole], _Result]
) -> dict[str, _Result | errors.DbGrantsError]:
    """`step` for each role: its result or its error, by grant id.

    Once the server is lost the rest is not tried: each would wait for it again. Raises
    TargetUnavailable when that happens before anything else did.
    """
    outcomes: dict[str, _Result | errors.DbGrantsError] = {}
    lost: errors.TargetUnavailable | None = None
    for role in roles:
        if lost is not None:
            outcomes[role.grant_id] = lost
            continue
        try:
            outcomes[role.grant_id] = step(role)
        except errors.DbGrantsError as error:
            outcomes[role.grant_id] = error
            link.roll_back()
            lost = _loss(error)
            if isinstance(error, errors.TargetUnavailable) and error is lost and len(outcomes) == 1:
                raise
    return outcomes


def _loss(error: errors.DbGrantsError) -> errors.TargetUnavailable | None:
    """What is said of those that come after, when the server itself is lost."""
    if isinstance(error, errors.OutcomeUnknown):
        return errors.TargetUnavailable()
    if isinstance(error, errors.TargetUnavailable) and not isinstance(error, failures.Locked):
        return error
    return None
