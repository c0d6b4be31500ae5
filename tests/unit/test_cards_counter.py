"""One deed, one effect: deliveries seen before, and choices overtaken by newer ones."""

from bot.slack import counter


def test_a_delivery_counts_once_for_ten_minutes() -> None:
    now = [0.0]
    once = counter.Once(lambda: now[0])
    assert once.first("a")
    assert not once.first("a")
    now[0] = counter.REMEMBERED - 1
    assert not once.first("a")
    now[0] = counter.REMEMBERED + 1
    assert once.first("a")


def test_memory_of_deliveries_is_bounded() -> None:
    once = counter.Once(lambda: 0.0)
    for number in range(30_000):
        once.first(str(number))
    assert len(once._seen) <= 20_002


def test_only_the_newest_choice_is_drawn() -> None:
    turns, drawn = counter.Turns(), []
    older = turns.take("V1", "1.0")
    newer = turns.take("V1", "2.0")
    newer(lambda: drawn.append("newer"))
    older(lambda: drawn.append("older"))
    assert drawn == ["newer"]


def test_windows_do_not_wait_for_each_other() -> None:
    turns, drawn = counter.Turns(), []
    one, other = turns.take("V1", "5.0"), turns.take("V2", "1.0")
    one(lambda: other(lambda: drawn.append("other")))
    assert drawn == ["other"]
