"""Ends by the batch, on both databases: taken apart from one another, recorded each for itself."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from bot import clock as clocks
from bot import model
from bot import store as stores
from bot.store import bulk, ends, tables
from tests.fixtures_store import NOON, approve, end, granted, submit

ACTIVE, REVOKING = model.GrantStatus.ACTIVE, model.GrantStatus.REVOKING
LEASE, OVER = timedelta(seconds=30), timedelta(seconds=-1)
OPEN = stores.Waiting(target="shop", open=True)
SHUT = stores.Waiting(target="shop", open=False)
LATER = NOON + timedelta(hours=1)


def begun(state: stores.Store, clock: clocks.ManualClock, count: int = 3) -> list[str]:
    """So many grants whose deadlines passed, their ends recorded; in the order of their deadlines."""
    lengths = [timedelta(minutes=10 + number) for number in range(count)]
    ids = [granted(state, duration=length).id for length in lengths]
    clock.advance(timedelta(hours=1))
    with state.begin(stores.SYSTEM) as tx:
        tx.move_due(100, cause=model.EndCause.DEADLINE, revoking_since=tx.at)
    return ids


def taken(state: stores.Store, where: stores.Waiting = OPEN, most: int = 100) -> list[str]:
    return [grant.id for grant in state.claim_ends(where, LATER, "one", LEASE, most)]


def noted(grant: model.Grant, at: datetime = LATER) -> stores.Change:
    return stores.Change(
        grant=grant, event="grant.access_ended", changes={"access_ended_at": at, "attempts": 0}
    )


def test_what_is_due_begins_to_end_and_nothing_else(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    late, later = granted(state), granted(state, duration=timedelta(hours=2))
    assert not state.is_any_due(clock.now())
    clock.advance(timedelta(hours=1))
    assert state.is_any_due(clock.now())
    with state.begin(stores.SYSTEM) as tx:
        found = tx.move_due(100, cause=model.EndCause.DEADLINE, revoking_since=tx.at)
    assert found == {late.id: "shop"}
    assert [state.grant(each.id).status for each in (late, later)] == [REVOKING, ACTIVE]
    assert state.events_of(late.id)[-1].type == "grant.revoking"
    assert not state.is_any_due(clock.now())


@pytest.mark.parametrize("state_url", ["postgresql"], indirect=True)
def test_what_another_is_just_ending_is_passed_over(
    state: stores.Store, clock: clocks.ManualClock, open_state: Callable[..., stores.Store]
) -> None:
    mine, theirs = granted(state), granted(state)
    clock.advance(timedelta(hours=1))
    table, other = tables.access_grant, open_state()
    locked = sa.select(table.c.id).where(table.c.id == theirs.id).with_for_update()
    with other._database.write() as connection:
        connection.execute(locked)
        with state.begin(stores.SYSTEM) as tx:
            assert tx.move_due(100, cause=model.EndCause.DEADLINE) == {mine.id: "shop"}
    with state.begin(stores.SYSTEM) as tx:
        assert tx.move_due(100, cause=model.EndCause.DEADLINE) == {theirs.id: "shop"}


def test_each_who_takes_ends_takes_others(
    state: stores.Store, clock: clocks.ManualClock, open_state: Callable[..., stores.Store]
) -> None:
    ids = begun(state, clock)
    assert state.ends_waiting(LATER) == (OPEN,)
    assert taken(state, most=2) == ids[:2]
    assert taken(open_state()) == ids[2:]
    assert taken(state) == []
    assert state.ends_waiting(LATER) == ()


def test_only_what_is_to_be_done_there_and_now_is_taken(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    ids = begun(state, clock)
    with state.begin(stores.SYSTEM) as tx:
        tx.note_grant(ids[0], REVOKING, event=None, next_attempt_at=LATER + timedelta(seconds=1))
        tx.note_grant(ids[1], REVOKING, event=None, access_ended_at=LATER)
    assert state.ends_waiting(LATER) == (OPEN, SHUT)
    assert taken(state, replace(OPEN, target="wiki")) == []
    assert taken(state) == [ids[2]]
    assert taken(state, SHUT) == [ids[1]]
    state.forget_pauses()
    assert taken(state) == [ids[0]]


def test_what_is_being_done_just_now_is_seen_by_others(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    begun(state, clock, 2)
    since = clock.now() - timedelta(seconds=10)
    assert state.ends_under_way(since) is None
    state.claim_ends(OPEN, LATER, "one", OVER, 1)
    assert state.ends_under_way(since) is None
    one, two = state.claim_ends(OPEN, LATER, "one", LEASE, 2)
    assert state.ends_under_way(since) is True
    assert state.ends_under_way(clock.now()) is None
    with state.begin(stores.SYSTEM) as tx:
        tx.change_grants(REVOKING, [noted(one), noted(two)])
    assert state.ends_under_way(since) is None
    state.claim_ends(SHUT, LATER, "one", LEASE, 1)
    assert state.ends_under_way(since) is False


def test_a_batch_is_recorded_without_those_that_are_somebody_elses_by_now(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    ids = begun(state, clock, 4)
    mine = {grant.id: grant for grant in state.claim_ends(OPEN, LATER, "one", LEASE, 100)}
    assert state.renew_grant(ids[1], mine[ids[1]].fence, OVER)
    theirs = state.claim_grant(ids[1], REVOKING, "two", LEASE)
    end_of(state, ids[2])
    with state.begin(stores.SYSTEM) as tx:
        told = tx.change_grants(REVOKING, [noted(grant) for grant in mine.values()])
    assert {grant.id for grant in told} == {ids[0], ids[3]}
    assert told == tuple(state.grant(grant.id) for grant in told)
    assert state.grant(ids[1]) == theirs
    counts = [[e.type for e in state.events_of(i)].count("grant.access_ended") for i in ids]
    assert counts == [1, 0, 0, 1]
    assert state.verify_chain().ok


def test_what_is_alike_of_many_and_what_is_not_are_recorded_the_same(
    state: stores.Store, clock: clocks.ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MANY", 2)
    begun(state, clock, 5)
    grants = state.claim_ends(OPEN, LATER, "one", LEASE, 100)
    seen = [{"evidence": "none", "counts": [["read", each]]} for each in (1, 1, 2)]
    told = [noted(grant) for grant in grants[:2]]
    told += [
        stores.Change(grant=grant, event="grant.seen", changes={"activity": what})
        for grant, what in zip(grants[2:], seen, strict=True)
    ]
    with state.begin(stores.SYSTEM) as tx:
        after = tx.change_grants(REVOKING, told)
    assert after == tuple(state.grant(grant.id) for grant in grants)
    assert [grant.activity for grant in after[2:]] == seen
    assert [grant.access_ended_at for grant in after] == [LATER, LATER, None, None, None]
    assert state.ends_waiting(LATER) == (OPEN, SHUT)  # the claims ended with it
    assert [state.events_of(grant.id)[-1].type for grant in grants] == [e.event for e in told]
    bodies = {state.events_of(grant.id)[-1].body.partition('"data":')[2][:80] for grant in grants}
    assert len(bodies) == 3
    assert state.verify_chain().ok


@pytest.mark.parametrize("state_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("open_", [True, False])
def test_what_is_taken_is_found_without_reading_all_that_waits(
    state: stores.Store, *, open_: bool
) -> None:
    """Also by statistics that say that next to nothing waits, as they were taken before the crowd."""
    given = {"where": "shop", "present": LATER, "most": 100, "holder": "one", "seconds": 6.0}
    with state._database.write() as connection:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        form = ends._taking(open_=open_)._form(connection)
        told = connection.connection.cursor().execute(f"EXPLAIN {form.text}", form.given(given))
        plan = "\n".join(row[0] for row in told.fetchall())
    _, _, changing = plan.partition("access_grant_pkey")
    assert changing
    assert "Filter" not in changing


@pytest.mark.parametrize("state_url", ["postgresql"], indirect=True)
def test_what_is_in_hand_is_found_by_its_ids_alone(state: stores.Store) -> None:
    """An index of what ends is taken for next to empty, and would be read whole for each batch."""
    with state._database.write() as connection:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        form = ends._FENCES._form(connection)
        told = connection.connection.cursor().execute(
            f"EXPLAIN {form.text}", form.given({"ids": "[]"})
        )
        plan = "\n".join(row[0] for row in told.fetchall())
    assert "access_grant_pkey" in plan
    assert "Filter" not in plan


@pytest.mark.parametrize("state_url", ["postgresql"], indirect=True)
def test_no_index_hears_of_a_claim(state: stores.Store, clock: clocks.ManualClock) -> None:
    """There is room for the new rows beside the old ones, though all of a page are claimed together."""
    ids = begun(state, clock, 40)
    moved = "SELECT pg_stat_get_xact_tuples_hot_updated('access_grant'::regclass)"
    with state._database.write() as connection:
        for _ in range(2):
            assert len(ends.take(connection, OPEN, LATER, "one", OVER, 100)) == len(ids)
        assert connection.exec_driver_sql(moved).scalar_one() >= len(ids)


def end_of(state: stores.Store, grant_id: str) -> None:
    """Somebody ended it without asking for a claim."""
    with state.begin(stores.SYSTEM) as tx:
        tx.move_grant(grant_id, REVOKING, model.GrantStatus.ENDED, cleaned_up_at=tx.at)


def test_grants_of_a_batch_may_go_different_ways(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    begun(state, clock, 2)
    one, two = state.claim_ends(OPEN, LATER, "one", LEASE, 100)
    over = stores.Change(
        grant=one, to=model.GrantStatus.ENDED, event="grant.ended", changes={"cleaned_up_at": LATER}
    )
    late = stores.Change(grant=two, event=None, goes_on=True, changes={"last_error": "no answer"})
    with state.begin(stores.SYSTEM) as tx:
        told = tx.change_grants(REVOKING, [over, late])
    assert told == (state.grant(one.id), state.grant(two.id))
    assert told[0].status is model.GrantStatus.ENDED
    assert state.events_of(one.id)[-1].type == "grant.ended"
    assert state.events_of(two.id)[-1].type == "grant.revoking"
    assert state.renew_grant(two.id, two.fence, LEASE)  # its work goes on
    assert not state.renew_grant(one.id, one.fence, LEASE)


def test_no_grant_of_a_batch_goes_a_way_that_there_is_not(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    begun(state, clock, 1)
    (grant,) = state.claim_ends(OPEN, LATER, "one", LEASE, 100)
    wrong = stores.Change(grant=grant, to=ACTIVE, event=None, changes={})
    with pytest.raises(ValueError, match="no grant goes"), state.begin(stores.SYSTEM) as tx:
        tx.change_grants(REVOKING, [wrong])
    other = stores.Change(grant=grant, event=None, changes={"target": "wiki"})
    with pytest.raises(ValueError, match="cannot be changed"), state.begin(stores.SYSTEM) as tx:
        tx.change_grants(REVOKING, [other])


def test_claims_are_renewed_and_let_go_together_as_far_as_they_are_ours(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    begun(state, clock, 3)
    mine = {g.id: g.fence for g in state.claim_ends(OPEN, LATER, "one", OVER, 100)}
    (lost,) = state.claim_ends(OPEN, LATER, "two", OVER, 1)  # the lease was over
    state.renew_grants(mine, LEASE)
    assert taken(state) == [lost.id]
    state.release_grants(mine)
    assert set(taken(state)) == mine.keys() - {lost.id}


def test_everything_of_a_status_begins_to_end(state: stores.Store) -> None:
    ids = {granted(state).id for _ in range(3)}
    going = submit(state)
    approve(state, going)
    with state.begin(stores.SYSTEM) as tx:
        first = tx.move_all(ACTIVE, 2, cause=model.EndCause.OPERATOR, revoking_since=tx.at)
        rest = tx.move_all(ACTIVE, 2, cause=model.EndCause.OPERATOR, revoking_since=tx.at)
    assert (len(first), len(rest)) == (2, 1)
    assert {*first, *rest} == ids
    assert state.grant(going.id).status is model.GrantStatus.ACTIVATING


def test_doors_are_walked_page_by_page_and_followed_by_the_chain(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    ids = {granted(state, duration=timedelta(hours=3)).id for _ in range(3)}
    ids |= set(begun(state, clock, 2))
    over = granted(state)
    end(state, over.id)
    seen, page = list[str](), stores.Page()
    while page is not None:
        doors, page = state.doors_page(page, 2)  # type: ignore[assignment]
        seen += [door.id for door in doors]
    assert sorted(seen) == sorted(ids)
    seq, changed, open_ = state.doors_changed(0)
    assert changed == ids | {over.id}
    assert {door.id for door in open_} == ids
    assert state.doors_changed(seq) == (seq, frozenset(), ())


@pytest.mark.parametrize("state_url", ["sqlite"], indirect=True)
def test_a_row_that_a_hand_has_spoilt_hides_no_other(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    ids = begun(state, clock)
    table = tables.access_grant
    with state._database.write() as connection:
        spoilt = sa.update(table).where(table.c.id == ids[1])
        connection.execute(spoilt.values(expires_at=sa.text("'soon'")))
    doors, page = state.doors_page(stores.Page(status=REVOKING), 2)
    assert page is not None
    doors += state.doors_page(page, 2)[0]
    assert {door.id for door in doors} == {ids[0], ids[2]}
    assert taken(state) == [ids[0], ids[2]]


def test_what_is_said_of_several_in_one_breath_is_in_order_and_not_said_twice(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    begun(state, clock, 2)
    one, two = state.claim_ends(OPEN, LATER, "one", LEASE, 100)
    with state.begin(stores.SYSTEM) as tx:
        for grant in tx.change_grants(REVOKING, [noted(one), noted(two)]):
            tx.say("card", grant.id, f"request:{grant.id}")
            tx.say("audit", grant.id, "audit", {"of": grant.id})
            tx.say("thread", grant.id, f"request:{grant.id}", {"line": "ended"})
            tx.say("home", None, "home:U0ANA", {"user": "U0ANA"}, redraw=True)
    said = dict[str, list[str]]()
    for _ in range(9):
        for row in state.outbox_claim(LATER):
            said.setdefault(row.lane, []).append(
                row.kind if row.lane != "audit" else row.data["of"]
            )
            state.outbox_done(row.id, fence=row.fence)
    assert said == {
        f"request:{one.id}": ["card", "thread"],
        f"request:{two.id}": ["card", "thread"],
        "audit": [one.id, two.id],
        "home:U0ANA": ["home"],
    }
