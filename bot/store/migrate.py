"""Bring a state database to the present revision, or say why it cannot be used."""

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import exc

from bot import errors
from bot.store import faults
from bot.store.database import Database

_VERSIONS = Path(__file__).parent / "migrations" / "versions"

# What a person can do something about, by SQLite's name for it, by SQLSTATE, or by the server's own
# words: libpq gives no code when no connection was made.
_REASONS = {
    "SQLITE_NOTADB": "the file is something else",
    "SQLITE_READONLY": "the file may not be written",
    "SQLITE_CORRUPT": "the file is damaged",
    "SQLITE_FULL": "the disk is full",
    "42501": "this user may not create tables there",
    "password authentication failed": "user or password is wrong",
    "no password supplied": "it asks for a password",
    "does not exist": "there is no such database or user",
    "starting up": "it is still starting",
    "too many clients": "it takes no more connections",
    "no pg_hba.conf entry": "its pg_hba.conf does not let us in",
}


def migrate(database: Database) -> None:
    """Run what is missing, in one transaction; only look when nothing is. Raises StoreError."""
    try:
        with database.read() as connection:  # somebody who only reads must not wait for writers
            if _present(connection) == {last()}:
                return
        with database.write() as connection:
            database.lock_chain(connection)  # two processes may start at once
            if _present(connection) != {last()}:
                _upgrade(connection, database.place)
    except errors.Busy as error:
        raise errors.StoreError(
            f"The state database {database.place} is busy; try again."
        ) from error
    except errors.Conflict as error:
        raise errors.StoreError(
            f"The state database {database.place} is not one of ours."
        ) from error
    except errors.StoreError as error:
        if isinstance(error.__cause__, exc.DBAPIError):
            raise _unusable(database.place, error.__cause__) from None
        raise


def last() -> str:
    """The last revision there is, by the names of the scripts; a test holds it to Alembic's own."""
    return max(path.name.partition("_")[0] for path in _VERSIONS.glob("[0-9]*_*.py"))


def _present(connection: sa.Connection) -> set[str]:
    """The revisions that the database says it is at; none for one that is new."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return set()
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version")
    return {str(version) for version in found.scalars()}


def _upgrade(connection: sa.Connection, place: str) -> None:
    # Alembic takes longer than the rest of a start, and is rarely needed
    from bot.store import upgrade

    newer = upgrade.unknown(_present(connection))
    if newer:
        raise errors.StoreError(
            f"The state database {place} was written by a newer version of jit "
            f"(revision {newer[0]}). Upgrade jit, or point JIT_DATABASE_URL at another database."
        )
    upgrade.run(connection)


def _unusable(place: str, error: exc.DBAPIError) -> errors.StoreError:
    kind = faults.kind_of(error)
    unknown = "no connection could be made" if kind == "OperationalError" else kind
    said = f"{kind} {error.orig}"
    reason = next((why for sign, why in _REASONS.items() if sign in said), unknown)
    return errors.StoreError(f"The state database {place} cannot be used: {reason}.")
