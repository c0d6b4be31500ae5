"""What `/jit …` means."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.slack import command

OFFERED = ("read_customer_data", "write_logs")


def parse(text: str) -> command.Command:
    return command.parse(text, OFFERED)


def test_nothing_asks_with_an_empty_form() -> None:
    assert parse("  ") == command.Ask()


def test_complete_arguments_are_complete() -> None:
    asked = parse("read_customer_data 30m INC-4412: export: stuck")
    assert asked == command.Ask(
        entitlement="read_customer_data",
        duration=timedelta(minutes=30),
        why="INC-4412: export: stuck",
    )
    assert isinstance(asked, command.Ask)
    assert asked.complete


@pytest.mark.parametrize(
    ("text", "minutes", "why"),
    [
        ("write_logs 1h30m because", 90, "because"),
        ("write_logs 20 because", 20, "because"),
        ("write_logs 20 min because", 20, "because"),
        ("write_logs 2 hours because", 120, "because"),
        ("WRITE_LOGS 45M x", 45, "x"),
    ],
)
def test_durations_as_people_write_them(text: str, minutes: int, why: str) -> None:
    asked = parse(text)
    assert asked == command.Ask(
        entitlement="write_logs", duration=timedelta(minutes=minutes), why=why
    )


@pytest.mark.parametrize(
    "text", ["write_logs", "write_logs 30m", "write_logs INC-1 why", "read_customer_data  "]
)
def test_partial_arguments_are_not_complete(text: str) -> None:
    asked = parse(text)
    assert isinstance(asked, command.Ask)
    assert not asked.complete


@pytest.mark.parametrize("what", sorted(command.SHOWN))
def test_lists(what: str) -> None:
    assert parse(what.upper()) == command.Show(what=what)


@pytest.mark.parametrize("text", ["?", "-h", "--help"])
def test_help_is_found_as_elsewhere(text: str) -> None:
    assert parse(text) == command.Show(what="help")


def test_a_reason_may_begin_with_a_number() -> None:
    found = parse("write_logs 4412: the export is stuck")
    assert found == command.Ask(entitlement="write_logs", why="4412: the export is stuck")


def test_a_list_is_shown_whatever_is_written_behind_it() -> None:
    assert parse("help me") == command.Show(what="help")
    taken = command.parse("mine 30m because", ("mine",))
    assert taken == command.Ask(entitlement="mine", duration=timedelta(minutes=30), why="because")


def test_revoke_takes_an_id_or_a_role_and_a_comment() -> None:
    assert parse("revoke 7k2mq4ab") == command.Revoke(id="7k2mq4ab")
    assert parse("revoke `jit_7k2mq4ab` too long") == command.Revoke(
        id="7k2mq4ab", comment="too long"
    )
    assert isinstance(parse("revoke"), command.Wrong)
    assert isinstance(parse("revoke ../../x"), command.Wrong)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("read_custmer_data 30m x", "Did you mean read_customer_data?"),
        ("halp", "Did you mean help?"),
        ("zzz", "You may request read_customer_data, write_logs. See /jit help."),
        ("write_logs 99999h x", "is longer than"),
        ("write_logs 0 x", "is no time at all"),
        ("write_logs 1,5h x", "'1,5h' is not a duration; write it like 30m"),
        ("write_logs 1:30 x", "'1:30' is not a duration; write it like 30m"),
        ("write_logs -5m x", "'-5m' is not a duration; write it like 30m"),
        ("write_logs \u22125m", "write it like 30m"),
        ("write_logs -1 h x", "'-1' is not a duration"),
    ],
)
def test_what_is_wrong_is_said_with_what_was_meant(text: str, words: str) -> None:
    found = parse(text)
    assert isinstance(found, command.Wrong)
    assert words in found.message


def test_nothing_is_named_to_somebody_who_is_offered_nothing() -> None:
    found = command.parse("read_customer_data 30m x", ())
    assert isinstance(found, command.Wrong)
    assert "write_logs" not in found.message


@given(st.text())
def test_whatever_is_typed_means_something(text: str) -> None:
    found = parse(text)
    if isinstance(found, command.Ask):
        assert found.entitlement in {"", *OFFERED}
    if isinstance(found, command.Wrong):
        assert 0 < len(found.message) < 400
