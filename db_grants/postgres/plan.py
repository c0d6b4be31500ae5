"""What to do: pure functions from a wanted state and a found one to described statements.

The same statements serve dry run, execution and tests. They are one transaction: a role that is made
may log in from its first statement on, and nobody sees it before the last.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from psycopg import sql

from db_grants import naming
from db_grants.postgres import atoms, inspect
from db_grants.spec import GrantSpec, ManagedRole
from db_grants.statement import Statement

SUBSET_LOCK = 7146201  # any number nobody else is likely to use for an advisory lock


def create(
    spec: GrantSpec, state: inspect.TargetState, since: int | None = None
) -> tuple[Statement, ...]:
    """The steps that bring a grant's role to the wanted state; none when it is there already.

    `since`: for the note on a role that is new, see `inspect.marker`.
    """
    return (*_subset(spec, state), *_role(spec, state, since))


def opening(spec: GrantSpec) -> tuple[sql.Composable, ...]:
    """How the transaction of a creation begins. A narrowed scope's role must not be dropped, as
    unused, between the look at it and its use.
    """
    if spec.scope.narrowed:
        return (sql.SQL("BEGIN"), subset_lock())
    return ()


def subset_lock() -> sql.Composable:
    """Held by whoever makes, uses or drops a narrowed scope's role, to the end of the transaction."""
    return sql.SQL("SELECT pg_advisory_xact_lock({})").format(sql.Literal(SUBSET_LOCK))


def _subset(spec: GrantSpec, state: inspect.TargetState) -> Iterator[Statement]:
    """A narrowed scope has a role of its own, shared by all grants narrowed alike."""
    if not spec.scope.narrowed or state.granted_exists:
        return
    name = atoms.role_to_grant(spec.scope)
    yield Statement(
        description=f"Make the role {name} for this narrowed scope",
        sql=sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(name)),
    )
    for atom in atoms.of_scope(spec.scope):
        yield _membership(atom.role, name, state.version, f"Let it {atom.label}")


def _role(spec: GrantSpec, state: inspect.TargetState, since: int | None) -> Iterator[Statement]:
    """Memberships last: after each the server works out anew what the bot may do."""
    found = state.role
    name = sql.Identifier(spec.role_name)
    if found is None:
        yield _made(spec)
    elif not _has_attributes(found, spec):
        yield _altered(spec)
    if found is None or found.comment != _marker(spec):
        yield _comment(spec.role_name, inspect.marker(spec.grant_id, spec.expires_at, since))
    if spec.log_statements and (found is None or inspect.LOGGING not in found.settings):
        yield Statement(
            description="Log every statement it runs; its holder cannot switch that off",
            sql=sql.SQL("ALTER ROLE {} SET log_statement = 'all'").format(name),
        )
    yield from _privileges(spec, state)
    if found is None:
        yield _membership(
            naming.BOOKKEEPING, spec.role_name, state.version, "Mark it as ours", inherit=False
        )
    if found is not None and not found.can_login:
        yield Statement(
            description="Let it log in (no password is set yet)",
            sql=sql.SQL("ALTER ROLE {} LOGIN").format(name),
        )


def _privileges(spec: GrantSpec, state: inspect.TargetState) -> Iterator[Statement]:
    granted = atoms.role_to_grant(spec.scope)
    held = state.role.member_of if state.role else frozenset()
    for other in sorted(held - {granted, naming.BOOKKEEPING}):
        yield Statement(
            description=f"Take away {other}, which is not part of this grant",
            sql=sql.SQL("REVOKE {} FROM {}").format(
                sql.Identifier(other), sql.Identifier(spec.role_name)
            ),
        )
    if state.role is None or granted not in state.role.privileges_of:
        label = atoms.carried(spec.scope).label
        yield _membership(granted, spec.role_name, state.version, f"Allow: {label}")


def _made(spec: GrantSpec) -> Statement:
    return Statement(
        description=f"Make the role {spec.role_name}, {_attributes_in_words(spec)}, no password yet",
        sql=sql.SQL("CREATE ROLE {} LOGIN INHERIT {}").format(
            sql.Identifier(spec.role_name), _attributes(spec)
        ),
    )


def _altered(spec: GrantSpec) -> Statement:
    return Statement(
        description=f"Bring the role {spec.role_name} to {_attributes_in_words(spec)}",
        sql=sql.SQL("ALTER ROLE {} INHERIT {}").format(
            sql.Identifier(spec.role_name), _attributes(spec)
        ),
    )


def _attributes(spec: GrantSpec) -> sql.Composable:
    return sql.SQL("CONNECTION LIMIT {} VALID UNTIL {}").format(
        sql.Literal(spec.connection_limit), sql.Literal(instant(spec.expires_at))
    )


def _attributes_in_words(spec: GrantSpec) -> str:
    until = spec.expires_at.astimezone(UTC)
    return f"{spec.connection_limit} connections, valid until {until:%Y-%m-%d %H:%M:%S} UTC"


def _has_attributes(found: inspect.RoleState, spec: GrantSpec) -> bool:
    return (
        found.connection_limit == spec.connection_limit
        and found.valid_until == spec.expires_at.astimezone(UTC)
    )


def instant(moment: datetime) -> str:
    """A time for VALID UNTIL with its offset, so that no session's time zone can move it."""
    if moment.tzinfo is None:
        raise ValueError("a deadline needs an aware datetime")
    return moment.astimezone(UTC).isoformat(sep=" ")


def _marker(spec: GrantSpec) -> str:
    return inspect.marker(spec.grant_id, spec.expires_at)


def _comment(role: str, text: str) -> Statement:
    return Statement(
        description="Note its grant and deadline on it",
        sql=sql.SQL("COMMENT ON ROLE {} IS {}").format(sql.Identifier(role), sql.Literal(text)),
    )


def _membership(
    role: str, member: str, version: int, description: str, *, inherit: bool = True
) -> Statement:
    """A membership without the right to pass it on, and from 16 on without SET ROLE."""
    given = sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), sql.Identifier(member))
    if version >= inspect.INHERIT_OPTION:
        choice = "WITH INHERIT TRUE, SET FALSE" if inherit else "WITH INHERIT FALSE, SET FALSE"
        given = sql.SQL(" ").join([given, sql.SQL(choice)])
    return Statement(description=description, sql=given)


def wrong(spec: GrantSpec, found: inspect.RoleState | None) -> str:
    """What a role just made lacks against its specification; empty when it is right."""
    granted = atoms.role_to_grant(spec.scope)
    if found is None:
        return "it is not there"
    checks = {
        "it has powers": found.powerful,
        "it cannot log in": not found.can_login,
        "its attributes differ": not _has_attributes(found, spec),
        "its memberships differ": found.member_of != {granted, naming.BOOKKEEPING},
        "it lacks its privileges": granted not in found.privileges_of,
        "its statements are not logged": (
            spec.log_statements and inspect.LOGGING not in found.settings
        ),
    }
    return ", ".join(reason for reason, bad in checks.items() if bad)


def deadline(role: ManagedRole, expires_at: datetime) -> tuple[Statement, ...]:
    """Move the end of a role's validity, on the role and in its note."""
    return (
        Statement(
            description=f"Let {role.name} be valid until {instant(expires_at)}",
            sql=sql.SQL("ALTER ROLE {} VALID UNTIL {}").format(
                sql.Identifier(role.name), sql.Literal(instant(expires_at))
            ),
        ),
        _comment(role.name, inspect.marker(role.grant_id, expires_at)),
    )


def shut(name: str) -> Statement:
    """Close the door: from its commit on nobody can log in as this role."""
    return Statement(
        description=f"Let nobody log in as {name} any more",
        sql=sql.SQL(
            "ALTER ROLE {} NOLOGIN CONNECTION LIMIT 0 VALID UNTIL '-infinity' PASSWORD NULL"
        ).format(sql.Identifier(name)),
    )


def take_over(name: str, member_of: Sequence[str], version: int) -> tuple[Statement, ...]:
    """Take all privileges from a closed role and let the bot act for it, now that it holds nothing.

    Only whoever has the privileges of a role may cut its sessions, hand over its objects and roll
    back what it prepared; taken at creation, this would let the bot read what the holder may read.
    """
    role = sql.Identifier(name)
    steps = []
    if member_of:
        granted = sql.SQL(", ").join(map(sql.Identifier, member_of))
        steps.append(
            Statement(
                description=f"Take all privileges from {name}",
                sql=sql.SQL("REVOKE {} FROM {}").format(granted, role),
            )
        )
    template = "GRANT {} TO CURRENT_USER"
    if version >= inspect.INHERIT_OPTION:
        template = "GRANT {} TO CURRENT_USER WITH INHERIT TRUE, SET TRUE"
    steps.append(
        Statement(description=f"Let the bot act for {name}", sql=sql.SQL(template).format(role))
    )
    return tuple(steps)
