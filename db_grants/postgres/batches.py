"""Many ends at once: what one of them runs into does not stop the others."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from db_grants import errors
from db_grants.postgres import failures
from db_grants.spec import ManagedRole

_Result = TypeVar("_Result")


def completed(
    roles: Sequence[ManagedRole],
    outcomes: dict[int, _Result | errors.DbGrantsError],
    work: Callable[[], None],
) -> dict[int, _Result | errors.DbGrantsError]:
    """`outcomes`, by OID, after `work` has filled it, or lost the server on the way: that is then the
    outcome of whatever it had not come to. Raises TargetUnavailable when that is all of them.
    """
    if not roles:
        return outcomes
    try:
        work()
    except errors.DbGrantsError as error:
        if not failures.is_loss(error):
            raise
        if not outcomes and isinstance(error, errors.TargetUnavailable):
            raise
        for role in roles:
            outcomes.setdefault(role.oid, error)
    return outcomes


def by_grant(
    roles: Sequence[ManagedRole], outcomes: dict[int, _Result | errors.DbGrantsError]
) -> dict[str, _Result | errors.DbGrantsError]:
    """The same by grant id, as the engine's contract has it."""
    return {role.grant_id: outcomes[role.oid] for role in roles}
