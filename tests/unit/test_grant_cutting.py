"""When the looking for sessions may stop, told by a link that answers from a script."""

from datetime import UTC, datetime
from typing import Any

import pytest

from db_grants import errors
from db_grants.postgres import ending
from db_grants.spec import ManagedRole

ROLE = ManagedRole(grant_id="abcd1234", name="jit_abcd1234", oid=7)
OURS = {
    "pid": 40,
    "application": "psql",
    "client": None,
    "started_at": datetime(2026, 11, 22, tzinfo=UTC),
    "cut": True,
}


class ScriptedLink:
    """Answers each look with the next of its script: (arriving pids, sessions, known pids)."""

    def __init__(self, *looks: tuple[list[int], list[dict[str, Any]], list[int]]) -> None:
        self.looks = list(looks)
        self.seconds_left = 10.0

    def ask(self, *_statements: object) -> list[list[dict[str, Any]]]:
        arriving, sessions, known = self.looks.pop(0)
        return [[{"pid": pid} for pid in arriving], sessions, [{"pid": pid} for pid in known]]


def cut(link: ScriptedLink) -> int:
    return len(ending._cut_until_none(link, ROLE))  # type: ignore[arg-type]


def test_one_look_will_do_when_nobody_can_be_on_their_way() -> None:
    link = ScriptedLink(([5, 6], [], [5, 6]))
    assert cut(link) == 0
    assert link.looks == []


def test_a_login_under_way_is_waited_for() -> None:
    link = ScriptedLink(([9], [], []), ([9], [OURS], [9]), ([], [], []))
    assert cut(link) == 1
    assert link.looks == []


def test_cutting_goes_on_until_a_look_finds_none() -> None:
    link = ScriptedLink(([], [OURS], [40]), ([], [OURS], [40]), ([], [], []))
    assert cut(link) == 1


def test_a_login_that_never_comes_to_an_end_does_not_hold_us_for_ever() -> None:
    link = ScriptedLink(*[([9], [], [])] * 4)
    assert cut(link) == 0
    assert link.looks == []


def test_without_time_left_the_access_is_not_called_ended() -> None:
    link = ScriptedLink(([], [OURS], [40]))
    link.seconds_left = 0.0
    with pytest.raises(errors.StillAlive):
        cut(link)
