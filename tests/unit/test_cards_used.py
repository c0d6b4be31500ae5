"""What a summary says of what was done, by the kinds of statements; and what a holder reads at the end."""

from dataclasses import replace

import pytest

from bot.audit import summary
from bot.slack import cards, reports
from db_grants.spec import Evidence
from tests.unit.stories import EVERY, around
from tests.unit.test_cards_reports import ACTIVITY, ended

TOUCHED = "Touched: customers 9\N{MULTIPLICATION SIGN} · never named: orders"


@pytest.mark.parametrize(
    ("kinds", "line"),
    [
        (
            ("SELECT", "TRANSACTION", "SET"),
            "Read: customers 9\N{MULTIPLICATION SIGN} · never named: orders",
        ),
        (("SELECT", "UPDATE"), TOUCHED),
        (("SELECT", "CALL", "DO"), f"{TOUCHED} · what CALL or DO reached is not known"),
    ],
)
def test_a_summary_says_read_only_where_nothing_else_was_done_that_it_knows(
    kinds: tuple[str, ...], line: str
) -> None:
    statements = tuple(replace(ACTIVITY.statements[0], kind=kind) for kind in kinds)
    activity = replace(ACTIVITY, statements=statements, counts=tuple((kind, 1) for kind in kinds))
    story = ended()
    assert story.grant is not None
    grant = replace(story.grant, activity=summary.activity_to_json(activity))
    assert line in reports.grant_summary(replace(story, grant=grant), around()).splitlines()
    bare = replace(activity, tables=(), evidence=Evidence.PARTIAL_LOG)
    grant = replace(story.grant, activity=summary.activity_to_json(bare))
    said = reports.grant_summary(replace(story, grant=grant), around()).splitlines()
    assert ("What CALL or DO reached is not known" in said) == ("DO" in kinds)


@pytest.mark.parametrize(
    ("tables", "line"),
    [
        ((("app.orders", 1), ("orders", 2)), "Read: orders 3x"),
        ((("orders", 2),), "Read: orders 2x"),
        (
            (("app.orders", 2), ("old.orders", 1), ("orders", 1)),
            "Read: app.orders 2x, old.orders 1x, orders 1x",
        ),
        ((("nobodys", 1), ("old.orders", 1)), "Read: nobodys 1x, orders 1x"),
    ],
)
def test_a_table_is_told_once_by_whatever_name_it_was_read(
    tables: tuple[tuple[str, int], ...], line: str
) -> None:
    activity = replace(ACTIVITY, tables=tables, evidence=Evidence.PARTIAL_LOG)
    story = ended()
    assert story.grant is not None
    grant = replace(story.grant, activity=summary.activity_to_json(activity))
    said = reports.grant_summary(replace(story, grant=grant), around())
    assert line in said.replace("\N{MULTIPLICATION SIGN}", "x").splitlines()


def test_who_holds_what_is_overdue_reads_one_sentence() -> None:
    said = cards.live(EVERY["overdue"], around()).text
    assert said.startswith("read_customer_data on shop should have ended at <!date^")
    assert said.endswith("Trying again until it is gone.")
