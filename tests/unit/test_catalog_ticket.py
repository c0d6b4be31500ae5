"""The ticket at the beginning of a justification."""

import pytest

from bot.catalog import ticket

PATTERN = "[A-Z]+-[0-9]+"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("INC-4412: export stuck", "INC-4412"),
        ("INC-4412", "INC-4412"),
        ("  INC-4412 x", "INC-4412"),
        ("see INC-4412", None),
        ("INC-4412abc", None),
        ("INC-", None),
        ("", None),
    ],
)
def test_must_be_first_and_whole(text, found):
    assert ticket.find(PATTERN, text) == found


@pytest.mark.parametrize(
    ("pattern", "text", "bare"),
    [
        (PATTERN, "INC-4412", True),
        (PATTERN, " INC-4412: ", True),
        (PATTERN, "INC-4412, OPS-17", True),
        (PATTERN, "INC-4412 https://tickets.acme.test/INC-4412", True),
        (PATTERN, "INC-4412 …", True),
        (PATTERN, "INC-4412: export stuck", False),
        (PATTERN, "INC-4412 (出荷)", False),
        (None, "#4412", True),
        (None, "because", False),
        (".+", "INC-4412", True),
        (f"{PATTERN}$", "INC-4412", False),  # such a pattern lets nothing follow
    ],
)
def test_a_ticket_alone_is_told_from_a_reason_in_words(pattern, text, bare):
    assert ticket.is_bare(pattern, text) is bare


def test_alternatives_are_taken_as_a_whole():
    assert ticket.find("INC|OPS-[0-9]+", "OPS-12 x") == "OPS-12"
    assert ticket.find("INC|OPS-[0-9]+", "xOPS-12") is None


@pytest.mark.parametrize(
    ("pattern", "like"),
    [
        (PATTERN, "INC-4412"),
        ("OPS-[0-9]+", "OPS-4412"),
        (r"#\d+", "#4412"),
        (r"CHG[0-9]{7}", "CHG4412441"),
        ("^[a-z]+/[0-9]+$", "inc/4412"),
        ("(?:INC|OPS)-[0-9]+", "INC-4412"),
        ("[^ ]+", "INC"),
        ("INC-[0-9]+(?=:)", None),
    ],
)
def test_an_example_is_derived_only_when_it_fits(pattern, like):
    assert ticket.example(pattern) == like
