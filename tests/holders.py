"""What the holder of a credential does: log in, try something, see whether they are still in."""

from typing import Any

import psycopg

from db_grants.spec import Credential
from tests.fixtures_postgres import Shop


def log_in(shop: Shop, given: Credential, **options: Any) -> psycopg.Connection:
    """A session of theirs, straight to the server, committing at once."""
    url = shop.server.url(given.database, given.role, given.password)
    return psycopg.connect(url, autocommit=True, **options)


def refused(session: psycopg.Connection, statement: str) -> bool:
    """Whether the server refuses it for want of a privilege."""
    try:
        session.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


def is_cut(session: psycopg.Connection) -> bool:
    """Whether the server has ended this session."""
    try:
        session.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    return False
