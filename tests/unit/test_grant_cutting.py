"""When the looking for sessions may stop, told by a link that answers from a script."""

import re
from datetime import UTC, datetime
from typing import Any

from db_grants.postgres import closing
from db_grants.spec import ManagedRole

ROLE = ManagedRole(grant_id="abcd1234", name="jit_abcd1234", oid=7)
OTHER = ManagedRole(grant_id="abcd1235", name="jit_abcd1235", oid=8)
OURS = {
    "oid": 7,
    "pid": 40,
    "application": "psql",
    "client": None,
    "started_at": datetime(2026, 11, 22, tzinfo=UTC),
    "cut": True,
}
THEIRS = OURS | {"oid": 8, "pid": 41}


class ScriptedLink:
    """Answers each look with the next of its script: (arriving pids, sessions, known pids)."""

    def __init__(self, *looks: tuple[list[int], list[dict[str, Any]], list[int]]) -> None:
        self.looks = list(looks)
        self.seconds_left = 10.0
        self.asked: list[list[int]] = []  # OIDs, look by look

    def ask(self, *statements: Any) -> list[list[dict[str, Any]]]:
        about = re.search(r"ANY \('{([\d,]+)}'", statements[1].as_string(None))
        assert about is not None
        self.asked.append([int(oid) for oid in about[1].split(",")])
        arriving, sessions, known = self.looks.pop(0)
        return [[{"pid": pid} for pid in arriving], sessions, [{"pid": pid} for pid in known]]


def cut(
    link: ScriptedLink, *roles: ManagedRole, patience: float | None = None
) -> tuple[int, set[int]]:
    """How many were cut, and of which roles some may still be there."""
    work = closing._Closing(
        None,  # type: ignore[arg-type]
        link,  # type: ignore[arg-type]
        lambda: datetime.now(UTC),
        patience=patience,
    )
    found, alive = work._cut_until_none(roles or [ROLE])
    return sum(map(len, found.values())), alive


def test_one_look_will_do_when_nobody_can_be_on_their_way() -> None:
    link = ScriptedLink(([5, 6], [], [5, 6]))
    assert cut(link) == (0, set())
    assert link.looks == []


def test_a_login_under_way_is_waited_for() -> None:
    link = ScriptedLink(([9], [], []), ([9], [OURS], [9]), ([], [], []))
    assert cut(link) == (1, set())
    assert link.looks == []


def test_cutting_goes_on_until_a_look_finds_none() -> None:
    link = ScriptedLink(([], [OURS], [40]), ([], [OURS], [40]), ([], [], []))
    assert cut(link) == (1, set())


def test_a_login_that_never_comes_to_an_end_does_not_hold_us_for_ever() -> None:
    link = ScriptedLink(*[([9], [], [])] * 4)
    assert cut(link) == (0, set())
    assert link.looks == []


def test_without_time_left_the_access_is_not_called_ended() -> None:
    link = ScriptedLink(([], [OURS], [40]))
    link.seconds_left = 0.0
    assert cut(link) == (1, {7})


def test_of_several_only_those_are_looked_for_that_were_still_there() -> None:
    link = ScriptedLink(([], [OURS, THEIRS], []), ([], [THEIRS], []), ([], [], []))
    assert cut(link, ROLE, OTHER) == (2, set())
    assert link.asked == [[7, 8], [7, 8], [8]]


def test_one_of_several_that_does_not_go_is_told_and_does_not_hold_the_others_up() -> None:
    link = ScriptedLink(*[([], [THEIRS], [])] * 100)
    assert cut(link, ROLE, OTHER, patience=0.05) == (1, {8})
    assert link.looks


def test_with_a_login_under_way_none_of_several_is_called_ended() -> None:
    link = ScriptedLink(([9], [THEIRS], []), ([], [THEIRS, OURS], []), ([], [], []))
    assert cut(link, ROLE, OTHER) == (2, set())
    assert link.asked == [[7, 8], [7, 8], [7, 8]]
