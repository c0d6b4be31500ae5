"""The SQL a DBA runs once, as text: meant to be read before it is run.

It is plain SQL (no psql commands), one transaction, and idempotent: run again after a change of the
catalog, or after somebody took something away by hand, it brings the target back to what is wanted.
"""

from collections.abc import Iterator, Sequence

from psycopg import sql

from db_grants import errors, naming
from db_grants.postgres import atoms, queries
from db_grants.spec import Privilege, Scope

BOT_ROLE = "jit_bot"


def script(scopes: Sequence[Scope], *, database: str, bot_role: str = BOT_ROLE) -> str:
    """The whole text for `database`. Raises InvalidScope, also for a scope of another database."""
    for scope in scopes:
        if scope.database != database:
            raise errors.InvalidScope(
                f"The scope {scope.name} is for the database {scope.database}, not {database}."
            )
    names: dict[str, sql.Composable | str | list[str]] = {
        "bot": sql.Identifier(bot_role),
        "bot_name": bot_role,
        "database": database,
        "database_name": sql.Identifier(database),
        "bookkeeping": naming.BOOKKEEPING,
        "lasting": naming.LASTING,
        "temporary": naming.TEMPORARY,
        "quarantine": naming.QUARANTINE,
        "deputies": list(naming.DEPUTIES),
    }
    parts = [
        _title(database, bot_role),
        queries.query("bootstrap_head", **names),
        *_atoms(scopes, bot_role),
        *_entitlements(scopes, bot_role),
        queries.query("bootstrap_log", **names),
        queries.query("bootstrap_deputies", **names),
        queries.query("bootstrap_tail"),
    ]
    return sql.SQL("\n\n").join(parts).as_string(None) + "\n"


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


def _atoms(scopes: Sequence[Scope], bot_role: str) -> Iterator[sql.Composable]:
    yield _comment("What may be granted, each table and kind of use in a role of its own.")
    made = {atom.role: atom for scope in scopes for atom in atoms.of_scope(scope)}
    for atom in made.values():
        yield sql.SQL("\n").join([_comment(atom.label), *_atom(atom, bot_role)])


def _atom(atom: atoms.Atom, bot_role: str) -> Iterator[sql.Composable]:
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
    yield _administered(atom.role, bot_role)


def _privileges(atom: atoms.Atom) -> sql.Composable:
    columns: sql.Composable = sql.SQL("")
    if atom.table.columns:
        listed = sql.SQL(", ").join(map(sql.Identifier, atom.table.columns))
        columns = sql.SQL(" ({})").format(listed)
    return sql.SQL(", ").join(
        sql.SQL(privilege.upper()) + columns for privilege in sorted(atom.table.privileges)
    )


def _entitlements(scopes: Sequence[Scope], bot_role: str) -> Iterator[sql.Composable]:
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
                _administered(role, bot_role),
            ]
        )


def _administered(role: str, bot_role: str) -> sql.Composable:
    """The bot may hand the role out, and neither has its privileges nor can take them on."""
    return sql.SQL(
        "CALL pg_temp.jit_member({}, {}, 'ADMIN TRUE, INHERIT FALSE, SET FALSE');"
    ).format(sql.Literal(role), sql.Literal(bot_role))
