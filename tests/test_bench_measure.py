"""What the benchmark says of a figure: met, not met, undecided, and why."""

import threading

import pytest

from bench import measure


def standing(verdict: measure.Verdict) -> str:
    return measure.standing(verdict.told())


def test_a_figure_on_its_side_of_the_bound_is_met_or_not_met() -> None:
    assert standing(measure.at_most("G1", "a time", 1.2, 1.5)) == "met"
    assert standing(measure.at_most("G1", "a time", 1.8, 1.5)) == "not met"
    assert standing(measure.at_least("G3", "a rate", 2.8, 2.5)) == "met"
    assert standing(measure.at_least("G3", "a rate", 2.1, 2.5)) == "not met"


@pytest.mark.parametrize("value", [1.44, 1.5, 1.56])
def test_a_time_close_to_its_bound_is_undecided(value: float) -> None:
    found = measure.at_most("G1", "a time", value, 1.5)
    assert standing(found) == "undecided"
    assert found.note == "too close to its bound for one run"


def test_what_is_counted_is_never_too_close() -> None:
    assert standing(measure.at_most("G9", "lost", 0, 0)) == "met"
    assert standing(measure.at_most("G9", "lost", 1, 0)) == "not met"
    assert standing(measure.at_least("G5", "at once", 5000, 5000, exact=True)) == "met"


def test_a_ratio_is_decided_by_where_its_interval_lies() -> None:
    steady = measure.ratio([1.2, 1.21, 1.19] * 20, [1.0] * 60)
    shaky = measure.ratio([0.7, 0.9, 1.1, 1.4, 1.7, 2.0, 2.3], [1.0] * 7)
    assert 1.19 <= steady.low <= steady.value <= steady.high <= 1.21
    assert standing(measure.at_most("G1", "a time", steady, 1.3)) == "met"
    assert shaky.low < 1.3 < shaky.high
    assert standing(measure.at_most("G1", "a time", shaky, 1.3)) == "undecided"
    shown = measure.at_most("G1", "a time", steady, 1.3).figure
    assert shown == f"1.20 ({steady.low:.2f} to {steady.high:.2f})"


def test_a_ratio_to_what_got_nothing_done_is_without_end() -> None:
    assert measure.ratio([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]).value == float("inf")


def test_met_at_a_smaller_size_than_the_goal_names_is_undecided_and_says_the_size() -> None:
    small = measure.at_most("G5", "growth", 1.0, 1.5, size=(1_000, 50_000))
    assert standing(small) == "undecided"
    assert small.note == "run with 1,000, the goal is for 50,000"
    whole = measure.at_most("G5", "growth", 1.0, 1.5, size=(50_000, 50_000))
    assert (standing(whole), whole.note) == ("met", "")


def test_not_met_at_a_smaller_size_is_not_met_and_says_the_size() -> None:
    small = measure.at_most("G5", "growth", 2.0, 1.5, size=(1_000, 50_000))
    assert standing(small) == "not met"
    assert small.note == "run with 1,000, the goal is for 50,000"


def test_a_goal_above_what_raw_sql_reaches_says_so() -> None:
    found = measure.at_least("G3", "a rate", 1.6, 2.5, limit=1.9)
    assert standing(found) == "not met"
    assert found.note == "the goal lies above what raw SQL itself reaches here, 1.90"
    assert measure.at_least("G3", "a rate", 1.6, 2.5, limit=3.0).note == ""
    grown = measure.at_most("G5", "growth", 1.8, 1.5, limit=1.7)
    assert grown.note == "the goal lies below what raw SQL itself reaches here, 1.70"
    assert measure.at_most("G5", "growth", 1.8, 1.5, limit=1.2).note == ""


def test_what_is_told_without_a_bound_is_for_information() -> None:
    assert standing(measure.told("G3", "raw SQL", 1.9)) == "for information"
    absent = measure.Verdict(goal="G3", what="no peer", figure="", bound="", met=None)
    assert standing(absent) == "not measured"


def test_clients_are_connected_before_the_time_begins_and_failures_are_told() -> None:
    seen: dict[int, int] = {}
    lock = threading.Lock()

    def work(client: int) -> None:
        with lock:
            seen[client] = seen.get(client, 0) + 1
            times = seen[client]
        if times == 1 and client == 0:
            raise OSError("refused")

    rate, errors = measure.together(3, 0.05, work)
    assert set(seen) == {0, 1, 2}
    assert rate > 0
    assert errors == ["OSError: refused"]
