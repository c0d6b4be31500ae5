"""The Web API: who calls, with what token and scopes, and which method answers."""

import json
import secrets
from collections.abc import Mapping
from urllib.parse import parse_qsl

from bot.demo.workspace import acts, refusal, things
from bot.demo.workspace.methods import accounts, arguments, chat, conversations, screens, uploads

METHODS: Mapping[str, arguments.Method] = {
    **accounts.METHODS,
    **chat.METHODS,
    **conversations.METHODS,
    **screens.METHODS,
    **uploads.METHODS,
    "api.test": arguments.Method(call=lambda _workspace, args: {"args": args}),
}
JSON_ARGUMENTS = frozenset({"blocks", "attachments", "metadata", "view", "files"})
"""Only these are JSON inside a form; a text may begin with a bracket and must stay a text."""


def read(body: bytes, content_type: str) -> things.Json:
    """The arguments of a call, sent as a form or as JSON."""
    if content_type.startswith("application/json"):
        try:
            given = json.loads(body or b"{}")
        except ValueError:
            raise refusal.Refused("invalid_json") from None
        if not isinstance(given, dict):
            raise refusal.Refused("json_not_object")
        return given
    return unpack(dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)))


def unpack(form: Mapping[str, str]) -> things.Json:
    """A form's fields, with those that hold JSON read."""
    args: things.Json = dict(form)
    for name in JSON_ARGUMENTS & set(args):
        if args[name] == "":
            continue
        try:
            args[name] = json.loads(args[name])
        except ValueError:
            error = "invalid_arguments" if name == "view" else f"invalid_{name}_format"
            raise refusal.Refused(error) from None
    return args


def call(
    workspace: acts.Workspace, method: str, token: str | None, args: things.Json
) -> things.Json:
    """Do what is asked and answer; the answer says `ok` or why not."""
    try:
        known = _admit(workspace, method, token)
        return {"ok": True, **known.call(workspace, args)}
    except refusal.Refused as refused:
        return refused.answer()


def _admit(workspace: acts.Workspace, method: str, token: str | None) -> arguments.Method:
    known = METHODS.get(method)
    if known is None:
        raise refusal.Refused("unknown_method", req_method=method)
    if not token:
        raise refusal.Refused("not_authed")
    own, other = workspace.bot_token, workspace.app_token
    if known.app_token:
        own, other = other, own
    if _same(token, other) or (known.app_token and not token.startswith("xapp-")):
        raise refusal.Refused("not_allowed_token_type")
    if not _same(token, own):
        raise refusal.Refused("invalid_auth")
    if known.scopes and not any(workspace.has_scope(scope) for scope in known.scopes):
        provided = ",".join(sorted(workspace.scopes or ()))
        raise refusal.Refused("missing_scope", needed=known.scopes[0], provided=provided)
    return known


def _same(one: str, other: str) -> bool:
    return secrets.compare_digest(one.encode(), other.encode())
