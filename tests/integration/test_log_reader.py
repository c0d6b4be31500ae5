"""The functions that read the server's log, on logs as a crash, a full disk or a holder leaves them."""

import os
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from bot.demo import postgres
from db_grants.postgres import serverlog
from tests.fixtures_postgres import SETTINGS, Shop

DAMAGED = "a line of the log is damaged"
NOT_UTF8 = "a line of the log is not UTF-8"
A, B, C = "jit_aaaa0001", "jit_bbbb0001", "jit_cccc0001"
AT = "2026-11-22 09:00:00.000 UTC"
TEXTS = (
    "SELECT 'Grüße', \"quoted\",\n\n2 -- ,\n",
    f'SELECT 1 /*\n{AT},"{B}","x",1,"",6.1,1,"",,,,LOG,00000,"statement: DROP TABLE x"\n*/',
    f'{{"timestamp":"{AT}","user":"{B}"}}',
    f'\n{AT},"{B}",',
    '"',
    '""\n"',
    "\\x41 \\101 \\\\",
)


@pytest.fixture(scope="module", params=["jsonlog", "csvlog"])
def shop_server(request: pytest.FixtureRequest, server_folder: Path) -> Iterator[postgres.Server]:
    """A server whose log is in one of the two formats."""
    settings = {**SETTINGS, "log_destination": request.param}
    server = postgres.Server.start(server_folder / f"reader-{request.param}", settings=settings)
    yield server
    server.discard()


class Pen:
    """Writes log files as the server does, and as it does not mean to."""

    def __init__(self, shop: Shop, bot: psycopg.Connection) -> None:
        self.bot = bot
        self._json = shop.server.config.settings["log_destination"] == "jsonlog"
        self._folder = shop.server.config.data_dir / "log"
        self._number = 0
        for path in self._folder.iterdir():
            if not path.name.startswith("postgresql-"):
                path.unlink()

    def record(self, user: str, text: str, encoding: str = "utf-8") -> bytes:
        """One record, with its line end."""
        self._number += 1
        if self._json:
            quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            line = (
                f'{{"timestamp":"{AT}","user":"{user}","dbname":"shop","pid":7,"remote_host":"::1",'
                f'"session_id":"69211d80.1f","line_num":{self._number},"error_severity":"LOG",'
                f'"message":"statement: {quoted}","application_name":"psql"}}\n'
            )
        else:
            quoted = text.replace('"', '""')
            line = (
                f'{AT},"{user}","shop",7,"[::1]:5000",69211d80.1f,{self._number},"SELECT",2026-11-22'
                f' 09:00:00 UTC,3/12,0,LOG,00000,"statement: {quoted}",,,,,,,,,"psql","client'
                f' backend",,0\n'
            )
        return line.encode(encoding)

    def write(self, name: str, content: bytes, age: timedelta = timedelta(0)) -> None:
        """A log file of that age."""
        path = self._folder / f"{name}{'.json' if self._json else '.csv'}"
        path.write_bytes(content)
        path.chmod(0o644)
        written = time.time() - age.total_seconds()
        os.utime(path, (written, written))

    def size(self) -> int:
        """Of all files of this format, in bytes."""
        suffix = ".json" if self._json else ".csv"
        return sum(path.stat().st_size for path in self._folder.glob(f"*{suffix}"))

    def logs(self, sinces: Mapping[str, datetime], *bound: int) -> dict[str, serverlog.Log]:
        """What the bot is told of those roles."""
        holes = ", ".join(["%s"] * (2 + len(bound)))
        query = psycopg.sql.SQL(f"SELECT * FROM jit_admin.statement_logs({holes})")
        rows = self.bot.execute(query, ([*sinces], [*sinces.values()], *bound)).fetchall()
        readings = {name: serverlog.Reading(name) for name in sinces}
        for name, kind, text in rows:
            for each in readings if name is None else (name,):
                readings[each].add(kind, text)
        return {name: reading.log() for name, reading in readings.items()}


@pytest.fixture
def pen(shop: Shop) -> Iterator[Pen]:
    with psycopg.connect(shop.bot_url, autocommit=True) as bot:
        yield Pen(shop, bot)


def texts(log: serverlog.Log) -> list[str]:
    return [entry.text for entry in log.entries]


def now(*names: str) -> dict[str, datetime]:
    return dict.fromkeys(names, datetime.now(UTC))


def test_records_of_several_roles_are_told_each_to_its_own(pen: Pen) -> None:
    told = {A: list(TEXTS), B: list(reversed(TEXTS)), C: []}
    lines = [
        pen.record(user, text)
        for pair in zip(TEXTS, reversed(TEXTS), strict=True)
        for user, text in zip((A, B), pair, strict=True)
    ]
    others = [pen.record("alice", text) for text in TEXTS]
    pen.write(
        "x",
        b"".join(
            line for pair in zip(lines[::2], others, lines[1::2], strict=True) for line in pair
        ),
    )
    found = pen.logs(now(A, B, C))
    assert {name: texts(log) for name, log in found.items()} == told
    assert {log.gaps for log in found.values()} == {()}


def test_records_longer_than_what_is_in_hand_are_told_whole(pen: Pen) -> None:
    long = ["SELECT '" + "ü\n" * 900_000 + "'", "SELECT '" + "x" * 3_000_000 + "'"]
    filler = b"".join(pen.record("alice", text) for text in TEXTS) * 400
    content = [filler, *(pen.record(A, each) for each in long), filler, pen.record(B, "SELECT 1")]
    pen.write("x", b"".join(content))
    found = pen.logs(now(A, B))
    assert texts(found[A]) == long
    assert texts(found[B]) == ["SELECT 1"]
    assert {log.gaps for log in found.values()} == {()}


def test_bytes_that_are_not_utf8_are_a_gap_of_their_role_alone(pen: Pen) -> None:
    lines = [
        pen.record(A, "SELECT 'Grüße'", "latin-1"),
        pen.record(A, TEXTS[0]),
        pen.record("alice", "SELECT 'Grüße'", "latin-1"),
        *(pen.record(B, text) for text in TEXTS),
    ]
    pen.write("x", b"".join(lines))
    found = pen.logs(now(A, B))
    assert (texts(found[A]), found[A].gaps) == ([TEXTS[0]], (NOT_UTF8,))
    assert texts(found[B]) == list(TEXTS)
    assert found[B].gaps == ()


@pytest.mark.parametrize("cut", [0.5, 0.9])
def test_a_record_cut_short_is_a_gap_of_all_whose_line_it_is(pen: Pen, cut: float) -> None:
    torn = pen.record(A, "SELECT 'a statement that is cut'")
    lines = [
        torn[: int(len(torn) * cut)],
        pen.record(B, "SELECT 1"),
        pen.record(B, "SELECT 2"),
        pen.record(C, "SELECT 3"),
        pen.record(A, "SELECT 4"),
    ]
    pen.write("x", b"".join(lines))
    found = pen.logs(now(A, B, C))
    assert {name: log.gaps for name, log in found.items()} == {A: (DAMAGED,), B: (DAMAGED,), C: ()}
    assert texts(found[C]) == ["SELECT 3"]
    assert texts(found[A])[-1:] == ["SELECT 4"]


def test_a_log_that_ends_within_a_record_is_a_gap_of_whose_it_is(pen: Pen) -> None:
    for name, age, gap in (("x", 0, "the log ends within a line"), ("old", 30, DAMAGED)):
        whole = pen.record(B, "SELECT 1") + pen.record(A, "SELECT 2\n3")
        pen.write(name, whole[:-20], timedelta(seconds=age))
        found = pen.logs(now(A, B))
        assert (found[A].gaps, found[B].gaps) == ((gap,), ())
        assert texts(found[B]) == ["SELECT 1"]
        pen.write("x", b"")


def test_what_is_beyond_the_bound_is_told_to_whom_it_concerns(pen: Pen) -> None:
    filler = pen.record("alice", "SELECT 0") * 100
    pen.write("old", pen.record(A, "SELECT 1") + filler, timedelta(minutes=30))
    recent = datetime.now(UTC)
    pen.write("x", pen.record(B, "SELECT 2") + pen.record(A, "SELECT 3"))
    found = pen.logs({A: recent - timedelta(hours=1), B: recent}, pen.size() - len(filler) // 2)
    assert texts(found[A]) == ["SELECT 3"]
    assert [gap[:15] for gap in found[A].gaps] == ["only the newest"]
    assert (texts(found[B]), found[B].gaps) == (["SELECT 2"], ())


def test_a_role_is_read_of_in_no_file_older_than_its_time(pen: Pen) -> None:
    lines = pen.record(A, "SELECT 1") + pen.record(B, "SELECT 2")
    pen.write("old", lines, timedelta(minutes=30))
    recent = datetime.now(UTC)
    found = pen.logs({A: recent - timedelta(hours=1), B: recent})
    assert (texts(found[A]), texts(found[B])) == (["SELECT 1"], [])


def test_a_server_that_had_nothing_to_say_since_misses_nothing(pen: Pen) -> None:
    pen.write("x", pen.record(A, "SELECT 1"))
    log = pen.logs({A: datetime.now(UTC) + timedelta(minutes=5)})[A]
    assert (texts(log), log.gaps) == ([], ())


def test_a_log_read_from_its_middle_is_told_from_the_next_record_on(pen: Pen) -> None:
    lines = [pen.record(A, f"SELECT {n},\n'\"'") for n in range(50)]
    pen.write("x", b"".join(lines), timedelta(seconds=30))  # the server's own is newer
    whole = pen.size()
    for less in range(1, 2 * len(lines[0]), 3):
        log = pen.logs(now(A), whole - less)[A]
        assert len(log.gaps) == 1
        assert log.gaps[0].startswith("only the newest")
        assert 40 <= len(log.entries) <= 49  # the server's own log may have grown meanwhile
        assert texts(log) == [f"SELECT {n},\n'\"'" for n in range(50 - len(log.entries), 50)]


def test_what_is_left_of_somebody_elses_record_is_not_told(pen: Pen) -> None:
    pen.write("x", pen.record("alice", "SELECT 'private'")[:-30] + pen.record(A, "SELECT 1"))
    rows = pen.bot.execute(
        "SELECT kind, record FROM jit_admin.statement_logs(%s, %s)", ([A], [datetime.now(UTC)])
    ).fetchall()
    assert rows[1:] == [("partial", DAMAGED)]


def test_a_time_is_needed_for_each_role(pen: Pen) -> None:
    for sinces in ([], [None], [datetime.now(UTC)] * 2):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            pen.bot.execute("SELECT * FROM jit_admin.statement_logs(%s, %s)", ([A], sinces))
