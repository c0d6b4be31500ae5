import pytest

from bot.demo.workspace.page import manifest


def offered(hint: str) -> list[tuple[str, bool]]:
    command = {"command": "/jit", "description": "Ask", "usage_hint": hint}
    found = manifest.completions({"features": {"slash_commands": [command]}})
    return [(each.text, each.done) for each in found]


@pytest.mark.parametrize(
    "hint",
    ["[entitlement 30m why] | mine | revoke ID", "[mine | revoke ID | ENTITLEMENT 30m why]"],
)
def test_the_composer_offers_what_the_usage_hint_lists(hint: str) -> None:
    command, *usages, pattern = offered(hint)
    assert command == ("/jit", True)
    assert usages == [("/jit mine", True), ("/jit revoke ID", False)]
    assert "30m why" in pattern[0]
    assert not pattern[1]


def test_a_command_without_a_hint_is_offered_alone() -> None:
    assert offered("") == [("/jit", True)]


def test_only_global_shortcuts_are_in_the_menu() -> None:
    listed = [
        {"name": "Ask", "type": "global", "callback_id": "ask"},
        {"name": "Of a message", "type": "message", "callback_id": "no"},
    ]
    found = manifest.shortcuts({"features": {"shortcuts": listed}})
    assert [each.callback_id for each in found] == ["ask"]


def test_an_empty_manifest_offers_nothing() -> None:
    assert manifest.completions({}) == []
    assert manifest.shortcuts({"features": None}) == []
