"""files.getUploadURLExternal and files.completeUploadExternal, the two ends of an upload."""

import secrets
from collections.abc import Mapping

from bot.demo.workspace import acts, posting, refusal, things
from bot.demo.workspace.methods import arguments

KINDS: Mapping[str, str] = {
    "csv": "text/csv",
    "txt": "text/plain",
    "png": "image/png",
    "svg": "image/svg+xml",
    "json": "application/json",
}


def get_url(workspace: acts.Workspace, args: things.Json) -> things.Json:
    """Where to send the bytes."""
    name, length = arguments.need(args, "filename"), arguments.need(args, "length")
    file_id = "F0" + secrets.token_hex(5).upper()
    kind = name.rsplit(".", 1)[-1].lower()
    workspace.files[file_id] = {
        "id": file_id,
        "name": name,
        "title": name,
        "size": int(length),
        "filetype": kind,
        "mimetype": KINDS.get(kind, "application/octet-stream"),
        "url_private": f"{workspace.base_url}/files/{file_id}",
    }
    return {"upload_url": f"{workspace.base_url}/upload/{file_id}", "file_id": file_id}


def complete(workspace: acts.Workspace, args: things.Json) -> things.Json:
    """Share uploaded files in a channel."""
    finished = []
    for given in args.get("files") or []:
        known = workspace.files.get(given.get("id"))
        if known is None or known["id"] not in workspace.uploads:
            raise refusal.Refused("file_not_found")
        finished.append(known | {"title": given.get("title") or known["title"]})
    if args.get("channel_id"):
        channel = arguments.place_to_write(workspace, str(args["channel_id"]))
        said = posting.Content(text=str(args.get("initial_comment") or ""))
        thread_ts = args.get("thread_ts")
        posting.post(workspace, channel.id, said, thread_ts=thread_ts, files=tuple(finished))
    return {"files": finished}


_WRITE = ("files:write",)
METHODS: Mapping[str, arguments.Method] = {
    "files.getUploadURLExternal": arguments.Method(call=get_url, scopes=_WRITE),
    "files.completeUploadExternal": arguments.Method(call=complete, scopes=_WRITE),
}
