"""What would stop or weaken a grant, found before anybody asks for one. Reads only."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from psycopg import sql

from db_grants import naming
from db_grants.postgres import atoms, bootstrap, deputy, inspect, lasting, links, queries
from db_grants.spec import Finding, Privilege, Scope, Severity

_AGAIN = "run the bootstrap SQL (`jit bootstrap`) on the target again"
_EVERYWHERE = "run the bootstrap SQL in every database of this server that has one, then here again"
_OLDEST = 150000  # server_version_num
_SKEW = 5.0  # seconds
_Held = tuple[str, str, str, str, str]  # kind, schema, name, column, privilege


def examine(link: links.Link, scopes: Sequence[Scope], now: datetime) -> tuple[Finding, ...]:
    """Every finding, or one that says all is well."""
    wanted = {atom.role: atom for scope in scopes for atom in atoms.of_scope(scope)}
    entitlements = [naming.scope_role(scope.name, scope.database) for scope in scopes]
    link.forget()  # a function of the bootstrap may have been taken away
    listed = deputy.all_at_hand(link)
    server, roles, held, amiss, functions = link.ask(
        queries.query(
            "doctor_server",
            deputies=queries.deputies(),
            all_deputies=queries.all_deputies(),
            can_end=queries.can_end(),
            lasting=naming.LASTING,
            temporary=naming.TEMPORARY,
        ),
        queries.query(
            "doctor_roles", roles=[*wanted, *entitlements], handed_out=_handed_out(listed=listed)
        ),
        queries.query("doctor_privileges", roles=[*wanted, *entitlements]),
        lasting.look(listed=listed),
        queries.query("doctor_functions"),
    )
    passwords, doors = _where_visible(link, server[0])
    known = {row["name"]: row for row in roles}
    found = [
        *_server(server[0]),
        *(_functions(functions) if listed else ()),
        *_clock(server[0], now),
        *_roles(scopes, known),
        *_privileges(wanted, known, held),
        *lasting.findings(
            [row for row in amiss if row["kind"] != "login" or row["role"] not in known], passwords
        ),
        *_doors(doors),
    ]
    if any(finding.severity is not Severity.OK for finding in found):
        return tuple(found)
    return (*found, _finding(Severity.OK, "privileges", "all scopes are prepared as declared"))


def _handed_out(*, listed: bool) -> sql.Composable:
    """The expression that tells whether the bot may hand the role `r` out."""
    if listed:
        return queries.query("listed")
    return sql.SQL(
        f"(current_setting('server_version_num')::int < {inspect.INHERIT_OPTION}"
        " OR pg_has_role(r.oid, 'USAGE WITH ADMIN OPTION'))"
    )


def _where_visible(link: links.Link, server: dict[str, Any]) -> tuple[links.Rows, links.Rows]:
    """Scope roles with a password, and lines of pg_hba.conf: what the bot may not read is not told."""
    none = sql.SQL("SELECT WHERE false")
    passwords, doors = link.ask(
        lasting.passwords() if server["sees_passwords"] else none,
        queries.query("doctor_hba") if server["sees_hba"] else none,
    )
    return passwords, doors


def _doors(rows: links.Rows) -> Iterator[Finding]:
    for row in rows:
        how = "by its name alone" if row["method"] == "trust" else f"by {row['method']}"
        yield _finding(
            Severity.WARNING,
            "server",
            f"line {row['line']} of pg_hba.conf ({row['type']}, {row['method']}) may let anybody in as a"
            f" temporary role {how}, without its password",
            "put `reject` or `scram-sha-256` for +jit_managed before it",
        )


def _finding(severity: Severity, subject: str, message: str, remedy: str = "") -> Finding:
    return Finding(severity=severity, subject=subject, message=message, remedy=remedy)


def _server(row: dict[str, Any]) -> Iterator[Finding]:
    version = row["version"] // 10000
    if row["version"] < _OLDEST:
        yield _finding(
            Severity.ERROR, "server", f"PostgreSQL {version} is too old", "use 15 or newer"
        )
    elif row["version"] < inspect.INHERIT_OPTION:
        yield _finding(
            Severity.WARNING,
            "server",
            f"on PostgreSQL {version} holders may SET ROLE to their scope's roles and leave things behind as"
            " those, which every end looks for and takes back",
            "use PostgreSQL 16 or newer",
        )
    else:
        yield _finding(Severity.OK, "server", f"PostgreSQL {version}")
    for severity, good, message, remedy in _needs(row):
        if not good:
            yield _finding(
                severity,
                "bot role" if remedy in (_AGAIN, _EVERYWHERE) else "server",
                message,
                remedy,
            )


def _clock(row: dict[str, Any], now: datetime) -> Iterator[Finding]:
    """VALID UNTIL is read by the server's clock, the rest of a deadline by ours."""
    skew = row["clock"] - now.timestamp()
    if abs(skew) > _SKEW:
        direction = "ahead of" if skew > 0 else "behind"
        yield _finding(
            Severity.WARNING,
            "server",
            f"its clock is {abs(skew):.0f} s {direction} ours",
            "keep both machines on network time",
        )


def _needs(row: dict[str, Any]) -> Iterator[tuple[Severity, bool, str, str]]:
    bot = row["bot"]
    error, warning = Severity.ERROR, Severity.WARNING
    yield warning, not row["superuser"], f"{bot} is a superuser", _AGAIN
    yield from _power(row)
    yield error, row["inherit"], f"{bot} is NOINHERIT and could not cut sessions", _AGAIN
    yield error, row["bookkeeping"], "the role jit_managed is missing", _AGAIN
    yield error, row["quarantine"], "the role jit_quarantine is missing or not the bot's", _AGAIN
    yield warning, row["sees_sessions"], f"{bot} lacks pg_read_all_stats", _AGAIN
    yield warning, row["log_reader"], "the statement log cannot be read", _AGAIN
    yield (
        warning,
        not row["log_reader_is_earlier"],
        "the statement log is read anew for every grant that ends: many at once take long",
        _AGAIN,
    )
    yield (
        warning,
        row["prepared"] == 0,
        "holders may prepare transactions, which outlive their sessions until they are rolled back",
        "set max_prepared_transactions = 0 unless you need them",
    )
    yield (
        warning,
        not row["public_temp"],
        "everybody may make temporary tables",
        f"REVOKE TEMPORARY ON DATABASE {row['quoted']} FROM PUBLIC",
    )
    yield (
        error,
        not row["public_create"],
        "everybody may create objects in schema public, which would outlive a grant",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    )


def _power(row: dict[str, Any]) -> Iterator[tuple[Severity, bool, str, str]]:
    """Over roles: by the functions of the bootstrap, or else of the bot's own."""
    bot, all_deputies = row["bot"], row["all_deputies"]
    own = row["createrole"] or row["superuser"]
    error, warning = Severity.ERROR, Severity.WARNING
    yield (
        warning,
        row["deputies"],
        "not all functions for temporary roles are there: grants and ends grow slower with their number",
        _AGAIN,
    )
    yield (
        error,
        row["beyond_us"] == 0,
        f"temporary roles that only those functions could end: {row['beyond_us']}",
        _AGAIN,
    )
    if not all_deputies:
        yield error, own, f"{bot} may not create roles", _AGAIN
        yield error, row["may_log"], f"{bot} may not switch statement logging on", _AGAIN
        yield (
            warning,
            not row["deputies"],
            f"the bootstrap is an earlier one: {bot} needs CREATEROLE, and may {_may(row)} by itself",
            _AGAIN,
        )
        return
    yield warning, not row["createrole"], f"{bot} has CREATEROLE and needs it no more", _EVERYWHERE
    yield (
        warning,
        row["administers"] == 0,
        f"{bot} may hand out roles by itself and needs that no more: {row['administers']}",
        _EVERYWHERE,
    )


def _functions(rows: links.Rows) -> Iterator[Finding]:
    """Those for the bot are all there; what they do may be what an earlier or a later program made them."""
    there = {row["name"]: row["body"] for row in rows}
    other = [name for name, body in bootstrap.functions().items() if there.get(name) != body]
    if other:
        told = f"functions of the bootstrap are of another version: {', '.join(sorted(other))}"
        yield _finding(Severity.WARNING, "bot role", told, _AGAIN)


def _may(row: dict[str, Any]) -> str:
    """What CREATEROLE comes to."""
    if row["before_16"]:
        return "hand out any role but a superuser's, and change any other role's password,"
    return "hand out every scope role"


def _roles(scopes: Sequence[Scope], known: dict[str, dict[str, Any]]) -> Iterator[Finding]:
    for scope in scopes:
        carried = {atom.role for atom in atoms.of_scope(scope)}
        name = naming.scope_role(scope.name, scope.database)
        row = known.get(name)
        if row is None:
            yield _finding(Severity.ERROR, scope.name, f"its role {name} is missing", _AGAIN)
        elif set(row["carries"]) != carried:
            yield _finding(
                Severity.ERROR, scope.name, "its role carries something else than declared", _AGAIN
            )
    for name, row in known.items():
        if row["powerful"]:
            yield _finding(
                Severity.ERROR,
                name,
                "this scope role can log in or has powers",
                f"ALTER ROLE {name} …",
            )
        if not row["handed_out"]:
            yield _finding(Severity.ERROR, name, "the bot may not hand this role out", _AGAIN)


def _privileges(
    wanted: dict[str, atoms.Atom], known: dict[str, dict[str, Any]], rows: links.Rows
) -> Iterator[Finding]:
    """What each scope role really holds against what is declared."""
    held: dict[str, set[_Held]] = {}
    for row in rows:
        held.setdefault(row["role"], set()).add(
            (row["kind"], row["schema"] or "", row["name"], row["attribute"], row["privilege"])
        )
    for role, atom in wanted.items():
        if role not in known:
            yield _finding(Severity.ERROR, atom.label, f"the role {role} is missing", _AGAIN)
            continue
        declared, really = _declared(atom), held.get(role, set())
        if lacking := declared - really:
            yield _finding(
                Severity.ERROR, atom.label, f"its role lacks {_in_words(lacking)}", _AGAIN
            )
        if extra := _beyond(atom, really - declared):
            yield _finding(
                Severity.ERROR,
                atom.label,
                f"its role holds more: {_in_words(extra)}",
                f"REVOKE that FROM {role}",
            )
    for role in sorted(held.keys() - wanted.keys()):
        yield _finding(
            Severity.ERROR,
            role,
            f"holds privileges of its own: {_in_words(held[role])}",
            f"REVOKE them FROM {role}",
        )


def _declared(atom: atoms.Atom) -> set[_Held]:
    table = atom.table
    return {
        ("database", "", atom.database, "", "CONNECT"),
        ("schema", table.schema, table.schema, "", "USAGE"),
        *(
            ("table", table.schema, table.table, column, privilege.upper())
            for column in table.columns or ("",)
            for privilege in table.privileges
        ),
    }


def _beyond(atom: atoms.Atom, extra: set[_Held]) -> set[_Held]:
    """What is more than declared; whoever may insert also holds the sequences of the table."""
    if Privilege.INSERT not in atom.table.privileges:
        return extra
    return {held for held in extra if (held[0], held[4]) != ("sequence", "USAGE")}


def _in_words(held: set[_Held]) -> str:
    return ", ".join(
        f"{privilege} on {kind} {'.'.join(filter(None, (schema if kind != 'schema' else '', name, column)))}"
        for kind, schema, name, column, privilege in sorted(held)
    )
