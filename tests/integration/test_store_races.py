"""When several act at once, one wins, the others are told, and the chain stays whole."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from bot import errors, model
from bot import store as stores
from tests.fixtures_store import (
    ANA,
    BO,
    NOON,
    a_grant,
    a_request,
    a_review,
    granted,
    submit,
)

PENDING, APPROVED, DENIED, CANCELLED = (
    model.RequestStatus.PENDING,
    model.RequestStatus.APPROVED,
    model.RequestStatus.DENIED,
    model.RequestStatus.CANCELLED,
)


def race(*acts: Callable[[], object]) -> list[object]:
    """Do all at the same moment; what each returned, or the error it met."""
    gate = threading.Barrier(len(acts))

    def run(act: Callable[[], object]) -> object:
        gate.wait(timeout=10)
        try:
            return act()
        except errors.JitError as error:
            return error

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts, timeout=30))


def won(results: list[object]) -> int:
    lost = [result for result in results if isinstance(result, Exception)]
    assert all(type(result) is errors.Conflict for result in lost), lost
    return len(results) - len(lost)


def settle(store: stores.Store, request: model.AccessRequest, to: model.RequestStatus) -> None:
    with store.begin(BO) as tx:
        tx.settle_request(request.id, to, decided_by="U0BO")
        if to is APPROVED:
            tx.add_grant(a_grant(request, NOON))
        tx.say("card", request.id, f"request:{request.id}")


def test_of_eight_racing_approvals_one_wins(state: stores.Store) -> None:
    request = submit(state)
    results = race(*[lambda: settle(state, request, APPROVED)] * 8)
    assert won(results) == 1
    assert [event.type for event in state.events_of(request.id)] == [
        "request.submitted",
        "request.approved",
        "grant.activating",
    ]
    assert state.outbox_depth() == 1
    assert state.verify_chain().ok


@pytest.mark.parametrize("rival", [DENIED, CANCELLED, model.RequestStatus.EXPIRED])
def test_an_approval_and_its_rival_have_one_outcome(
    state: stores.Store, rival: model.RequestStatus
) -> None:
    for _ in range(5):
        request = submit(state)
        results = race(*[partial(settle, state, request, to) for to in (APPROVED, rival)])
        assert won(results) == 1
        story = state.story(request.id)
        assert (story.grant is not None) is (story.request.status is APPROVED)
    assert state.verify_chain().ok


def test_two_distinct_approvals_that_are_both_needed_are_both_counted(
    state: stores.Store,
) -> None:
    """Each must see the other's, or neither settles and the request hangs."""
    for _ in range(5):
        request = submit(state, needs=2)

        def say_yes(person: str, request: model.AccessRequest = request) -> bool:
            with state.begin(BO) as tx:
                tx.add_review(a_review(request.id, reviewer_id=person))
                if len(tx.story(request.id).reviews) < request.needs:
                    return False
                tx.settle_request(request.id, APPROVED, decided_by=person)
                return True

        results = race(*[partial(say_yes, person) for person in ("U0BO", "U0CLEO")])
        assert sorted(map(str, results)) == ["False", "True"]


def test_a_double_click_is_one_review(state: stores.Store) -> None:
    request = submit(state)

    def click() -> None:
        with state.begin(BO) as tx:
            tx.add_review(a_review(request.id))

    assert won(race(*[click] * 4)) == 1
    assert len(state.story(request.id).reviews) == 1


def test_a_repeated_delivery_makes_one_request(state: stores.Store) -> None:
    def deliver() -> None:
        submit(state, dedupe_key="trigger-1")

    assert won(race(*[deliver] * 6)) == 1
    assert len(state.requests()) == 1


def test_the_deadline_and_a_revoke_begin_one_end(state: stores.Store) -> None:
    active, revoking = model.GrantStatus.ACTIVE, model.GrantStatus.REVOKING
    request = granted(state)

    def begin_end(cause: model.EndCause) -> None:
        with state.begin(stores.SYSTEM) as tx:
            tx.move_grant(request.id, active, revoking, cause=cause)

    causes = (model.EndCause.DEADLINE, model.EndCause.REVOKED, model.EndCause.RETURNED)
    assert won(race(*[partial(begin_end, cause) for cause in causes])) == 1


def test_many_writers_make_one_dense_chain(open_state: Callable[..., stores.Store]) -> None:
    """Two stores are two replicas: they share nothing but the database."""
    replicas = [open_state(), open_state()]

    def write(n: int) -> None:
        for i in range(10):
            with replicas[n % 2].begin(ANA) as tx:
                tx.record("written", None, {"n": n, "i": i})
                tx.record("written.again", None, {"n": n, "i": i})

    results = race(*[partial(write, n) for n in range(6)])
    assert results == [None] * 6
    found = replicas[0].verify_chain()
    assert (found.ok, found.count) == (True, 120)


def test_writers_that_touch_each_others_rows_do_not_lock_up(state: stores.Store) -> None:
    """The chain's lock is taken last, so it closes no circle of waiting."""
    one, other = granted(state), granted(state)

    def touch(first: str, second: str) -> None:
        for grant_id in (first, second):
            with state.begin(stores.SYSTEM) as tx:
                tx.note_grant(grant_id, model.GrantStatus.ACTIVE, event="grant.noted", attempts=1)

    acts = [lambda: touch(one.id, other.id), lambda: touch(other.id, one.id)] * 3
    assert race(*acts) == [None] * 6


def test_concurrent_pumps_keep_the_order_within_each_lane(
    open_state: Callable[..., stores.Store],
) -> None:
    pumps = [open_state() for _ in range(3)]
    request = submit(pumps[0])
    for n in range(24):
        with pumps[0].begin(ANA) as tx:
            tx.say("thread", request.id, f"lane:{n % 3}", {"n": n})
    said: dict[str, list[int]] = {}
    lock = threading.Lock()

    def pump(store: stores.Store) -> None:
        while store.outbox_depth():
            for row in store.outbox_claim(NOON, limit=2):
                with lock:
                    said.setdefault(row.lane, []).append(row.data["n"])
                store.outbox_done(row.id)

    assert race(*[partial(pump, store) for store in pumps]) == [None] * 3
    assert said == {f"lane:{lane}": list(range(lane, 24, 3)) for lane in range(3)}


CHILD = """
import json, sys
from bot import clock, errors, model, store
url, request_id, person = sys.argv[1:]
actor = store.Actor(kind="user", id=person)
with store.open_store(url, clock.SystemClock(), b"k") as opened:
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        with opened.begin(actor) as tx:
            tx.settle_request(request_id, model.RequestStatus.APPROVED, decided_by=person)
        print(json.dumps("won"))
    except errors.Conflict:
        print(json.dumps("lost"))
    for n in range(20):
        with opened.begin(actor) as tx:
            tx.record("written", None, {"n": n})
"""


@pytest.mark.fault(
    "F-45b", "two processes decide the same", how="two processes", expects="one winner, one chain"
)
def test_two_processes_on_one_database_have_one_winner_and_one_chain(
    state_url: str, open_state: Callable[..., stores.Store]
) -> None:
    store = open_state(audit_key=b"k")
    request = submit(store)
    command = [sys.executable, "-c", CHILD, state_url, request.id]
    children = [
        subprocess.Popen(
            [*command, person],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent.parent,
        )
        for person in ("U0BO", "U0CLEO")
    ]
    outcomes = []
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        for child in children:
            out, _ = child.communicate(timeout=30)
            outcomes.append(json.loads(out))
    finally:
        for child in children:
            child.kill()
            child.wait(timeout=10)
    assert sorted(outcomes) == ["lost", "won"]
    found = store.verify_chain()
    assert (found.ok, found.count) == (True, 42)


def test_two_processes_may_make_the_same_new_database_at_once(
    open_state: Callable[..., stores.Store],
) -> None:
    opened = race(*[open_state] * 8)
    assert all(isinstance(each, stores.Store) for each in opened), opened


def add_and_cancel(store: stores.Store, request_id: str) -> None:
    with store.begin(ANA) as tx:
        tx.add_request(a_request(id="late0000"))
        tx.settle_request(request_id, CANCELLED)


def test_a_lock_that_does_not_come_is_busy_and_nothing_is_done(
    open_state: Callable[..., stores.Store],
) -> None:
    holder, hasty = open_state(), open_state(patience=0.1)
    request = submit(holder)
    with holder.begin(BO) as tx:
        tx.settle_request(request.id, DENIED)
        with pytest.raises(errors.Busy):
            add_and_cancel(hasty, request.id)
        assert hasty.request(request.id).status is PENDING  # readers never wait
    assert hasty.request(request.id).status is DENIED
    with pytest.raises(errors.NotFound):
        hasty.request("late0000")
    submit(hasty)  # and it is not stuck


def test_a_reader_sees_one_moment_whatever_is_committed_meanwhile(state: stores.Store) -> None:
    request = submit(state)
    status = f"SELECT status FROM access_request WHERE id = '{request.id}'"
    grants = "SELECT count(*) FROM access_grant"
    with state._database.read() as connection:
        assert connection.exec_driver_sql(status).scalar_one() == "pending"
        settle(state, request, APPROVED)
        assert connection.exec_driver_sql(grants).scalar_one() == 0
    assert state.story(request.id).grant is not None
