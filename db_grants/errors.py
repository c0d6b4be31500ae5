"""What can go wrong in a database that grants access, as one tree.

A leaf's docstring is its default message. Driver errors are translated at the boundary, so a caller
never sees psycopg, and the text of these errors never carries a password or a verifier.
"""


class DbGrantsError(Exception):
    """Something went wrong while changing database access."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])


class InvalidScope(DbGrantsError):
    """What was asked for cannot be granted safely. Final: asking again cannot help."""


class NotPrepared(DbGrantsError):
    """The target lacks what its bootstrap SQL would have made. Final until an operator acts."""


class ForeignRole(DbGrantsError):
    """A role of that name exists and is not ours; it was left alone."""


class TargetUnavailable(DbGrantsError):
    """The target could not be reached or did not answer in time."""

    # Nothing is known to have happened there; where a change may have been made it is OutcomeUnknown.


class OutcomeUnknown(DbGrantsError):
    """The connection was lost at a moment when the change may or may not have been committed."""


class ClockUnsure(DbGrantsError):
    """The target's clock may be too far from ours; nothing was made."""


class RoleMissing(DbGrantsError):
    """The managed role does not exist (any more)."""


class StillAlive(DbGrantsError):
    """The door is shut, but a session of the role is still there. Try again."""
