"""The server's log in JSON or CSV, read into sessions and statements of one role."""

import csv
import json
import re
import zoneinfo
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from db_grants.postgres import statements

_RUN = re.compile(r"(?:statement|execute [^:]*): (?P<text>.*)", re.DOTALL)
_CSV_FIELDS = {  # position in a CSV record → name in a JSON record
    0: "timestamp",
    1: "user",
    4: "remote_host",
    5: "session_id",
    6: "line_num",
    11: "error_severity",
    12: "state_code",
    13: "message",
    19: "statement",
    22: "application_name",
}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?")


@dataclass(slots=True, kw_only=True)
class Entry:
    """One statement, and the error it met."""

    at: datetime
    kind: str
    text: str
    error: str | None = None
    state: str | None = None  # SQLSTATE of the error


@dataclass(slots=True, kw_only=True)
class Seen:
    """One session."""

    started_at: datetime
    ended_at: datetime | None = None
    application: str = ""
    client: str | None = None
    last: Entry | None = None
    began: bool = False  # got as far as being a session; an attempt to log in is none


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What the log tells of one role, in order of time."""

    sessions: tuple[Seen, ...]
    entries: tuple[Entry, ...]
    gaps: tuple[str, ...] = ()  # why it may be incomplete
    absent: str = ""  # why there is none at all


def read(rows: Iterable[tuple[str, str]], role: str) -> Log:
    """Make sense of what `jit_admin.statement_log` returned: (kind, record) pairs."""
    zone: tzinfo = UTC
    gaps, absent = [], ""
    records: list[Mapping[str, str]] = []
    for kind, record in rows:
        if kind == "zone":
            zone = _zone(record)
        elif kind == "partial":
            gaps.append(record)
        elif kind == "none":
            absent = record
        else:
            records.append(_parsed(kind, record))
    ours = [record for record in records if record.get("user") == role]
    ours.sort(key=lambda found: (found["timestamp"], found["session_id"], int(found["line_num"])))
    sessions, entries = _told(ours, zone)
    return Log(sessions=sessions, entries=entries, gaps=tuple(gaps), absent=absent)


def _parsed(kind: str, record: str) -> Mapping[str, str]:
    if kind == "json":
        return {key: str(value) for key, value in json.loads(record).items()}
    fields = next(csv.reader([record]), [])
    return {name: fields[place] for place, name in _CSV_FIELDS.items() if place < len(fields)}


def _told(
    records: list[Mapping[str, str]], zone: tzinfo
) -> tuple[tuple[Seen, ...], tuple[Entry, ...]]:
    sessions: dict[str, Seen] = {}
    entries: list[Entry] = []
    for record in records:
        key = record["session_id"]
        session = sessions.setdefault(key, Seen(started_at=_started(key)))
        at = _moment(record["timestamp"], zone)
        _note(session, record, at)
        made = _statement(session, record, at)
        if made is not None:
            session.last, session.began = made, True
            entries.append(made)
    return tuple(session for session in sessions.values() if session.began), tuple(entries)


def _note(session: Seen, record: Mapping[str, str], at: datetime) -> None:
    session.application = record.get("application_name") or session.application
    session.client = record.get("remote_host", "").rpartition(":")[0] or (
        record.get("remote_host") or session.client
    )
    if record["message"].startswith("connection authorized:"):
        session.began = True
    if record.get("error_severity") == "FATAL" or record["message"].startswith("disconnection:"):
        session.ended_at = at


def _statement(session: Seen, record: Mapping[str, str], at: datetime) -> Entry | None:
    """A statement this record tells of for the first time; its error is noted on the known one."""
    if record.get("error_severity") == "LOG":
        run = _RUN.fullmatch(record["message"])
        return _entry(at, run["text"]) if run else None
    if record.get("error_severity") != "ERROR":
        return None
    text = record.get("statement", "")
    known = session.last
    if known is not None and known.error is None and known.text.strip() == text.strip():
        _blame(known, record)
        return None
    return _blame(_entry(at, text), record)


def _entry(at: datetime, text: str) -> Entry:
    return Entry(at=at, kind=statements.kind(text), text=text)


def _blame(entry: Entry, record: Mapping[str, str]) -> Entry:
    entry.error = record["message"]
    entry.state = record.get("state_code")
    return entry


def _started(session_id: str) -> datetime:
    """A session's id begins with its start in seconds, in hexadecimal."""
    return datetime.fromtimestamp(int(session_id.partition(".")[0], 16), UTC)


def _moment(text: str, zone: tzinfo) -> datetime:
    found = _MOMENT.match(text)
    if found is None:
        raise ValueError("a log record without a time")
    return datetime.fromisoformat(found.group()).replace(tzinfo=zone).astimezone(UTC)


def _zone(name: str) -> tzinfo:
    """The log's zone. An unknown name can only be a server's private one; then UTC is assumed."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return UTC
