"""A connection to the state database: where it is, how it is opened, and its two ways in.

`read` is a consistent snapshot; `write` is the one writer on SQLite (BEGIN IMMEDIATE, so that a
transaction never has to be upgraded half way) and READ COMMITTED with row locks on PostgreSQL.
"""

import fcntl
import functools
import json
import math
import os
import select
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy import event, exc

from bot import errors
from bot.store import faults, kept, tip

URL_HELP = "JIT_DATABASE_URL must look like sqlite:///jit.db or postgresql://user@host/database."
# SQLite's log is copied into the file at so many pages (16 MB); a crowd of ends writes as many.
_LATER_CHECKPOINT = "PRAGMA wal_autocheckpoint = 4000"
_TRUSTED = 10.0  # seconds that an idle connection is taken for alive, unless it has news
_READERS = 4  # connections to SQLite that are kept while nobody uses them; and one more, of leases
_POSTGRES = {"postgres", "postgresql", "postgresql+psycopg"}

_Way: TypeAlias = Callable[[], AbstractContextManager[sa.Connection]]


class Database:
    """One state database. Thread-safe."""

    def __init__(self, url: str, *, patience: float) -> None:
        """`patience`: seconds to wait for a lock before it is called busy."""
        parsed = _parse(url)
        self.place = _place(parsed)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self._patience = patience
        self._writer = threading.Lock()
        self._serving: int | None = None  # file descriptor of the lock that says so
        self._marker: sa.Connection | None = None
        self._marker_lock = threading.Lock()
        self._engine = _sqlite(parsed, patience) if self.is_sqlite else _postgres(parsed, patience)
        self._leases = _sqlite_leases(parsed, patience) if self.is_sqlite else self._engine
        self._kept = (kept.Kept(self._engine, _READERS), kept.Kept(self._leases, 1))
        self._ways = _sqlite_ways(*self._kept) if self.is_sqlite else _postgres_ways(self._engine)

    @property
    def engines(self) -> tuple[sa.Engine, ...]:
        """Whatever keeps connections."""
        return (self._engine, self._leases) if self.is_sqlite else (self._engine,)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A snapshot that changes under nobody's hands. Raises StoreError."""
        with faults.translated(), self._ways.read() as connection:
            yield connection

    @contextmanager
    def look(self) -> Iterator[sa.Connection]:
        """For one statement that reads: a snapshot by itself, and a third of the turns on the wire."""
        with faults.translated(), self._ways.look() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that commits at the end of the block. Raises Busy, Conflict, StoreError."""
        with faults.translated(), self._turn(), self._ways.write() as connection:
            yield connection

    @contextmanager
    def write_once(self) -> Iterator[sa.Connection]:
        """As `write`, for one statement, which the server commits with its answer."""
        with faults.translated(), self._turn(), self._ways.write_once() as connection:
            yield connection

    @contextmanager
    def lease(self, *, once: bool = False) -> Iterator[sa.Connection]:
        """As `write`, for what is claimed, renewed and let go; `once`: by one statement.

        On SQLite such a commit does not wait for the disk. It would be lost when the machine loses its
        power, and so would everybody who could have worked under the claim: whoever serves next
        voids them all anyway. What is recorded of the work waits for the disk, and what came before
        with it, for all commits stand in one file in their order. A server may crash alone, so on
        PostgreSQL a claim is as durable as anything.
        https://www.sqlite.org/pragma.html#pragma_synchronous
        """
        lease = self._ways.lease_once if once else self._ways.lease
        with faults.translated(), self._turn(), lease() as connection:
            yield connection

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Let the threads of this process queue fairly; SQLite's own waiting only polls."""
        if not self.is_sqlite:
            yield
            return
        if not self._writer.acquire(timeout=self._patience):
            raise errors.Busy
        try:
            yield
        finally:
            self._writer.release()

    def lock_chain(self, connection: sa.Connection) -> None:
        """Be the only one who appends until this transaction ends. Take it last, hold it shortly."""
        if not self.is_sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(tip.LOCK)))

    def alone(self) -> bool:
        """Say that this process serves, until `close`; whether no other does. False if not known.

        The kernel lets go of the lock when a process dies, however it dies.
        """
        if not self.is_sqlite or self._serving is not None:
            return False
        self._serving = os.open(f"{self.place}-serving", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._serving, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            fcntl.flock(self._serving, fcntl.LOCK_SH)
        return True

    def marker(self) -> int:
        """A number that changes when anything was committed by another connection. A hint only."""
        with faults.translated(), self._marker_lock:
            if self._marker is None:
                self._marker = self._engine.connect().execution_options(
                    isolation_level="AUTOCOMMIT"
                )
            try:
                return self._read_marker(self._marker)
            except exc.DBAPIError as error:
                self._marker.invalidate(error)  # it may be lost: the pool is not to try it
                self._marker.close()
                self._marker = None
                raise

    def _read_marker(self, connection: sa.Connection) -> int:
        """By the driver itself: forty times a second, it is most of what a service at rest does."""
        look = "PRAGMA data_version" if self.is_sqlite else "SELECT pg_current_snapshot()::text"
        with faults.cursor_of(connection) as cursor:
            (told,) = cursor.execute(look).fetchone()
        return int(told) if self.is_sqlite else zlib.crc32(told.encode())

    def close(self) -> None:
        """Give every connection back."""
        with self._marker_lock:
            if self._marker is not None:
                self._marker.close()
                self._marker = None
        if self._serving is not None:
            os.close(self._serving)
            self._serving = None
        for each in self._kept:
            each.close()
        for engine in self.engines:
            engine.dispose()


class _Ways(NamedTuple):
    """How a connection is had for one thing or the other."""

    read: _Way
    look: _Way
    write: _Way
    write_once: _Way
    lease: _Way
    lease_once: _Way


def _sqlite_ways(kept_: kept.Kept, leases: kept.Kept) -> _Ways:
    write = functools.partial(kept_.transaction, kept.WRITE)
    lease = functools.partial(leases.transaction, kept.WRITE)
    return _Ways(
        read=functools.partial(kept_.transaction, kept.READ),
        look=kept_.look,
        write=write,
        write_once=write,
        lease=lease,
        lease_once=lease,
    )


def _postgres_ways(engine: sa.Engine) -> _Ways:
    at_once = engine.execution_options(**_AT_ONCE).begin
    return _Ways(
        read=engine.execution_options(**_SNAPSHOT).begin,
        look=at_once,
        write=engine.begin,
        write_once=at_once,
        lease=engine.begin,
        lease_once=at_once,
    )


_SNAPSHOT: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
_NO_LIST = frozenset({"[]", b"[]"})
_NOTHING = _NO_LIST | {"{}", b"{}"}
_AT_ONCE: dict[str, Any] = {"isolation_level": "AUTOCOMMIT"}


def _parse(url: str) -> sa.URL:
    scheme, separator, rest = url.partition("://")
    if scheme in _POSTGRES:
        url = f"postgresql+psycopg{separator}{rest}"
    elif scheme not in {"sqlite", "sqlite+pysqlite"}:
        raise errors.StoreError(URL_HELP)
    try:
        parsed = sa.make_url(url)
    except (exc.ArgumentError, ValueError):  # its text may quote the password
        raise errors.StoreError(URL_HELP) from None
    if parsed.get_backend_name() == "sqlite":
        _refuse_memory(parsed)
    return parsed


def _refuse_memory(url: sa.URL) -> None:
    name = url.database or ""
    if name in {"", ":memory:"} or name.startswith("file:"):
        raise errors.StoreError(
            "The state database must be a file: what is kept in memory alone is lost when the bot "
            "stops, and access would never end."
        )


def _place(url: sa.URL) -> str:
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return f"{url.database or url.username} on {url.host or 'localhost'}:{url.port or 5432}"


def _sqlite(url: sa.URL, patience: float) -> sa.Engine:
    _make_private_file(Path(str(url.database)))
    return _sqlite_engine(url, patience, _prepare_sqlite, pool_size=10, max_overflow=30)


def _sqlite_leases(url: sa.URL, patience: float) -> sa.Engine:
    """One connection is enough: its writers wait for one another. See `Database.lease`."""

    def prepare(connection: Any, record: object) -> None:
        _prepare_sqlite(connection, record)
        connection.execute("PRAGMA synchronous = NORMAL").close()

    return _sqlite_engine(url, patience, prepare, pool_size=1, max_overflow=1)


def _sqlite_engine(
    url: sa.URL, patience: float, prepare: Callable[[Any, object], None], **pool: int
) -> sa.Engine:
    engine = sa.create_engine(
        url,
        hide_parameters=True,
        json_deserializer=_parsed,
        connect_args={"timeout": patience},
        pool_timeout=patience,
        **pool,
    )
    event.listen(engine, "connect", prepare)
    return engine


def _make_private_file(path: Path) -> None:
    """The record is nobody else's business on this machine; SQLite's side files copy this mode.

    One that is there is not opened: closing it again would drop the locks that this process holds
    on it, SQLite's among them. https://www.sqlite.org/howtocorrupt.html (2.2)
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        _require_file(path)
    except OSError as error:
        raise errors.StoreError(
            f"The state database {path} cannot be opened: {error.strerror}."
        ) from error


def _require_file(path: Path) -> None:
    why = "it is a folder" if path.is_dir() else "it may not be read and written"
    if path.is_dir() or not os.access(path, os.R_OK | os.W_OK):
        raise errors.StoreError(f"The state database {path} cannot be opened: {why}.")


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver must not begin transactions of its own
    cursor = connection.cursor()
    try:
        _use_wal(cursor)
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute(_LATER_CHECKPOINT)
        cursor.execute("PRAGMA foreign_keys = ON")
    finally:
        cursor.close()


def _use_wal(cursor: sqlite3.Cursor) -> None:
    """A new file is switched once; who comes at that very moment is refused without being let wait
    (the busy handler is not asked where waiting could be a deadlock), so we ask again ourselves.
    """
    (milliseconds,) = cursor.execute("PRAGMA busy_timeout").fetchone()
    give_up = time.monotonic() + milliseconds / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not faults.is_locked(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.01)
        else:
            return


def _postgres(url: sa.URL, patience: float) -> sa.Engine:
    engine = sa.create_engine(
        url,
        hide_parameters=True,
        json_deserializer=_parsed,
        connect_args={"connect_timeout": 5, "application_name": "jit"},
        pool_size=10,
        max_overflow=30,
        pool_timeout=patience,
    )

    def prepare(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", (f"{patience}s",))
        connection.commit()

    event.listen(engine, "connect", prepare)
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "checkout", functools.partial(_ask_if_doubtful, engine.dialect))
    return engine


def _parsed(text: str | bytes) -> Any:
    """JSON; most lists on the record are empty, and so is what a redraw carries."""
    if text in _NOTHING:
        return [] if text in _NO_LIST else {}
    return json.loads(text)


def _note_use(_connection: Any, record: Any) -> None:
    record.info["used"] = time.monotonic()


def _ask_if_doubtful(dialect: sa.Dialect, connection: Any, record: Any, _proxy: object) -> None:
    """Ask the server whether a connection lives, but only when there is reason to doubt it.

    A server that ends a connection says so: then there is something to read where nothing is due.
    To ask before every use, as the pool does by itself, costs each of them a turn on the wire.
    """
    idle = time.monotonic() - record.info.get("used", -math.inf)
    if idle < _TRUSTED and not _has_news(connection):
        return
    try:
        dialect.do_ping(connection)
        connection.rollback()
    except dialect.loaded_dbapi.Error as error:
        raise exc.InvalidatePoolError from error


def _has_news(connection: Any) -> bool:
    try:
        news = select.poll()
        news.register(connection.fileno(), select.POLLIN)
        return bool(news.poll(0))
    except connection.Error:  # it is closed
        return True
