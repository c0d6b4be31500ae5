"""Durations as people write and read them."""

from datetime import timedelta

import hypothesis
import pytest
from hypothesis import strategies

from bot.catalog import duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30m", 1800),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("90 min", 5400),
        ("2 hours", 7200),
        ("2 Hours", 7200),
        ("1.5h", 5400),
        ("45", 2700),
        (45, 2700),
        (" 90s ", 90),
        ("1 day", 86_400),
        ("1h5s", 3605),
    ],
)
def test_is_read_as_people_write_it(text, seconds):
    assert duration.parse(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "0", "0m", "-1", "-30m", "nan", "inf", "1e9", "1h; DROP", "30x", "m", "h1",
        "1h30", "30 30", "٣٠m", "99999999", "1000h", "32d", "0.1s", "1,5h", "--", "1h\0", "∞",  # noqa: RUF001
    ],
)  # fmt: skip
def test_refuses_what_cannot_be_meant(text):
    with pytest.raises(ValueError):
        duration.parse(text)


def test_the_complaint_shows_how_to_write_it_and_is_short():
    with pytest.raises(ValueError, match="write it like 30m, 1h30m or 2 hours") as refused:
        duration.parse("x" * 1000)
    assert len(str(refused.value)) < 130


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (timedelta(minutes=30), "30 min"),
        (timedelta(minutes=90), "1 h 30 min"),
        (timedelta(hours=4), "4 h"),
        (timedelta(hours=24), "24 h"),
        (timedelta(days=2, hours=3), "2 d 3 h"),
        (timedelta(seconds=75), "1 min 15 s"),
        (timedelta(0), "0 s"),
        (timedelta(seconds=-5), "0 s"),
    ],
)
def test_is_told_in_few_words(length, said):
    assert duration.words(length) == said


@hypothesis.given(strategies.integers(min_value=1, max_value=31 * 86_400))
def test_what_is_told_can_be_written_back(seconds):
    length = timedelta(seconds=seconds)
    assert duration.parse(duration.words(length)) == length


@hypothesis.given(strategies.text(max_size=60))
def test_any_text_is_a_sensible_duration_or_refused_in_words(text):
    try:
        length = duration.parse(text)
    except ValueError:
        return
    assert timedelta(seconds=1) <= length <= duration.LONGEST
