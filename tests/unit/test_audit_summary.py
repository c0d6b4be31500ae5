"""The facts that end a thread: what was asked, granted, used, run, and what is proven."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import model
from bot.audit import summary
from bot.slack import reports
from bot.store import mapping
from db_grants import spec
from db_grants.postgres import activity as activities
from db_grants.spec import Activity, Evidence, SessionSeen, Statement
from tests.fixtures_store import NOON, a_grant, a_request, a_review

MINUTE = timedelta(minutes=1)
START = NOON + 2 * MINUTE
DENIED = "permission denied for table payments"


def session(start: datetime, end: datetime | None) -> SessionSeen:
    return SessionSeen(started_at=start, ended_at=end, application="psql", client="10.2.3.4")


def ran(text: str, kind: str = "SELECT", error: str | None = None) -> Statement:
    return Statement(at=START + MINUTE, kind=kind, text=text, error=error)


def busy() -> Activity:
    return Activity(
        evidence=Evidence.STATEMENT_LOG,
        sessions=(
            session(START + MINUTE, START + 5 * MINUTE),
            session(START + 4 * MINUTE, START + 12 * MINUTE),
        ),
        statements=(
            *(ran("select id from app.customers") for _ in range(9)),
            *(ran("SELECT 1 FROM App.Orders") for _ in range(4)),
            ran("select 2", error=DENIED),
            ran("select 3", error=DENIED),
        ),
        counts=(("SELECT", 13), ("refused", 2)),
        tables=(("app.customers", 9), ("app.orders", 4)),
    )


def story(activity: Activity | None = None, **changes: Any) -> model.Story:
    request = a_request(
        status=model.RequestStatus.APPROVED,
        decided_at=START,
        decided_by="U0BO",
        decided_by_name="Bo Chen",
    )
    usual: dict[str, Any] = {
        "status": model.GrantStatus.ENDED,
        "activated_at": START,
        "expires_at": START + 30 * MINUTE,
        "access_ended_at": START + 30 * MINUTE + timedelta(milliseconds=200),
        "cleaned_up_at": START + 30 * MINUTE + timedelta(seconds=3),
        "cause": model.EndCause.DEADLINE,
        "sessions_cut": 1,
        "activity": summary.activity_to_json(activity) if activity else None,
    }
    grant = a_grant(request, START, **(usual | changes))
    return model.Story(request=request, reviews=(a_review(request.id),), grant=grant)


def test_the_whole_story_in_figures() -> None:
    found = summary.summarise(story(busy()))
    assert (found.asked, found.granted, found.used) == (30 * MINUTE, 30 * MINUTE, 11 * MINUTE)
    assert (found.approvers, found.latency, found.rule) == (
        ("Bo Chen",),
        2 * MINUTE,
        "data-owners",
    )
    assert (len(found.sessions), found.sessions_cut) == (2, 1)
    assert (found.statements, found.counts, found.refused) == (15, (("SELECT", 13),), 2)
    assert found.refused_on == ("payments",)
    assert found.touched == (("app.customers", 9), ("app.orders", 4))
    assert found.unnamed == ("app.addresses",)
    assert (found.evidence, found.note) == (Evidence.STATEMENT_LOG, "")
    assert (found.cause, found.lateness) == (model.EndCause.DEADLINE, timedelta(milliseconds=200))
    assert found.verified
    assert not found.never_used


@pytest.mark.parametrize(
    ("refusal", "name"),
    [
        ("table drop table x; --", "drop table x; --"),
        ("foreign table abroad", "abroad"),
        ("materialized view sums", "sums"),
        ("schema private", "private"),
        ("function pg_read_file", "pg_read_file"),
    ],
)
def test_what_was_refused_is_named_whole(refusal: str, name: str) -> None:
    said = Statement(at=START, kind="SELECT", text="?", error=f"permission denied for {refusal}")
    told = Activity(evidence=Evidence.STATEMENT_LOG, statements=(said,), counts=(("refused", 1),))
    assert summary.summarise(story(told)).refused_on == (name,)


def test_a_grant_that_was_never_used_says_zero() -> None:
    found = summary.summarise(story(Activity(evidence=Evidence.STATEMENT_LOG)))
    assert (found.used, found.never_used, found.statements) == (timedelta(0), True, 0)
    assert found.unnamed == ("app.customers", "app.orders", "app.addresses")


@pytest.mark.parametrize(
    "activity",
    [
        None,
        Activity(evidence=Evidence.NONE, note="the statement log cannot be read"),
        Activity(evidence=Evidence.PARTIAL_LOG, note="rotated away"),
        Activity(evidence=Evidence.COUNTERS, counts=(("SELECT", 3),)),
    ],
)
def test_what_is_not_known_is_not_called_unused(activity: Activity | None) -> None:
    found = summary.summarise(story(activity))
    assert (found.used, found.never_used) == (None, False)
    assert found.unnamed == ()


@pytest.mark.parametrize(
    ("text", "unnamed"),
    [
        ("do $$ begin perform count(*) from app.customers; end $$", ("orders", "addresses")),
        ("select id from customers", ("orders", "addresses")),
        ('select * from "app" . "customers"', ("orders", "addresses")),
        (
            "select query_to_xml('select * from app.CUSTOMERS', true, true, '')",
            ("orders", "addresses"),
        ),
        ("select 1", ("customers", "orders", "addresses")),
        ('select id from U&"\\0061pp".U&"\\0063ustomers"', ()),
        (f"select {'1, ' * 700}1 from app.cust"[: spec.TEXT_KEPT], ()),
    ],
)
def test_what_a_text_names_anywhere_or_may_name_is_not_called_unnamed(
    text: str, unnamed: tuple[str, ...]
) -> None:
    activity = Activity(
        evidence=Evidence.STATEMENT_LOG, statements=(ran(text),), counts=(("SELECT", 1),)
    )
    found = summary.summarise(story(activity))
    assert found.unnamed == tuple(f"app.{name}" for name in unnamed)


def test_nothing_is_called_unnamed_where_not_every_text_was_kept() -> None:
    activity = Activity(
        evidence=Evidence.STATEMENT_LOG, statements=(ran("select 1"),), counts=(("SELECT", 501),)
    )
    assert summary.summarise(story(activity)).unnamed == ()


def test_an_engine_cuts_a_text_where_the_summary_thinks_it_does() -> None:
    assert activities._LENGTH == spec.TEXT_KEPT


def test_unknown_statements_are_no_number_and_say_why() -> None:
    activity = Activity(evidence=Evidence.NONE, note="the statement log cannot be read")
    found = summary.summarise(story(activity))
    assert (found.statements, found.note) == (None, "the statement log cannot be read")


def test_a_session_that_was_cut_ended_with_the_access() -> None:
    activity = Activity(
        evidence=Evidence.STATEMENT_LOG, sessions=(session(START + 20 * MINUTE, None),)
    )
    found = summary.summarise(story(activity))
    assert found.used == 10 * MINUTE + timedelta(milliseconds=200)


def test_a_session_still_open_before_the_end_has_no_length_yet() -> None:
    activity = Activity(evidence=Evidence.STATEMENT_LOG, sessions=(session(START, None),))
    assert summary.summarise(story(activity, access_ended_at=None)).used is None


@pytest.mark.parametrize("took", [0, 32])
def test_an_early_end_is_as_late_as_it_took(took: int) -> None:
    ordered = START + MINUTE
    ended = ordered + timedelta(seconds=took)
    found = summary.summarise(
        story(access_ended_at=ended, revoking_since=ordered, cause=model.EndCause.RETURNED)
    )
    assert found.lateness == timedelta(seconds=took)
    said = str(reports._ending(found))
    assert ("which took 32 s" in said) == (took == 32)


@pytest.mark.parametrize(
    "changes", [{"cleaned_up_at": None}, {"residue": ("owns a function in shop",)}]
)
def test_only_a_clean_catalogue_is_verified(changes: dict[str, Any]) -> None:
    found = summary.summarise(story(**changes))
    assert not found.verified
    assert found.residue == changes.get("residue", ())


def test_without_a_person_nobody_is_named_as_approver() -> None:
    plain = story()
    by_rule = model.Story(request=plain.request, grant=plain.grant)
    assert summary.summarise(by_rule).approvers == ()


def test_a_denial_among_the_reviews_is_no_approval() -> None:
    plain = story()
    no = a_review(plain.request.id, answer=model.Answer.DENY)
    found = summary.summarise(model.Story(request=plain.request, reviews=(no,), grant=plain.grant))
    assert found.approvers == ()


def test_a_grant_that_never_came_alive_was_not_granted() -> None:
    found = summary.summarise(story(activated_at=None, status=model.GrantStatus.ACTIVATION_FAILED))
    assert found.granted is None


def test_a_deadline_that_was_brought_nearer_does_not_change_what_was_granted() -> None:
    found = summary.summarise(story(expires_at=START + MINUTE))
    assert (found.granted, found.expires_at) == (30 * MINUTE, START + MINUTE)
    assert found.shortened == MINUTE
    in_full = START + 30 * MINUTE - timedelta(seconds=9)  # made nine seconds after it was intended
    assert summary.summarise(story(expires_at=in_full)).shortened is None


def test_a_request_without_a_grant_has_no_summary() -> None:
    with pytest.raises(ValueError, match="no grant"):
        summary.summarise(model.Story(request=a_request()))


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
COUNTS = st.lists(st.tuples(TEXT, st.integers(0)), max_size=3).map(tuple)
MOMENTS = st.datetimes(timezones=st.just(NOON.tzinfo))  # type: ignore[arg-type]
ACTIVITIES = st.builds(
    Activity,
    evidence=st.sampled_from(Evidence),
    note=TEXT,
    sessions=st.lists(
        st.builds(
            SessionSeen,
            started_at=MOMENTS,
            ended_at=st.none() | MOMENTS,
            application=TEXT,
            client=st.none() | TEXT,
        ),
        max_size=2,
    ).map(tuple),
    statements=st.lists(
        st.builds(Statement, at=MOMENTS, kind=TEXT, text=TEXT, error=st.none() | TEXT), max_size=2
    ).map(tuple),
    counts=COUNTS,
    tables=COUNTS,
)


@given(activity=ACTIVITIES)
def test_activity_survives_being_stored(activity: Activity) -> None:
    assert summary.activity_from_json(summary.activity_to_json(activity)) == activity


@pytest.mark.parametrize(
    ("activity", "used"),
    [
        (Activity(evidence=Evidence.STATEMENT_LOG), False),
        (Activity(evidence=Evidence.COUNTERS), False),
        (Activity(evidence=Evidence.PARTIAL_LOG), None),
        (Activity(evidence=Evidence.NONE), None),
        (Activity(evidence=Evidence.COUNTERS, counts=(("SELECT", 1),)), True),
        (busy(), True),
    ],
)
def test_use_is_told_from_the_stored_form(activity: Activity, used: bool | None) -> None:
    assert mapping.was_used(summary.activity_to_json(activity)) is used
