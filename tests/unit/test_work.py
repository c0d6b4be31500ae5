"""Worker lanes: nothing slow stands in the way of anything urgent."""

import threading
import time
from collections.abc import Iterator

import pytest

from bot import errors, work
from tests.fixtures_core import wait_for


@pytest.fixture
def lanes() -> Iterator[work.Lanes]:
    made = work.Lanes(interactive=2)
    yield made
    assert made.stop(5)


def test_a_hanging_target_delays_no_other(lanes: work.Lanes) -> None:
    gate, done = threading.Event(), threading.Event()
    for n in range(5):
        lanes.target("dead").submit(f"g{n}", gate.wait, work.Urgency.CLOSE)
    lanes.target("alive").submit("x", done.set)
    assert done.wait(5)
    gate.set()


def test_an_end_is_not_kept_waiting_by_slow_work_in_its_own_lane(lanes: work.Lanes) -> None:
    gate, done = threading.Event(), threading.Event()
    lane = lanes.target("shop")
    lane.submit("slow", gate.wait, work.Urgency.GRANT)
    wait_for(lambda: lane.working_on("slow"))
    lane.submit("cleaning", lambda: None, work.Urgency.CLEAN)
    lane.submit("due", done.set, work.Urgency.CLOSE)
    assert done.wait(5)
    gate.set()


def test_nobody_waits_for_what_is_tidied_up_unless_there_is_much_of_it(lanes: work.Lanes) -> None:
    gate, done = threading.Event(), threading.Event()
    lane = lanes.target("shop")
    lane.submit("cleaning", gate.wait, work.Urgency.CLEAN)
    wait_for(lambda: lane.working_on("cleaning"))
    lane.submit("grant", done.set, work.Urgency.GRANT)
    assert done.wait(5)
    lane.submit("cleaning too", gate.wait, work.Urgency.CLEAN)
    wait_for(lambda: lane.working_on("cleaning too"))
    gate.set()
    assert lane.wait_idle(5)


def test_who_tidies_up_is_the_first_to_be_asked_for_that(lanes: work.Lanes) -> None:
    who = list[str]()
    lane = lanes.target("shop")
    for n in range(20):
        tidy = lambda: who.append(threading.current_thread().name)  # noqa: E731
        lane.submit(f"cleaning {n}", tidy, work.Urgency.CLEAN)
        assert lane.wait_idle(5)
    assert set(who) == {"target-shop-2"}


def test_urgent_work_goes_first_then_order_of_arrival() -> None:
    lane, gate, order = work.Lane("one", workers=1), threading.Event(), list[str]()
    lane.submit("first", gate.wait)
    wait_for(lambda: lane.working_on("first"))
    urgencies = {"a": work.Urgency.CLEAN, "b": work.Urgency.GRANT, "c": work.Urgency.CLOSE}
    for name, urgency in urgencies.items():
        lane.submit(name, lambda name=name: order.append(name), urgency)
    gate.set()
    assert lane.wait_idle(5)
    lane.close()
    assert order == ["c", "b", "a"]


def test_one_subject_is_never_worked_on_twice_at_a_time() -> None:
    lane, gate, log = work.Lane("two", workers=2), threading.Event(), list[str]()

    def slow() -> None:
        log.append("begin")
        gate.wait(5)
        log.append("end")

    lane.submit("g", slow, work.Urgency.GRANT)
    wait_for(lambda: log)
    lane.submit("g", lambda: log.append("close"), work.Urgency.CLOSE)
    other = threading.Event()
    lane.submit("h", other.set, work.Urgency.CLOSE)
    assert other.wait(5)
    gate.set()
    assert lane.wait_idle(5)
    lane.close()
    assert log == ["begin", "end", "close"]


def test_the_same_work_is_queued_once() -> None:
    lane, gate = work.Lane("once", workers=1), threading.Event()
    assert lane.submit("g", gate.wait)
    wait_for(lambda: lane.working_on("g"))
    assert not lane.submit("g", gate.wait)
    assert lane.submit("h", gate.wait)
    assert not lane.submit("h", gate.wait)
    gate.set()
    assert lane.wait_idle(5)
    lane.close()


def test_a_full_pool_says_busy_and_loses_nothing() -> None:
    pool, gate, done = work.Pool("small", workers=1, limit=3), threading.Event(), list[int]()
    pool.submit(gate.wait)
    wait_for(lambda: not pool.lane.idle() and pool.lane.working_on("1"))
    for n in range(3):
        pool.submit(lambda n=n: done.append(n))
    with pytest.raises(errors.Busy):
        pool.submit(lambda: None)
    gate.set()
    assert pool.lane.wait_idle(5)
    pool.lane.close()
    assert done == [0, 1, 2]


def test_a_job_that_raises_does_not_end_its_worker(lanes: work.Lanes) -> None:
    done = threading.Event()

    def broken() -> None:
        raise RuntimeError

    lanes.target("shop").submit("a", broken)
    lanes.target("shop").submit("b", done.set)
    assert done.wait(5)
    assert lanes.alive()


def test_stop_abandons_what_hangs_and_says_so() -> None:
    lanes, gate = work.Lanes(), threading.Event()
    lanes.target("dead").submit("g", gate.wait)
    wait_for(lambda: lanes.target("dead").working_on("g"))
    begin = time.monotonic()
    assert lanes.stop(0.2) is False
    assert time.monotonic() - begin < 2
    with pytest.raises(errors.Busy):
        lanes.target("dead")
    gate.set()
    assert lanes.stop(5)
