"""What the app is told of what people do, in exactly Slack's shapes."""

from collections.abc import Sequence

from bot.demo.workspace import people, state, things, views

TOKEN = "local"  # noqa: S105 # the obsolete verification token, which nobody may rely on


def team() -> things.Json:
    """The workspace."""
    return {"id": people.TEAM, "domain": people.TEAM_DOMAIN}


def person(user: people.User) -> things.Json:
    """Who acted, as interactive payloads name them."""
    return {"id": user.id, "username": user.name, "name": user.name, "team_id": user.team}


def message(said: things.Message) -> things.Json:
    """A message as payloads and API answers show it."""
    told: things.Json = {
        "type": "message",
        "user": said.user,
        "ts": said.ts,
        "team": people.TEAM,
        "text": said.text,
    }
    if said.user == people.BOT:
        told |= {"bot_id": people.BOT_ID, "app_id": people.APP}
    if said.blocks:
        told["blocks"] = list(said.blocks)
    for key in ("attachments", "files"):
        if getattr(said, key):
            told[key] = list(getattr(said, key))
    if said.thread_ts is not None:
        told["thread_ts"] = said.thread_ts
    if said.edited_ts is not None:
        told["edited"] = {"user": said.user, "ts": said.edited_ts}
    if said.metadata is not None:
        told["metadata"] = said.metadata
    return told


def _common(kind: str, user: people.User) -> things.Json:
    return {
        "type": kind,
        "user": person(user),
        "api_app_id": people.APP,
        "token": TOKEN,
        "team": team(),
        "enterprise": None,
        "is_enterprise_install": False,
    }


def _channel(place: people.Channel) -> things.Json:
    return {"id": place.id, "name": "directmessage" if place.is_im else place.name}


def slash(
    user: people.User, place: people.Channel, typed: str, trigger_id: str, response_url: str
) -> things.Json:
    """A slash command, as typed."""
    command, _, rest = typed.strip().partition(" ")
    return {
        "token": TOKEN,
        "team_id": people.TEAM,
        "team_domain": people.TEAM_DOMAIN,
        "channel_id": place.id,
        "channel_name": _channel(place)["name"],
        "user_id": user.id,
        "user_name": user.name,
        "command": command,
        "text": rest.strip(),
        "api_app_id": people.APP,
        "is_enterprise_install": "false",
        "response_url": response_url,
        "trigger_id": trigger_id,
    }


def message_container(said: things.Message) -> things.Json:
    """Where on a message something was done."""
    container: things.Json = {
        "type": "message",
        "message_ts": said.ts,
        "channel_id": said.channel,
        "is_ephemeral": said.is_ephemeral,
    }
    if said.thread_ts is not None:
        container["thread_ts"] = said.thread_ts
    return container


def message_actions(
    user: people.User,
    place: people.Channel,
    said: things.Message,
    actions: Sequence[things.Json],
    trigger_id: str,
    response_url: str,
) -> things.Json:
    """Something was pressed or chosen in a message. Of an ephemeral one the app is not told the text."""
    told = _common("block_actions", user) | {
        "container": message_container(said),
        "trigger_id": trigger_id,
        "channel": _channel(place),
        "state": {"values": said.values},
        "response_url": response_url,
        "actions": list(actions),
    }
    if not said.is_ephemeral:
        told["message"] = message(said)
    return told


def view_actions(
    user: people.User, view: things.View, actions: Sequence[things.Json], trigger_id: str
) -> things.Json:
    """Something was pressed or chosen in a modal or Home."""
    return _common("block_actions", user) | {
        "container": {"type": "view", "view_id": view.id},
        "trigger_id": trigger_id,
        "view": views.told(view),
        "actions": list(actions),
    }


def view_submission(user: people.User, view: things.View, trigger_id: str) -> things.Json:
    """A modal was submitted."""
    return _common("view_submission", user) | {
        "trigger_id": trigger_id,
        "view": views.told(view),
        "response_urls": [],
    }


def view_closed(user: people.User, view: things.View, *, is_cleared: bool) -> things.Json:
    """A modal was closed."""
    return _common("view_closed", user) | {"view": views.told(view), "is_cleared": is_cleared}


def shortcut(user: people.User, callback_id: str, trigger_id: str, action_ts: str) -> things.Json:
    """A global shortcut was used."""
    return _common("shortcut", user) | {
        "callback_id": callback_id,
        "trigger_id": trigger_id,
        "action_ts": action_ts,
    }


def message_shortcut(
    user: people.User,
    place: people.Channel,
    said: things.Message,
    callback_id: str,
    trigger_id: str,
    response_url: str,
) -> things.Json:
    """A shortcut of a message's menu was used."""
    return _common("message_action", user) | {
        "callback_id": callback_id,
        "trigger_id": trigger_id,
        "response_url": response_url,
        "action_ts": said.ts,
        "message_ts": said.ts,
        "channel": _channel(place),
        "message": message(said),
    }


def home_opened(user: str, conversation: str, tab: str, home: things.View | None) -> things.Json:
    """The event of somebody opening the app's Home."""
    event = {"type": "app_home_opened", "user": user, "channel": conversation, "tab": tab}
    return event | ({"view": views.told(home)} if home is not None else {})


def said_event(places: state.State, said: things.Message) -> things.Json:
    """The event of somebody writing to the bot."""
    place = places.channels[said.channel]
    return message(said) | {
        "channel": place.id,
        "channel_type": "im" if place.is_im else "channel",
        "event_ts": said.ts,
    }


def suggestion(
    user: people.User, action_id: str, block_id: str, typed: str, where: things.Json
) -> things.Json:
    """Somebody types into a type-ahead select. `where` holds container and view, or message."""
    return _common("block_suggestion", user) | {
        "action_id": action_id,
        "block_id": block_id,
        "value": typed,
        **where,
    }


def suggestion_in_view(view: things.View) -> things.Json:
    """Where a suggestion is asked for, when that is a modal or Home."""
    return {"container": {"type": "view", "view_id": view.id}, "view": views.told(view)}


def suggestion_in_message(place: people.Channel, said: things.Message) -> things.Json:
    """Where a suggestion is asked for, when that is a message."""
    return {
        "container": message_container(said),
        "channel": _channel(place),
        "message": message(said),
    }
