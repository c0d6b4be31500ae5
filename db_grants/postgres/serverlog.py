"""The server's log in JSON or CSV, read into sessions and statements of one role."""

import csv
import functools
import json
import re
import sys
import zoneinfo
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple

from db_grants.postgres import statements

_RUN = re.compile(r"(?:statement|execute [^:]*): (?P<text>.*)", re.DOTALL)
_CSV_FIELDS = {  # position in a CSV record → name in a JSON record
    0: "timestamp",
    1: "user",
    4: "remote_host",
    5: "session_id",
    6: "line_num",
    7: "ps",
    11: "error_severity",
    12: "state_code",
    13: "message",
    19: "statement",
    20: "cursor_position",
    22: "application_name",
}
_CSV_LENGTHS = range(26, 36)  # 26 since PostgreSQL 14; two records in one have more
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?")
_SESSION = re.compile(r"[0-9a-f]{1,8}\.[0-9a-f]+")
# Errors with a place in the text itself, not in a function's, are met before anything is read.
_MISREAD = "42"  # class: syntax error or access rule violation
_SYNTAX = "42601"  # of a text with several statements none has begun
_STARTING = "startup"  # what a process is at until it waits for its first statement
_DAMAGED = "a line of the log is damaged"
_UNFINISHED = "the log ends within a line"

csv.field_size_limit(sys.maxsize)  # 128 kB unless told, and a statement may have 1 GB


@dataclass(slots=True, kw_only=True)
class Entry:
    """One statement, and the error it met."""

    at: datetime
    kind: str
    text: str
    tables: tuple[str, ...]
    error: str | None = None
    state: str | None = None  # SQLSTATE of the error
    alone: bool = True  # no other statement came with it
    misread: bool = False  # the server could make nothing of a place in its text: it never began


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


class _Record(NamedTuple):
    """What counts of a record; in this order they happened."""

    at: datetime  # in the log's zone
    session: str
    number: int  # in its session
    user: str
    severity: str
    state: str
    doing: str  # what the server process was at, in the server's words
    message: str
    statement: str
    position: str  # where in the text the server met the error, if there
    application: str
    client: str


class Reading:
    """The log of one role while it is being read, in one look or several."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._zone: tzinfo = UTC
        self._records: dict[tuple[str, int], _Record] = {}
        self._gaps: dict[str, None] = {}
        self._unfinished = False
        self._absent = ""

    def add(self, kind: str, record: str) -> None:
        """A row of what `jit_admin.statement_logs` returned. Known records may come again."""
        if kind == "zone":
            self._zone = _zone(record)
        elif kind == "partial":
            self._gaps[record] = None
        elif kind == "unfinished":
            self._unfinished = True
        elif kind == "none":
            self._absent = record
        else:
            self._add_record(kind, record)

    def add_news(self, rows: Iterable[tuple[str, str]]) -> None:
        """What a later look at the log's end found. What it did not look at was seen before."""
        self._unfinished = False
        for kind, record in rows:
            if kind != "partial":
                self.add(kind, record)

    def _add_record(self, kind: str, text: str) -> None:
        try:
            record = _parsed(kind, text)
        except (ValueError, KeyError, TypeError, csv.Error):
            self._gaps[_DAMAGED] = None
            return
        if record.user == self._role:
            self._records[record.session, record.number] = record

    def log(self) -> Log:
        """What it comes to so far."""
        sessions, entries = _told(sorted(self._records.values()), self._zone)
        gaps = dict.fromkeys([*self._gaps, _UNFINISHED] if self._unfinished else self._gaps)
        return Log(sessions=sessions, entries=entries, gaps=tuple(gaps), absent=self._absent)


def _parsed(kind: str, text: str) -> _Record:
    """Raises ValueError, KeyError, TypeError or csv.Error for what is no whole record."""
    found = _from_json(text) if kind == "json" else _from_csv(text)
    moment, session = _MOMENT.match(found["timestamp"]), found["session_id"]
    if moment is None or not _SESSION.fullmatch(session):
        raise ValueError("a log record without a time or a session")
    return _Record(
        at=datetime.fromisoformat(moment.group()),
        session=session,
        number=int(found["line_num"]),
        user=found["user"],
        severity=found.get("error_severity", ""),
        state=found.get("state_code", ""),
        doing=found.get("ps", ""),
        message=found.get("message", ""),
        statement=found.get("statement", ""),
        position=found.get("cursor_position", ""),
        application=found.get("application_name", ""),
        client=found.get("remote_host", ""),
    )


def _from_json(text: str) -> dict[str, str]:
    found = json.loads(text)
    return {name: str(found[name]) for name in _CSV_FIELDS.values() if name in found}


def _from_csv(text: str) -> dict[str, str]:
    fields = next(csv.reader([text], strict=True), [])
    if len(fields) not in _CSV_LENGTHS:
        raise ValueError("a log record with too few fields, or too many")
    found = {name: fields[place] for place, name in _CSV_FIELDS.items()}
    found["remote_host"] = found["remote_host"].rpartition(":")[0] or found["remote_host"]
    return found


def _told(records: Sequence[_Record], zone: tzinfo) -> tuple[tuple[Seen, ...], tuple[Entry, ...]]:
    if not records:  # of many who end at once, most
        return (), ()
    sessions: dict[str, Seen] = {}
    entries: list[Entry] = []
    label = functools.cache(statements.label)  # scripts say the same again and again
    for record in records:
        session = sessions.setdefault(record.session, Seen(started_at=_started(record.session)))
        at = record.at.replace(tzinfo=zone).astimezone(UTC)
        _note(session, record, at)
        made = _statement(session, record, at, label)
        if made is not None:
            session.last, session.began = made, True
            entries.append(made)
    return tuple(session for session in sessions.values() if session.began), tuple(entries)


def _note(session: Seen, record: _Record, at: datetime) -> None:
    session.application = record.application or session.application
    session.client = record.client or session.client
    if record.message.startswith("connection authorized:"):
        session.began = True
    if record.severity == "FATAL" and record.doing == _STARTING:
        # the password was right, and then there was no room: see InitPostgres
        session.began = False
    if record.severity == "FATAL" or record.message.startswith("disconnection:"):
        session.ended_at = at


def _statement(
    session: Seen, record: _Record, at: datetime, label: Callable[[str], statements.Label]
) -> Entry | None:
    """A statement this record tells of for the first time; its error is noted on the known one."""
    if record.severity == "LOG":
        run = _RUN.fullmatch(record.message)
        return _entry(at, run["text"], label) if run else None
    if record.severity != "ERROR":
        return None
    text = record.statement
    known = session.last
    if known is not None and known.error is None and known.text.strip() == text.strip():
        _blame(known, record)
        return None
    return _blame(_entry(at, text, label), record)


def _entry(at: datetime, text: str, label: Callable[[str], statements.Label]) -> Entry:
    found = label(text)
    return Entry(at=at, kind=found.kind, text=text, tables=found.tables, alone=found.alone)


def _blame(entry: Entry, record: _Record) -> Entry:
    entry.error = record.message
    entry.state = record.state or None
    known = record.state.startswith(_MISREAD) and record.position not in {"", "0"}
    entry.misread = known and (entry.alone or record.state == _SYNTAX)
    return entry


def _started(session_id: str) -> datetime:
    """A session's id begins with its start in seconds, in hexadecimal."""
    return datetime.fromtimestamp(int(session_id.partition(".")[0], 16), UTC)


@functools.cache
def _zone(name: str) -> tzinfo:
    """The log's zone. An unknown name can only be a server's private one; then UTC is assumed."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return UTC
