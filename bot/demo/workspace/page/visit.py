"""One tab: who is looking, and at what."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from bot.demo.workspace import acts, blockkit, mrkdwn, people

HOME = "home"
"""The place that is the app's Home rather than a conversation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """`user` looks at `place` (a channel id or HOME), with the thread under `thread` open or not."""

    user: str
    place: str
    thread: str | None = None

    def link(self, *, user: str | None = None, place: str | None = None, thread: str = "") -> str:
        """The address of the same page elsewhere; a thread stays open only when it is named."""
        query = {"as": user or self.user, "in": place or self.place}
        return "?" + urlencode(query | ({"thread": thread} if thread else {}))


def of(query: Mapping[str, str], workspace: acts.Workspace) -> Visit:
    """The visit a query string asks for; what it names wrongly falls back to the beginning."""
    somebody = {user.id for user in folk(workspace)}
    first = next(iter(folk(workspace))).id
    user = query.get("as", first)
    user = user if user in somebody else first
    seen = [place.id for place in workspace.places(user)]
    place = query.get("in", seen[0])
    if place not in (*seen, HOME):
        place = seen[0]
    return Visit(user=user, place=place, thread=query.get("thread") or None)


def folk(workspace: acts.Workspace) -> list[people.User]:
    """The people one can be: everybody but bots."""
    return [
        user
        for user in workspace.users.values()
        if not user.is_bot and user.id != people.SLACKBOT and not user.deleted
    ]


@dataclass(frozen=True, slots=True)
class Names:
    """The workspace's names, as mrkdwn asks for them."""

    workspace: acts.Workspace

    def user(self, user_id: str) -> str | None:
        """The display name of an account."""
        found = self.workspace.users.get(user_id)
        return found.real_name if found else None

    def channel(self, channel_id: str) -> str | None:
        """The name of a channel."""
        found = self.workspace.channels.get(channel_id)
        if found is None:
            return None
        return self.workspace.users[people.BOT].real_name if found.is_im else found.name

    def group(self, group_id: str) -> str | None:
        """The handle of a user group."""
        found = self.workspace.groups.get(group_id)
        return found.handle if found else None


def reader(workspace: acts.Workspace, user: str) -> mrkdwn.Reader:
    """Through whose eyes texts and times are written."""
    return mrkdwn.Reader(
        user_id=user,
        zone=mrkdwn.zone_of(workspace.users[user].tz),
        names=Names(workspace),
        now=dt.datetime.fromtimestamp(workspace.now(), dt.UTC),
    )


def listed(workspace: acts.Workspace, user: str, kind: str) -> list[blockkit.Option]:
    """What `users_select`, `channels_select` and `conversations_select` offer `user`."""
    if kind == "users_select":
        return [{"value": each.id, "label": each.real_name} for each in folk(workspace)]
    return [
        {"value": place.id, "label": f"#{place.name}"}
        for place in workspace.places(user)
        if not place.is_im
    ]
