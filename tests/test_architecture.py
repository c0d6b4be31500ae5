"""The rules of the house that no import layer can express. The layers are checked by import-linter."""

import ast
import pathlib
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parent.parent
SOURCES = sorted(
    path
    for package in ("bot", "db_grants")
    for path in (ROOT / package).rglob("*.py")
    if "migrations" not in path.parts
)

HOMES = {
    "slack_bolt": ("bot/slack", "bot/app.py", "bot/demo"),
    "slack_sdk": ("bot/slack", "bot/app.py", "bot/demo"),
    "psycopg": ("db_grants", "bot/demo"),
    "sqlalchemy": ("bot/store", "bot/app.py"),
    "alembic": ("bot/store",),
    "apscheduler": ("bot/scheduler.py", "bot/app.py"),
    "jinja2": ("bot/telling/render.py", "bot/demo"),
    "starlette": ("bot/demo",),
    "uvicorn": ("bot/demo",),
    "typer": ("bot/cli",),
    "pydantic": ("bot/catalog",),
    "yaml": ("bot/catalog", "bot/demo/launch.py"),
}
EXECUTES = ("execute", "executemany", "exec_params", "text", "exec_driver_sql")


def _name(path: pathlib.Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _tree(path: pathlib.Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("library", HOMES)
def test_a_library_is_used_only_in_its_own_rooms(library: str) -> None:
    strangers = [
        _name(path)
        for path in SOURCES
        if any(name.split(".")[0] == library for name in _imports(_tree(path)))
        and not _name(path).startswith(HOMES[library])
    ]
    assert strangers == []


def test_the_local_workspace_is_a_slack_and_knows_nothing_of_our_bot() -> None:
    strangers = {
        (_name(path), name)
        for path in SOURCES
        if _name(path).startswith("bot/demo/workspace/")
        for name in _imports(_tree(path))
        if name.split(".")[0] in ("bot", "db_grants")
        and name not in ("bot", "bot.demo")
        and not name.startswith("bot.demo.workspace")
    }
    assert strangers == set()


def _built(argument: ast.expr) -> bool:
    """Whether an SQL argument is made by string arithmetic."""
    if isinstance(argument, ast.JoinedStr):
        return True
    if isinstance(argument, ast.BinOp):
        return isinstance(argument.op, ast.Mod | ast.Add)
    if not isinstance(argument, ast.Call) or not isinstance(argument.func, ast.Attribute):
        return False
    receiver = argument.func.value
    return argument.func.attr == "format" and isinstance(receiver, ast.Constant)


def _built_sql(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in EXECUTES and _built(node.args[0]):
                yield node.lineno


@pytest.mark.parametrize(
    "code",
    [
        'c.execute(f"DROP ROLE {name}")',
        'c.execute("DROP ROLE %s" % name)',
        'c.execute("DROP ROLE " + name)',
        'c.execute("DROP ROLE {}".format(name))',
        'sa.text(f"select {x}")',
    ],
)
def test_the_check_for_built_sql_finds_every_way_to_build_it(code: str) -> None:
    assert list(_built_sql(ast.parse(code))) == [1]


def test_no_sql_is_built_from_strings() -> None:
    found = [f"{_name(path)}:{line}" for path in SOURCES for line in _built_sql(_tree(path))]
    assert found == []


def test_nothing_unpickles_or_evaluates() -> None:
    banned = {"pickle", "marshal", "shelve"}
    found = [
        _name(path)
        for path in SOURCES
        if banned & {name.split(".")[0] for name in _imports(_tree(path))}
        or any(
            isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("eval", "exec")
            for node in ast.walk(_tree(path))
        )
    ]
    assert found == []


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    tests = sorted((ROOT / "tests").rglob("*.py"))
    long = [
        f"{_name(path)}: {lines}"
        for path in (*SOURCES, *tests)
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    ]
    assert long == []
