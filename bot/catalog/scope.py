"""From an entitlement to the exact access it stands for, and how that is recorded and compared."""

import functools
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from bot import errors
from bot.catalog.values import Entitlement
from db_grants.spec import Privilege, Scope, TableScope

_TABLES = 4096  # tables of scopes, remembered at a time


def scope_of(entitlement: Entitlement, tables: Collection[str] = ()) -> Scope:
    """What a grant of it carries: everything, or only the named tables (labels).

    Raises InvalidDraft when a label is not part of it.
    """
    strangers = [label for label in tables if label not in entitlement.labels]
    if strangers:
        named = ", ".join(strangers)
        raise errors.InvalidDraft({"tables": f"Not part of {entitlement.name}: {named}."})
    kept = tuple(t for t in entitlement.tables if not tables or t.label in tables)
    narrowed = len(kept) < len(entitlement.tables)
    return Scope(
        name=entitlement.name, database=entitlement.database, tables=kept, narrowed=narrowed
    )


def scope_to_json(scope: Scope) -> dict[str, object]:
    """The scope as plain JSON: enough to end a grant without the catalog."""
    return {
        "name": scope.name,
        "database": scope.database,
        "narrowed": scope.narrowed,
        "tables": [_table_to_json(table) for table in scope.tables],
    }


def scope_from_json(data: Mapping[str, Any]) -> Scope:
    """The scope that `scope_to_json` wrote down."""
    tables: Sequence[Mapping[str, Any]] = data["tables"]
    return Scope(
        name=data["name"],
        database=data["database"],
        narrowed=data["narrowed"],
        tables=tuple(
            _table(table["schema"], table["table"], (*table["columns"],), (*table["privileges"],))
            for table in tables
        ),
    )


@functools.lru_cache(_TABLES)
def _table(
    schema: str, table: str, columns: tuple[str, ...], privileges: tuple[str, ...]
) -> TableScope:
    """The same value for the same words: it is made, hashed and compared for every grant."""
    return TableScope(
        schema=schema,
        table=table,
        columns=columns,
        privileges=frozenset(map(Privilege, privileges)),
    )


def database_of(data: Mapping[str, Any]) -> str:
    """The database of the scope that `scope_to_json` wrote down, without all of its tables."""
    return str(data["database"])


def scope_hash(entitlement: Entitlement, tables: Collection[str] = ()) -> str:
    """Sha256 over target and exact access: equal as long as the same thing would be granted.

    Raises InvalidDraft when a label is not part of the entitlement (any more).
    """
    scope = scope_of(entitlement, tables)
    said = [entitlement.target, scope.name, scope.database, sorted(map(_canonical, scope.tables))]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def covers(held: Scope, wanted: Scope) -> bool:
    """Whether `held` gives all that `wanted` would, table by table."""
    gives = set(map(_canonical, held.tables))
    return held.database == wanted.database and gives.issuperset(map(_canonical, wanted.tables))


def changes(asked: Scope, offered: Scope | None) -> str:
    """What differs between the access asked for and what is offered now, for people."""
    if offered is None:
        return f"{asked.name} is no longer offered"
    old, new = _by_label(asked), _by_label(offered)
    said = [f"{label} was added to {asked.name}" for label in new if label not in old]
    said += [f"{label} was taken from {asked.name}" for label in old if label not in new]
    said += [
        f"what {asked.name} gives on {t} changed" for t in old if t in new and old[t] != new[t]
    ]
    if asked.database != offered.database:
        said.append(f"{asked.name} is now in another database")
    return ", ".join(said) or f"{asked.name} has changed"


def _by_label(scope: Scope) -> dict[str, frozenset[str]]:
    labels = dict.fromkeys(table.label for table in scope.tables)
    return {x: frozenset(_canonical(t) for t in scope.tables if t.label == x) for x in labels}


def _canonical(table: TableScope) -> str:
    """One spelling for what is the same access, whatever the order in the file."""
    data = _table_to_json(table)
    return json.dumps(data | {"columns": sorted(table.columns)}, sort_keys=True)


def _table_to_json(table: TableScope) -> dict[str, object]:
    return {
        "schema": table.schema,
        "table": table.table,
        "columns": list(table.columns),
        "privileges": sorted(p.value for p in table.privileges),
    }
