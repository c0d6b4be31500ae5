"""The documents are part of the product: what they name must exist."""

import pathlib
import re

import pytest

from bot import catalog, model

ROOT = pathlib.Path(__file__).parent.parent
TOLD_AS_A_WHOLE = {"audit", "catalog", "cli", "demo", "slack", "store"}
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_inside_the_project_leads_somewhere(page: pathlib.Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    inside = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in inside if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_make_target_that_is_named_exists(page: pathlib.Path) -> None:
    code = "\n".join(re.findall(r"```.*?```|`[^`]+`", page.read_text(encoding="utf-8"), re.DOTALL))
    named = set(re.findall(r"\bmake ([a-z-]+)", code))
    made = set(re.findall(r"^([a-z-]+):", _text("Makefile"), re.MULTILINE))
    assert named - made == set()


def test_the_readme_catalog_is_a_real_one_of_at_most_twelve_lines() -> None:
    example = re.search(r"```yaml\n(.*?)```", _text("README.md"), re.DOTALL)
    assert example is not None
    assert len(example[1].strip().splitlines()) <= 12
    assert list(catalog.loads(example[1], "README.md").entitlements) == ["read_customer_data"]


def test_the_catalog_of_the_demo_is_valid() -> None:
    loaded = catalog.load(ROOT / "bot/demo/catalog.yml")
    assert {"read_customer_data", "write_logs"} <= set(loaded.entitlements)


def test_the_architecture_page_names_every_state() -> None:
    page = _text("docs/architecture.md")
    states = [*model.RequestStatus, *model.GrantStatus]
    assert [state.name for state in states if state.name not in page] == []


def test_the_architecture_page_names_every_room() -> None:
    page = _text("docs/architecture.md")
    rooms = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "bot").iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists())
        and path.name not in ("__init__.py", "__main__.py")
    ]
    assert [room for room in rooms if f"`{room}" not in page] == []


def test_the_architecture_page_names_every_door_of_the_middle_rooms() -> None:
    page = _text("docs/architecture.md")
    doors = [
        f"{path.parent.name}/{path.stem}"
        for path in (ROOT / "bot").glob("*/*.py")
        if path.parent.name not in TOLD_AS_A_WHOLE and path.name != "__init__.py"
    ]
    assert len(doors) > 20
    assert [door for door in doors if f"`{door}`" not in page] == []
