"""The SQL a DBA runs once, as text: meant to be read before it is run.

It is plain SQL (no psql commands), one transaction, and idempotent: run again after a change of the
catalog, or after somebody took something away by hand, it brings the target back to what is wanted.
"""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence

from psycopg import sql

from db_grants import errors, naming
from db_grants.postgres import atoms, plan, queries
from db_grants.spec import Privilege, Scope

BOT_ROLE = "jit_bot"

_READERS = 2  # functions for the bot in `bootstrap_log`
_PARTS = ("log", "listing", "deputies", "quarantine", "scope_roles", "powers", "tail")
_WITHIN = (  # what the functions for the bot call: not even the bot may
    "jit_admin.require_read_committed()",
    "jit_admin.require_temporary(text[], boolean)",
    "jit_admin.take_memberships(text[], text, text)",
    "jit_admin.furnish_role(text, text, text, integer, timestamptz, text, boolean)",
    "jit_admin.require_scope_role(text)",
    "jit_admin.narrowed_name(text[])",
)
_FUNCTION = re.compile(
    r"CREATE OR REPLACE FUNCTION jit_admin\.(\w+)\([^$]*?AS \$body\$(.*?)\$body\$", re.DOTALL
)


def script(scopes: Sequence[Scope], *, database: str, bot_role: str = BOT_ROLE) -> str:
    """The whole text for `database`. Raises InvalidScope, also for a scope of another database."""
    for scope in scopes:
        if scope.database != database:
            raise errors.InvalidScope(
                f"The scope {scope.name} is for the database {scope.database}, not {database}."
            )
    names: dict[str, sql.Composable | str | int | list[str]] = {
        "bot": sql.Identifier(bot_role),
        "bot_name": bot_role,
        "database": database,
        "database_name": sql.Identifier(database),
        "bookkeeping": naming.BOOKKEEPING,
        "lasting": naming.LASTING,
        "temporary": naming.TEMPORARY,
        "subsets": naming.SUBSETS,
        "quarantine": naming.QUARANTINE,
        "deputies": [*naming.ALL_DEPUTIES, naming.STRIPPING],
        "within": list(_WITHIN),
        "made_for_grant": queries.made_for_grant(),
        "stripping": queries.query("stripping"),
        "unused_subsets": queries.unused_subsets(listed=True),
        "lock": plan.SUBSET_LOCK,
        "functions": len(naming.ALL_DEPUTIES) + _READERS,
    }
    parts = [
        _title(database, bot_role),
        queries.query("bootstrap_head", **names),
        *_atoms(scopes),
        *_entitlements(scopes),
        *(queries.query(f"bootstrap_{part}", **names) for part in _PARTS),
    ]
    return sql.SQL("\n\n").join(parts).as_string(None) + "\n"


@functools.cache
def functions() -> Mapping[str, str]:
    """What is in each function that it makes, by name: the same in every database."""
    return dict(_FUNCTION.findall(script((), database="")))


def _title(database: str, bot_role: str) -> sql.Composable:
    lines = [
        f"Prepares the database {database} for temporary access. To be run by a superuser:",
        f'    psql -X -v ON_ERROR_STOP=1 -d "{database}" -f bootstrap.sql',
        "Running it again is harmless; do so whenever the catalog changes.",
        f"Afterwards give the bot a password, in psql:   \\password {bot_role}",
    ]
    return sql.SQL("\n").join(map(_comment, lines))


def _comment(text: str) -> sql.SQL:
    """A comment of one line, whatever characters a name in it holds."""
    return sql.SQL("-- " + " ".join(text.split("\n")).replace("\r", " "))


def _atoms(scopes: Sequence[Scope]) -> Iterator[sql.Composable]:
    yield _comment("What may be granted, each table and kind of use in a role of its own.")
    made = {atom.role: atom for scope in scopes for atom in atoms.of_scope(scope)}
    for atom in made.values():
        yield sql.SQL("\n").join([_comment(atom.label), *_atom(atom)])


def _atom(atom: atoms.Atom) -> Iterator[sql.Composable]:
    role = sql.Identifier(atom.role)
    table = sql.Identifier(atom.table.schema, atom.table.table)
    yield sql.SQL("CALL pg_temp.jit_role({}, 'NOLOGIN');").format(sql.Literal(atom.role))
    yield sql.SQL("GRANT CONNECT ON DATABASE {} TO {};").format(sql.Identifier(atom.database), role)
    yield sql.SQL("GRANT USAGE ON SCHEMA {} TO {};").format(sql.Identifier(atom.table.schema), role)
    yield sql.SQL("GRANT {} ON TABLE {} TO {};").format(_privileges(atom), table, role)
    if Privilege.INSERT in atom.table.privileges:
        yield sql.SQL("CALL pg_temp.jit_sequences({}, {});").format(
            sql.Literal(table.as_string(None)), sql.Literal(atom.role)
        )
    yield _listed(atom.role, "atom")


def _privileges(atom: atoms.Atom) -> sql.Composable:
    columns: sql.Composable = sql.SQL("")
    if atom.table.columns:
        listed = sql.SQL(", ").join(map(sql.Identifier, atom.table.columns))
        columns = sql.SQL(" ({})").format(listed)
    return sql.SQL(", ").join(
        sql.SQL(privilege.upper()) + columns for privilege in sorted(atom.table.privileges)
    )


def _entitlements(scopes: Sequence[Scope]) -> Iterator[sql.Composable]:
    yield _comment(
        "What people ask for: each carries the roles above, and a grant is one membership."
    )
    for scope in scopes:
        role = naming.scope_role(scope.name, scope.database)
        carried = [atom.role for atom in atoms.of_scope(scope)]
        yield sql.SQL("\n").join(
            [
                _comment(scope.name),
                sql.SQL("CALL pg_temp.jit_role({}, 'NOLOGIN');").format(sql.Literal(role)),
                sql.SQL("CALL pg_temp.jit_carries({}, ARRAY[{}]);").format(
                    sql.Literal(role), sql.SQL(", ").join(map(sql.Literal, carried))
                ),
                _listed(role, "entitlement"),
            ]
        )


def _listed(role: str, kind: str) -> sql.Composable:
    """The bot may hand it out, or make a narrowed scope's role of it."""
    return sql.SQL("INSERT INTO pg_temp.jit_wanted VALUES ({}, {}) ON CONFLICT DO NOTHING;").format(
        sql.Literal(role), sql.Literal(kind)
    )
