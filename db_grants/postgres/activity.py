"""What was done with a grant: from the server's statement log, else from its counters.

The log is the server's own; its holder can neither switch it off nor write for somebody else. What
is missing from it is said, for silence would read as "nothing was done".
"""

import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg import sql

from db_grants import errors
from db_grants.postgres import batches, links, queries, serverlog, statements
from db_grants.spec import Activity, Evidence, ManagedRole, SessionSeen, Statement

_KEPT = 500  # statements told one by one
_LENGTH = 2000  # characters of each
_LOOKS = 6
_PAUSE = 0.05  # seconds
_ALONE = "statement_log"  # the log reader of an earlier bootstrap: one role, all of the log
_REFUSED = "42501"  # insufficient_privilege
_NO_TABLE = "42P01"  # undefined_table
_DENIED = re.compile(
    r"permission denied for (?P<kind>foreign table|materialized view|\w+) (?P<name>.+)", re.DOTALL
)
_UNKNOWN = re.compile(r'(?:relation|table) "(.+)" does not exist', re.DOTALL)

# Both in one turn wherever the log was read before on a connection: then its reader is there.
_STATE = queries.prepared("log_state", "oid[]")
_LOGS = queries.prepared("statement_logs", "text[], timestamptz[]")

Sinces = Mapping[ManagedRole, datetime]
_States = Mapping[int, Mapping[str, Any]]  # by OID: rows of log_state.sql


def of_role(link: links.Link, role: ManagedRole, since: datetime) -> Activity:
    """The best account this server can give."""
    sinces = {role: since}
    return _accounts(link, sinces, *_seen(link, sinces))[role.grant_id]


def of_roles(link: links.Link, sinces: Sinces) -> dict[str, Activity] | None:
    """The same of many, by grant, in one pass over the log.

    None where the log can be read for one role alone: that may take longer than one operation has.
    """
    if not sinces:
        return {}
    states, log = _seen(link, sinces)
    if len(sinces) > 1 and any(state["reader"] == _ALONE for state in states.values()):
        return None
    return _accounts(link, sinces, states, log)


def one_by_one(pool: links.Links, sinces: Sinces) -> dict[str, Activity | errors.DbGrantsError]:
    """The same where that is None: each has an operation's time, until one is lost."""
    outcomes: dict[int, Activity | errors.DbGrantsError] = {}

    def work() -> None:
        for role, since in sinces.items():
            with pool.link() as link:
                outcomes[role.oid] = of_role(link, role, since)

    roles = list(sinces)
    return batches.by_grant(roles, batches.completed(roles, outcomes, work))


def _seen(link: links.Link, sinces: Sinces) -> tuple[_States, links.Rows | None]:
    """How much there is to tell of each; and what the log tells, where that came in the same turn."""
    oids, log = [role.oid for role in sinces], None
    _make_ready(link)
    if link.knows(_LOGS):
        try:
            rows, log = link.ask(_STATE.run(oids), _logs(sinces))
        except errors.TargetUnavailable:
            raise
        except errors.DbGrantsError:  # the log cannot be read just now: asked by itself it says why
            log = None
    if log is None:
        (rows,) = link.ask(_STATE.run(oids))
    return {row["oid"]: row for row in rows}, log


def _make_ready(link: links.Link) -> None:
    if link.knows(_STATE):
        return
    try:
        link.ready(_LOGS, _STATE)
    except errors.TargetUnavailable:
        raise
    except errors.DbGrantsError:  # there is no such reader
        link.ready(_STATE)


def _logs(sinces: Sinces) -> sql.Composable:
    times = [since.isoformat() for since in sinces.values()]
    return _LOGS.run([role.name for role in sinces], times)


def _accounts(
    link: links.Link, sinces: Sinces, states: _States, log: links.Rows | None
) -> dict[str, Activity]:
    schema, reader = next((state["counters"], state["reader"]) for state in states.values())
    if reader is None:
        return _counted(link, dict.fromkeys(sinces, "the log reader is not installed"), schema)
    try:
        logs = _settled_logs(link, sinces, states, log)
    except errors.TargetUnavailable:
        raise
    except errors.DbGrantsError as error:
        return _counted(link, dict.fromkeys(sinces, str(error)), schema)
    absent = {role: logs[role.name].absent for role in sinces if logs[role.name].absent}
    counted = _counted(link, absent, schema)
    return {
        role.grant_id: counted[role.grant_id]
        if role in absent
        else _from_log(logs[role.name], everything=states[role.oid]["everything"])
        for role in sinces
    }


def _settled_logs(
    link: links.Link, sinces: Sinces, states: _States, first: links.Rows | None
) -> dict[str, serverlog.Log]:
    """Logs by role, once the last words of every session are in: the collector is a moment behind.

    A server that does not log the ends of sessions gets that moment, and no more.
    """
    readings = {role.name: serverlog.Reading(role.name) for role in sinces}
    for row in _first_look(link, sinces, states) if first is None else first:
        for name in readings if row["role_name"] is None else (row["role_name"],):
            readings[name].add(row["kind"], row["record"])
    logs = {name: reading.log() for name, reading in readings.items()}
    over = {role: since for role, since in sinces.items() if not states[role.oid]["still_there"]}
    for look in range(1, _LOOKS):
        late = {role: since for role, since in over.items() if _goes_on(logs[role.name])}
        if not late or (look > 1 and not states[next(iter(late)).oid]["ends_told"]):
            break
        time.sleep(_PAUSE)
        news = _later_look(link, late, states)
        for role in late:
            readings[role.name].add_news(news.get(role.name, ()))
            logs[role.name] = readings[role.name].log()
    return logs


def _goes_on(log: serverlog.Log) -> bool:
    return not all(session.ended_at for session in log.sessions)


def _first_look(link: links.Link, sinces: Sinces, states: _States) -> links.Rows:
    ((role, since), *_) = sinces.items()
    if states[role.oid]["reader"] == _ALONE:
        query = queries.query("statement_log", role=role.name, since=since.isoformat())
    else:
        link.ready(_LOGS)
        query = _logs(sinces)
    (rows,) = link.ask(query)
    return rows


def _later_look(
    link: links.Link, sinces: Sinces, states: _States
) -> dict[str, list[tuple[str, str]]]:
    """At the end of the log, where that can be read alone."""
    ((role, _), *_) = sinces.items()
    if states[role.oid]["reader"] == _ALONE:
        rows = _first_look(link, sinces, states)
    else:
        names = [role.name for role in sinces]
        (rows,) = link.ask(queries.query("statement_logs_end", roles=names))
    news: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        news.setdefault(row["role_name"], []).append((row["kind"], row["record"]))
    return news


def _from_log(told: serverlog.Log, *, everything: bool) -> Activity:
    notes = [*told.gaps, *([] if everything else ["not every statement of this role was logged"])]
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
            Statement(at=entry.at, kind=entry.kind, text=_kept(entry.text), error=entry.error)
            for entry in told.entries[:_KEPT]
        ),
        counts=_ordered(kinds.items()),
        tables=_ordered(named.items()),
    )


def _kept(text: str) -> str:
    """So much of a statement as is told: without passwords, and as long as it was where it was cut."""
    said = statements.discreet(text[:_LENGTH])
    return said.ljust(_LENGTH, "…") if len(text) >= _LENGTH else said


def _touched(entry: serverlog.Entry) -> list[str]:
    """The tables a statement reached: not one that was refused to it, or that there is not.

    A server that speaks another language than English leaves them: too much rather than too little.
    """
    if entry.misread:
        return []
    unknown = _UNKNOWN.fullmatch(entry.error or "") if entry.state == _NO_TABLE else None
    if unknown is not None:
        return [name for name in entry.tables if name != unknown[1]]
    denied = _DENIED.fullmatch(entry.error or "") if entry.state == _REFUSED else None
    named = entry.tables
    return [name for name in named if denied is None or not _is(name, **denied.groupdict())]


def _is(table: str, kind: str, name: str) -> bool:
    if kind == "schema":
        return table.startswith(f"{name}.")
    return table == name or table.endswith(f".{name}")


def _counted(
    link: links.Link, whys: Mapping[ManagedRole, str], schema: str | None
) -> dict[str, Activity]:
    """Kinds and counts of pg_stat_statements for those roles, or the admission that nothing is known."""
    calls = _calls(link, list(whys), schema) if whys and schema else None
    if calls is None:
        return {
            role.grant_id: Activity(evidence=Evidence.NONE, note=f"statements unknown: {why}")
            for role, why in whys.items()
        }
    return {
        role.grant_id: _from_counters(calls.get(role.oid, []), why) for role, why in whys.items()
    }


def _calls(
    link: links.Link, roles: Sequence[ManagedRole], schema: str
) -> dict[int, links.Rows] | None:
    oids = sql.Literal([role.oid for role in roles])
    try:
        (rows,) = link.ask(queries.query("counters", schema=sql.Identifier(schema), oids=oids))
    except errors.TargetUnavailable:
        raise
    except errors.DbGrantsError:
        link.roll_back()
        return None
    found: dict[int, links.Rows] = {}
    for row in rows:
        found.setdefault(row["oid"], []).append(row)
    return found


def _from_counters(rows: links.Rows, why: str) -> Activity:
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
