"""docs/benchmarks.md says what was measured: it is made from the committed results."""

import json
import re

import pytest

from bench import cases, measure, page


def test_the_page_is_what_the_committed_results_say() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.text() + "\n"


@pytest.mark.parametrize("name", cases.CASES)
def test_every_case_has_a_committed_result(name: str) -> None:
    kept = json.loads((page.RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    assert kept["broken"] is None
    assert kept["about"]["cores"]
    assert kept["lines"]


def test_a_goal_that_was_missed_is_told_as_missed() -> None:
    missed = [
        row
        for path in page.RESULTS.glob("*.json")
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
