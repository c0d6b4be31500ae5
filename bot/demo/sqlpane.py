"""The engineer's own database client: connects with what the bot revealed and runs what is typed.

It knows nothing of the bot. Each person has at most one open session, kept open between
statements so that one can watch it being cut.
"""

import threading
from typing import Any

import psycopg
from psycopg import conninfo

_MOST_ROWS = 200


class SqlPane:
    """One database session a person."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[str, psycopg.Connection[Any]] = {}

    def connect(self, person: str, url: str) -> dict[str, Any]:
        """Open a session with a `postgresql://` URL; says what the server said."""
        self.disconnect(person)
        try:
            fields = conninfo.conninfo_to_dict(url)
            session = psycopg.connect(
                url, autocommit=True, connect_timeout=5, application_name="jit demo SQL pane"
            )
        except psycopg.Error as error:
            return {"ok": False, "message": _words(error)}
        with self._lock:
            self._sessions[person] = session
        return {
            "ok": True,
            "message": f"Connected to {fields.get('dbname')} as {fields.get('user')}",
        }

    def run(self, person: str, statement: str) -> dict[str, Any]:
        """Run what was typed in the person's session; rows, a command tag or the server's error."""
        with self._lock:
            session = self._sessions.get(person)
        if session is None:
            return _answer(ok=False, message="Not connected. Open your credentials, then connect.")
        try:
            cursor = session.execute(statement.encode())
        except psycopg.Error as error:
            if session.closed or session.broken:
                self.disconnect(person)
                return _answer(ok=False, message=f"Session ended: {_words(error)}")
            return _answer(ok=False, message=_words(error))
        if cursor.description is None:
            return _answer(ok=True, message=cursor.statusmessage or "done")
        rows = [[_cell(value) for value in row] for row in cursor.fetchmany(_MOST_ROWS)]
        columns = [column.name for column in cursor.description]
        return _answer(ok=True, message=cursor.statusmessage or "", columns=columns, rows=rows)

    def disconnect(self, person: str) -> None:
        """Close the person's session, if there is one."""
        with self._lock:
            session = self._sessions.pop(person, None)
        if session is not None:
            session.close()

    def close(self) -> None:
        """Close every session."""
        for person in list(self._sessions):
            self.disconnect(person)


def _answer(
    *,
    ok: bool,
    message: str,
    columns: list[str] | None = None,
    rows: list[list[str | None]] | None = None,
) -> dict[str, Any]:
    return {"ok": ok, "message": message, "columns": columns or [], "rows": rows or []}


def _cell(value: object) -> str | None:
    return None if value is None else str(value)


def _words(error: psycopg.Error) -> str:
    text = error.diag.message_primary or str(error).strip() or "the connection is gone"
    return text.splitlines()[-1].strip()
