"""Who works on what: one at a time, for as long as the lease lasts, and fenced off after it."""

import dataclasses
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import exc

from bot import errors, model
from bot import store as stores
from tests.fixtures_store import NOON, approve, granted, submit

LEASE = timedelta(seconds=30)
OVER = timedelta(seconds=-1)
ACTIVE, ACTIVATING = model.GrantStatus.ACTIVE, model.GrantStatus.ACTIVATING


@pytest.fixture
def grant_id(state: stores.Store) -> str:
    return granted(state).id


def test_a_claim_is_for_one_at_a_time(state: stores.Store, grant_id: str) -> None:
    mine = state.claim_grant(grant_id, ACTIVE, "one", LEASE)
    assert mine is not None
    assert state.claim_grant(grant_id, ACTIVE, "two", LEASE) is None
    assert state.claim_grant(grant_id, ACTIVE, "one", LEASE) is None
    state.release_grants({grant_id: mine.fence})
    theirs = state.claim_grant(grant_id, ACTIVE, "two", LEASE)
    assert theirs is not None
    assert theirs.fence == mine.fence + 1


def test_only_what_is_where_it_was_expected_can_be_claimed(
    state: stores.Store, grant_id: str
) -> None:
    assert state.claim_grant(grant_id, ACTIVATING, "one", LEASE) is None
    assert state.claim_grant("nothing0", ACTIVE, "one", LEASE) is None


def test_an_old_claim_records_nothing_renews_nothing_and_frees_nothing(
    state: stores.Store, grant_id: str
) -> None:
    late = state.claim_grant(grant_id, ACTIVE, "one", OVER)
    now = state.claim_grant(grant_id, ACTIVE, "two", LEASE)
    assert late is not None
    assert now is not None
    assert not state.renew_grant(grant_id, late.fence, LEASE)
    state.release_grants({grant_id: late.fence})
    writes: tuple[Callable[[stores.Transaction], object], ...] = (
        lambda tx: tx.note_grant(grant_id, ACTIVE, event="x", fence=late.fence, reveals=9),
        lambda tx: tx.move_grant(
            grant_id, ACTIVE, model.GrantStatus.REVOKING, fence=late.fence, revoking_since=NOON
        ),
    )
    for write in writes:
        with pytest.raises(errors.Conflict), state.begin(stores.SYSTEM) as tx:
            write(tx)
    assert state.claim_grant(grant_id, ACTIVE, "three", LEASE) is None
    assert state.grant(grant_id) == now


def test_what_is_recorded_under_a_claim_ends_it(state: stores.Store, grant_id: str) -> None:
    mine = state.claim_grant(grant_id, ACTIVE, "one", LEASE)
    assert mine is not None
    with state.begin(stores.SYSTEM) as tx:
        tx.note_grant(grant_id, ACTIVE, event=None, fence=mine.fence, reveals=2)
    assert not state.renew_grant(grant_id, mine.fence, LEASE)
    assert state.claim_grant(grant_id, ACTIVE, "two", LEASE) is not None


def test_what_is_intended_is_recorded_with_the_claim(state: stores.Store, grant_id: str) -> None:
    seen = state.grant(grant_id)
    later = NOON + timedelta(hours=2)
    mine = state.claim_for(seen, "one", LEASE, expires_at=later, attempts=1)
    assert mine == state.grant(grant_id)
    assert mine == dataclasses.replace(seen, fence=seen.fence + 1, expires_at=later, attempts=1)
    assert state.claim_grant(grant_id, ACTIVE, "two", LEASE) is None


def test_nothing_is_intended_with_a_grant_that_went_through_other_hands(
    state: stores.Store, grant_id: str
) -> None:
    seen = state.grant(grant_id)
    theirs = state.claim_grant(grant_id, ACTIVE, "two", LEASE)
    assert theirs is not None
    assert state.claim_for(seen, "one", LEASE, attempts=1) is None  # held
    assert state.claim_for(theirs, "one", LEASE, attempts=1) is None
    state.release_grants({grant_id: theirs.fence})
    assert state.claim_for(seen, "one", LEASE, attempts=1) is None  # and free again
    assert state.grant(grant_id) == theirs
    assert state.claim_for(theirs, "one", LEASE, attempts=1) is not None


def test_what_a_grant_is_cannot_be_intended(state: stores.Store, grant_id: str) -> None:
    with pytest.raises(ValueError, match="target"):
        state.claim_for(state.grant(grant_id), "one", LEASE, target="elsewhere")


def test_whoever_looks_for_work_is_not_shown_what_others_work_on(state: stores.Store) -> None:
    request = submit(state)
    approve(state, request)
    mine = state.claim_grant(request.id, ACTIVATING, "one", LEASE)
    assert mine is not None
    assert state.activating(NOON) == ()
    assert state.renew_grant(request.id, mine.fence, OVER)  # the lease is over
    assert [grant.id for grant in state.activating(NOON)] == [request.id]


def test_many_that_claim_at_once_are_one(
    open_state: Callable[..., stores.Store], state: stores.Store, grant_id: str
) -> None:
    start, won = threading.Barrier(4), []

    def claim(store: stores.Store) -> None:
        start.wait(10)
        won.append(store.claim_grant(grant_id, ACTIVE, "any", LEASE))

    threads = [threading.Thread(target=claim, args=(open_state(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(won) == 4
    assert sum(each is not None for each in won) == 1


@pytest.mark.parametrize("table", ["access_grant", "outbox"])
def test_no_fence_ever_falls(state: stores.Store, grant_id: str, table: str) -> None:
    with state.begin(stores.SYSTEM) as tx:
        tx.say("thread", grant_id, "a")
    state.outbox_claim(NOON)
    state.claim_grant(grant_id, ACTIVE, "one", LEASE)
    lower = sa.text(f"UPDATE {table} SET fence = 0")
    with state._database._engine.begin() as connection, pytest.raises(exc.IntegrityError):
        connection.execute(lower)


def test_several_that_ask_for_one_turn_get_it_once(
    open_state: Callable[..., stores.Store], state: stores.Store
) -> None:
    other, minute = open_state(), timedelta(minutes=1)
    asked = [store.take_turn("digest", NOON, minute) for store in (state, other, state)]
    assert asked == [True, False, False]
    assert not other.take_turn("digest", NOON + minute / 2, minute)
    assert other.take_turn("digest", NOON + minute, minute)


def test_replicas_are_listed_as_long_as_they_are_remembered(state: stores.Store) -> None:
    state.beat("one")
    state.beat("two")
    state.beat("one")
    found = state.replicas()
    assert [each.name for each in found] == ["one", "two"]
    assert all(each.silent_for < timedelta(seconds=30) for each in found)
    assert found[0].started_at <= found[0].beat_at


def test_whoever_serves_a_file_alone_frees_what_the_dead_had_claimed(
    open_state: Callable[..., stores.Store], state: stores.Store, grant_id: str, state_url: str
) -> None:
    state.claim_grant(grant_id, ACTIVE, "dead", LEASE)
    alone = state.begin_serving()
    assert alone is state_url.startswith("sqlite")
    if alone:
        mine = state.claim_grant(grant_id, ACTIVE, "one", LEASE)
        assert mine is not None
        assert not open_state().begin_serving()
        assert state.renew_grant(grant_id, mine.fence, LEASE)
