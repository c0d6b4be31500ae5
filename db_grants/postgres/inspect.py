"""What is: the server's state read into plain values. Reads only."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg import sql

from db_grants import errors, naming
from db_grants.postgres import atoms, links, queries
from db_grants.spec import GrantSpec, ManagedRole

INHERIT_OPTION = 160000  # server version from which GRANT … WITH INHERIT and SET exist
LOGGING = "log_statement=all"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleState:
    """One role as the catalogue describes it."""

    oid: int
    name: str
    can_login: bool
    connection_limit: int
    valid_until: datetime | None  # None: never set, or infinite either way
    powerful: bool  # superuser, CREATEROLE, CREATEDB, REPLICATION or BYPASSRLS
    settings: tuple[str, ...]
    member_of: frozenset[str]
    privileges_of: frozenset[str]  # those it need not SET ROLE for
    comment: str | None

    @property
    def ours(self) -> bool:
        """Whether it carries our mark."""
        return naming.BOOKKEEPING in self.member_of


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetState:
    """What a grant of one scope finds on the server."""

    version: int  # server_version_num
    granted_exists: bool
    role: RoleState | None


def for_grant(link: links.Link, spec: GrantSpec) -> TargetState:
    """Read what `plan` needs, in one round trip. Raises NotPrepared, InvalidScope, ForeignRole."""
    wanted = [atom.role for atom in atoms.of_scope(spec.scope)]
    granted = atoms.role_to_grant(spec.scope)
    target, found = link.ask(
        queries.query(
            "target_state", granted=granted, atoms=wanted, bookkeeping=naming.BOOKKEEPING
        ),
        queries.query("role_state", role=spec.role_name),
    )
    _require_prepared(target[0], spec, wanted)
    role = _role(found[0]) if found else None
    if role is not None:
        require_ours(role)
    return TargetState(version=target[0]["version"], granted_exists=target[0]["granted"], role=role)


def _require_prepared(row: dict[str, Any], spec: GrantSpec, wanted: list[str]) -> None:
    """An entitlement role that carries other atoms than the scope says is not granted: drift."""
    if not row["bookkeeping"]:
        raise errors.NotPrepared("The target has not been prepared: run the bootstrap SQL on it.")
    missing = sorted(set(wanted) - set(row["atoms"]))
    if missing:
        raise errors.NotPrepared(
            f"The target lacks {len(missing)} scope roles of {spec.scope.name}"
            f" ({missing[0]}…): run the bootstrap SQL on it again."
        )
    if not row["granted"] and not spec.scope.narrowed:
        raise errors.NotPrepared(
            f"The target lacks the role of {spec.scope.name}: run the bootstrap SQL on it again."
        )
    if row["granted"] and set(row["carried"]) != set(wanted):
        raise errors.NotPrepared(
            f"The role of {spec.scope.name} carries something else than the catalog says:"
            " run the bootstrap SQL on the target again."
        )


def require_ours(role: RoleState) -> None:
    """Raise ForeignRole for a role without our mark, or one with powers we never give."""
    if not role.ours or role.powerful:
        raise errors.ForeignRole(f"A role named {role.name} exists and is not ours; left alone.")


def role_query(name: str) -> sql.Composable:
    """The query whose rows `role_of` reads."""
    return queries.query("role_state", role=name)


def role_of(rows: links.Rows) -> RoleState | None:
    """The role a `role_query` found."""
    return _role(rows[0]) if rows else None


def name_of(link: links.Link, role: ManagedRole) -> RoleState:
    """The role as it is now, keyed by OID. Raises RoleMissing, ForeignRole."""
    (rows,) = link.ask(role_query(role.name))
    state = role_of(rows)
    if state is None or state.oid != role.oid:
        raise errors.RoleMissing(f"The role {role.name} does not exist any more.")
    require_ours(state)
    return state


def marker(grant_id: str, expires_at: datetime, since: int | None = None) -> str:
    """What the role's comment says, so that a role can be ended without any other record.

    `since`: a transaction before any that can know of the role, see `links.Link.horizon`.
    """
    note: dict[str, object] = {
        "grant": grant_id,
        "expires": expires_at.astimezone(UTC).isoformat(),
    }
    return json.dumps(note if since is None else note | {"since": since})


def marker_now(grant_id: str, expires_at: datetime) -> sql.Composable:
    """The expression of a `marker` whose `since` is the oldest transaction when the server works it out."""
    head = marker(grant_id, expires_at).removesuffix("}")
    return sql.SQL("concat({}, pg_snapshot_xmin(pg_current_snapshot()), {})").format(
        sql.Literal(f'{head}, "since": '), sql.Literal("}")
    )


def _utc(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC) if moment and moment.tzinfo else None


def _role(row: dict[str, Any]) -> RoleState:
    return RoleState(
        oid=row["oid"],
        name=row["name"],
        can_login=row["can_login"],
        connection_limit=row["connection_limit"],
        valid_until=_utc(row["valid_until"]),
        powerful=row["powerful"],
        settings=tuple(row["settings"]),
        member_of=frozenset(row["member_of"]),
        privileges_of=frozenset(row["privileges_of"]),
        comment=row["comment"],
    )
