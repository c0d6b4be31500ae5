"""docs/benchmarks.md says what was measured: it is made from the committed results."""

import json
import re
from typing import Any

import pytest

from bench import cases, felt, kept, limits, measure, page


def test_the_page_is_what_the_committed_results_say() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.text() + "\n"


@pytest.mark.parametrize("name", cases.CASES)
def test_every_case_has_a_committed_result(name: str) -> None:
    found = kept.read(name)
    assert found is not None
    assert found["broken"] is None
    assert found["about"]["cores"]
    assert found["lines"]


def test_a_goal_that_was_missed_is_told_as_missed() -> None:
    missed = [
        row
        for path in kept.RESULTS.glob("*.json")
        for row in json.loads(path.read_text(encoding="utf-8"))["verdicts"]
        if row["met"] is False
    ]
    assert len(re.findall(r"\*\*not met\*\*", page.text())) == len(missed)


def test_rounds_are_interleaved_and_the_first_tenth_is_left_out() -> None:
    order: list[str] = []

    def turn(name: str) -> measure.Turn:
        def run() -> dict[str, float]:
            order.append(name)
            return {"step": float(len(order))}

        return run

    found = measure.interleave(10, {"a": turn("a"), "b": turn("b")})
    assert order[:4] == ["a", "b", "b", "a"]
    assert len(order) == 22
    assert [len(seconds) for seconds in found["step"].values()] == [10, 10]
    assert min(min(seconds) for seconds in found["step"].values()) == 3.0


def test_the_slope_of_what_does_not_grow_is_zero_and_of_what_doubles_is_one() -> None:
    assert measure.slope({1: 5.0, 10: 5.0, 100: 5.0}) == 0
    assert measure.slope({1: 2.0, 10: 20.0, 100: 200.0}) == pytest.approx(1)


def test_every_goal_is_told_whether_it_was_measured_or_not() -> None:
    for number in range(1, 21):
        assert f"\n| G{number} " in page.text()


def test_the_page_begins_with_what_a_user_feels() -> None:
    text = page.text()
    assert text.index("## What a user feels") < text.index("## Goals") < text.index("## Method")
    assert text.index("## Method") < text.index("## Cases")


def line(case: str, impl: str, n: int, **more: Any) -> dict[str, Any]:
    told = measure.Line(case=case, impl=impl, n=n, **more).told()
    return {"group": "any", **told}


def test_what_a_user_feels_is_taken_from_the_biggest_size_of_each_case() -> None:
    told = dict(
        felt.rows(
            [
                line("click-to-active", "ours", 1, p50_ms=48.2, p95_ms=71.0),
                line("lateness-of-one", "ours/sqlite", 1000, p50_ms=9.0, max_ms=12.0),
                line("lateness-of-one", "ours/sqlite", 100_000, p50_ms=17.0, max_ms=30.6),
                line("burst", "ours/sqlite", 1000, max_ms=812.0),
                line("burst", "ours/postgresql", 1000, max_ms=903.0),
                line("burst", "ours/sqlite", 10_000, max_ms=8000.0),
                line("burst", "raw", 1000, max_ms=2000.0),
                line("kill-switch: no access", "ours/sqlite", 1000, facts={"s": 0.7}),
                line(
                    "kill-switch: from the command to removed",
                    "ours/sqlite",
                    1000,
                    facts={"s": 6.0, "command to first order s": 1.1},
                ),
            ]
        )
    )
    assert list(told.values()) == [
        "half within 48 ms, 95 % within 71 ms",
        "half within 17 ms, all within 31 ms (SQLite)",
        "all within 812 ms (SQLite); all within 903 ms (PostgreSQL)",
        "1.8 s (SQLite)",
        "not measured",
        "not measured",
    ]
    assert "A deadline strikes, and the access is gone, while 100,000 others wait" in told
    assert "`jit revoke --all` is typed with 1,000 live, and the last access is gone" in told


def test_counts_that_never_were_stand_in_one_row_and_others_in_their_own() -> None:
    rows = [
        {"what": f"{n} at once: lost or doubled", "figure": "0", "bound": "≤ 0", "met": True}
        for n in (100, 1000, 10_000)
    ]
    late = {"what": "1,000 at once: no access", "figure": "2 s", "bound": "≤ 1 s", "met": False}
    lost = {**rows[0], "figure": "1", "met": False}
    folded = page.folded([*rows, late, lost])
    assert folded[:2] == [late, lost]
    assert [row["what"] for row in folded[2:]] == ["lost or doubled: in each of 3 runs"]


def test_slack_takes_one_message_a_second_in_a_channel_and_says_how_long_to_wait() -> None:
    now = [100.0]
    slack = limits.Limits(lambda: now[0])
    assert slack.wait(limits.POST, "C1") == 0
    now[0] += 0.25
    assert (slack.wait(limits.POST, "C1"), slack.wait(limits.POST, "C2")) == (0.75, 0)
    now[0] += 0.75
    assert slack.wait(limits.POST, "C1") == 0


def test_slack_takes_fifty_edits_a_minute_of_the_whole_workspace() -> None:
    now = [120.0]
    slack = limits.Limits(lambda: now[0])
    assert [slack.wait(limits.UPDATE, f"C{n}") for n in range(50)] == [0] * 50
    now[0] += 12
    assert (slack.wait(limits.UPDATE), slack.wait("users.info"), slack.refused) == (48, 0, 1)
    now[0] += 48
    assert slack.wait(limits.UPDATE) == 0
