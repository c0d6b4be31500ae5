"""auth.*, users.*, usergroups.*, team.*, bots.* and the opening of a socket."""

import zoneinfo
from collections.abc import Mapping
from datetime import UTC, datetime

from bot.demo.workspace import acts, people, refusal, things
from bot.demo.workspace.methods import arguments


def auth_test(workspace: acts.Workspace, _args: things.Json) -> things.Json:
    """Who the token belongs to."""
    return {
        "url": f"{workspace.base_url}/",
        "team": people.TEAM_NAME,
        "user": workspace.users[people.BOT].name,
        "team_id": people.TEAM,
        "user_id": people.BOT,
        "bot_id": people.BOT_ID,
        "is_enterprise_install": False,
    }


def connections_open(workspace: acts.Workspace, _args: things.Json) -> things.Json:
    """A ticket to one socket."""
    base = workspace.base_url.replace("http", "ws", 1)
    ticket = workspace.hub.issue_ticket()
    return {"url": f"{base}/link/?ticket={ticket}&app_id={people.APP}"}


def told(workspace: acts.Workspace, user: people.User) -> things.Json:
    """An account as the API shows it."""
    offset = datetime.fromtimestamp(workspace.now(), UTC).astimezone(zoneinfo.ZoneInfo(user.tz))
    profile: things.Json = {
        "real_name": user.real_name,
        "display_name": user.name,
        "real_name_normalized": user.real_name,
        "display_name_normalized": user.name,
        "title": user.title,
        "team": user.team,
    }
    if user.email is not None and workspace.has_scope("users:read.email"):
        profile["email"] = user.email
    return {
        "id": user.id,
        "team_id": user.team,
        "name": user.name,
        "real_name": user.real_name,
        "deleted": user.deleted,
        "tz": user.tz,
        "tz_label": user.tz,
        "tz_offset": int((offset.utcoffset() or offset - offset).total_seconds()),
        "is_admin": user.is_admin,
        "is_owner": False,
        "is_primary_owner": False,
        "is_restricted": user.is_restricted,
        "is_ultra_restricted": user.is_ultra_restricted,
        "is_bot": user.is_bot,
        "is_app_user": False,
        "is_email_confirmed": user.email is not None,
        "updated": 1700000000,
        "profile": profile,
        **({"is_stranger": True} if user.is_stranger else {}),
    }


def info(workspace: acts.Workspace, args: things.Json) -> things.Json:
    """One account."""
    user = workspace.users.get(arguments.need(args, "user"))
    if user is None:
        raise refusal.Refused("user_not_found")
    return {"user": told(workspace, user)}


def list_(workspace: acts.Workspace, args: things.Json) -> things.Json:
    """Every account."""
    known = [told(workspace, user) for user in workspace.users.values()]
    return arguments.page(args, "members", known)


def lookup_by_email(workspace: acts.Workspace, args: things.Json) -> things.Json:
    """The live account of that address."""
    email = arguments.need(args, "email").casefold()
    for user in workspace.users.values():
        if user.email is not None and user.email.casefold() == email and not user.deleted:
            return {"user": told(workspace, user)}
    raise refusal.Refused("users_not_found")


def _paid(workspace: acts.Workspace) -> None:
    if not workspace.paid_plan:
        raise refusal.Refused("plan_upgrade_required")


def groups(workspace: acts.Workspace, args: things.Json) -> things.Json:
    """Every user group."""
    _paid(workspace)
    with_users = arguments.flag(args, "include_users")
    return {
        "usergroups": [
            {
                "id": group.id,
                "team_id": people.TEAM,
                "is_usergroup": True,
                "name": group.name,
                "handle": group.handle,
                "date_delete": 0,
                "user_count": len(group.members),
                **({"users": sorted(group.members)} if with_users else {}),
            }
            for group in workspace.groups.values()
        ]
    }


def group_users(workspace: acts.Workspace, args: things.Json) -> things.Json:
    """Who is in a user group."""
    _paid(workspace)
    group = workspace.groups.get(arguments.need(args, "usergroup"))
    if group is None:
        raise refusal.Refused("no_such_subteam")
    return {"users": sorted(group.members)}


def team(_workspace: acts.Workspace, args: things.Json) -> things.Json:
    """The workspace itself, or the other company's."""
    wanted = str(args.get("team") or people.TEAM)
    names = {people.TEAM: people.TEAM_NAME, people.OTHER_TEAM: people.OTHER_TEAM_NAME}
    if wanted not in names:
        raise refusal.Refused("team_not_found")
    return {"team": {"id": wanted, "name": names[wanted], "domain": names[wanted].lower()}}


def bot(workspace: acts.Workspace, args: things.Json) -> things.Json:
    """The bot."""
    if args.get("bot") not in (None, "", people.BOT_ID):
        raise refusal.Refused("bot_not_found")
    name = workspace.users[people.BOT].real_name
    told_of = {"id": people.BOT_ID, "app_id": people.APP, "user_id": people.BOT, "name": name}
    return {"bot": {**told_of, "deleted": False}}


_USERS = ("users:read",)
_GROUPS = ("usergroups:read",)
METHODS: Mapping[str, arguments.Method] = {
    "auth.test": arguments.Method(call=auth_test),
    "apps.connections.open": arguments.Method(call=connections_open, app_token=True),
    "users.info": arguments.Method(call=info, scopes=_USERS),
    "users.list": arguments.Method(call=list_, scopes=_USERS),
    "users.lookupByEmail": arguments.Method(call=lookup_by_email, scopes=("users:read.email",)),
    "usergroups.list": arguments.Method(call=groups, scopes=_GROUPS),
    "usergroups.users.list": arguments.Method(call=group_users, scopes=_GROUPS),
    "team.info": arguments.Method(call=team, scopes=("team:read",)),
    "bots.info": arguments.Method(call=bot, scopes=_USERS),
}
