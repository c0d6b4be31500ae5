"""What is due, what comes next, and that finding it never means walking the history."""

import contextlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from bot import clock as clocks
from bot import errors, model
from bot import store as stores
from bot.store import outbox
from bot.telling import notices
from tests.fixtures_store import (
    ANA,
    NOON,
    a_request,
    approve,
    end,
    granted,
    submit,
    used,
)

MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
ACTIVATING, ACTIVE, REVOKING = (
    model.GrantStatus.ACTIVATING,
    model.GrantStatus.ACTIVE,
    model.GrantStatus.REVOKING,
)


def ids(values: tuple[model.Grant, ...] | tuple[model.AccessRequest, ...]) -> list[str]:
    return [value.id for value in values]


def revoke(store: stores.Store, grant_id: str, **changes: object) -> None:
    with store.begin(stores.SYSTEM) as tx:
        tx.move_grant(grant_id, ACTIVE, REVOKING, cause=model.EndCause.RETURNED, **changes)


def test_a_grant_is_due_from_its_deadline_on_and_until_its_end_begins(
    state: stores.Store,
) -> None:
    late = granted(state, duration=20 * MINUTE)
    later = granted(state, duration=30 * MINUTE)
    assert state.due(NOON + 20 * MINUTE - timedelta(microseconds=1)) == ()
    assert ids(state.due(NOON + 20 * MINUTE)) == [late.id]
    assert ids(state.due(NOON + 40 * MINUTE)) == [late.id, later.id]
    assert ids(state.due(NOON + 40 * MINUTE, limit=1)) == [late.id]
    revoke(state, late.id)
    assert ids(state.due(NOON + 40 * MINUTE)) == [later.id]


def test_a_row_that_nobody_can_read_keeps_no_other_from_being_found(state: stores.Store) -> None:
    spoilt, sound = submit(state), submit(state)
    for each in (spoilt, sound):
        approve(state, each)
    with state._database.write() as connection:
        changed = sa.text("UPDATE access_grant SET residue = '5' WHERE id = :id")
        connection.execute(changed, {"id": spoilt.id})
    assert ids(state.activating(NOON)) == [sound.id]


def test_steps_are_found_when_their_next_attempt_is_due(state: stores.Store) -> None:
    coming = submit(state)
    approve(state, coming)
    going, waiting = granted(state), granted(state)
    revoke(state, going.id)
    revoke(state, waiting.id, next_attempt_at=NOON + MINUTE)
    assert ids(state.activating(NOON)) == [coming.id]
    assert ids(state.revoking(NOON)) == [going.id]
    assert ids(state.revoking(NOON + MINUTE)) == [going.id, waiting.id]


def test_a_request_lapses_when_nobody_decided_in_time(state: stores.Store) -> None:
    request = submit(state)
    decided = submit(state)
    approve(state, decided)
    assert state.lapsed(NOON + 59 * MINUTE) == ()
    assert ids(state.lapsed(NOON + 60 * MINUTE)) == [request.id]


def test_the_next_deadline_is_the_earliest_that_matters(state: stores.Store) -> None:
    assert state.next_deadline() is None
    submit(state, decide_by=NOON + 50 * MINUTE)
    assert state.next_deadline() == NOON + 50 * MINUTE
    first = granted(state, duration=20 * MINUTE)
    granted(state, duration=30 * MINUTE)
    assert state.next_deadline() == NOON + 20 * MINUTE
    revoke(state, first.id, next_attempt_at=NOON + MINUTE)
    assert state.next_deadline() == NOON + MINUTE
    with state.begin(stores.SYSTEM) as tx:
        tx.note_grant(first.id, REVOKING, event=None, next_attempt_at=None)
    assert state.next_deadline() == NOON + 30 * MINUTE


def test_what_is_over_has_no_deadline(state: stores.Store) -> None:
    end(state, granted(state).id)
    assert state.next_deadline() is None


def test_requests_are_listed_newest_first_and_pending_oldest_first(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    made = [submit(state, created_at=clock.advance(MINUTE)).id for _ in range(3)]
    bo = submit(state, requester_id="U0BO", created_at=clock.advance(MINUTE)).id
    approve(state, state.request(made[1]))
    assert ids(state.requests()) == [bo, *reversed(made)]
    assert ids(state.requests(limit=2)) == [bo, made[2]]
    assert ids(state.requests(requester_id="U0ANA")) == list(reversed(made))
    assert ids(state.requests(status=model.RequestStatus.APPROVED)) == [made[1]]
    assert ids(state.pending()) == [made[0], made[2], bo]


def test_grants_are_listed_by_what_is_asked(state: stores.Store, clock: clocks.ManualClock) -> None:
    one = granted(state).id
    clock.advance(MINUTE)
    other = granted(state, target="billing", requester_id="U0DAN").id
    clock.advance(MINUTE)
    over = granted(state).id
    end(state, over)
    assert ids(state.grants()) == [over, other, one]
    assert ids(state.grants(status=model.LIVE_GRANT)) == [other, one]
    assert ids(state.grants(target="billing")) == [other]
    assert ids(state.grants(requester_id="U0ANA", status=[ACTIVE])) == [one]


def test_what_is_open_is_told_whole_and_newest_first(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    live = granted(state).id
    clock.advance(MINUTE)
    over, waiting = granted(state).id, submit(state, created_at=clock.now()).id
    end(state, over)
    open_ = state.open_stories()
    assert [story.request.id for story in open_] == [waiting, live]
    assert open_ == (state.story(waiting), state.story(live))
    assert state.stories([over, "nope"]) == (state.story(over),)
    assert open_[1].reviews


def test_a_transaction_reads_what_it_has_written(state: stores.Store) -> None:
    request = a_request()
    with state.begin(ANA) as tx:
        tx.add_request(request)
        assert tx.story(request.id).request == request
        tx.settle_request(request.id, model.RequestStatus.CANCELLED)
        assert tx.request(request.id).status is model.RequestStatus.CANCELLED
        assert tx.pending() == ()


def between(store: stores.Store, since: datetime, until: datetime, **more: Any) -> stores.Period:
    usual = {"now": until, "late_after": MINUTE, "most": 5}
    return store.between(since, until, **usual | more)


def test_a_period_is_summed_up_with_all_that_touches_it(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    before = granted(state)
    clock.advance(20 * MINUTE)
    end(state, before.id)
    clock.advance(timedelta(days=1))
    day = clock.now()
    today = granted(state, created_at=day)
    end(state, today.id, cause=model.EndCause.REVOKED)
    found = between(state, day, day + timedelta(days=1))
    assert found.decided == {model.RequestStatus.APPROVED: 1}
    assert found.made == {("read_customer_data", True): 1}
    assert (found.ended, found.unused.count, found.late, found.failed) == (1, 0, 0, 0)
    assert [each.id for each in found.slowest] == [today.id]
    (outline,) = found.waits
    assert (outline.id, outline.grant_status) == (today.id, model.GrantStatus.REVOKED)
    assert (outline.activated_at, outline.access_ended_at) == (day, day)
    assert between(state, NOON, day + timedelta(days=1)).ended == 2
    later = between(state, day + timedelta(days=1), day + timedelta(days=2))
    assert (later.decided, later.made, later.ended, later.under_way) == ({}, {}, 0, ())


def test_what_is_live_or_waiting_is_in_every_period(state: stores.Store) -> None:
    active, waiting, coming = granted(state), submit(state), submit(state)
    approve(state, coming)
    tomorrow = NOON + timedelta(days=1)
    found = between(state, tomorrow, tomorrow + MINUTE, now=NOON)
    assert (found.active.count, ids(found.active.first)) == (1, [active.id])
    assert set(ids(found.under_way)) == {waiting.id, coming.id}
    due = between(state, tomorrow, tomorrow + MINUTE)
    assert set(ids(due.under_way)) == {waiting.id, coming.id, active.id}


def test_of_many_only_so_many_are_named_the_foremost_first(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    some = [granted(state) for _ in range(3)]
    clock.advance(30 * MINUTE)
    for request in some:
        clock.advance(timedelta(microseconds=1_234_567))
        end(state, request.id)
    found = between(state, NOON, clock.now() + MINUTE, late_after=2 * SECOND, most=2)
    assert ids(found.slowest) == [some[2].id, some[1].id]
    assert (found.late, found.ended) == (2, 3)


LAWFUL_WALKS = (
    "SCAN outbox USING INDEX outbox_waiting",  # holds only what waits
    "SCAN outbox USING COVERING INDEX outbox_waiting",
    "SCAN outbox USING INDEX outbox_next",
    "SCAN outbox USING COVERING INDEX outbox_next",
    "SCAN audit_event USING INDEX sqlite_autoindex_audit_event_1",  # backwards, one step
    "SCAN access_request USING INDEX access_request_by_creation",  # the newest, up to the limit
    "SCAN CONSTANT ROW",  # of no table
)


def asked_by(store: stores.Store, look: Callable[[], object]) -> list[str]:
    """The SELECTs that reach SQLite while `look` runs, with their values written out."""
    asked: list[str] = []

    (lines, _) = store._database._kept
    with used(lines, lambda driver: driver.set_trace_callback(asked.append)):
        look()
    with used(lines, lambda driver: driver.set_trace_callback(None)):
        store.get("nothing")
    return [statement for statement in asked if statement.startswith("SELECT")]


def plans_of(store: stores.Store, asked: list[str]) -> list[str]:
    """How SQLite would find what they ask for."""
    with store._database.read() as connection:
        return [
            f"{row[3]} <- {statement}"
            for statement in asked
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")
        ]


@pytest.mark.parametrize("state_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "look",
    [
        lambda store: store.story("x"),
        lambda store: store.pair("x"),
        lambda store: store.grant("x"),
        lambda store: store.stories(["x"]),
        lambda store: store.open_stories(),
        lambda store: store.requests(requester_id="U0ANA"),
        lambda store: store.requests(),
        lambda store: store.pending(),
        lambda store: store.grants(status=model.LIVE_GRANT),
        lambda store: store.grants(requester_id="U0ANA"),
        lambda store: store.due(NOON),
        lambda store: store.activating(NOON),
        lambda store: store.revoking(NOON),
        lambda store: store.lapsed(NOON),
        lambda store: store.next_deadline(),
        lambda store: store.is_any_due(NOON),
        lambda store: store.ends_waiting(NOON),
        lambda store: store.ends_under_way(NOON),
        lambda store: store.find_message("C", "1"),
        lambda store: store.find_request_by_dedupe("x"),
        lambda store: store.events_of("x"),
        lambda store: store.events(5),
        lambda store: store.chain_head(),
        lambda store: store.outbox_due(NOON),
        lambda store: store.outbox_depth(),
        lambda store: store.history("U0ANA", "x", NOON),
        lambda store: between(store, NOON, NOON),
    ],
)
def test_what_is_asked_often_never_walks_a_whole_table(
    state: stores.Store, look: Callable[[stores.Store], object]
) -> None:
    """SQLite tells its plan; a SCAN without an index would grow with the history."""

    def looking() -> None:
        with contextlib.suppress(errors.NotFound):
            look(state)

    plans = plans_of(state, asked_by(state, looking))
    assert plans
    walks = [plan for plan in plans if plan.startswith("SCAN")]
    assert [plan for plan in walks if not plan.startswith(LAWFUL_WALKS)] == []


@pytest.mark.parametrize("state_url", ["sqlite"], indirect=True)
def test_a_redraw_that_waits_is_looked_up_by_its_lane(state: stores.Store) -> None:
    """Each change looks, also when ten thousand lines wait to be said."""

    def looking() -> None:
        with state.begin(ANA) as tx:
            notices.redraw(tx, "x", notices.Kind.LIVE)
            notices.home(tx, "U0ANA")
            outbox.news(tx.connection, tx._said)
            tx._said.clear()

    plans = plans_of(state, asked_by(state, looking))
    assert [plan for plan in plans if plan.startswith("SEARCH outbox USING INDEX outbox_waiting (")]
    assert not [plan for plan in plans if plan.startswith("SCAN outbox")]
