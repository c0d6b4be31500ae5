"""Summary, digest, thread and audit lines, word for word."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot import model
from bot.audit import digest, summary
from bot.granting import skew
from bot.slack import cards, reports
from bot.telling import notices, render
from db_grants.spec import Activity, Evidence, SessionSeen, Statement
from tests.unit import stories
from tests.unit.stories import END, EVERY, LIVE_SINCE, NOW, around

ACTIVITY = Activity(
    evidence=Evidence.STATEMENT_LOG,
    sessions=(
        SessionSeen(
            started_at=LIVE_SINCE + timedelta(minutes=1),
            ended_at=LIVE_SINCE + timedelta(minutes=12),
            application="psql",
            client="10.2.3.4",
        ),
        SessionSeen(
            started_at=LIVE_SINCE + timedelta(minutes=2),
            ended_at=LIVE_SINCE + timedelta(minutes=3),
            application="psql",
            client="10.2.3.4",
        ),
    ),
    statements=tuple(
        Statement(at=LIVE_SINCE, kind="SELECT", text=f"select {n} from app.customers")
        for n in range(14)
    ),
    counts=(("SELECT", 13), ("refused", 1)),
    tables=(("app.customers", 9),),
)


ASKED = (
    "Asked 30 min · granted 30 min, <!date^1795183320^{time}|14:02 UTC> to "
    "<!date^1795185120^{time}|14:32 UTC> · used 11 min · INC-4412"
)
VERIFIED = (
    "Verified <!date^1795185120^{time_secs}|14:32 UTC>: no role, no session, no privilege, "
    "no object remains"
)


def ended(**changes: object) -> model.Story:
    story = EVERY["ended"]
    assert story.grant is not None
    activity = summary.activity_to_json(ACTIVITY)
    grant = replace(story.grant, activity=activity, sessions_cut=1, **changes)
    return replace(story, grant=grant)


def link(request_id: str) -> render.Mrkdwn:
    return render.link("https://acme.test/p1", request_id)


def test_a_summary_tells_that_the_deadline_was_brought_nearer() -> None:
    said = reports.grant_summary(ended(expires_at=LIVE_SINCE + timedelta(minutes=4)), around())
    assert "granted 30 min, shortened to 4 min, <!date^" in said


def test_a_holder_adds_nothing_to_a_summary_by_the_names_they_choose() -> None:
    forged = "psql) · 0 statements: https://evil.test *safe* `x"
    table = "orders 1\N{MULTIPLICATION SIGN} · never named: customers"
    activity = replace(
        ACTIVITY,
        sessions=tuple(replace(each, application=forged) for each in ACTIVITY.sessions),
        tables=((f"app.{table}", 1), ("app.customers", 9)),
    )
    story = ended()
    assert story.grant is not None
    grant = replace(story.grant, activity=summary.activity_to_json(activity))
    said = reports.grant_summary(replace(story, grant=grant), around()).splitlines()
    assert said[3] == (
        "2 sessions from 10.2.3.4 (psql 0 statements https//evil.test safe x)"
        " · 14 statements: 13 SELECT, 1 refused"
    )
    assert ', "orders 1 never named customers" 1\N{MULTIPLICATION SIGN} · never named' in said[4]


def test_a_summary_tells_everything_that_is_known() -> None:
    late = END + timedelta(seconds=0.2)
    said = reports.grant_summary(ended(access_ended_at=late), around()).splitlines()
    assert said == [
        "Access ended and verified: Ana Lima, read_customer_data on shop",
        ASKED,
        "Approved automatically (rule data-owners)",
        "2 sessions from 10.2.3.4 (psql) · 14 statements: 13 SELECT, 1 refused",
        "Read: customers 9\N{MULTIPLICATION SIGN} · never named: orders",
        "Evidence: statement log, complete · ended by the deadline, 0.2 s late, 1 session cut",
        VERIFIED,
    ]


def test_what_whoever_ended_it_says_stands_under_the_summary_as_it_was_written() -> None:
    story = ended(end_comment="`select *` is *slow* <!here>", ended_by_name="Bo Chen")
    said = reports.grant_summary(story, around())
    message = cards.summary(story, said, reports.ender_says(story))
    _, quoted, _ = message.blocks
    assert quoted["text"]["type"] == "plain_text"
    assert quoted["text"]["text"] == "Bo says: `select *` is *slow* <!here>"
    assert message.text.endswith("Bo says: `select *` is *slow* &lt;!here&gt;")
    assert reports.ender_says(ended()) == ""


def test_a_summary_says_when_something_remains() -> None:
    said = reports.grant_summary(ended(residue=("table app.tmp_export",)), around())
    assert said.startswith("Access ended, something remains: Ana Lima")
    assert "Still there: table app.tmp_export" in said
    assert "Verified" not in said


def test_a_summary_says_when_statements_are_unknown() -> None:
    unknown = Activity(evidence=Evidence.NONE, note="the statement log cannot be read")
    story = ended()
    assert story.grant is not None
    grant = replace(story.grant, activity=summary.activity_to_json(unknown))
    said = reports.grant_summary(replace(story, grant=grant), around())
    assert "Statements unknown: the statement log cannot be read" in said


THREAD = [
    (notices.Line.ASKED, {"count": 3}, "Asked, 3 people may decide"),
    (notices.Line.REVIEWED, {"who": "Bo Chen", "count": 1, "needs": 2}, "Bo approves, 1 of 2"),
    (notices.Line.APPROVED, {"who": "Bo Chen", "rule": "x"}, "Approved by Bo"),
    (notices.Line.APPROVED, {"who": None, "rule": "low"}, "Approved automatically (rule low)"),
    (notices.Line.DENIED, {"who": "Bo Chen"}, "Denied by Bo"),
    (notices.Line.CANCELLED, {"who": "Ana Lima"}, "Withdrawn by Ana"),
    (notices.Line.LAPSED, {}, "Lapsed, nobody decided in time"),
    (notices.Line.SUPERSEDED, {"change": "x was added"}, "Superseded: x was added"),
    (notices.Line.LIVE, {"role": "jit_7k2mq4ab"}, "Live as jit_7k2mq4ab"),
    (notices.Line.FAILED, {"why": "The target is full."}, "Nothing was granted: shop is full"),
    (
        notices.Line.ENDED,
        {"cause": "deadline", "cut": 1, "late": 0.3},
        "Ended: time is over, 1 session cut",
    ),
    (notices.Line.ENDED, {"cause": "deadline", "late": 12.2}, "Ended: time is over, 12 s late"),
    (
        notices.Line.ENDED,
        {"cause": "operator", "who": "operator:kim"},
        "Ended: revoked from the command line by kim",
    ),
    (notices.Line.MISSED, {"alarm": "overdue"}, "Overdue: access may still exist."),
    (notices.Line.MISSED, {"alarm": "unclean"}, "Cleanup pending: access has ended,"),
    (notices.Line.MISSED, {"alarm": "unsure"}, "Not certain what exists."),
    (
        notices.Line.UNDONE,
        {"what": ["settings of jit_s_x"]},
        "Taken back, done as the role of this scope: settings of jit_s_x",
    ),
    (
        notices.Line.GIVEN_UP,
        {"who": "kim", "because": "it burnt. All of it", "proven": False},
        "Given up by kim: nothing proves that access has ended (it burnt. All of it)",
    ),
    (
        notices.Line.GIVEN_UP,
        {"who": "kim", "because": "it burnt", "proven": True},
        "Given up by kim: what remains is no longer waited for (it burnt)",
    ),
    (notices.Line.LEFT, {"what": ["table a", "table b"]}, "Still there: table a, table b."),
]


@pytest.mark.parametrize(("line", "data", "words"), THREAD)
def test_a_thread_line_is_one_line_with_its_time(
    line: notices.Line, data: dict[str, object], words: str
) -> None:
    row = {"line": str(line), "at": NOW.isoformat(), **data}
    said = reports.thread(EVERY["active"], row)
    assert said.startswith(f"<!date^1795183200^{{time}}|14:00 UTC> {words}")
    assert "\n" not in said


def test_every_line_there_is_has_words() -> None:
    assert {line for line, _, _ in THREAD} | {notices.Line.DELAYED} == set(notices.Line)


def alarm(**changes: object) -> dict[str, object]:
    """What the outbox holds of one: the first of several grants told by name."""
    names = ("Ana Lima", "Dan Eze")
    told = [
        {"id": f"id{n}", "who": who, "what": "read_orders", "role": f"jit_id{n}", "left": ["x"]}
        for n, who in enumerate(names)
    ]
    data = {
        "id": "a1arm000",
        "alarm": "overdue",
        "state": "raised",
        "over": False,
        "target": "shop",
        "since": NOW.isoformat(),
        "count": 50,
        "error": "The target does not answer.",
        "raised": NOW.isoformat(),
        "by": None,
        "grants": told,
    }
    return data | changes


OF_NO_TARGET = {"unsaid", "ends-only"}


@pytest.mark.parametrize("kind", list(notices.Alarm))
@pytest.mark.parametrize("state", ["raised", "over"])
def test_an_alarm_says_what_is_wrong_and_where(kind: notices.Alarm, state: str) -> None:
    data = alarm(alarm=str(kind), state=state, over=state == "over")
    if kind in {notices.Alarm.SKEW, notices.Alarm.UNSAID}:
        data |= {"grants": [], "count": 0}
    said = reports.alarm(data, NOW, link)
    assert "shop" in said or kind in OF_NO_TARGET
    assert said.startswith("Over: ") is (state == "over")
    assert said.endswith(" · alarm a1arm000")
    assert "\n" not in said


def test_an_alarm_about_many_names_a_few_and_counts_the_rest() -> None:
    said = reports.alarm(alarm(), NOW, link)
    for part in (
        "access of Ana Lima (read_orders), Dan Eze (read_orders) and 48 more to shop",
        "may still exist: shop does not answer",
        "as roles jit_id0, jit_id1 and 48 more",
    ):
        assert part in said


def test_alarms_of_access_that_may_exist_and_of_what_only_remains_have_different_words() -> None:
    overdue, unclean = (
        reports.alarm(alarm(alarm=kind), NOW, link) for kind in ("overdue", "unclean")
    )
    assert "*Overdue:*" in overdue
    assert "may still exist" in overdue
    assert "*Cleanup pending:*" in unclean
    assert "nobody can log in, but x remains" in unclean
    assert "may still" not in unclean


@pytest.mark.parametrize("kind", list(notices.Alarm))
def test_a_card_says_what_is_so_first_and_then_what_to_do(kind: notices.Alarm) -> None:
    head, facts = reports.alarm_card(alarm(alarm=str(kind), gone=3), NOW)
    assert head.startswith("*")
    assert "\n" not in head
    assert "*Do*  " in facts
    if kind in {"overdue", "unsure", "unclean"}:
        assert "*Who*" in facts
        assert "3 more are over meanwhile" in facts


def test_a_card_tells_what_the_other_side_said() -> None:
    error = "The target could not be reached. Nothing is known. (connection refused (port 1))"
    facts = reports.alarm_card(alarm(error=error), NOW)[1]
    assert "*Why*  shop could not be reached (connection refused (port 1))" in facts


def test_a_machine_whose_clock_leapt_is_put_right_and_no_other_takes_over() -> None:
    data = alarm(alarm="skew", target=f"{skew.ITSELF}x", grants=[], count=0)
    head, facts = reports.alarm_card(data, NOW)
    assert "leapt" in head
    assert "put that machine's clock right" in facts
    assert "Do not start the bot on another machine" in facts
    # a restart on the same machine goes on doubting, and does no harm
    assert "restart" not in facts


def test_that_it_is_over_says_when_the_last_ended_and_what_goes_on() -> None:
    over = alarm(state="over", over=True, last=NOW.isoformat(), late=724.0, cleaning=2, live=0)
    said = reports.alarm(over, NOW, link)
    assert "has ended after all, the last at <!date^" in said
    assert "|14:00 UTC>, 12 min late; clean-up of 2 goes on" in said


def test_that_a_target_is_reached_again_says_what_lives_on() -> None:
    over = alarm(alarm="stranded", state="over", over=True, last=NOW.isoformat(), late=0.0, live=2)
    assert "without a connection any more; 2 grants there live on" in reports.alarm(over, NOW, link)


def test_whoever_acknowledges_is_named_and_cannot_forge_a_mention() -> None:
    said = reports.alarm(alarm(state="acknowledged", by="Bo <!channel>"), NOW, link)
    assert said.startswith("Bo knows about this")
    assert "<!channel>" not in said


@pytest.mark.parametrize("line", ["live", "ended", "denied", "failed", "given_up"])
def test_an_audit_line_names_who_and_what_and_links_the_thread(line: str) -> None:
    name = {"live": "active"}.get(line, line)
    data = {"line": line, "at": NOW.isoformat(), "cause": "deadline", "who": None}
    said = reports.audit(EVERY[name], around(), data, link)
    assert "Ana Lima" in said
    assert "read_customer_data on shop" in said
    assert "<https://acme.test/p1|7k2mq4ab>" in said


def test_a_finding_says_what_is_so_and_what_to_do() -> None:
    data = {
        "kind": "orphan",
        "target": "shop",
        "role": "jit_0000aaaa",
        "grant_id": None,
        "what": "the record knows no grant for it",
        "proposal": "End it: DROP ROLE jit_0000aaaa.",
        "done": "",
    }
    said = reports.finding(data)
    assert "jit_0000aaaa" in said
    assert said.endswith(": the record knows no grant for it. End it: DROP ROLE jit_0000aaaa.")
    assert "shop" in reports.finding({**data, "over": True})


def listed(item: digest.Item) -> digest.Items:
    return digest.Items(count=1, first=(item,))


ITEM = digest.Item(
    request_id="7k2mq4ab",
    requester_id="U0ANA",
    requester_name="Ana Lima",
    target="shop",
    entitlement="write_logs",
    took=timedelta(minutes=47),
)
DIGEST = digest.Digest(
    since=datetime(2026, 11, 20, 8, 0, tzinfo=UTC),
    until=datetime(2026, 11, 21, 8, 0, tzinfo=UTC),
    zone="Europe/Berlin",
    active=listed(replace(ITEM, took=None, until=datetime(2026, 11, 20, 15, 0, tzinfo=UTC))),
    waiting=digest.Items(),
    granting=digest.Items(),
    unsure=digest.Items(),
    ending=0,
    overdue=listed(ITEM),
    pending=listed(replace(ITEM, took=timedelta(minutes=7))),
    granted=31,
    by_rule=19,
    by_people=12,
    denied=3,
    lapsed=1,
    cancelled=0,
    superseded=0,
    failed=0,
    ended=31,
    late=listed(ITEM),
    slowest=timedelta(seconds=0.4),
    longest_waits=listed(ITEM),
    unused=digest.Items(),
    by_entitlement=(),
    findings=(),
    events=12918,
    head="9f3c21aa04e1" + "0" * 52,
)


def test_the_digest_is_figures_one_can_act_on() -> None:
    where = "<https://acme.test/p1|7k2mq4ab>"
    assert reports.period(DIGEST, link).splitlines() == [
        "*Database access, Fri 20 Nov 09:00 to Sat 21 Nov 09:00 (Europe/Berlin)*",
        "31 granted (19 by rule, 12 by people) · 3 denied · 1 lapsed · 31 ended · 1 active now",
        f"Late ends: 1 of 32: 47 min (write_logs for Ana, {where})",
        f"*Overdue now, perhaps still with access: 47 min (write_logs for Ana, {where})*",
        f"Access has ended, cleanup pending: 7 min (write_logs for Ana, {where})",
        "Never used: 0 of 31",
        f"Longest wait: 47 min (write_logs for Ana, {where})",
        f"Active now: write_logs for Ana until <!date^1795186800^{{time}}|15:00 UTC> ({where})",
        "Evidence: 12,918 events, chain head 9f3c21aa04e1",
    ]


def test_the_digest_of_a_good_day_has_its_slowest_end_and_no_short_waits() -> None:
    short = replace(ITEM, took=timedelta(seconds=59))
    waits = digest.Items(count=3, first=(ITEM, replace(ITEM, took=timedelta(minutes=1)), short))
    none, until = digest.Items(), DIGEST.since + timedelta(hours=2)
    good = replace(DIGEST, until=until, late=none, overdue=none, longest_waits=waits)
    said = reports.period(good, link).splitlines()
    assert said[0] == "*Database access, Fri 20 Nov 09:00 to 11:00 (Europe/Berlin)*"
    assert said[2] == "Late ends: 0 of 31, slowest 0.4 s"
    (told,) = [line for line in said if line.startswith("Longest wait")]
    assert (told.count("47 min"), told.count("1 min"), told.count("59 s")) == (1, 1, 0)
    assert "wait: 59 s" in reports.period(replace(good, longest_waits=listed(short)), link)


def test_a_link_cannot_be_broken_out_of() -> None:
    assert render.link("https://x|y> <!channel>", "a|b<") == "<https://xy!channel|a|b&lt;>"
    assert render.link("", "its thread") == "its thread"


def test_stories_of_the_tests_cover_every_state() -> None:
    assert set(EVERY) == {str(each) for each in stories.words.State}
