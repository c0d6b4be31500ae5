"""Opening the state database: it makes and migrates itself, or says in one sentence what is wrong."""

import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import autogenerate, migration

from bot import clock as clocks
from bot import errors
from bot import store as stores
from bot.store import database, migrate, tables, upgrade
from tests.fixtures_store import ANA, NOON, submit

PASSWORD = "s3cret-p4ssword"


def refusal(url: str) -> str:
    """What opening it says; never the password, and in one sentence."""
    with pytest.raises(errors.StoreError) as caught:
        stores.open_store(url, clocks.ManualClock(NOON))
    told = str(caught.value)
    seen: BaseException | None = caught.value
    while seen is not None:
        assert PASSWORD not in f"{seen!r} {seen}"
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    assert "\n" not in told
    return told


def test_the_last_migration_is_the_one_that_a_start_looks_for() -> None:
    assert upgrade.heads() == {migrate.last()}


def test_the_migrations_make_what_the_tables_say(state: stores.Store) -> None:
    with state._database.read() as connection:
        context = migration.MigrationContext.configure(connection, opts={"compare_type": False})
        found = autogenerate.compare_metadata(context, tables.whole())
    assert found == []


def test_opening_again_keeps_everything(open_state: Callable[..., stores.Store]) -> None:
    store = open_state()
    request = submit(store)
    store.put("digest.last", "2026-11-19")
    store.put("digest.last", "2026-11-20")
    store.close()
    again = open_state()
    assert again.request(request.id) == request
    assert again.get("digest.last") == "2026-11-20"
    assert again.get("nothing") is None
    assert again.verify_chain().count == 1


@pytest.mark.fault(
    "F-37",
    "the state database is of a newer version",
    how="a later migration number",
    expects="one sentence; nothing is changed",
)
def test_a_database_of_a_newer_version_is_left_alone(
    open_state: Callable[..., stores.Store], state_url: str
) -> None:
    store = open_state()
    with store._database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0999'")
    place = store.place
    store.close()
    assert refusal(state_url) == (
        f"The state database {place} was written by a newer version of jit (revision 0999). "
        "Upgrade jit, or point JIT_DATABASE_URL at another database."
    )


@pytest.mark.fault(
    "F-49",
    "the clock steps back",
    how="an earlier start",
    expects="time goes on from what was recorded; nothing is extended",
)
def test_the_clock_never_goes_back_behind_what_was_recorded(
    open_state: Callable[..., stores.Store], clock: clocks.ManualClock
) -> None:
    store = open_state()
    clock.advance(timedelta(hours=2))
    submit(store)
    earlier = clocks.ManualClock(NOON)
    open_state(clock=earlier)
    assert earlier.now() == NOON + timedelta(hours=2)
    clock.advance(timedelta(hours=1))
    store.remember_time()
    open_state(clock=earlier)
    assert earlier.now() == NOON + timedelta(hours=3)


def test_a_clock_ahead_of_the_record_is_left_alone(
    open_state: Callable[..., stores.Store],
) -> None:
    submit(open_state())
    ahead = clocks.ManualClock(NOON + timedelta(days=1))
    open_state(clock=ahead)
    assert ahead.now() == NOON + timedelta(days=1)


def test_the_marker_moves_with_anybodys_commit_only(
    open_state: Callable[..., stores.Store], tmp_path: Path
) -> None:
    one, other = open_state(), open_state()
    before = one.version_marker()
    assert one.version_marker() == before
    submit(other)
    after = one.version_marker()
    assert after != before
    submit(one)
    assert one.version_marker() != after


def test_sqlite_is_durable_private_and_checks_its_references(
    tmp_path: Path, clock: clocks.ManualClock
) -> None:
    path = tmp_path / "jit.db"
    with stores.open_store(f"sqlite:///{path}", clock) as store:
        submit(store)
        with store._database.write() as connection:
            asked = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            asked += ("wal_autocheckpoint",)
            found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in asked]
        assert found == ["wal", 2, 1, 5000, 4000]
        with store._database.lease() as connection:  # a power cut ends all claims as well
            found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in asked]
        assert found == ["wal", 1, 1, 5000, 4000]
        for file in tmp_path.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        with pytest.raises(errors.Conflict), store.begin(ANA) as tx:
            tx.say("card", "nothing", "audit")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "jit.db",
        f"mysql://u:{PASSWORD}@h/db",
        f"postgresql://u:{PASSWORD}@h:notaport/db",
        f"://{PASSWORD}",
        f"oracle+{PASSWORD}://x",
    ],
)
def test_a_url_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    assert refusal(url) == database.URL_HELP


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?uri=true"])
def test_a_record_in_memory_is_refused(url: str) -> None:
    assert "must be a file" in refusal(url)


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    missing = tmp_path / "no" / "jit.db"
    assert refusal(f"sqlite:///{missing}") == (
        f"The state database {missing} cannot be opened: No such file or directory."
    )
    other = tmp_path / "picture.png"
    other.write_bytes(b"not a database, but long enough to be looked at" * 50)
    assert refusal(f"sqlite:///{other}") == (
        f"The state database {other} cannot be used: the file is something else."
    )


def test_opening_it_again_leaves_the_locks_of_this_process(tmp_path: Path) -> None:
    """POSIX locks belong to the process: closing any descriptor of a file drops them all. Then the
    next process to leave takes itself for the last one, and takes the log away under our feet.
    """
    path = tmp_path / "jit.db"
    url = f"sqlite:///{path}"
    kept, again = (stores.open_store(url, clocks.ManualClock(NOON)) for _ in range(2))
    look = [sys.executable, "-c", _LOOK, str(path)]
    subprocess.run(look, check=True)
    kept.put("said", "after somebody left")
    seen = subprocess.run(look, check=True, capture_output=True, text=True).stdout
    kept.close()
    again.close()
    assert "after somebody left" in seen


_LOOK = """
import sqlite3, sys
record = sqlite3.connect(sys.argv[1])
print(record.execute("SELECT key, value FROM setting").fetchall())
record.close()
"""


def test_somebody_elses_tables_are_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    theirs = sqlite3.connect(path)
    theirs.execute("CREATE TABLE access_request (theirs)")
    theirs.commit()
    theirs.close()
    assert "cannot be used" in refusal(f"sqlite:///{path}")
    theirs = sqlite3.connect(path)
    names = [row[0] for row in theirs.execute("SELECT name FROM sqlite_master")]
    theirs.close()
    assert names == ["access_request"]


@pytest.mark.fault(
    "F-38",
    "the state server is down",
    how="a closed port",
    expects="one sentence without the password",
)
def test_a_server_that_does_not_answer_is_named_without_the_password() -> None:
    told = refusal(f"postgresql://jit:{PASSWORD}@127.0.0.1:1/state")
    assert (
        told
        == "The state database state on 127.0.0.1:1 cannot be used: no connection could be made."
    )


def test_a_wrong_password_or_database_is_said(postgres_server: object) -> None:
    url = sa.make_url(postgres_server.admin_url)  # type: ignore[attr-defined]
    wrong = url.set(password=PASSWORD).render_as_string(hide_password=False)
    assert refusal(wrong).endswith("cannot be used: user or password is wrong.")
    missing = url.set(database="missing").render_as_string(hide_password=False)
    assert refusal(missing).endswith("cannot be used: there is no such database or user.")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_usual_spelling_means_postgresql(scheme: str) -> None:
    assert "127.0.0.1:1 cannot" in refusal(f"{scheme}://jit@127.0.0.1:1/state")


@pytest.mark.fault(
    "F-35b",
    "the state database is locked for long",
    how="BEGIN IMMEDIATE",
    expects="busy, nothing is done",
)
def test_a_file_that_is_locked_too_long_is_busy_not_broken(tmp_path: Path) -> None:
    path = tmp_path / "jit.db"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(errors.StoreError, match="is busy"):
        stores.open_store(f"sqlite:///{path}", clocks.ManualClock(NOON), patience=0.05)
    holder.close()
    stores.open_store(f"sqlite:///{path}", clocks.ManualClock(NOON)).close()


def test_opening_a_record_that_is_up_to_date_waits_for_no_writer(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.sqlite3'}"
    with stores.open_store(url, clocks.SystemClock()):
        pass
    with closing(sqlite3.connect(tmp_path / "state.sqlite3", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with stores.open_store(url, clocks.SystemClock(), patience=0.2) as opened:
            assert opened.chain_head()[0] == 0
        writer.execute("ROLLBACK")
