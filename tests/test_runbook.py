"""The runbook knows every alarm, finding and warning that the product can raise."""

import ast
import pathlib
import re
from collections.abc import Iterator

from bot.audit import findings
from bot.slack import alarm
from bot.telling.notices import Alarm

ROOT = pathlib.Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
LOUD = {"warning", "error", "critical", "exception", "log"}


def logged() -> Iterator[str]:
    """Every event that is logged as a warning or worse."""
    for package in ("bot", "db_grants"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                yield from _event(node)


def _event(node: ast.AST) -> Iterator[str]:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
        return
    if ast.unparse(node.func.value) == "_log" and node.func.attr in LOUD:
        words = [a.value for a in node.args if isinstance(a, ast.Constant)]
        yield from (str(word) for word in words[:1])


def missing(names: set[str]) -> list[str]:
    told = set(re.findall(r"`([^`\n]+)`", PAGE))
    return sorted(names - told)


def test_every_alarm_has_an_entry() -> None:
    assert missing({str(kind) for kind in Alarm}) == []


def test_every_alarm_card_names_an_entry_that_is_there() -> None:
    headings = {line.lstrip("# ") for line in PAGE.splitlines() if line.startswith("#")}
    assert set(alarm.RUNBOOK) == set(Alarm)
    assert set(alarm.RUNBOOK.values()) <= headings


def test_every_finding_has_an_entry() -> None:
    assert missing({str(kind) for kind in findings.Kind}) == []


def test_every_warning_has_an_entry() -> None:
    events = set(logged())
    assert len(events) > 30
    assert missing(events) == []


def test_every_command_of_the_page_is_typed_by_a_test() -> None:
    """A fenced command stands under a heading whose commands are run as written."""
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_runbook_*.py"))
    heading, untried = "", []
    for line in PAGE.splitlines():
        heading = line.lstrip("# ") if line.startswith("#") else heading
        if line.strip() in {"```sh", "```sql"} and f'commands("{heading}"' not in tests:
            untried.append(heading)
    assert untried == []
