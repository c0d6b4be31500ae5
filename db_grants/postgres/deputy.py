"""Role statements by deputy: the bootstrap's functions where a server has them, else plain SQL.

From 16 on whoever makes a role administers it, and with each later statement about any role the
server works out anew all that they administer (`roles_is_member_of` in utils/adt/acl.c): with a
thousand roles that takes longer than the statement. A superuser is not asked. So functions that a
superuser owns do exactly what a grant does to its own role, and the bot administers none of them.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from psycopg import sql

from db_grants.postgres import atoms, inspect, links, plan, queries
from db_grants.spec import GrantSpec, ManagedRole


def _function(name: str, *types: str) -> queries.Prepared:
    given = ", ".join(f"${at}" for at, _ in enumerate(types, 1))
    text = f"SELECT jit_admin.{name}({given})"
    return queries.Prepared(name=name, types=", ".join(types), text=text)


_MAKE = _function("make_role", "text", "text", "int", "timestamptz", "text", "bool")
_PASSWORD = _function("set_password", "text", "text")
_DEADLINE = _function("set_deadline", "text", "timestamptz", "text")
_SHUT = _function("shut_roles", "text[]")
_TAKE_OVER = _function("take_over_roles", "text[]")
_LEND = _function("lend_roles", "text[]")
_DROP = _function("drop_roles", "text[]")


def at_hand(link: links.Link) -> bool:
    """Whether this server has them all; then they are ready to run."""
    link.ready(clock=True)
    if link.deputies:
        link.ready(_MAKE, _PASSWORD, _DEADLINE, _SHUT, _TAKE_OVER, _LEND, _DROP)
    return link.deputies


def making(link: links.Link, spec: GrantSpec, state: inspect.TargetState) -> list[sql.Composable]:
    """Make a role that is not there; what its scope carries is there. See `plan.create`."""
    if not at_hand(link):
        return [step.sql for step in plan.create(spec, state, link.horizon)]
    note = inspect.marker_now(spec.grant_id, spec.expires_at)
    return [
        _MAKE.run(
            spec.role_name,
            atoms.role_to_grant(spec.scope),
            spec.connection_limit,
            plan.instant(spec.expires_at),
            note,
            spec.log_statements,
        )
    ]


def giving_password(link: links.Link, role: ManagedRole, verifier: str) -> list[sql.Composable]:
    """Give a role its password: the server sees no more than a verifier."""
    if at_hand(link):
        return [_PASSWORD.run(role.name, verifier)]
    statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
    return [statement.format(sql.Identifier(role.name), sql.Literal(verifier))]


def moving_deadline(
    link: links.Link, role: ManagedRole, expires_at: datetime
) -> list[sql.Composable]:
    """Move the end of a role's validity. See `plan.deadline`."""
    if at_hand(link):
        note = inspect.marker(role.grant_id, expires_at)
        return [_DEADLINE.run(role.name, plan.instant(expires_at), note)]
    return [step.sql for step in plan.deadline(role, expires_at)]


def shutting(link: links.Link, names: Sequence[str]) -> list[sql.Composable]:
    """Close these doors. See `plan.shut`."""
    if at_hand(link):
        return [_SHUT.run(names)]
    return [plan.shut(name).sql for name in names]


def taking_over(link: links.Link, held: Mapping[str, Sequence[str]]) -> list[sql.Composable]:
    """Let the bot act for these, named with what each is a member of. See `plan.take_over`."""
    if at_hand(link):
        return [_TAKE_OVER.run(list(held))]
    return [
        step.sql
        for name, member_of in held.items()
        for step in plan.take_over(name, member_of, link.version)
    ]


def dropping(link: links.Link, names: Sequence[str]) -> list[sql.Composable]:
    """Drop these, whose doors are shut."""
    if at_hand(link):
        return [_DROP.run(names)]
    return [sql.SQL("DROP ROLE {}").format(sql.SQL(", ").join(map(sql.Identifier, names)))]


def lending(link: links.Link, name: str) -> list[sql.Composable]:
    """Let the bot administer a role which a deputy made, for what no deputy does."""
    return [_LEND.run([name])] if at_hand(link) else []
