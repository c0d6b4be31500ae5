"""Many rows in one statement, on both databases: each comes back as it was given."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa

from bot import clock as clocks
from bot import errors, model
from bot import store as stores
from bot.store import bulk, tables
from tests.fixtures_store import NOON, granted, submit

REVOKING = model.GrantStatus.REVOKING
OPEN = stores.Waiting(target="shop", open=True)
ODD = 'O\'Brien \\u0000 "x" \N{GRINNING FACE} %s {brace} \t'


def ending(state: stores.Store, clock: clocks.ManualClock) -> tuple[model.Grant, ...]:
    """Two grants whose ends are in hand."""
    for _ in range(2):
        granted(state)
    clock.advance(timedelta(hours=1))
    with state.begin(stores.SYSTEM) as tx:
        tx.move_due(100, cause=model.EndCause.DEADLINE, revoking_since=tx.at)
    return state.claim_ends(OPEN, clock.now(), "one", timedelta(seconds=30), 100)


def changed(state: stores.Store, grants: tuple[model.Grant, ...], **changes: Any) -> None:
    """Record the same of all of them in one statement; each must then say just that."""
    batch = [stores.Change(grant=each, event=None, changes=changes) for each in grants]
    with state.begin(stores.SYSTEM) as tx:
        told = tx.change_grants(REVOKING, batch)
    assert [state.grant(each.id) for each in grants] == list(told)


def test_whatever_a_field_of_a_grant_may_hold_comes_back(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    elsewhere = datetime(2026, 3, 2, 18, 30, 1, 234567, timezone(timedelta(hours=5, minutes=30)))
    changed(
        state,
        ending(state, clock),
        access_ended_at=elsewhere,
        cause=model.EndCause.OPERATOR,
        last_error=ODD,
        residue=(ODD, ""),
        quarantined=(),
        activity={"sessions": [{"at": 1.5, "who": ODD, "none": None}], "counts": []},
        next_attempt_at=None,
        sessions_cut=2**31 - 1,
        role_oid=2**32 - 1,
    )


def test_what_no_database_holds_becomes_a_mark_wherever_it_stands(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    grants = ending(state, clock)
    given = {"last_error": "a\x00b\ud800", "residue": ("c\x00d",), "activity": {"e\x00f": "\udfff"}}
    with state.begin(stores.SYSTEM) as tx:
        changes = [stores.Change(grant=each, event=None, changes=given) for each in grants]
        tx.change_grants(REVOKING, changes)
    for each in grants:
        assert (
            state.grant(each.id).last_error
            == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"
        )
    assert state.verify_chain().ok


def test_a_time_without_a_zone_is_refused_and_nothing_is_recorded(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    grants = ending(state, clock)
    with pytest.raises(ValueError, match="aware"):
        changed(state, grants, access_ended_at=NOON.replace(tzinfo=None))
    assert [state.grant(each.id) for each in grants] == list(grants)


def test_a_key_that_is_taken_is_passed_over_only_where_that_is_asked_for(
    open_state: Callable[..., stores.Store],
) -> None:
    state = open_state()
    request = submit(state)
    row = {"request_id": request.id, "reviewer_id": "U0BO", "reviewer_name": ODD}
    rows = [row | {"answer": model.Answer.APPROVE, "comment": each, "at": NOON} for each in "ab"]
    with pytest.raises(errors.Conflict), state.begin(stores.SYSTEM) as tx:
        bulk.insert(tx.connection, tables.review, rows)
    with state.begin(stores.SYSTEM) as tx:
        bulk.insert(tx.connection, tables.review, rows, but_taken=True)
    (review,) = state.story(request.id).reviews
    assert (review.comment, review.reviewer_name, review.at) == ("a", ODD, NOON)


@pytest.mark.parametrize("words", [[], ["none"], ["U0ANA", ODD], [str(n) for n in range(3000)]])
def test_a_column_is_among_words_however_many(state: stores.Store, words: list[str]) -> None:
    submit(state)
    column = tables.access_request.c.requester_id
    with state.begin(stores.SYSTEM) as tx:
        found = tx.connection.execute(sa.select(column).where(bulk.Among(column, words))).all()
    assert len(found) == ("U0ANA" in words)
