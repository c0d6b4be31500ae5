"""What a day came to, counted from a real state database."""

from datetime import datetime, timedelta

from bot import clock as clocks
from bot import model
from bot import store as stores
from bot.audit import digest
from bot.slack import reports
from bot.telling import render
from tests.fixtures_store import BO, NOON, activate, approve, end, granted, submit

MINUTE = timedelta(minutes=1)
NONE = digest.Items()
MIDNIGHT = NOON - timedelta(hours=12)
ACTIVE, REVOKING = model.GrantStatus.ACTIVE, model.GrantStatus.REVOKING
UNUSED = {"evidence": "statement_log", "sessions": [], "counts": []}
USED = {"evidence": "statement_log", "sessions": [], "counts": [["SELECT", 1]]}


def of_period(
    store: stores.Store, now: datetime, since: datetime = MIDNIGHT
) -> digest.Digest | None:
    return digest.of_period(
        store, since=since, until=since + timedelta(days=1), zone="UTC", now=now
    )


def told(store: stores.Store, now: datetime, since: datetime = MIDNIGHT) -> digest.Digest:
    found = of_period(store, now, since)
    assert found is not None
    return found


def ids(items: digest.Items) -> list[str]:
    """All of them by name."""
    assert items.count == len(items.first)
    return [item.request_id for item in items.first]


def settle(store: stores.Store, request_id: str, to: model.RequestStatus, **by: str) -> None:
    with store.begin(BO) as tx:
        tx.settle_request(request_id, to, **by)  # type: ignore[arg-type]


def test_a_day_without_anything_has_no_digest(state: stores.Store) -> None:
    assert of_period(state, NOON) is None


def test_yesterdays_finished_business_is_not_todays_digest(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    end(state, granted(state).id)
    clock.advance(timedelta(days=1))
    assert of_period(state, clock.now(), MIDNIGHT + timedelta(days=1)) is None
    assert of_period(state, clock.now()) is not None


def test_what_is_still_active_is_said_on_a_quiet_day(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    request = granted(state, duration=timedelta(days=3))
    clock.advance(timedelta(days=1))
    found = told(state, clock.now(), MIDNIGHT + timedelta(days=1))
    assert (ids(found.active), found.granted, found.overdue) == ([request.id], 0, NONE)
    assert found.active.first[0].until == NOON + timedelta(days=3)


def test_the_day_is_counted(state: stores.Store, clock: clocks.ManualClock) -> None:
    waiting = submit(state, requester_name="Dan", requester_id="U0DAN")
    denied, lapsed, cancelled, failed = (submit(state) for _ in range(4))
    by_people = submit(state)
    by_rule = submit(state, entitlement="write_logs")
    again_by_rule = submit(state, entitlement="write_logs")
    for request in (by_rule, again_by_rule):
        approve(state, request, by=None)
        activate(state, request.id)
    clock.advance(5 * MINUTE)
    approve(state, by_people)
    activate(state, by_people.id)
    settle(state, denied.id, model.RequestStatus.DENIED, decided_by="U0BO")
    settle(state, cancelled.id, model.RequestStatus.CANCELLED, decided_by="U0ANA")
    approve(state, failed)
    with state.begin(stores.SYSTEM) as tx:
        tx.move_grant(failed.id, model.GrantStatus.ACTIVATING, model.GrantStatus.ACTIVATION_FAILED)
    clock.advance(5 * MINUTE)
    end(state, by_rule.id, cause=model.EndCause.RETURNED, activity=UNUSED)
    end(state, by_people.id, cause=model.EndCause.REVOKED, activity=USED)
    clock.advance(50 * MINUTE)
    settle(state, lapsed.id, model.RequestStatus.EXPIRED)
    found = told(state, NOON + 20 * MINUTE)
    assert (found.granted, found.by_rule, found.by_people) == (3, 2, 1)
    assert (found.denied, found.lapsed, found.cancelled, found.failed) == (1, 1, 1, 1)
    assert (found.ended, ids(found.unused)) == (2, [by_rule.id])
    assert ids(found.active) == [again_by_rule.id]
    assert (ids(found.waiting), found.waiting.first[0].requester_name) == ([waiting.id], "Dan")
    assert found.waiting.first[0].took == 20 * MINUTE
    assert (found.late, found.slowest, found.overdue) == (NONE, timedelta(0), NONE)
    assert found.by_entitlement == (("write_logs", 2), ("read_customer_data", 1))
    assert (found.longest_waits.first[0].request_id, found.longest_waits.first[0].took) == (
        lapsed.id,
        60 * MINUTE,
    )
    assert found.longest_waits.count == 3
    assert cancelled.id not in ids(found.longest_waits)
    assert (found.events, found.head) == state.chain_head()


def test_an_end_is_late_beyond_what_was_promised_and_the_slowest_is_shown(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    in_time, late, very_late, early = (granted(state) for _ in range(4))
    end(state, early.id, cause=model.EndCause.RETURNED)
    clock.advance(30 * MINUTE + timedelta(milliseconds=400))
    end(state, in_time.id)
    assert (told(state, clock.now()).late, told(state, clock.now()).slowest) == (
        NONE,
        timedelta(milliseconds=400),
    )
    clock.advance(timedelta(seconds=20))
    end(state, late.id)
    clock.advance(MINUTE)
    end(state, very_late.id)
    found = told(state, clock.now())
    assert ids(found.late) == [very_late.id, late.id]
    assert found.slowest == found.late.first[0].took == timedelta(seconds=80, milliseconds=400)


def test_an_end_that_has_not_come_is_overdue_and_late(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    stuck = granted(state)
    clock.advance(40 * MINUTE)
    with state.begin(stores.SYSTEM) as tx:
        tx.move_grant(stuck.id, ACTIVE, REVOKING, cause=model.EndCause.DEADLINE)
    found = told(state, clock.now())
    assert ids(found.overdue) == ids(found.late) == [stuck.id]
    assert found.overdue.first[0].took == 10 * MINUTE
    assert (found.active, found.slowest) == (NONE, None)


def test_access_that_has_ended_and_is_not_cleaned_up_is_not_overdue(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    unclean = granted(state)
    clock.advance(40 * MINUTE)
    with state.begin(stores.SYSTEM) as tx:
        tx.move_grant(unclean.id, ACTIVE, REVOKING, cause=model.EndCause.DEADLINE)
        tx.note_grant(unclean.id, REVOKING, event=None, access_ended_at=clock.now())
    clock.advance(10 * MINUTE)
    found = told(state, clock.now())
    assert (found.overdue, ids(found.pending)) == (NONE, [unclean.id])
    assert found.pending.first[0].took == 10 * MINUTE


def test_an_early_end_that_does_not_come_is_overdue_from_when_it_was_wanted(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    stuck = granted(state)
    clock.advance(MINUTE)
    with state.begin(stores.SYSTEM) as tx:
        tx.move_grant(
            stuck.id, ACTIVE, REVOKING, cause=model.EndCause.REVOKED, revoking_since=clock.now()
        )
    clock.advance(5 * MINUTE)
    assert told(state, clock.now()).overdue.first[0].took == 5 * MINUTE


def test_what_happens_at_the_very_moment_belongs_to_the_next(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    end(state, granted(state).id)
    assert of_period(state, NOON, NOON - timedelta(days=1)) is None
    assert told(state, NOON, NOON).granted == 1


def lines(found: digest.Digest) -> list[str]:
    said = reports.period(found, render.Mrkdwn)
    return said.splitlines()[1:-1]  # without its head and the evidence


def test_a_period_with_nothing_but_unfinished_business_tells_just_that(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    waiting = submit(state)
    clock.advance(3 * MINUTE)
    assert lines(told(state, clock.now())) == [
        "Nothing granted, nothing ended",
        f"Waiting now: 3 min (read_customer_data for Ana, {waiting.id})",
    ]
    approve(state, waiting)
    clock.advance(2 * MINUTE)
    found = told(state, clock.now())
    assert lines(found) == [
        "1 being granted",
        f"Longest wait: 3 min (read_customer_data for Ana, {waiting.id})",
        f"Being granted: 2 min (read_customer_data for Ana, {waiting.id})",
    ]
    assert not [line for line in lines(found) if line.startswith("0 ") or " 0 " in line]


def test_what_may_have_been_left_behind_and_what_is_ending_is_told(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    ending, unsure = granted(state), submit(state)
    approve(state, unsure)
    clock.advance(MINUTE)
    with state.begin(stores.SYSTEM) as tx:
        now = clock.now()
        tx.move_grant(ending.id, ACTIVE, REVOKING, cause=model.EndCause.REVOKED, revoking_since=now)
        tx.move_grant(
            unsure.id,
            model.GrantStatus.ACTIVATING,
            REVOKING,
            cause=model.EndCause.ACTIVATION_UNKNOWN,
            revoking_since=now,
        )
    next_day = told(state, clock.now(), MIDNIGHT + timedelta(days=1))
    assert (next_day.ending, ids(next_day.unsure), next_day.overdue) == (1, [unsure.id], NONE)
    assert lines(next_day)[0] == "1 ending"


def test_a_period_whose_decision_bore_fruit_only_later_says_nothing(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    request = submit(state)
    approve(state, request)
    clock.advance(timedelta(days=1))
    activate(state, request.id)
    end(state, request.id)
    assert of_period(state, clock.now()) is None
    assert told(state, clock.now(), MIDNIGHT + timedelta(days=1)).granted == 1


def test_what_was_superseded_is_counted(state: stores.Store) -> None:
    settle(state, submit(state).id, model.RequestStatus.SUPERSEDED)
    assert lines(told(state, NOON))[0] == "1 superseded"


def test_many_are_counted_and_the_foremost_named(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    many = [granted(state, duration=30 * MINUTE) for _ in range(7)]
    stuck, active = granted(state), [granted(state, duration=timedelta(days=1)) for _ in range(7)]
    clock.advance(30 * MINUTE)
    for request in many:
        clock.advance(MINUTE)
        end(state, request.id, activity=UNUSED)
    clock.advance(MINUTE)
    found = told(state, clock.now())
    slowest_first = [each.id for each in reversed(many)]
    assert [item.request_id for item in found.late.first] == [stuck.id, *slowest_first][:5]
    assert [item.request_id for item in found.unused.first] == [each.id for each in many[:5]]
    assert [item.request_id for item in found.active.first] == [
        stuck.id,
        *sorted(each.id for each in active)[:4],
    ]
    assert (found.late.count, found.unused.count, found.active.count) == (8, 7, 8)
    assert found.slowest == 7 * MINUTE
    assert "and 2 more" in reports.period(found, render.Mrkdwn)


def test_an_end_exactly_as_late_as_promised_is_not_late(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    granted_, just = granted(state), granted(state)
    clock.advance(30 * MINUTE + digest.LATE_AFTER)
    end(state, granted_.id)
    clock.advance(timedelta(milliseconds=1))
    end(state, just.id)
    found = told(state, clock.now())
    assert (ids(found.late), found.slowest) == ([just.id], timedelta(seconds=15, milliseconds=1))


def test_what_failed_is_counted_when_it_was_decided(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    failed = submit(state)
    approve(state, failed)
    clock.advance(timedelta(days=1))
    with state.begin(stores.SYSTEM) as tx:
        tx.move_grant(failed.id, model.GrantStatus.ACTIVATING, model.GrantStatus.ACTIVATION_FAILED)
    assert told(state, clock.now()).failed == 1
    assert of_period(state, clock.now(), MIDNIGHT + timedelta(days=1)) is None


def test_an_early_end_is_as_late_as_it_took(state: stores.Store, clock: clocks.ManualClock) -> None:
    end(state, granted(state).id, cause=model.EndCause.RETURNED)
    found = told(state, NOON)
    assert (found.ended, found.slowest, found.late) == (1, timedelta(0), NONE)
    stuck = granted(state)
    with state.begin(stores.SYSTEM) as tx:
        tx.move_grant(
            stuck.id, ACTIVE, REVOKING, cause=model.EndCause.REVOKED, revoking_since=clock.now()
        )
    clock.advance(timedelta(seconds=32))
    with state.begin(stores.SYSTEM) as tx:
        tx.note_grant(stuck.id, REVOKING, event=None, access_ended_at=clock.now())
    found = told(state, clock.now() + MINUTE)
    assert (found.slowest, ids(found.late)) == (timedelta(seconds=32), [stuck.id])


def test_what_was_never_made_has_not_ended(state: stores.Store, clock: clocks.ManualClock) -> None:
    request = submit(state)
    approve(state, request)
    with state.begin(stores.SYSTEM) as tx:
        tx.move_grant(
            request.id,
            model.GrantStatus.ACTIVATING,
            REVOKING,
            cause=model.EndCause.ACTIVATION_UNKNOWN,
            revoking_since=clock.now(),
        )
        tx.note_grant(request.id, REVOKING, event=None, access_ended_at=clock.now())
    found = told(state, clock.now())
    assert (found.ended, found.granted, ids(found.pending)) == (0, 0, [request.id])


def test_what_a_rule_decided_did_not_wait_for_people(
    state: stores.Store, clock: clocks.ManualClock
) -> None:
    by_rule = submit(state)
    clock.advance(MINUTE)
    approve(state, by_rule, by=None)
    assert told(state, clock.now()).longest_waits == NONE
