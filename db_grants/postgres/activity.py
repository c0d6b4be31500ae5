"""What was done with a grant: from the server's statement log, else from its counters.

The log is the server's own; its holder can neither switch it off nor write for somebody else. What
is missing from it is said, for silence would read as "nothing was done".
"""

import re
import time
from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from psycopg import sql

from db_grants import errors
from db_grants.postgres import links, queries, serverlog, statements
from db_grants.spec import Activity, Evidence, ManagedRole, SessionSeen, Statement

_KEPT = 500  # statements told one by one
_LENGTH = 2000  # characters of each
_LOOKS = 6
_PAUSE = 0.05  # seconds
_REFUSED = "42501"  # insufficient_privilege
_DENIED = re.compile(
    r"permission denied for (?P<kind>foreign table|materialized view|\w+) (?P<name>.+)", re.DOTALL
)


def of_role(link: links.Link, role: ManagedRole, since: datetime) -> Activity:
    """The best account this server can give."""
    (rows,) = link.ask(queries.query("log_state", oid=role.oid))
    state = rows[0]
    if not state["readable"]:
        return _from_counters(link, role, state["counters"], "the log reader is not installed")
    try:
        told = _settled_log(link, role, since, wait=not state["still_there"])
    except errors.TargetUnavailable:
        raise
    except errors.DbGrantsError as error:
        return _from_counters(link, role, state["counters"], str(error))
    if told.absent:
        return _from_counters(link, role, state["counters"], told.absent)
    notes = [*told.gaps]
    if not state["everything"]:
        notes.append("not every statement of this role was logged")
    return _from_log(told, notes)


def _settled_log(
    link: links.Link, role: ManagedRole, since: datetime, *, wait: bool
) -> serverlog.Log:
    """The log, once the last words of every session are in it: the collector is a moment behind."""
    query = queries.query("statement_log", role=role.name, since=since.isoformat())
    for look in range(_LOOKS):
        if look:
            time.sleep(_PAUSE)
        (rows,) = link.ask(query)
        reading = serverlog.Reading(role.name)
        for row in rows:
            reading.add(row["kind"], row["record"])
        told = reading.log
        if not wait or all(session.ended_at for session in told.sessions):
            break
    return told


def _from_log(told: serverlog.Log, notes: list[str]) -> Activity:
    kinds = Counter("refused" if entry.state == _REFUSED else entry.kind for entry in told.entries)
    named = Counter(name for entry in told.entries for name in _touched(entry))
    return Activity(
        evidence=Evidence.PARTIAL_LOG if notes else Evidence.STATEMENT_LOG,
        note="; ".join(dict.fromkeys(notes)),
        sessions=tuple(
            SessionSeen(
                started_at=session.started_at,
                ended_at=session.ended_at,
                application=session.application,
                client=session.client,
            )
            for session in told.sessions
        ),
        statements=tuple(
            Statement(at=entry.at, kind=entry.kind, text=entry.text[:_LENGTH], error=entry.error)
            for entry in told.entries[:_KEPT]
        ),
        counts=_ordered(kinds.items()),
        tables=_ordered(named.items()),
    )


def _touched(entry: serverlog.Entry) -> list[str]:
    """The tables a statement reached: one that was refused to it is not among them.

    A server that speaks another language than English leaves them all: too much rather than too little.
    """
    denied = _DENIED.fullmatch(entry.error or "") if entry.state == _REFUSED else None
    named = entry.tables
    return [name for name in named if denied is None or not _is(name, **denied.groupdict())]


def _is(table: str, kind: str, name: str) -> bool:
    if kind == "schema":
        return table.startswith(f"{name}.")
    return table == name or table.endswith(f".{name}")


def _from_counters(link: links.Link, role: ManagedRole, schema: str | None, why: str) -> Activity:
    """Kinds and counts of pg_stat_statements, or the admission that nothing is known."""
    if schema is None:
        return Activity(evidence=Evidence.NONE, note=f"statements unknown: {why}")
    try:
        (rows,) = link.ask(queries.query("counters", schema=sql.Identifier(schema), oid=role.oid))
    except errors.TargetUnavailable:
        raise
    except errors.DbGrantsError:
        link.roll_back()
        return Activity(evidence=Evidence.NONE, note=f"statements unknown: {why}")
    kinds: Counter[str] = Counter()
    named: Counter[str] = Counter()
    for row in rows:
        label = statements.label(row["query"])
        kinds[label.kind] += row["calls"]
        named.update(dict.fromkeys(label.tables, row["calls"]))
    return Activity(
        evidence=Evidence.COUNTERS,
        note=f"counts only, no times and no refusals: {why}",
        counts=_ordered(kinds.items()),
        tables=_ordered(named.items()),
    )


def _ordered(counted: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counted, key=lambda pair: (-pair[1], pair[0])))
