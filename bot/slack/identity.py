"""Who people are and who belongs where, read from Slack. Implements `context.Directory`.

Answers are remembered for a short while; `fresh` reads them now, for a decision that counts. When
Slack does not answer, a person is IdentityUnknown and a membership is None: doubt refuses.
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import slack_sdk
import slack_sdk.errors
import structlog

from bot import errors, model
from bot.catalog import reference
from bot.slack import client as clients
from bot.telling import render

_log = structlog.get_logger(__name__)

PERSON_TTL = 60.0  # seconds
MEMBERS_TTL = 60.0
PLACES_TTL = 300.0  # handles and channel names
NO_ANSWER = "Slack does not answer."
ASKED_TO_WAIT = "Slack asks us to wait."
REFUSED = "Slack refuses the bot's token."
PASSING = frozenset({NO_ANSWER, ASKED_TO_WAIT})  # reasons that may be gone in a moment

_UNTOLD = {
    "plan_upgrade_required": "{ref} is a user group, and this workspace's Slack plan has none. "
    "Name people, e-mail addresses or a channel instead.",
    "missing_scope": "The bot may not read {ref}: a scope of manifest.yml is missing. Reinstall the app.",
    "channel_not_found": "The bot cannot see {ref}. Invite it there.",
    "fetch_members_failed": "The bot cannot see {ref}. Invite it there.",
}

_PAGE = 200
_PAGES = 100  # a stop for a server that never ends its list
_NOBODY = frozenset({"user_not_found", "user_not_visible", "users_not_found"})

Value = TypeVar("Value")


class _Remembered(Generic[Value]):
    """Values by key, for a while."""

    def __init__(self, ttl: float, now: Callable[[], float]) -> None:
        self._ttl, self._now = ttl, now
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, Value]] = {}

    def get(self, key: str) -> Value | None:
        with self._lock:
            at, value = self._kept.get(key, (float("-inf"), None))
            return value if self._now() - at <= self._ttl else None

    def put(self, key: str, value: Value) -> Value:
        with self._lock:
            self._kept[key] = (self._now(), value)
        return value


class Directory:
    """People and groups of one workspace."""

    def __init__(
        self, client: slack_sdk.WebClient, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        """`now`: seconds, for the age of what is remembered."""
        self._client = client
        self._people: _Remembered[model.Person] = _Remembered(PERSON_TTL, now)
        self._members: _Remembered[frozenset[str]] = _Remembered(MEMBERS_TTL, now)
        self._handles: _Remembered[dict[str, str]] = _Remembered(PLACES_TTL, now)
        self._channels: _Remembered[dict[str, str]] = _Remembered(PLACES_TTL, now)
        self._names: dict[str, str] = {}
        self._reasons: dict[str, str] = {}
        self._workspace: clients.Workspace | None = None

    def workspace(self) -> clients.Workspace:
        """Where we are. Raises IdentityUnknown without an answer."""
        if self._workspace is None:
            try:
                self._workspace = clients.identify(self._client)
            except (clients.Unreachable, errors.SettingsError) as error:
                raise errors.IdentityUnknown from error
        return self._workspace

    def permalink(self, message: model.MessageRef | None) -> str:
        """Where a message of ours is, for a link; "" when there is none or Slack does not tell.

        https://docs.slack.dev/reference/methods/chat.getPermalink tells the form.
        """
        try:
            url = self.workspace().url if message else ""
        except errors.IdentityUnknown:
            return ""
        at = f"archives/{message.channel_id}/p{message.ts.replace('.', '')}" if message else ""
        return f"{url}{at}" if url else ""

    def person(self, user_id: str, *, fresh: bool = False) -> model.Person:
        """The account. `fresh` reads it now. Raises NotFound; IdentityUnknown without an answer."""
        known = None if fresh else self._people.get(user_id)
        if known is not None:
            return known
        try:
            found = self._client.users_info(user=user_id).get("user") or {}
            person = _person(found, self.workspace())
        except slack_sdk.errors.SlackApiError as error:
            if clients.error_of(error) in _NOBODY:
                raise errors.NotFound("Slack knows no such account.") from error
            raise errors.IdentityUnknown from error
        except (*clients.NETWORK, KeyError, ValueError) as error:
            raise errors.IdentityUnknown from error
        self._names[user_id] = person.name
        return self._people.put(user_id, person)

    def name(self, user_id: str) -> str:
        """What people call them, as last heard; never an error, at worst `someone`."""
        if user_id not in self._names:
            try:
                self.person(user_id)
            except (errors.NotFound, errors.IdentityUnknown):
                return "someone"
        return self._names.get(user_id, "someone")

    def members(self, ref: str, *, fresh: bool = False) -> frozenset[str] | None:
        """Ids of those a catalog reference names; None when Slack does not tell (see `reason`)."""
        kind = reference.kind(ref)
        if kind is reference.Kind.ACCOUNT:
            return frozenset({ref})
        if kind is reference.Kind.EVERYONE:
            return None
        known = None if fresh else self._members.get(ref)
        return known if known is not None else self._read_members(ref, kind)

    def mention(self, ref: str) -> render.Mrkdwn:
        """What calls those whom a catalog reference names; its own text while Slack does not tell.

        https://docs.slack.dev/messaging/formatting-message-text/#mentioning-groups
        """
        if reference.kind(ref) is reference.Kind.GROUP:
            group_id = self._asking(ref, lambda: self._group_id(ref))
            return render.Mrkdwn(f"<!subteam^{group_id}>") if group_id else render.escape(ref)
        people = self.members(ref)
        if not people:
            return render.escape(ref)
        return render.Mrkdwn(" ".join(f"<@{each}>" for each in sorted(people)))

    def reason(self, ref: str) -> str | None:
        """Why `members` or `resolve_channel` last answered None, in a sentence for an operator."""
        return self._reasons.get(ref)

    def _read_members(self, ref: str, kind: reference.Kind) -> frozenset[str] | None:
        readers = {
            reference.Kind.GROUP: self._group,
            reference.Kind.CHANNEL: self._channel,
            reference.Kind.EMAIL: self._mailbox,
        }
        found = self._asking(ref, lambda: readers[kind](ref))
        return None if found is None else self._members.put(ref, found)

    def resolve_channel(self, ref: str) -> str | None:
        """The id of a channel given by `#name` or id; None when there is none we can see."""
        if not ref.startswith("#"):
            return ref
        return self._asking(ref, lambda: self._channel_id(ref.removeprefix("#").casefold()))

    def _asking(self, ref: str, read: Callable[[], Value | None]) -> Value | None:
        """What `read` finds; None, with the reason kept, when Slack does not say."""
        try:
            found = read()
        except slack_sdk.errors.SlackApiError as error:
            self._untold(ref, _explain(ref, error))
            return None
        except (*clients.NETWORK, KeyError, ValueError):
            self._untold(ref, NO_ANSWER)
            return None
        if found is None:
            self._untold(ref, f"Slack shows us nothing called {ref}.")
        else:
            self._reasons.pop(ref, None)
        return found

    def _untold(self, ref: str, why: str) -> None:
        if self._reasons.get(ref) != why:
            _log.warning("reference_unknown", reference=ref, why=why)
        self._reasons[ref] = why

    def _group(self, ref: str) -> frozenset[str] | None:
        group_id = self._group_id(ref)
        if group_id is None:
            return None
        found = self._client.usergroups_users_list(usergroup=group_id)
        return frozenset(found["users"])

    def _group_id(self, ref: str) -> str | None:
        if not ref.startswith("@"):
            return ref
        handle = ref.removeprefix("@").casefold()
        known = self._handles.get("")
        if known is None or handle not in known:
            groups = self._client.usergroups_list()["usergroups"]
            known = self._handles.put("", {g["handle"].casefold(): g["id"] for g in groups})
        return known.get(handle)

    def _mailbox(self, ref: str) -> frozenset[str]:
        found: Any = self._client.users_lookupByEmail(email=ref)
        return frozenset({found["user"]["id"]})

    def _channel(self, ref: str) -> frozenset[str] | None:
        channel = self._channel_id(ref.removeprefix("#")) if ref.startswith("#") else ref
        if channel is None:
            return None
        pages = _pages(lambda cursor: self._member_page(channel, cursor))
        return frozenset(each for page in pages for each in page["members"])

    def _member_page(self, channel: str, cursor: str) -> Any:
        return self._client.conversations_members(channel=channel, limit=_PAGE, cursor=cursor)

    def _channel_id(self, name: str) -> str | None:
        """Looked for among the channels we are in first: they are few."""
        known = self._channels.get("")
        if known is None or name not in known:
            known = self._channels.put("", (known or {}) | self._read_channels(name))
        return known.get(name)

    def _read_channels(self, wanted: str) -> dict[str, str]:
        kinds = "public_channel,private_channel"
        found: dict[str, str] = {}
        for method in (self._client.users_conversations, self._client.conversations_list):
            for page in _pages(
                lambda cursor, method=method: method(  # type: ignore[misc]
                    types=kinds, exclude_archived=True, limit=_PAGE, cursor=cursor
                )
            ):
                found |= {each["name"].casefold(): each["id"] for each in page["channels"]}
                if wanted in found:
                    return found
        return found


def _pages(read: Callable[[str], Any]) -> Iterator[Any]:
    """Every page of a list with a cursor."""
    cursor = ""
    for _ in range(_PAGES):
        page = read(cursor)
        yield page
        cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
        if not cursor:
            return


def _explain(ref: str, error: slack_sdk.errors.SlackApiError) -> str:
    """Why Slack did not tell, for an operator. What may be gone in a moment is never about `ref`."""
    said = clients.error_of(error)
    if said in {"ratelimited", "rate_limited"}:
        return ASKED_TO_WAIT
    if clients.is_passing(error):
        return NO_ANSWER
    if said in clients.TOKEN_REFUSED:
        return REFUSED
    about = _UNTOLD.get(said, "Slack does not tell who {ref} is ({said}).")
    return about.format(ref=ref, said=said)


def _person(found: dict[str, Any], home: clients.Workspace) -> model.Person:
    """An account as Slack describes it. Raises KeyError when even its id is missing."""
    profile = found.get("profile") or {}
    names = (profile.get("real_name"), found.get("real_name"), profile.get("display_name"))
    return model.Person(
        id=found["id"],
        team_id=_team(found, home),
        name=next((name for name in names if name), found.get("name") or found["id"]),
        handle=found.get("name") or "",
        email=profile.get("email"),
        tz=found.get("tz") or "UTC",
        refusal=_refusal(found, home),
    )


def _team(found: dict[str, Any], home: clients.Workspace) -> str:
    """Our team for a member of ours, also on Enterprise Grid, where accounts span teams."""
    teams = (found.get("enterprise_user") or {}).get("teams") or []
    return home.team_id if home.team_id in teams else str(found.get("team_id") or "")


def _refusal(found: dict[str, Any], home: clients.Workspace) -> model.Refusal | None:
    """Why this account may not take part; the weightiest reason first.

    https://docs.slack.dev/reference/objects/user-object
    """
    checks = (
        (model.Refusal.DEACTIVATED, found.get("deleted")),
        (model.Refusal.BOT, any(found.get(mark) for mark in _MACHINES)),
        (model.Refusal.STRANGER, found.get("is_stranger")),
        (model.Refusal.FOREIGN_TEAM, _team(found, home) != home.team_id),
        (model.Refusal.GUEST, found.get("is_restricted") or found.get("is_ultra_restricted")),
    )
    return next((refusal for refusal, applies in checks if applies), None)


_MACHINES = ("is_bot", "is_app_user", "is_workflow_bot", "is_connector_bot")
