"""Driver errors in, our errors out.

The driver's own text is not passed on: for a syntax error it quotes the statement, and a statement
may hold a SCRAM verifier. What is passed on is the server's primary message and SQLSTATE; for the
same reason the driver's exception is not chained.
"""

import psycopg

from db_grants import errors

_COLLISIONS = {
    "42710",  # duplicate_object: somebody made the same role just now
    "23505",  # unique_violation on pg_authid, the same race a moment later
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "55006",  # object_in_use
}
_CANCELLED = "57014"  # query_canceled, by statement_timeout
_TOO_OLD = "22012"  # division_by_zero: how `links.younger_than` refuses
_LOCKED = "55P03"  # lock_not_available, after lock_timeout
_FULL = "53100"  # disk_full
_UNWRITTEN = "could not extend file"  # so begins the rest of it: a quota, a limit on files
_GONE = ("08", "57P", "53")  # connection lost; server going down or coming up; out of resources
_MISSING = {"42704", "3F000", "42883", "42P01"}


class Collision(errors.DbGrantsError):
    """Another session changed the same thing just now. Nothing was changed; try again."""


class Locked(errors.TargetUnavailable):
    """Somebody holds a lock on what was to be changed. Nothing was changed."""


class NoRoom(errors.DbGrantsError):
    """The target's disk is full, or its quota used up."""


class Dependent(errors.DbGrantsError):
    """The role cannot be dropped: something in the database still depends on it."""


class DeadlinePassed(psycopg.OperationalError):
    """The server did not answer within the time we give an operation."""


def is_lost(error: psycopg.Error) -> bool:
    """Whether we no longer know what the server did."""
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    refused = state == _FULL and error.diag.severity_nonlocalized == "ERROR"
    return state.startswith(_GONE) and not refused


def is_loss(error: errors.DbGrantsError) -> bool:
    """Whether the server itself did not answer, so that asking it more would only wait again."""
    lost = isinstance(error, errors.TargetUnavailable | errors.OutcomeUnknown)
    return lost and not isinstance(error, Locked)


def translated(error: psycopg.Error, *, committing: bool) -> errors.DbGrantsError:
    """The error of ours that says the same. `committing`: a lost connection may hide a commit."""
    if is_lost(error):
        kind = errors.OutcomeUnknown if committing else errors.TargetUnavailable
        return kind(f"{(kind.__doc__ or '').strip()} ({_gist(error)})")
    return _refused(error, error.sqlstate or "")


def _refused(error: psycopg.Error, state: str) -> errors.DbGrantsError:
    """The server is there and said no."""
    if state in _COLLISIONS or (state == "XX000" and "concurrently" in _gist(error)):
        return Collision()
    if state == _FULL or (state == "XX000" and _gist(error).startswith(_UNWRITTEN)):
        return NoRoom(f"{(NoRoom.__doc__ or '').strip()} ({_gist(error)})")
    if state == "42501" or state in _MISSING:
        return errors.NotPrepared(f"The target is not prepared for this: {_gist(error)}.")
    known: dict[str, tuple[type[errors.DbGrantsError], str]] = {
        _LOCKED: (Locked, f"{(Locked.__doc__ or '').strip()} ({_gist(error)})"),
        _CANCELLED: (
            errors.TargetUnavailable,
            f"The target was too slow; nothing was changed. ({_gist(error)})",
        ),
        _TOO_OLD: (
            errors.TargetUnavailable,
            "It was not done in time; nothing was changed.",
        ),
        "2BP01": (Dependent, _gist(error)),
    }
    kind, message = known.get(
        state, (errors.DbGrantsError, f"The target refused: {_gist(error)} ({state})")
    )
    return kind(message)


def _gist(error: psycopg.Error) -> str:
    """The server's own first line; of connection errors the driver's, which holds no password."""
    primary = error.diag.message_primary
    if primary:
        return primary
    if isinstance(error, DeadlinePassed):
        return "no answer in time"
    if isinstance(error, psycopg.errors.ConnectionTimeout):
        return "no connection in time"
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
