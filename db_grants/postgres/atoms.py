"""From a scope to atoms: the smallest lasting roles, one a table (or column list) and kind of use.

Object privileges live in atoms and nowhere else. An entitlement role is a member of its atoms, a
managed role a member of the entitlement role: at run time only memberships change.
"""

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from db_grants import naming
from db_grants.errors import InvalidScope
from db_grants.spec import Privilege, Scope, TableScope

_MAX_BYTES = 63  # NAMEDATALEN - 1
_READ = frozenset({Privilege.SELECT})
_MOST_KNOWN = 128  # scopes, of up to some thousand tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Atom:
    """One lasting role and what it may do."""

    role: str
    table: TableScope  # its privileges are this atom's, not the whole entry's
    database: str

    @property
    def label(self) -> str:
        """What it allows, for people."""
        verbs = ", ".join(sorted(self.table.privileges))
        columns = f" ({', '.join(self.table.columns)})" if self.table.columns else ""
        return f"{verbs} on {self.table.label}{columns}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What a scope comes to in roles: worked out once, as each name of a thousand is a hash."""

    atoms: tuple[Atom, ...]
    granted: str  # the role a grant becomes a member of: the entitlement's, or a subset's
    digest: str  # of the atoms' names, as `sql/made.sql` makes it of those in the catalogue
    label: str  # what it allows, for people


# By identity as well: to compare two scopes of a thousand tables takes longer than to make a role.
_KNOWN: dict[int, tuple[Scope, Carried]] = {}


def of_scope(scope: Scope) -> tuple[Atom, ...]:
    """The atoms of a scope, each once. Raises InvalidScope where it cannot be granted safely."""
    return carried(scope).atoms


def role_to_grant(scope: Scope) -> str:
    """The role a grant of `scope` becomes a member of. Raises InvalidScope."""
    return carried(scope).granted


def carried(scope: Scope) -> Carried:
    """What `scope` comes to. Raises InvalidScope where it cannot be granted safely."""
    kept = _KNOWN.get(id(scope))
    if kept is not None and kept[0] is scope:
        return kept[1]
    made = _carried(scope)
    if len(_KNOWN) >= _MOST_KNOWN:
        _KNOWN.clear()
    _KNOWN[id(scope)] = scope, made
    return made


@functools.lru_cache(maxsize=_MOST_KNOWN)
def _carried(scope: Scope) -> Carried:
    _check_name(scope.database, "database")
    if not scope.tables:
        raise InvalidScope(f"The scope {scope.name} names no table.")
    atoms = {atom.role: atom for table in scope.tables for atom in _of_table(table, scope.database)}
    granted = naming.subset_role(atoms) if scope.narrowed else None
    return Carried(
        atoms=tuple(atoms.values()),
        granted=granted or naming.scope_role(scope.name, scope.database),
        digest=hashlib.sha256(f"{{{','.join(sorted(atoms))}}}".encode()).hexdigest(),
        label="; ".join(atom.label for atom in atoms.values()),
    )


def _of_table(table: TableScope, database: str) -> Iterator[Atom]:
    _check_table(table)
    for kind in (table.privileges & _READ, table.privileges - _READ):
        if kind:
            part = TableScope(
                schema=table.schema, table=table.table, columns=table.columns, privileges=kind
            )
            yield Atom(role=naming.atom_role(table, kind, database), table=part, database=database)


def _check_table(table: TableScope) -> None:
    for name, what in ((table.schema, "schema"), (table.table, "table")):
        _check_name(name, what)
    for column in table.columns:
        _check_name(column, f"column of {table.label}")
    if not table.privileges:
        raise InvalidScope(f"Nothing is allowed on {table.label}.")
    if table.columns and Privilege.DELETE in table.privileges:
        raise InvalidScope(
            f"DELETE takes whole rows: it cannot be limited to columns of {table.label}."
        )


def _check_name(name: str, what: str) -> None:
    if not name or "\0" in name or len(name.encode()) > _MAX_BYTES:
        raise InvalidScope(f"{name[:70]!r} cannot be the name of a {what}: 1 to 63 bytes, no NUL.")
