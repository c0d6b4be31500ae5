"""What must still be said: in order within a lane, retried, given up openly, said once by key."""

import threading
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum

import pytest
import sqlalchemy as sa

from bot import clock as clocks
from bot import errors, model
from bot import store as stores
from bot.store import bulk, faults, outbox
from tests.fixtures_store import ANA, NOON, submit

SECOND = timedelta(seconds=1)


@pytest.fixture
def request_id(state: stores.Store) -> str:
    return submit(state).id


def say(store: stores.Store, request_id: str | None, *lanes: str, **options: object) -> None:
    with store.begin(ANA) as tx:
        for lane in lanes:
            tx.say("thread", request_id, lane, {"lane": lane}, **options)  # type: ignore[arg-type]


def test_only_the_head_of_each_lane_is_due(state: stores.Store, request_id: str) -> None:
    say(state, request_id, "a", "a", "b", "a", "b")
    due = state.outbox_due(NOON)
    assert [(row.id, row.lane) for row in due] == [(1, "a"), (3, "b")]
    assert (due[0].kind, due[0].request_id, due[0].data) == ("thread", request_id, {"lane": "a"})
    assert (due[0].attempts, due[0].created_at) == (0, NOON)
    assert [row.lane for row in state.outbox_due(NOON, limit=1)] == ["a"]
    assert state.outbox_depth() == 5


def test_the_next_of_a_lane_follows_when_one_was_said(state: stores.Store, request_id: str) -> None:
    say(state, request_id, "a", "a")
    card = model.MessageRef(request_id=request_id, kind="card", channel_id="C0", ts="1.0")
    state.outbox_done(1, message=card)
    assert [row.id for row in state.outbox_due(NOON)] == [2]
    assert state.messages(request_id) == (card,)
    with pytest.raises(errors.Conflict):
        state.outbox_done(1)


def test_a_line_put_off_holds_its_lane_and_no_other(state: stores.Store, request_id: str) -> None:
    say(state, request_id, "a", "a", "b")
    state.outbox_retry(1, NOON + 5 * SECOND, "rate limited")
    assert [row.id for row in state.outbox_due(NOON)] == [3]
    later = state.outbox_due(NOON + 5 * SECOND)
    assert [(row.id, row.attempts, row.last_error) for row in later] == [
        (1, 1, "rate limited"),
        (3, 0, None),
    ]


def test_a_line_is_not_said_before_its_time(state: stores.Store, request_id: str) -> None:
    say(state, request_id, "a", not_before=NOON + SECOND)
    assert state.outbox_due(NOON) == ()
    assert len(state.outbox_due(NOON + SECOND)) == 1


def test_giving_up_is_audited_and_frees_the_lane(state: stores.Store, request_id: str) -> None:
    say(state, request_id, "a", "a")
    state.outbox_drop(1, "channel_not_found")
    assert [row.id for row in state.outbox_due(NOON)] == [2]
    event = state.events_of(request_id)[-1]
    assert event.type == "outbox.dropped"
    assert "channel_not_found" in event.body


def test_a_keyed_line_is_said_once_ever(
    open_state: Callable[..., stores.Store], state: stores.Store
) -> None:
    say(state, None, "audit", key="digest:2026-11-20")
    say(state, None, "audit", key="digest:2026-11-20")
    assert state.outbox_depth() == 1
    state.outbox_done(1)
    after_restart = open_state()
    say(after_restart, None, "audit", key="digest:2026-11-20")
    say(after_restart, None, "audit", key="digest:2026-11-21")
    assert [row.key for row in after_restart.outbox_due(NOON)] == ["digest:2026-11-21"]


def test_a_claimed_line_is_nobody_elses_until_the_lease_is_over(
    state: stores.Store, request_id: str
) -> None:
    say(state, request_id, "a", "a")
    (first,) = state.outbox_claim(NOON, lease=10 * SECOND)
    assert first.id == 1
    assert state.outbox_claim(NOON + 60 * SECOND) == ()  # the lease goes by the database's clock
    state.outbox_renew({1: first.fence}, timedelta(seconds=-1))
    (second,) = state.outbox_claim(NOON)
    assert (second.id, second.fence) == (1, first.fence + 1)
    state.outbox_renew({1: first.fence}, timedelta(seconds=-1))  # no longer theirs to renew
    assert state.outbox_claim(NOON) == ()
    state.outbox_done(1, fence=second.fence)
    assert [row.id for row in state.outbox_claim(NOON)] == [2]


def test_whoever_lost_its_claim_settles_nothing(state: stores.Store, request_id: str) -> None:
    say(state, request_id, "a")
    (late,) = state.outbox_claim(NOON, lease=timedelta(seconds=-1))
    (now,) = state.outbox_claim(NOON)
    card = model.MessageRef(request_id=request_id, kind="card", channel_id="C0", ts="1.0")
    with pytest.raises(errors.Conflict):
        state.outbox_done(1, message=card, fence=late.fence)
    with pytest.raises(errors.Conflict):
        state.outbox_retry(1, NOON, "later", fence=late.fence)
    with pytest.raises(errors.Conflict):
        state.outbox_drop(1, "never", fence=late.fence)
    state.outbox_release(1, late.fence)
    assert state.messages(request_id) == ()
    assert state.outbox_claim(NOON) == ()
    state.outbox_release(1, now.fence)
    assert [row.id for row in state.outbox_claim(NOON)] == [1]


def test_pumps_that_claim_at_once_share_the_lines_and_keep_each_lane_in_order(
    open_state: Callable[..., stores.Store], state: stores.Store, request_id: str
) -> None:
    lanes, each = [f"lane-{n}" for n in range(6)], 5
    for _ in range(each):
        say(state, request_id, *lanes)
    said: list[tuple[str, int]] = []

    def pump(store: stores.Store) -> None:
        while store.outbox_depth():
            for row in store.outbox_claim(NOON, limit=2):
                said.append((row.lane, row.id))
                store.outbox_done(row.id, fence=row.fence)

    threads = [threading.Thread(target=pump, args=(open_state(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(said) == len(set(said)) == each * len(lanes)
    for lane in lanes:
        ids = [row_id for where, row_id in said if where == lane]
        assert ids == sorted(ids)


@pytest.mark.parametrize("state_url", ["postgresql"], indirect=True)
def test_the_next_is_found_without_sorting_all_that_waits_though_little_waited_before(
    state: stores.Store,
) -> None:
    crowd_after_silence(state)
    asked = list[str]()
    with state._database.write() as connection:
        sa.event.listen(
            connection, "before_execute", lambda *given: asked.append(_plan(connection, given[1]))
        )
        assert len(outbox.claim(connection, NOON, 4, SECOND)) == 4
    (look,) = (each for each in asked if "SubPlan" in each)
    assert "Sort" not in look
    assert look.count("Index") >= 2


@pytest.mark.parametrize("state_url", ["postgresql"], indirect=True)
def test_redraws_that_stand_are_found_without_comparing_all_that_waits_with_each_lane(
    state: stores.Store,
) -> None:
    """Also by statistics that say that next to nothing waits, as they were taken before the crowd."""
    given = {"lanes": bulk.as_words(f"lane {n}" for n in range(200)), "kinds": '["card"]'}
    crowd_after_silence(state)
    with state._database.write() as connection:
        form = outbox._STANDING._form(connection)
        told = connection.connection.cursor().execute(f"EXPLAIN {form.text}", form.given(given))
        plan = "\n".join(row[0] for row in told.fetchall())
    assert "Join" in plan
    assert "lane = ANY" not in plan


def crowd_after_silence(state: stores.Store) -> None:
    say(state, None, *(f"lane {n}" for n in range(500)))
    with state.begin(ANA) as tx:
        tx.connection.exec_driver_sql("UPDATE outbox SET settled_at = now()")
        tx.connection.exec_driver_sql("ANALYZE outbox")
    say(state, None, *(f"lane {n}" for n in range(500)))


def _plan(connection: sa.Connection, statement: sa.sql.ClauseElement) -> str:
    """What the server would do just now."""
    text = statement.compile(connection, compile_kwargs={"literal_binds": True})
    with faults.cursor_of(connection) as cursor:
        return "\n".join(row[0] for row in cursor.execute(f"EXPLAIN {text}").fetchall())


class Kind(StrEnum):
    CARD = "card"


def test_words_of_an_enum_are_kept_by_value(state: stores.Store, request_id: str) -> None:
    place = {"channel_id": "C0", "ts": "1.0"}
    with state.begin(ANA) as tx:
        tx.say(Kind.CARD, request_id, Kind.CARD, {"kind": Kind.CARD}, key=Kind.CARD)
        tx.remember_message(model.MessageRef(request_id=request_id, kind=Kind.CARD, **place))
        tx.record(Kind.CARD, request_id, {"kind": Kind.CARD})
    (row,) = state.outbox_due(NOON)
    assert (row.kind, row.lane, row.key, row.data) == ("card", "card", "card", {"kind": "card"})
    assert state.story(request_id).message("card")
    assert state.events()[-1].type == "card"
    assert state.verify_chain().ok


def test_lines_survive_a_restart(
    open_state: Callable[..., stores.Store], clock: clocks.ManualClock
) -> None:
    store = open_state()
    say(store, submit(store).id, "a")
    store.close()
    assert len(open_state().outbox_due(clock.now())) == 1
