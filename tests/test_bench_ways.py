"""The ways that are compared, and what is judged by them."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bench import measure, openbao, place, ways
from bench.cases import grants, switch


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[place.Place]:
    with place.serving(Path(tmp_path_factory.mktemp("bench")) / "server") as server:
        yield place.Place(server, "bench", tables=10)


def test_the_least_record_is_two_commits_for_a_grant_and_three_for_an_end(
    at: place.Place, tmp_path: Path
) -> None:
    ran: list[str] = []
    with contextlib.closing(ways.RawRecorded(at, tmp_path / "least.sqlite3")) as way:
        way.kept.set_trace_callback(ran.append)
        held = way.grant(10)
        granted = ran.count("COMMIT")
        way.end(held)
        way.kept.set_trace_callback(None)
        (synchronous,) = way.kept.execute("PRAGMA synchronous").fetchone()
        told = [row[0] for row in way.kept.execute("SELECT type FROM event ORDER BY seq")]
        left = way.kept.execute("SELECT status FROM given").fetchall()
    assert (granted, ran.count("COMMIT") - granted) == (2, 3)
    assert synchronous == 2  # FULL: every commit waits for the disk
    assert told == [
        f"grant.{each}" for each in ("activating", "active", "revoking", "closed", "revoked")
    ]
    assert left == [("revoked",)]
    role = held.as_string(None).strip('"')
    assert at.ask("SELECT 1 FROM pg_roles WHERE rolname = %s", role) == []


def seconds(**by: float) -> dict[str, list[float]]:
    return {name.replace("_", "-"): [each] * 9 for name, each in by.items()}


def judged(found: Mapping[str, Mapping[str, list[float]]]) -> dict[str, measure.Verdict]:
    return {each.what: each for each in grants._judged(found)}


def test_the_end_of_access_is_measured_by_all_of_raw_sqls_end() -> None:
    rows = judged(
        {
            "grant": seconds(raw=5, raw_superuser=4, ours=5, ours_service=7, raw_recorded=5),
            "end": seconds(raw=3, raw_superuser=1, ours=2, ours_service=6, raw_recorded=2),
            "access-ended": seconds(ours_service=2, raw_recorded=1.5),
        }
    )
    found = rows["access-ended, ours-service: time over raw SQL for all of it as a superuser"]
    assert (found.goal, found.figure, found.bound, found.met) == ("G2", "2 (2 to 2)", "≤ 3", True)
    least = rows["end, raw SQL with the least record: time over raw SQL as a superuser"]
    assert (least.figure, least.bound, least.met) == ("2", "", None)
    assert not any(each.note for each in rows.values())


def test_a_goal_beyond_the_least_record_says_so_of_the_service_alone() -> None:
    rows = judged(
        {
            "grant": seconds(raw=5, raw_superuser=4, ours=5, ours_service=7, raw_recorded=7),
            "end": seconds(raw=3, raw_superuser=1, ours=4, ours_service=6, raw_recorded=5),
            "access-ended": seconds(ours_service=2, raw_recorded=1.5),
        }
    )
    note = "the goal lies below what raw SQL with the least record reaches here, 5"
    assert rows["end, ours-service: time over raw SQL as a superuser"].note == note
    assert rows["end, ours: time over raw SQL as a superuser"].note == ""


def test_the_kill_switch_is_judged_on_each_record_by_itself() -> None:
    sizes = type("Sizes", (), {"switch": 1000})
    stage: Any = type("Stage", (), {"sizes": sizes})()
    orders = {
        kind: [_order(shut=shut, gone=1.0)] * 5
        for kind, shut in (("sqlite", 0.1), ("postgresql", 0.4))
    }
    rates = {"raw-batches": 20_000.0}
    peers = {}
    for kept, seconds in ((openbao.DURABLE, 0.001), (openbao.MEMORY, 0.0005)):
        bao = openbao.Bao(1, kept)
        peers[bao, openbao.MEMBERSHIP] = [seconds] * 5
        rates[openbao.named(bao, openbao.MEMBERSHIP)] = 1 / seconds
    told = {each.what: each for each in switch._compared(stage, rates, peers, orders)}
    memory = "OpenBao in memory, which keeps nothing, by membership"
    durable = "OpenBao, durable, by membership"
    figures = {what: each.figure.split()[0] for what, each in told.items()}
    assert figures[f"extreme: no access/s, sqlite, over {memory}"] == "5"
    assert figures[f"extreme: no access/s, postgresql, over {memory}"] == "1.25"
    assert figures[f"like with like: no access/s, sqlite, over {durable}"] == "10"
    assert figures[f"like with like: removed and proven/s, sqlite, over {durable}"] == "1"
    assert len(told) == 10


def _order(*, shut: float, gone: float) -> switch._Order:
    return switch._Order(typed=0.3, spread=0.0, shut=shut, gone=gone, lost=0, doubled=0)
