"""What the benchmark makes its records of: lives that break no invariant; and what it keeps."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from bench import core, history, kept, place
from bot import clock as clocks
from bot import model, store
from db_grants import memory
from proof import invariants, reality

CATALOG = core.catalog_text("app")
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def record(state_url: str) -> Iterator[store.Store]:
    with store.open_store(state_url, clocks.ManualClock(NOW)) as made:
        yield made


def lives(count: int, asked_at: datetime, first: int = 30000) -> list[history.Life]:
    return [
        history.Life(id=model.new_id(), asked_at=asked_at + timedelta(seconds=n), oid=first + n)
        for n in range(count)
    ]


def check(record: store.Store, *targets: reality.Target) -> None:
    seen = reality.record(record, NOW)
    invariants.check(seen, targets, reality.Transcript())


def test_lives_written_in_bulk_break_no_invariant(record: store.Store) -> None:
    mould = history.mould(CATALOG, over=True)
    written = history.write(record, mould, lives(1200, NOW - timedelta(days=1)))
    assert written == 1200 * len(mould.events) == record.chain_head()[0]
    check(record, reality.in_memory("bench", memory.MemoryEngine(clock=lambda: NOW)))
    assert record.outbox_depth() == 0


def test_what_is_said_after_a_bulk_is_not_lost(record: store.Store) -> None:
    history.write(record, history.mould(CATALOG, over=True), lives(3, NOW - timedelta(days=1)))
    with record.begin(store.SYSTEM) as tx:
        for number in range(40):
            tx.say("home", None, f"home:{number}", {"user": "U0ANA"})
    assert record.outbox_depth() == 40


def test_what_is_said_while_a_bulk_is_written_has_numbers_of_its_own(record: store.Store) -> None:
    def speaking() -> Iterator[history.Life]:
        for number, life in enumerate(lives(history.CHUNK + 200, NOW - timedelta(days=1))):
            if number in (history.CHUNK - 1, history.CHUNK + 1):  # before and behind a commit
                say(number)
            yield life

    def say(number: int) -> None:
        with record.begin(store.SYSTEM) as tx:
            tx.say("home", None, f"home:{number}", {"user": "U0ANA"})

    history.write(record, history.mould(CATALOG, over=True), speaking())
    say(0)
    assert record.outbox_depth() == 3


def test_a_life_has_its_own_times_people_targets_and_role(record: store.Store) -> None:
    asked = NOW - timedelta(hours=1)
    until = NOW + timedelta(hours=2)
    life = history.Life(
        id="b0000001",
        asked_at=asked,
        expires_at=until,
        oid=77,
        target="other",
        person="U0CLEO",
        server="4711",
    )
    history.write(record, history.mould(CATALOG, over=False), [life])
    story = record.story("b0000001")
    assert story.request.created_at == asked
    assert story.request.requester_id == story.grant.requester_id == "U0CLEO"
    assert (story.grant.target, story.grant.role_oid) == ("other", 77)
    assert (story.grant.role_name, story.grant.expires_at) == ("jit_b0000001", until)
    told = {e.type: json.loads(e.body) for e in record.events_of("b0000001")}
    assert told["grant.active"]["data"]["role_oid"] == 77
    assert told["request.submitted"]["data"]["requester_id"] == "U0CLEO"
    assert "U0ANA" not in str(told)
    assert (story.grant.server, told["grant.active"]["data"]["server"]) == ("4711", "4711")


def test_a_crowd_is_live_on_record_and_targets_alike(
    record: store.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "PER_TARGET", 20)
    engines = core.gather(record, _Place(), 50, datetime.now(UTC) + timedelta(days=1))
    assert [len(engine.managed()) for engine in engines.values()] == [20, 20, 10]
    seen = reality.record(record, datetime.now(UTC))
    targets = [reality.in_memory(name, engine) for name, engine in engines.items()]
    invariants.check(seen, targets, reality.Transcript())


def test_a_record_that_was_filled_stands_as_one_that_has_been_there_for_hours(
    record: store.Store, tmp_path: Path
) -> None:
    history.write(record, history.mould(CATALOG, over=False), lives(30, NOW - timedelta(days=1)))
    core.settle(record)
    with record.begin(store.SYSTEM) as tx:
        if tx.connection.dialect.name == "postgresql":
            known = "SELECT reltuples FROM pg_class WHERE relname = 'access_grant'"
            assert tx.connection.execute(sa.text(known)).scalar() == 30
            return
        file = Path(str(tx.connection.engine.url.database))
    alone = shutil.copy(file, tmp_path / "without-its-log.sqlite3")
    with closing(sqlite3.connect(alone)) as copied:
        assert copied.execute("SELECT count(*) FROM access_grant").fetchone() == (30,)


def test_the_proof_after_a_case_sees_what_a_case_did_wrong(record: store.Store) -> None:
    history.write(record, history.mould(CATALOG, over=True), lives(3, NOW - timedelta(days=1)))
    with record.begin(store.SYSTEM) as tx:
        tx.connection.execute(sa.text("UPDATE access_grant SET role_oid = 1"))
    with pytest.raises(AssertionError, match="belongs to 3 grants"):
        check(record)


class _Place:
    database = "app"

    def scope(self) -> object:
        return place.Place.scope(self, 10)  # type: ignore[arg-type]


def test_a_case_is_done_when_it_was_kept_whole_of_this_size_and_code(tmp_path: Path) -> None:
    about = {"size": "usual", "code": kept.code()}
    whole, broken = kept.nothing(), kept.nothing() | {"broken": "OSError: gone"}
    kept.write("a", whole, about, tmp_path)
    kept.write("b", broken, about, tmp_path)
    kept.write("c", whole, about | {"code": "another"}, tmp_path)
    done = [kept.is_done(name, "usual", tmp_path) for name in ("a", "b", "c", "d")]
    assert done == [True, False, False, False]
    assert not kept.is_done("a", "full", tmp_path)
