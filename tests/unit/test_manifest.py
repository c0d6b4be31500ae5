"""manifest.yml asks for what the bot uses, and for nothing else."""

import pathlib
import re
from typing import Any

import pytest
import slack_sdk
import yaml

from bot.slack import app, counter, ids, listeners

ROOT = pathlib.Path(__file__).parents[2]
SCOPES = {  # https://docs.slack.dev/reference/methods, each method's own page
    "chat_postMessage": {"chat:write"},
    "chat_postEphemeral": {"chat:write"},
    "chat_update": {"chat:write"},
    "chat_delete": {"chat:write"},
    "users_info": {"users:read", "users:read.email"},
    "users_lookupByEmail": {"users:read.email"},
    "usergroups_list": {"usergroups:read"},
    "usergroups_users_list": {"usergroups:read"},
    "conversations_members": {"channels:read", "groups:read"},
    "conversations_list": {"channels:read", "groups:read"},
    "conversations_info": {"channels:read", "groups:read"},
    "users_conversations": {"channels:read", "groups:read"},
    "views_open": set(),
    "views_push": set(),
    "views_update": set(),
    "views_publish": set(),
    "auth_test": set(),
    "apps_connections_open": set(),
}


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "manifest.yml").read_text())


def used_methods() -> set[str]:
    text = "\n".join(path.read_text() for path in (ROOT / "bot" / "slack").glob("*.py"))
    return {name for name in re.findall(r"client\.(\w+)", text) if "_" in name} & {
        name for name in dir(slack_sdk.WebClient) if not name.startswith("_")
    }


def test_scopes_are_those_of_the_methods_used(manifest: dict[str, Any]) -> None:
    needed = {"commands"} | {scope for name in used_methods() for scope in SCOPES[name]}
    assert set(manifest["oauth_config"]["scopes"]["bot"]) == needed


def test_every_method_in_the_table_is_used() -> None:
    assert used_methods() == set(SCOPES)


def test_there_is_no_url_and_no_user_scope(manifest: dict[str, Any]) -> None:
    assert "url" not in str(manifest).lower()
    assert set(manifest["oauth_config"]["scopes"]) == {"bot"}
    assert manifest["settings"]["socket_mode_enabled"] is True


def test_commands_shortcuts_and_events_are_those_listened_to(manifest: dict[str, Any]) -> None:
    features = manifest["features"]
    assert [each["command"] for each in features["slash_commands"]] == [ids.COMMAND]
    assert [each["callback_id"] for each in features["shortcuts"]] == [ids.SHORTCUT]
    assert manifest["settings"]["event_subscriptions"]["bot_events"] == list(listeners.EVENTS)
    assert manifest["settings"]["interactivity"]["is_enabled"] is True


def test_texts_are_as_short_as_slack_wants_them(manifest: dict[str, Any]) -> None:
    display = manifest["display_information"]
    assert len(display["name"]) <= 35
    assert len(display["description"]) <= 140
    assert all(len(each["name"]) <= 24 for each in manifest["features"]["shortcuts"])


def test_a_socket_never_waits_longer_than_slack_does() -> None:
    assert counter.PATIENCE < 3
    assert app.DOORS >= 8
