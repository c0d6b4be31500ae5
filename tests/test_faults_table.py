"""docs/faults.md says what the tests' own markers say: `make faults-table` writes it from them."""

import ast
import collections
import pathlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).parent.parent
PAGE = ROOT / "docs" / "faults.md"
HEAD = """# Faults that were tried

Made by `make faults-table` from the `fault` markers of the tests; a test holds the two equal.
Every row is run by `make test`. Numbers are names, nothing more: F faults of machines and networks,
H hostile or clumsy people with a database login, T messages in Slack that are not what they seem,
C changes of the catalog, R the record changed by hand, A alarms.

What always holds besides, whatever is expected here, is in [architecture.md](architecture.md);
`proof/invariants.py` checks it after every scenario, and `tests/stateful` after every step of
random histories. How often faults at random moments leave anything behind is measured by
`make soak`. What an operator does when something rings is in [runbook.md](runbook.md).

| | what goes wrong | how it is made to | what is expected | shown by |
|---|---|---|---|---|
"""


@dataclass(frozen=True, kw_only=True, order=True)
class Row:
    """One marker."""

    id: str
    what: str
    how: str
    expects: str
    test: str
    path: str


def rows() -> list[Row]:
    """Every marker of every test, by id."""
    found = [row for path in sorted((ROOT / "tests").rglob("test_*.py")) for row in _of(path)]
    return sorted(found, key=lambda row: (*_sorted_by(row.id), row.path, row.test))


def _sorted_by(id_: str) -> tuple[str, int, str]:
    letter, _, rest = id_.partition("-")
    number = re.match(r"\d+", rest)
    assert number is not None, f"a fault is named like F-24, not {id_}"
    return letter, int(number[0]), rest[number.end() :]


def _of(path: pathlib.Path) -> Iterator[Row]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            for given in (d for d in node.decorator_list if _is_marker(d)):
                assert isinstance(given, ast.Call)
                id_, what = (ast.literal_eval(argument) for argument in given.args)
                more = {str(k.arg): ast.literal_eval(k.value) for k in given.keywords}
                where = path.relative_to(ROOT).as_posix()
                yield Row(id=id_, what=what, **more, test=node.name, path=where)


def _is_marker(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.fault"


def page() -> str:
    """The page as it should be."""
    return HEAD + "".join(_line(row) for row in rows())


def _line(row: Row) -> str:
    test = row.test.removeprefix("test_").replace("_", " ")
    cells = (row.id, row.what, row.how, row.expects, f"[{test}](../{row.path})")
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n"


def test_the_page_says_what_the_markers_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make faults-table`"


def test_every_fault_has_a_name_of_its_own() -> None:
    used = collections.Counter(row.id for row in rows())
    assert [id_ for id_, n in used.items() if n > 1] == []


def test_a_fault_test_is_never_skipped() -> None:
    """A table of tests that do not run would lie."""
    skips = {"skip", "skipif", "xfail"}
    for path in {ROOT / row.path for row in rows()}:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and any(map(_is_marker, node.decorator_list)):
                marks = {getattr(getattr(d, "func", d), "attr", "") for d in node.decorator_list}
                assert not marks & skips, f"{node.name} in {path.name} is skipped"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{len(rows())} faults in {PAGE.relative_to(ROOT)}", file=sys.stderr)
