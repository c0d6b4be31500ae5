"""conversations.* and users.conversations."""

from collections.abc import Mapping

from bot.demo.workspace import acts, payloads, people, refusal, things
from bot.demo.workspace.methods import arguments


def told(workspace: acts.Workspace, channel: people.Channel) -> things.Json:
    """A channel as the API shows it."""
    if channel.is_im:
        other = next(iter(channel.members - {people.BOT}))
        deleted = workspace.users[other].deleted
        return {"id": channel.id, "is_im": True, "user": other, "is_user_deleted": deleted}
    return {
        "id": channel.id,
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": not channel.is_private,
        "is_group": channel.is_private,
        "is_im": False,
        "is_mpim": False,
        "is_private": channel.is_private,
        "is_archived": channel.is_archived,
        "is_general": channel.name == "general",
        "is_member": people.BOT in channel.members,
        "is_shared": channel.is_shared,
        "is_ext_shared": channel.is_shared,
        "is_org_shared": False,
        "is_pending_ext_shared": False,
        "context_team_id": people.TEAM,
        "topic": {"value": channel.topic, "creator": "", "last_set": 0},
        "purpose": {"value": channel.topic, "creator": "", "last_set": 0},
    }


def open_(workspace: acts.Workspace, args: things.Json) -> things.Json:
    """Open the conversation with one person."""
    if args.get("channel"):
        return {"channel": told(workspace, arguments.place(workspace, str(args["channel"])))}
    users = [one for one in str(args.get("users") or "").split(",") if one]
    if not users:
        raise refusal.Refused("users_list_not_supplied")
    if len(users) > 1:
        raise refusal.Refused("too_many_users")
    person = workspace.users.get(users[0])
    if person is None or person.id in (people.BOT, people.SLACKBOT):
        raise refusal.Refused("user_not_found")
    if person.deleted:
        raise refusal.Refused("user_disabled")
    was_open = "D0" + person.id[2:] in workspace.channels
    channel = {"id": workspace.dm(person.id)}
    return {"channel": channel, "already_open": was_open, "no_op": was_open}


def info(workspace: acts.Workspace, args: things.Json) -> things.Json:
    """What a channel is."""
    channel = arguments.place(workspace, arguments.need(args, "channel"))
    more = {"num_members": len(channel.members)} if args.get("include_num_members") else {}
    return {"channel": told(workspace, channel) | more}


def members(workspace: acts.Workspace, args: things.Json) -> things.Json:
    """Who is in a channel."""
    channel = arguments.place(workspace, arguments.need(args, "channel"))
    return arguments.page(args, "members", sorted(channel.members))


def _of_types(workspace: acts.Workspace, args: things.Json) -> list[people.Channel]:
    types = str(args.get("types") or "public_channel").replace(" ", "").split(",")
    if set(types) - {"public_channel", "private_channel", "im", "mpim"}:
        raise refusal.Refused("invalid_types")
    wanted = []
    for channel in workspace.channels.values():
        kind = "im" if channel.is_im else "public_channel"
        kind = "private_channel" if channel.is_private else kind
        hidden = channel.is_private and people.BOT not in channel.members
        archived = channel.is_archived and arguments.flag(args, "exclude_archived")
        if kind in types and not hidden and not archived:
            wanted.append(channel)
    return wanted


def list_(workspace: acts.Workspace, args: things.Json) -> things.Json:
    """All channels the bot may know of."""
    known = [told(workspace, channel) for channel in _of_types(workspace, args)]
    return arguments.page(args, "channels", known)


def of_user(workspace: acts.Workspace, args: things.Json) -> things.Json:
    """The channels somebody is in; the bot, when nobody is named."""
    user = str(args.get("user") or people.BOT)
    known = [told(workspace, c) for c in _of_types(workspace, args) if user in c.members]
    return arguments.page(args, "channels", known)


def join(workspace: acts.Workspace, args: things.Json) -> things.Json:
    """The bot becomes a member."""
    channel = arguments.place(workspace, arguments.need(args, "channel"))
    if channel.is_im or channel.is_private:
        raise refusal.Refused("method_not_supported_for_channel_type")
    if channel.is_archived:
        raise refusal.Refused("is_archived")
    workspace.join(channel.id, people.BOT)
    return {"channel": told(workspace, workspace.channels[channel.id])}


def _readable(workspace: acts.Workspace, args: things.Json) -> people.Channel:
    channel = arguments.place(workspace, arguments.need(args, "channel"))
    if people.BOT not in channel.members:
        raise refusal.Refused("not_in_channel")
    return channel


def history(workspace: acts.Workspace, args: things.Json) -> things.Json:
    """What was said in a channel, newest first."""
    said = workspace.messages(_readable(workspace, args).id)
    oldest, latest = float(args.get("oldest") or 0), float(args.get("latest") or "inf")
    inside = [payloads.message(m) for m in reversed(said) if oldest <= m.at <= latest]
    found = arguments.page(args, "messages", inside)
    return {**found, "has_more": bool(found["response_metadata"]["next_cursor"])}


def replies(workspace: acts.Workspace, args: things.Json) -> things.Json:
    """A message and its replies, oldest first."""
    said = workspace.messages(_readable(workspace, args).id, arguments.need(args, "ts"))
    if not said:
        raise refusal.Refused("thread_not_found")
    found = arguments.page(args, "messages", [payloads.message(m) for m in said])
    return {**found, "has_more": bool(found["response_metadata"]["next_cursor"])}


_READ = ("channels:read", "groups:read", "im:read", "mpim:read")
_HISTORY = ("channels:history", "groups:history", "im:history", "mpim:history")
METHODS: Mapping[str, arguments.Method] = {
    "conversations.open": arguments.Method(
        call=open_, scopes=("im:write", "mpim:write", "channels:manage", "groups:write")
    ),
    "conversations.info": arguments.Method(call=info, scopes=_READ),
    "conversations.members": arguments.Method(call=members, scopes=_READ),
    "conversations.list": arguments.Method(call=list_, scopes=_READ),
    "conversations.join": arguments.Method(call=join, scopes=("channels:join",)),
    "conversations.history": arguments.Method(call=history, scopes=_HISTORY),
    "conversations.replies": arguments.Method(call=replies, scopes=_HISTORY),
    "users.conversations": arguments.Method(call=of_user, scopes=_READ),
}
