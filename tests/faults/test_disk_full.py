"""A target whose disk has no room left for one more page of a catalogue.

Where it can be, its data are on a small file system of their own, which is filled. Elsewhere the
server may write no file beyond a size that its list of roles has reached, as under a quota.
"""

import contextlib
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from bot.demo import postgres
from db_grants.postgres import PostgresEngine, failures
from db_grants.spec import GrantSpec, ManagedRole
from tests.faults.target import credential, ends, in_time, sessions_of, small_server
from tests.fixtures_postgres import Shop
from tests.holders import is_cut, log_in

pytestmark = pytest.mark.faults

SMALL = "160m"
PAGE = 8192
SEGMENT = 16 << 20  # of the write-ahead log, made at full size: nothing smaller can be the limit


@pytest.fixture(scope="module")
def disk() -> Iterator[Path | None]:
    """A file system of this module's own, if we may mount one."""
    folder = Path(tempfile.mkdtemp(prefix="jit-small-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL},mode=755", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    yield folder if mounted else None
    if mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def shop_server(disk: Path | None, folder: Path) -> Iterator[postgres.Server]:
    """A server of this module's own, there; or one that may make no file larger than that."""
    with contextlib.nullcontext() if disk else files_of_at_most(SEGMENT):
        servers = small_server(disk / "data" if disk else folder)
        made = next(servers)
    yield made
    with contextlib.suppress(StopIteration):
        next(servers)


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """For the processes started meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def full(shop: Shop, disk: Path | None) -> contextlib.AbstractContextManager[None]:
    """No room for another version of any role, as long as this is entered."""
    return _full(shop, disk)


@contextlib.contextmanager
def _full(shop: Shop, disk: Path | None) -> Iterator[None]:
    ballast = disk / "ballast" if disk else None
    with shop.connect() as admin:
        admin.execute("SET allow_system_table_mods = on")
        admin.execute("CHECKPOINT")
        admin.execute("SELECT pg_switch_wal()")  # a whole segment of the log is there to be used
        admin.execute("VACUUM pg_authid")
        shop.connect().close()  # writes what every connection reads, and could not be made without
        if ballast is None:
            admin.execute(_roles(4 * (SEGMENT // PAGE - 20)), {"width": 1900})
        else:
            _fill(ballast)
        for width in (1900, 800, 0):
            with contextlib.suppress(psycopg.errors.DiskFull, psycopg.errors.InternalError_):
                while True:
                    admin.execute(_roles(1), {"width": width})
        try:
            yield
        finally:
            if ballast is not None:
                ballast.unlink()
            admin.execute("DELETE FROM pg_authid WHERE rolname LIKE 'filler%'")
            admin.execute("VACUUM pg_authid")


def _fill(ballast: Path) -> None:
    """What is free now, or what is left of that when the server was quicker."""
    with ballast.open("wb") as file:
        while (left := os.statvfs(ballast.parent)).f_bavail:
            with contextlib.suppress(OSError):
                end = os.fstat(file.fileno()).st_size
                os.posix_fallocate(file.fileno(), end, left.f_bavail * left.f_frsize)
                return


def _roles(count: int) -> sql.Composed:
    """Rows of a size, four to a page at most, that nobody can log in with."""
    return sql.SQL(
        "INSERT INTO pg_authid"
        " SELECT (100000000 + random() * 1900000000)::int8::oid, 'filler_' || gen_random_uuid(),"
        "        false, true, false, false, false, false, false, 0,"
        "        nullif(left((SELECT string_agg(md5(i::text || n), '')"
        "                       FROM generate_series(1, 60) i), %(width)s), ''), null"
        "   FROM generate_series(1, {}) n"
    ).format(sql.Literal(count))


@pytest.fixture
def engine(shop: Shop) -> PostgresEngine:
    made: PostgresEngine = shop.engine(deadline=4.0)
    return made


@pytest.fixture
def role(engine: PostgresEngine, spec: GrantSpec) -> ManagedRole:
    return engine.create(spec)


@pytest.mark.fault(
    "F-30",
    "the target's disk is full at a deadline",
    how="a file system of its own is filled; without the right to mount one, a limit on files",
    expects="told as such; who is in is cut and powerless all the same; it ends when there is room",
)
def test_a_full_disk_keeps_nobody_in(
    shop: Shop,
    engine: PostgresEngine,
    role: ManagedRole,
    full: contextlib.AbstractContextManager[None],
) -> None:
    given = credential(shop, engine, role)
    with contextlib.closing(log_in(shop, given)) as holder:
        with full:
            for _ in range(2):
                in_time(lambda: engine.close(role), failures.NoRoom)
            assert is_cut(holder)
            assert sessions_of(shop, role) == 0
            found = next(one for one in engine.survey().managed if one.oid == role.oid)
            assert (found.can_login, found.member_of) == (True, ())
            with contextlib.closing(log_in(shop, given)) as back:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    back.execute("SELECT count(*) FROM app.orders")
                with pytest.raises(failures.NoRoom, match="disk"):
                    engine.close(role)
                assert is_cut(back)
        ends(engine, shop, role)


def test_nothing_is_granted_on_a_full_disk_and_it_is_told_why(
    shop: Shop,
    engine: PostgresEngine,
    spec: GrantSpec,
    full: contextlib.AbstractContextManager[None],
) -> None:
    with full, pytest.raises(failures.NoRoom, match="disk is full"):
        engine.create(spec)
    ends(engine, shop, engine.create(spec))
