"""What to type about a difference between record and reality: statements for a superuser, and `jit`.

Only text for people; nothing here is run by the bot. Each is complete as it stands: names are quoted
where they need it, and nothing is dropped that its owner may still want.
"""

import re
from collections.abc import Iterable
from datetime import datetime

from db_grants import naming

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")


def name(role: str) -> str:
    """A role's name as SQL wants it."""
    return role if _PLAIN.fullmatch(role) else '"' + role.replace('"', '""') + '"'


def revoke(grant_id: str) -> str:
    """Ends a grant, or closes its record."""
    return f"jit revoke {grant_id}"


def shut(role: str) -> str:
    """The door first, then the sessions: one that lives outlasts its role and is hard to find."""
    literal = role.replace("'", "''")
    return (
        f"ALTER ROLE {name(role)} NOLOGIN;\n"
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{literal}';"
    )


def drop(role: str) -> str:
    """All of it, keeping what it owns. In each database where it has something."""
    return (
        f"{shut(role)}\n"
        f"REASSIGN OWNED BY {name(role)} TO {naming.QUARANTINE};\n"
        f"DROP OWNED BY {name(role)};\n"
        f"DROP ROLE {name(role)};"
    )


def unmark(role: str) -> str:
    """Somebody's own role is not ours any more."""
    return f"REVOKE {naming.BOOKKEEPING} FROM {name(role)};"


def mark(role: str) -> str:
    """A role of ours is known as one again."""
    return f"GRANT {naming.BOOKKEEPING} TO {name(role)};"


def rename(role: str, to: str) -> str:
    """Back to the name it was made with."""
    return f"ALTER ROLE {name(role)} RENAME TO {name(to)};"


def alter(role: str, *options: str) -> str:
    """Attributes as they were made."""
    return f"ALTER ROLE {name(role)} {' '.join(options)};"


def until(role: str, moment: datetime) -> str:
    """The deadline as recorded."""
    return alter(role, f"VALID UNTIL '{moment.isoformat()}'")


def leave(role: str, groups: Iterable[str]) -> str:
    """It acts as none of these any more."""
    return f"REVOKE {', '.join(map(name, groups))} FROM {name(role)};"


def expel(role: str, members: Iterable[str]) -> str:
    """None of these acts as it any more."""
    return f"REVOKE {name(role)} FROM {', '.join(map(name, members))};"


def strip(role: str) -> str:
    """Privileges given to it directly are taken back. Only for a role that owns nothing."""
    return f"DROP OWNED BY {name(role)};"
