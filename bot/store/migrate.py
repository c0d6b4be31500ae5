"""Bring a state database to the present revision, or say why it cannot be used."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command, config, migration, script
from sqlalchemy import exc

from bot import errors
from bot.store import faults
from bot.store.database import Database

_SCRIPTS = Path(__file__).parent / "migrations"

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
            if _missing(connection, database.place) is None:
                return
        with database.write() as connection:
            database.lock_chain(connection)  # two processes may start at once
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


def _upgrade(connection: sa.Connection, place: str) -> None:
    if (settings := _missing(connection, place)) is not None:
        command.upgrade(settings, "head")


def _missing(connection: sa.Connection, place: str) -> config.Config | None:
    """What Alembic needs to bring it up to date; None when it is. Raises StoreError if newer."""
    settings = config.Config()
    settings.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    settings.attributes["connection"] = connection
    scripts = script.ScriptDirectory.from_config(settings)
    present = migration.MigrationContext.configure(connection).get_current_heads()
    if set(present) == set(scripts.get_heads()):
        return None
    known = {revision.revision for revision in scripts.walk_revisions()}
    newer = sorted(set(present) - known)
    if newer:
        raise errors.StoreError(
            f"The state database {place} was written by a newer version of jit "
            f"(revision {newer[0]}). Upgrade jit, or point JIT_DATABASE_URL at another database."
        )
    return settings


def _unusable(place: str, error: exc.DBAPIError) -> errors.StoreError:
    kind = faults.kind_of(error)
    unknown = "no connection could be made" if kind == "OperationalError" else kind
    said = f"{kind} {error.orig}"
    reason = next((why for sign, why in _REASONS.items() if sign in said), unknown)
    return errors.StoreError(f"The state database {place} cannot be used: {reason}.")
