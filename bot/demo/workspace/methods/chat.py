"""Methods of the family chat."""

from collections.abc import Mapping

from bot.demo.workspace import acts, limits, payloads, people, posting, refusal, things
from bot.demo.workspace.methods import arguments


def _thread(workspace: acts.Workspace, channel: people.Channel, args: things.Json) -> str | None:
    """The root of the thread to write in; a reply's own ts leads to its root."""
    thread_ts = args.get("thread_ts")
    if not thread_ts:
        return None
    root = workspace.find_message(channel.id, str(thread_ts))
    if root is None or root.is_ephemeral:
        raise refusal.Refused("cannot_reply_to_message")
    return root.thread_ts or root.ts


def post_message(workspace: acts.Workspace, args: things.Json) -> things.Json:
    """Say something in a channel or conversation."""
    channel = arguments.place_to_write(workspace, arguments.need(args, "channel"))
    said = posting.content(args)
    posted = posting.post(
        workspace,
        channel.id,
        said,
        thread_ts=_thread(workspace, channel, args),
        broadcast=arguments.flag(args, "reply_broadcast"),
    )
    told = {"channel": channel.id, "ts": posted.ts, "message": payloads.message(posted)}
    if len(said.text) > limits.MOST_TEXT:
        told |= {
            "warning": "message_truncated",
            "response_metadata": {"warnings": ["message_truncated"]},
        }
    return told


def post_ephemeral(workspace: acts.Workspace, args: things.Json) -> things.Json:
    """Say something that one person sees."""
    channel = arguments.place_to_write(workspace, arguments.need(args, "channel"))
    user = arguments.need(args, "user")
    if user not in channel.members:
        raise refusal.Refused("user_not_in_channel")
    said = posting.content(args)
    if len(said.text) > limits.MOST_TEXT:
        raise refusal.Refused("msg_too_long")
    thread_ts = _thread(workspace, channel, args)
    posted = posting.post(workspace, channel.id, said, thread_ts=thread_ts, only_for=user)
    return {"message_ts": posted.ts}


def _own_message(workspace: acts.Workspace, args: things.Json, error: str) -> things.Message:
    channel = arguments.place(workspace, arguments.need(args, "channel"))
    known = workspace.find_message(channel.id, arguments.need(args, "ts"))
    if known is None or known.is_ephemeral:
        raise refusal.Refused("message_not_found")
    if known.user != people.BOT:
        raise refusal.Refused(error)
    return known


def update(workspace: acts.Workspace, args: things.Json) -> things.Json:
    """Replace what a message of the bot says. Text without blocks takes the blocks away."""
    known = _own_message(workspace, args, "cant_update_message")
    said = posting.content(args)
    if len(said.text) > limits.MOST_UPDATE_TEXT:
        raise refusal.Refused("msg_too_long")
    edited = posting.edit(workspace, known, said)
    return {
        "channel": edited.channel,
        "ts": edited.ts,
        "text": edited.text,
        "message": payloads.message(edited),
    }


def delete(workspace: acts.Workspace, args: things.Json) -> things.Json:
    """Take a message of the bot away."""
    known = _own_message(workspace, args, "cant_delete_message")
    workspace.drop_message(known.channel, known.ts)
    return {"channel": known.channel, "ts": known.ts}


def get_permalink(workspace: acts.Workspace, args: things.Json) -> things.Json:
    """The address of a message, on the workspace's own page."""
    channel = arguments.place(workspace, arguments.need(args, "channel"))
    known = workspace.find_message(channel.id, arguments.need(args, "message_ts"))
    if known is None or known.is_ephemeral:
        raise refusal.Refused("message_not_found")
    name = "p" + known.ts.replace(".", "")
    thread = f"?thread_ts={known.thread_ts}&cid={channel.id}" if known.is_reply else ""
    link = f"{workspace.base_url}/archives/{channel.id}/{name}{thread}"
    return {"channel": channel.id, "permalink": link}


_WRITE = ("chat:write",)
METHODS: Mapping[str, arguments.Method] = {
    "chat.postMessage": arguments.Method(call=post_message, scopes=_WRITE),
    "chat.postEphemeral": arguments.Method(call=post_ephemeral, scopes=_WRITE),
    "chat.update": arguments.Method(call=update, scopes=_WRITE),
    "chat.delete": arguments.Method(call=delete, scopes=_WRITE),
    "chat.getPermalink": arguments.Method(call=get_permalink),
}
