"""What is recorded reads back as it was, changes only the legal way, and is told in the chain."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from bot import clock as clocks
from bot import errors, model
from bot import store as stores
from tests.fixtures_store import (
    ANA,
    BO,
    NOON,
    a_grant,
    a_request,
    a_review,
    activate,
    approve,
    differing,
    end,
    granted,
    submit,
)

PENDING, APPROVED, DENIED = (
    model.RequestStatus.PENDING,
    model.RequestStatus.APPROVED,
    model.RequestStatus.DENIED,
)
ACTIVATING, ACTIVE, REVOKING = (
    model.GrantStatus.ACTIVATING,
    model.GrantStatus.ACTIVE,
    model.GrantStatus.REVOKING,
)
RARE = datetime(2026, 11, 20, 13, 0, 0, 123457, tzinfo=timezone(timedelta(hours=1)))
ACTIVITY = {
    "evidence": "statement_log",
    "sessions": [{"started_at": "x"}],
    "counts": [["SELECT", 2]],
}


def types_of(store: stores.Store) -> list[str]:
    return [event.type for event in store.events()]


def raw(store: stores.Store, statement: str) -> None:
    """What somebody with a database client would do."""
    with store._database.write() as connection:
        connection.exec_driver_sql(statement)


def test_a_request_reads_back_as_it_was_recorded(state: stores.Store) -> None:
    request = a_request(
        created_at=RARE,
        duration=timedelta(minutes=30, microseconds=1),
        tables=('app."Odd.Name"', "app.orders"),
        justification='Ünïcode 🙂 "quoted" ; -- %s :x',
        channel_id="C0ACCESS",
        dedupe_key="trigger-1",
    )
    with state.begin(ANA) as tx:
        tx.add_request(request)
    assert differing(state.request(request.id), request) == {}
    assert state.request(request.id).created_at.tzinfo is UTC
    assert state.find_request_by_dedupe("trigger-1") == request
    assert state.find_request_by_dedupe("trigger-2") is None


def test_text_that_no_database_can_hold_is_kept_as_replacement_characters(
    state: stores.Store,
) -> None:
    request = submit(state, justification="a\x00b\ud800c", reasons=("x\x00\udfff",))
    assert state.request(request.id).justification == "a\ufffdb\ufffdc"
    assert state.verify_chain().ok


def test_a_grant_reads_back_as_it_was_recorded(state: stores.Store) -> None:
    request = submit(state)
    approve(state, request)
    wanted = a_grant(
        request,
        NOON,
        status=ACTIVE,
        activated_at=NOON,
        role_oid=4_294_967_295,
        expires_at=RARE,
        reveals=2,
        last_error="no",
        quarantined=("app.tmp",),
        residue=("a", "b"),
        activity=ACTIVITY,
    )
    names = ("activated_at", "role_oid", "expires_at", "reveals", "last_error", "quarantined")
    changes = {name: getattr(wanted, name) for name in (*names, "residue", "activity")}
    with state.begin(stores.SYSTEM) as tx:
        moved = tx.move_grant(request.id, ACTIVATING, ACTIVE, **changes)
    assert differing(moved, wanted) == {}
    assert differing(state.grant(request.id), wanted) == {}


def test_a_story_holds_reviews_grant_and_messages(state: stores.Store) -> None:
    request = submit(state)
    card = model.MessageRef(request_id=request.id, kind="card", channel_id="C0", ts="1.2")
    approve(state, request)
    with state.begin(stores.SYSTEM) as tx:
        tx.remember_message(card)
        tx.remember_message(card)
    story = state.story(request.id)
    assert story.request.status is APPROVED
    assert story.request.decided_at == NOON
    assert [review.reviewer_id for review in story.reviews] == ["U0BO"]
    assert story.grant == state.grant(request.id)
    assert story.messages == (card,)
    assert state.find_message("C0", "1.2") == card
    assert state.find_message("C1", "1.2") is None


def test_what_is_not_there_is_not_found(state: stores.Store) -> None:
    for look in (state.story, state.request, state.grant):
        with pytest.raises(errors.NotFound):
            look("nothing")
    assert state.find_grant("nothing") is None


def test_an_error_in_the_block_leaves_nothing_behind(state: stores.Store) -> None:
    request = a_request()

    def fail_late() -> None:
        with state.begin(ANA) as tx:
            tx.add_request(request)
            tx.say("card", request.id, "audit")
            tx.record("something", None, {})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_late()
    assert (state.requests(), state.events(), state.outbox_depth()) == ((), (), 0)


def test_an_event_that_cannot_be_written_takes_the_change_with_it(state: stores.Store) -> None:
    def record_nonsense() -> None:
        with state.begin(ANA) as tx:
            tx.add_request(a_request())
            tx.record("something", None, {"what": object()})

    with pytest.raises(TypeError):
        record_nonsense()
    assert (state.requests(), state.events()) == ((), ())


def test_every_change_has_its_event_in_the_chain(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    request = granted(state)
    clock.advance(timedelta(minutes=30))
    end(state, request.id)
    assert types_of(state) == [
        "request.submitted",
        "review.approve",
        "request.approved",
        "grant.activating",
        "grant.active",
        "grant.revoking",
        "grant.ended",
    ]
    assert [event.seq for event in state.events()] == list(range(1, 8))
    assert state.verify_chain().ok
    body = json.loads(state.events_of(request.id)[-2].body)
    assert body["actor"] == {"kind": "system", "id": None, "name": None}
    assert body["data"]["cause"] == "deadline"
    assert body["at"] == "2026-11-20T12:30:00.000000+00:00"


def test_the_chain_seals_what_was_run_without_copying_it(state: stores.Store) -> None:
    request = granted(state)
    secret = {"evidence": "statement_log", "statements": [{"text": "select 'a literal'"}]}
    with state.begin(stores.SYSTEM) as tx:
        tx.note_grant(request.id, ACTIVE, event="grant.activity", activity=secret)
    last = state.events_of(request.id)[-1].body
    assert "a literal" not in last
    assert "sha256" in last


def test_bookkeeping_needs_no_event(state: stores.Store) -> None:
    request = granted(state)
    before = types_of(state)
    with state.begin(stores.SYSTEM) as tx:
        assert tx.note_grant(request.id, ACTIVE, event=None, attempts=3).attempts == 3
    assert types_of(state) == before


def test_a_request_is_settled_once(state: stores.Store) -> None:
    request = submit(state)
    with state.begin(BO) as tx:
        tx.settle_request(request.id, DENIED, decided_by="U0BO", comment="no")
    with pytest.raises(errors.Conflict), state.begin(BO) as tx:
        tx.settle_request(request.id, APPROVED, decided_by="U0BO")
    assert state.request(request.id).status is DENIED
    assert types_of(state).count("request.approved") == 0


def test_a_second_delivery_is_a_conflict_and_the_transaction_stays_usable(
    state: stores.Store,
) -> None:
    submit(state, dedupe_key="once")
    with state.begin(ANA) as tx:
        with pytest.raises(errors.Conflict):
            tx.add_request(a_request(dedupe_key="once"))
        tx.record("request.repeated", None, {})
    assert types_of(state) == ["request.submitted", "request.repeated"]


def test_one_person_answers_once_and_only_while_it_is_open(state: stores.Store) -> None:
    request = submit(state)
    with state.begin(BO) as tx:
        tx.add_review(a_review(request.id))
        with pytest.raises(errors.Conflict):
            tx.add_review(a_review(request.id, answer=model.Answer.DENY))
        tx.settle_request(request.id, DENIED)
    with pytest.raises(errors.Conflict), state.begin(BO) as tx:
        tx.add_review(a_review(request.id, reviewer_id="U0CLEO"))
    assert len(state.story(request.id).reviews) == 1
    with pytest.raises(errors.NotFound), state.begin(BO) as tx:
        tx.add_review(a_review("nothing"))


def test_one_request_has_one_grant(state: stores.Store) -> None:
    request = submit(state)
    approve(state, request)
    with pytest.raises(errors.Conflict), state.begin(BO) as tx:
        tx.add_grant(a_grant(request, NOON))


def test_a_grant_moves_from_the_status_it_is_in_only(state: stores.Store) -> None:
    request = granted(state)
    with pytest.raises(errors.Conflict), state.begin(stores.SYSTEM) as tx:
        tx.move_grant(request.id, ACTIVATING, REVOKING)
    with pytest.raises(errors.Conflict), state.begin(stores.SYSTEM) as tx:
        tx.note_grant(request.id, REVOKING, event=None, attempts=1)
    with pytest.raises(ValueError, match="from active to activating"), state.begin(BO) as tx:
        tx.move_grant(request.id, ACTIVE, ACTIVATING)
    with pytest.raises(ValueError, match="target"), state.begin(BO) as tx:
        tx.note_grant(request.id, ACTIVE, event=None, target="other")
    with pytest.raises(ValueError, match="status"), state.begin(BO) as tx:
        tx.note_grant(request.id, ACTIVE, event=None, status=REVOKING)
    assert state.grant(request.id).status is ACTIVE


def test_a_new_step_counts_its_attempts_afresh(state: stores.Store) -> None:
    request = granted(state)
    with state.begin(stores.SYSTEM) as tx:
        tx.note_grant(
            request.id, ACTIVE, event=None, attempts=4, next_attempt_at=NOON, last_error="x"
        )
        moved = tx.move_grant(request.id, ACTIVE, REVOKING, cause=model.EndCause.RETURNED)
    assert (moved.attempts, moved.next_attempt_at, moved.last_error) == (0, None, None)


def test_what_is_born_is_born_at_the_beginning(state: stores.Store) -> None:
    with pytest.raises(ValueError, match="pending"), state.begin(ANA) as tx:
        tx.add_request(a_request(status=APPROVED))
    request = submit(state)
    with pytest.raises(errors.Conflict), state.begin(ANA) as tx:
        tx.add_grant(a_grant(request, NOON))  # not approved
    with pytest.raises(ValueError, match="activating"), state.begin(ANA) as tx:
        tx.add_grant(a_grant(request, NOON, status=ACTIVE))
    assert state.find_grant(request.id) is None


def test_naive_times_are_refused(state: stores.Store) -> None:
    naive = datetime(2026, 11, 20, 12)  # noqa: DTZ001 - that is the point
    with pytest.raises(ValueError, match="aware"):
        submit(state, decide_by=naive)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE access_request SET status = 'denied'",
        "UPDATE access_request SET status = 'pending', decided_at = NULL",
        "UPDATE access_request SET status = 'granted'",
        "UPDATE access_request SET scope = '{}'",
        "UPDATE access_request SET scope_hash = 'other'",
        "UPDATE access_request SET duration_us = 1",
        "UPDATE access_request SET decided_by = requester_id",
        "UPDATE access_grant SET status = 'activating'",
        "UPDATE access_grant SET status = 'ended'",
        "UPDATE access_grant SET status = 'done'",
        "UPDATE access_grant SET requester_id = 'U0SAM'",
        "UPDATE access_grant SET role_name = 'postgres'",
        "UPDATE access_grant SET target = 'other'",
        "UPDATE audit_event SET body = '{}'",
        "UPDATE audit_event SET hash = 'x' WHERE seq = 1",
        "DELETE FROM audit_event",
        "DELETE FROM access_grant",
        "DELETE FROM access_request",
        "INSERT INTO audit_event SELECT 99, at, type, request_id, body, prev, hash FROM audit_event",
    ],
)
def test_the_database_itself_refuses(state: stores.Store, statement: str) -> None:
    request = granted(state)
    before = (state.story(request.id), state.events())
    with pytest.raises(errors.Conflict):
        raw(state, statement)
    assert (state.story(request.id), state.events()) == before


@pytest.mark.parametrize("table", ["request_transition", "grant_transition"])
def test_the_legal_moves_in_the_database_are_those_of_the_model(
    state: stores.Store, table: str
) -> None:
    query = f"SELECT from_status, to_status FROM {table}"
    with state._database.read() as connection:
        rows = {tuple(row) for row in connection.exec_driver_sql(query)}
    moves = {
        "request_transition": model.REQUEST_TRANSITIONS,
        "grant_transition": model.GRANT_TRANSITIONS,
    }[table]
    assert rows == {(one.value, other.value) for one, other in moves}


def test_no_value_reaches_an_error_text(state: stores.Store) -> None:
    secret = "correct horse battery"
    submit(state, dedupe_key=secret)
    with pytest.raises(errors.JitError) as caught, state.begin(ANA) as tx:
        tx.connection.execute(
            sa.text("INSERT INTO access_request (id, status) VALUES (:a, 'nonsense')"),
            {"a": secret},
        )
    assert secret not in str(caught.value)
    hidden = caught.value.__cause__
    assert hidden is not None
    assert secret not in str(hidden).split("DETAIL")[0]


def test_history_counts_what_was_granted_and_what_went_unused(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    unused = {"evidence": "statement_log", "sessions": [], "counts": []}
    unknown = {"evidence": "none", "sessions": [], "counts": []}
    for activity in (unused, ACTIVITY, unknown, None):
        end(state, granted(state).id, activity=activity)
    submit(state)
    granted(state, entitlement="write_logs")
    since = NOON - timedelta(days=30)
    assert state.history("U0ANA", "read_customer_data", since) == (4, 1)
    assert state.history("U0ANA", "read_customer_data", NOON + timedelta(seconds=1)) == (0, 0)
    assert state.history("U0BO", "read_customer_data", since) == (0, 0)


def test_activation_without_a_person_is_the_rules_doing(state: stores.Store) -> None:
    request = submit(state)
    approve(state, request, by=None)
    assert activate(state, request.id).status is ACTIVE
    assert state.request(request.id).decided_by is None


def test_a_password_that_is_shown_is_counted_and_told_while_access_lasts(
    state: stores.Store,
) -> None:
    request = granted(state)
    for _ in range(2):
        show(state, state.grant(request.id))
    shown = [event for event in state.events_of(request.id) if event.type == "credential.revealed"]
    assert [json.loads(event.body)["data"] for event in shown] == [{"reveals": 1}, {"reveals": 2}]
    assert state.grant(request.id).reveals == 2


def test_none_is_counted_once_its_end_has_begun(state: stores.Store) -> None:
    request = granted(state)
    grant = state.grant(request.id)
    with state.begin(ANA) as tx:
        tx.move_grant(grant.id, ACTIVE, REVOKING)
    head = state.chain_head()
    with pytest.raises(errors.Conflict):
        show(state, grant)
    assert (state.grant(grant.id).reveals, state.chain_head()) == (0, head)


def show(state: stores.Store, grant: model.Grant) -> None:
    with state.begin(ANA) as tx:
        tx.note_reveal(grant)
