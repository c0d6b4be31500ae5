"""Connections to one server, each operation with a deadline on our side.

A stopped server and a link that swallows packets keep a TCP connection open without ever answering,
so neither statement_timeout nor keepalives help. Each wait for the socket therefore asks whether
the operation's time is over; then the connection is thrown away.
"""

import contextlib
import math
import select
import threading
import time
from collections.abc import Generator, Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import conninfo, rows, sql

from db_grants import errors
from db_grants.postgres import connecting, failures, queries

Rows = list[dict[str, Any]]
_KEEP = 4  # for as long as they work
_SPARE = 16  # with those that were lately in use at the same time
_LATELY = 60.0  # seconds
_FRESH = 600.0  # seconds for which two clocks, once compared, are taken to run alike
_APPLICATION = "jit-access-bot"


class _Connection(psycopg.Connection[dict[str, Any]]):
    """A psycopg connection that stops waiting when its deadline has passed."""

    deadline = float("inf")  # of time.monotonic()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.known: set[str] = set()  # queries prepared here
        self.server: str | None = None  # its system identifier; not asked yet
        self.heard: tuple[float, datetime] | None = None  # time.monotonic(), and the server's clock
        self.horizon = 0  # see `Link.horizon`
        self.deputies = False  # see `Link.deputies`
        self.all_deputies = False  # see `Link.all_deputies`
        self.happened: dict[str, float] = {}  # time.monotonic() of what `Link.happened` was told
        self.used = 0.0  # time.monotonic() when last given back

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """As psycopg's; it wakes up every 0.1 s, which is how precise the deadline is."""
        return super().wait(self._bounded(gen), *args, **kwargs)

    def _bounded(self, gen: Any) -> Generator[Any, Any, Any]:
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > self.deadline:
                    raise failures.DeadlinePassed
                wanted = gen.send(ready)
        except StopIteration as done:
            return done.value


class Link:
    """One connection for the time of one operation."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    @property
    def seconds_left(self) -> float:
        """How long this operation may still take."""
        return self._connection.deadline - time.monotonic()

    def ask(self, *statements: sql.Composable) -> list[Rows]:
        """Run statements that commit nothing, in one round trip; the rows of each."""
        return self._run(statements, committing=False)

    def tell(self, *statements: sql.Composable) -> list[Rows]:
        """Run statements that commit, in one round trip. A lost connection is OutcomeUnknown."""
        return self._run(statements, committing=True)

    @property
    def database(self) -> str:
        """The database it is a connection to."""
        return self._connection.info.dbname

    @property
    def version(self) -> int:
        """The server's version as a number, 180001 for 18.1; it told when the connection was made."""
        return self._connection.info.server_version

    def ready(self, *wanted: queries.Prepared, clock: bool = False) -> None:
        """Prepare what this connection has not prepared yet, and compare clocks where asked to.

        One round trip at most, and none on a connection in use.
        """
        known, heard = self._connection.known, self._connection.heard
        new = [query for query in wanted if query.name not in known]
        late = heard is None or time.monotonic() - heard[0] > _FRESH
        if new or (clock and late):
            (*_, rows) = self.ask(*(query.make for query in new), _NEWS)
            known.update(query.name for query in new)
            self._connection.heard = time.monotonic(), rows[0]["at"]
            self._connection.horizon = rows[0]["horizon"]
            self._connection.deputies = rows[0]["deputies"]
            self._connection.all_deputies = rows[0]["all_deputies"]

    def knows(self, query: queries.Prepared) -> bool:
        """Whether this connection has prepared it."""
        return query.name in self._connection.known

    @property
    def horizon(self) -> int:
        """A transaction of the server; any older one was over when this was last `ready` with a clock.

        So whatever such a transaction wrote, it wrote without knowing what came into being since.
        """
        return self._connection.horizon

    @property
    def deputies(self) -> bool:
        """Whether all functions of `naming.DEPUTIES` could be called when clocks were last compared."""
        return self._connection.deputies

    @property
    def all_deputies(self) -> bool:
        """The same of `naming.ALL_DEPUTIES`: then the bot has no power over roles itself, and needs none."""
        return self._connection.all_deputies

    def forget(self) -> None:
        """Ask anew, when next `ready` with a clock, what a connection learns of its server."""
        self._connection.heard = None

    def happened(self, what: str) -> None:
        """Note that `what` was done on this connection just now."""
        self._connection.happened[what] = time.monotonic()

    def since(self, what: str) -> float:
        """Seconds since `what` happened on this connection; endless when it never did."""
        return time.monotonic() - self._connection.happened.get(what, -math.inf)

    def clock_at(self, end: float) -> str:
        """What the server's clock says at `end` of time.monotonic(), never later.

        Only once `ready` with a clock.
        Whatever is to be refused after `end` is compared with this: also what was held up on its way
        there, or before it was sent.
        """
        if self._connection.heard is None:
            raise ValueError("the clocks were not compared")
        then, at = self._connection.heard
        return (at + timedelta(seconds=end - then)).isoformat()

    def server(self) -> str:
        """The server's system identifier, "" if we may not read it; asked once a connection.

        https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-CONTROLDATA
        """
        if self._connection.server is None:
            query = sql.SQL("SELECT system_identifier::text AS name FROM pg_control_system()")
            try:
                self._connection.server = str(self.ask(query)[0][0]["name"])
            except errors.NotPrepared:  # PUBLIC may, unless somebody took that away
                self._connection.server = ""
        return self._connection.server

    def roll_back(self) -> None:
        """Leave the transaction one of whose statements failed; none open is well."""
        _leave_transaction(self._connection)

    def _run(self, statements: tuple[sql.Composable, ...], *, committing: bool) -> list[Rows]:
        try:
            cursor = self._connection.execute(sql.SQL("\n;\n").join(statements))
            results = [_rows(cursor)]
            while cursor.nextset():
                results.append(_rows(cursor))
        except psycopg.Error as error:
            raise failures.translated(error, committing=committing) from None
        return results


class Links:
    """The connections of one engine: more are opened when all are busy, and kept while they are of use.

    To open one, and to prepare there what it is asked, takes as much as five operations.
    """

    def __init__(self, url: str, deadline: float) -> None:
        self._parameters = _parsed(url, deadline)
        self._deadline = deadline
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []
        self._closed = False

    @property
    def parameters(self) -> dict[str, Any]:
        """What the URL says, by libpq's names."""
        return dict(self._parameters)

    @contextlib.contextmanager
    def link(self, database: str | None = None) -> Iterator[Link]:
        """A link for one operation, whose deadline starts now. Raises TargetUnavailable."""
        connection = self._take() if database is None else None
        connection = connection or self._open(database)
        connection.deadline = time.monotonic() + self._deadline
        try:
            yield Link(connection)
        except BaseException:
            _leave_transaction(connection)
            raise
        finally:
            self._give_back(connection, keep=database is None)

    def close(self) -> None:
        """Close what is idle, and what comes back later."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> _Connection | None:
        """An idle connection the server has not hung up on."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if _is_quiet(connection):
                return connection
            connection.close()

    def _open(self, database: str | None) -> _Connection:
        given = self._parameters | ({"dbname": database} if database else {})
        try:
            return connecting.connect(
                _Connection.connect,
                given,
                autocommit=True,
                prepare_threshold=None,
                row_factory=rows.dict_row,
            )
        except psycopg.Error as error:
            raise failures.translated(error, committing=False) from None

    def _give_back(self, connection: _Connection, *, keep: bool) -> None:
        idle = connection.pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE
        over = [connection]
        with self._lock:
            connection.used = now = time.monotonic()
            if keep and idle and not self._closed and len(self._idle) < _SPARE:
                self._idle.append(connection)
                over = self._unused(now)
        for each in over:
            each.close()

    def _unused(self, now: float) -> list[_Connection]:
        """Idle connections nobody had use for lately, no longer kept. The last one back is taken first."""
        spare = self._idle[:-_KEEP]
        over = [each for each in spare if now - each.used > _LATELY]
        del self._idle[: len(over)]  # the first ones, given back before all others
        return over


def younger_than(seconds: float) -> sql.Composable:
    """A statement that fails once its transaction is older than that, by the server's clock."""
    return sql.SQL(
        "SELECT 1 / (clock_timestamp() - transaction_timestamp() < make_interval(secs => {}))::int"
    ).format(sql.Literal(seconds))


_NEWS = queries.query("news", deputies=queries.deputies(), all_deputies=queries.all_deputies())


def _rows(cursor: psycopg.Cursor[dict[str, Any]]) -> Rows:
    """What a statement gave. Its columns are counted: to describe them takes longer than to read one."""
    result = cursor.pgresult
    return cursor.fetchall() if result is not None and result.nfields else []


def _leave_transaction(connection: _Connection) -> None:
    """Roll back if that is easy; otherwise the connection is closed later, which does it as well."""
    status = connection.pgconn.transaction_status
    if status in (psycopg.pq.TransactionStatus.INTRANS, psycopg.pq.TransactionStatus.INERROR):
        with contextlib.suppress(psycopg.Error):
            connection.execute(sql.SQL("ROLLBACK"))


def _is_quiet(connection: _Connection) -> bool:
    """Whether nothing waits to be read; a server that hung up, or says goodbye, is readable."""
    if connection.closed:
        return False
    news = select.poll()  # select() refuses descriptors above 1023
    news.register(connection.pgconn.socket, select.POLLIN)
    return not news.poll(0)


def _parsed(url: str, deadline: float) -> dict[str, Any]:
    """What the URL says, with our own defaults. The URL is never quoted: it holds a password."""
    try:
        given = conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        raise errors.DbGrantsError("The target's URL cannot be read.") from None
    settings = {
        "TimeZone": "UTC",  # whatever server or role say: times come back in one form, and exactly
        "DateStyle": "ISO",
        "search_path": "pg_catalog,pg_temp",  # nobody's function stands in for the server's
        "default_transaction_isolation": r"read\ committed",  # what others have just done counts
        "random_page_cost": "1",  # what is asked for is cached: nothing is read from end to end for one row
        "plan_cache_mode": "force_generic_plan",  # what is prepared is planned once
        "max_parallel_workers_per_gather": "0",  # so planning need not ask what workers could do
        "statement_timeout": f"{deadline * 1000:.0f}",  # what we no longer wait for should not go on
        "lock_timeout": f"{min(5.0, deadline / 4) * 1000:.0f}",  # leaves time to do without the lock
    }
    ours = " ".join(f"-c {name}={value}" for name, value in settings.items())
    options = f"{given.pop('options', '') or ''} {ours}"
    return {
        "application_name": _APPLICATION,
        "connect_timeout": max(2, min(5, int(deadline))),
        "client_encoding": "UTF8",
        **given,
        "options": options.strip(),
    }
