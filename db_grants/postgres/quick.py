"""The plain case of each change, in one round trip and one transaction that guards itself.

Each transaction holds a query that fails unless all is exactly as it must be: what the careful way
would have read before and verified afterwards. Where the server refuses, whatever the reason,
nothing was changed and None is returned: the careful way then finds out and does what is needed.

Guards compare the server's clock with a time we give them. A message may reach the server late, held
up here or on the way; it is refused then, though nobody is there any more to take it back.
"""

import functools

from psycopg import sql

from db_grants import errors, naming
from db_grants.postgres import atoms, deputy, inspect, links, plan, queries
from db_grants.spec import GrantSpec, ManagedRole, Near

BEGIN, COMMIT = sql.SQL("BEGIN"), sql.SQL("COMMIT")
# What waits for longer than this waits for somebody with a purpose, and is not the plain case.
HASTE = sql.SQL("SET LOCAL lock_timeout = 100")
# A plan is kept for long, and may have been made when there were few roles, or none counted.
_BY_INDEX = sql.SQL("SET LOCAL enable_seqscan = off")
_ANY_TIME = ("-infinity", "infinity")


def tried(link: links.Link, *statements: sql.Composable) -> list[links.Rows] | None:
    """What a transaction that commits gave; None when the server refused it. Raises OutcomeUnknown."""
    try:
        return link.tell(BEGIN, HASTE, *statements)[2:]
    except errors.OutcomeUnknown:
        raise
    except errors.DbGrantsError:
        link.roll_back()
        return None


def created(link: links.Link, spec: GrantSpec, end: float, near: Near | None) -> ManagedRole | None:
    """The role of a grant nobody made yet, on a target prepared for it; never after `end`, nor while
    the server's clock is not `near`.
    """
    done = tried(link, *plan.opening(spec)[1:], *making(link, spec, end, near), COMMIT)
    if not done or not done[-2]:
        return None
    return ManagedRole(grant_id=spec.grant_id, name=spec.role_name, oid=done[-2][0]["oid"])


def making(
    link: links.Link, spec: GrantSpec, end: float, near: Near | None
) -> list[sql.Composable]:
    """What makes it inside a transaction; the last of these fails unless it came out right."""
    carried = atoms.carried(spec.scope)
    state = inspect.TargetState(version=link.version, granted_exists=True, role=None)
    made = _made(link.version)
    link.ready(made, clock=True)
    check = made.run(
        spec.role_name,
        spec.connection_limit,
        plan.instant(spec.expires_at),
        carried.granted,
        carried.digest,
        spec.log_statements,
        link.clock_at(end),
        *(map(plan.instant, (near.earliest, near.latest)) if near else _ANY_TIME),
    )
    return [_BY_INDEX, *deputy.making(link, spec, state), check]


def changed(link: links.Link, role: ManagedRole, end: float, *steps: sql.Composable) -> bool:
    """Whether `steps` were done to a role that is ours and open; never after `end`."""
    guard = _still_open()
    link.ready(guard, clock=True)
    check = guard.run(role.oid, role.name, link.clock_at(end))
    return tried(link, check, *steps, COMMIT) is not None


@functools.cache
def _made(version: int) -> queries.Prepared:
    """Before 16 it is the member that says whether it inherits."""
    inherits = "m.inherit_option" if version >= inspect.INHERIT_OPTION else "r.rolinherit"
    return queries.prepared(
        "made",
        "text, int, timestamptz, text, text, bool, timestamptz, timestamptz, timestamptz",
        inherits=sql.SQL(inherits),
        bookkeeping=naming.BOOKKEEPING,
    )


@functools.cache
def _still_open() -> queries.Prepared:
    return queries.prepared("still_open", "oid, text, timestamptz", bookkeeping=naming.BOOKKEEPING)
