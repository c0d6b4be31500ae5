"""Role statements by deputy: the bootstrap's functions where a server has them, else plain SQL.

From 16 on whoever makes a role, or hands it out, administers it, and with each later statement about
any role, and each look at sessions, the server works out anew all that they administer
(`roles_is_member_of` in utils/adt/acl.c): with a thousand roles that takes longer than the statement. A
superuser is not asked. So functions that a superuser owns do exactly what is to be done to our roles, and
the bot administers none.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from psycopg import sql

from db_grants import naming
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
    """Whether this server has those for temporary roles; then they are ready to run."""
    link.ready(clock=True)
    if link.deputies:
        link.ready(_MAKE, _PASSWORD, _DEADLINE, _SHUT, _TAKE_OVER, _LEND, _DROP)
    return link.deputies


def all_at_hand(link: links.Link) -> bool:
    """Whether it has those for the rare things as well: then the bot does nothing to roles itself."""
    link.ready(clock=True)
    return link.all_deputies


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


def bringing(link: links.Link, spec: GrantSpec, state: inspect.TargetState) -> list[sql.Composable]:
    """Make a role, or bring one that is there to what it must be. See `plan.create`."""
    steps = [step.sql for step in plan.create(spec, state)]
    if not all_at_hand(link):
        lent = [_LEND.run([spec.role_name])] if steps and state.role and at_hand(link) else []
        return [*lent, *steps]
    made: list[sql.Composable] = []
    if not state.granted_exists:
        made.append(_call("make_narrowed_role", [atom.role for atom in atoms.of_scope(spec.scope)]))
    if state.role is None:
        return [*made, *making(link, spec, state)]
    wanted = (
        spec.role_name,
        atoms.role_to_grant(spec.scope),
        spec.connection_limit,
        plan.instant(spec.expires_at),
        inspect.marker(spec.grant_id, spec.expires_at),
        spec.log_statements,
    )
    return [*made, _call("mend_role", *wanted)] if steps else []


def dropping_narrowed(link: links.Link, names: Iterable[str]) -> list[sql.Composable]:
    """Drop these roles of narrowed scopes, found unused under `plan.subset_lock`."""
    if all_at_hand(link):
        return [_call("drop_narrowed_roles")]
    return [sql.SQL("DROP ROLE {}").format(sql.Identifier(name)) for name in names]


def shutting_scope_role(link: links.Link, name: str) -> sql.Composable:
    """Nobody logs in as that scope role, with whatever password."""
    if all_at_hand(link):
        return _call("shut_scope_role", name)
    return sql.SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL").format(sql.Identifier(name))


def erasing_passwords(link: links.Link) -> sql.Composable:
    """No scope role has a password any more, for a bot that cannot see which have one."""
    if all_at_hand(link):
        return sql.SQL("SELECT jit_admin.shut_scope_role(name) FROM jit_admin.scope_roles")
    return queries.query("erase_passwords", bookkeeping=naming.BOOKKEEPING, pattern=naming.LASTING)


def resetting_scope_role(link: links.Link, name: str, database: str | None) -> sql.Composable:
    """All its settings go, or those it has in one database only."""
    if all_at_hand(link):
        return _call("reset_scope_role", name, database)
    place: sql.Composable = sql.SQL("")
    if database:
        place = sql.SQL("IN DATABASE {} ").format(sql.Identifier(database))
    return sql.SQL("ALTER ROLE {} {}RESET ALL").format(sql.Identifier(name), place)


def lending_scope_role(link: links.Link, name: str) -> sql.Composable:
    """Let the bot act for a scope role, and as it.

    Where it does so by its own power, with ADMIN before 16: there that adds nothing and tells the bot
    from a user of the role.
    """
    if all_at_hand(link):
        return _call("lend_scope_role", name)
    option = "ADMIN OPTION" if link.version < inspect.INHERIT_OPTION else "INHERIT TRUE, SET TRUE"
    return sql.SQL("GRANT {} TO CURRENT_USER WITH {}").format(sql.Identifier(name), sql.SQL(option))


def returning_scope_role(link: links.Link, name: str) -> sql.Composable:
    """End that."""
    if all_at_hand(link):
        return _call("return_scope_role", name)
    return sql.SQL("REVOKE {} FROM CURRENT_USER").format(sql.Identifier(name))


def taking_back(link: links.Link, giver: str, given: str, member: str) -> list[sql.Composable]:
    """Take from `member` a membership that a scope role gave, or before 16 a temporary one.

    From 16 on only its giver can take it, or a superuser.
    """
    if all_at_hand(link):
        return [_call("take_back_membership", giver, given, member)]
    named = {"given": sql.Identifier(given), "member": sql.Identifier(member)}
    if link.version < inspect.INHERIT_OPTION:
        return [sql.SQL("REVOKE {given} FROM {member} CASCADE").format(**named)]
    revoke = sql.SQL("REVOKE {given} FROM {member} GRANTED BY {giver} CASCADE")
    return [
        lending_scope_role(link, giver),
        revoke.format(**named, giver=sql.Identifier(giver)),
        returning_scope_role(link, giver),
    ]


def stripping_quarantined(there: links.Link) -> sql.Composable:
    """What is in quarantine in that database gives nobody access any more."""
    (rows,) = there.ask(queries.query("can_strip"))
    if rows and rows[0]["may"]:
        return _call("strip_quarantined")
    return queries.query("strip_quarantined", stripping=queries.query("stripping"))


def _call(name: str, *values: str | int | list[str] | None) -> sql.Composable:
    """What is rare is not prepared."""
    given = sql.SQL(", ").join(map(sql.Literal, values))
    return sql.SQL("SELECT jit_admin.{}({})").format(sql.Identifier(name), given)
