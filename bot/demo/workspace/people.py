"""Who and what there is in the workspace before anybody says a word: people, groups, channels."""

from dataclasses import dataclass

TEAM = "T0ACME"
TEAM_NAME = "Acme"
TEAM_DOMAIN = "acme"
OTHER_TEAM = "T0OTHER"
OTHER_TEAM_NAME = "Globex"
APP = "A0JIT"
BOT = "U0JIT"
BOT_ID = "B0JIT"
SLACKBOT = "USLACKBOT"


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """An account as Slack tells of it. Every mark a policy may ask for is here."""

    id: str
    name: str
    real_name: str
    email: str | None = None
    title: str = ""
    team: str = TEAM
    tz: str = "Europe/Berlin"
    deleted: bool = False
    is_bot: bool = False
    is_admin: bool = False
    is_restricted: bool = False
    """A guest, of one channel or of several."""
    is_ultra_restricted: bool = False
    """A guest of one channel."""
    is_stranger: bool = False
    """Somebody of another company."""

    @property
    def is_guest(self) -> bool:
        """Whether this is a guest of either kind."""
        return self.is_restricted or self.is_ultra_restricted

    @property
    def first_name(self) -> str:
        """What a colleague calls them."""
        return self.real_name.split()[0]

    @property
    def initials(self) -> str:
        """Two letters for a picture."""
        return "".join(word[0] for word in self.real_name.split()[:2]).upper()


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """A user group, which people write as @handle."""

    id: str
    handle: str
    name: str
    members: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Channel:
    """A place to talk: a channel, or a direct conversation of one person and the bot."""

    id: str
    name: str
    members: frozenset[str]
    topic: str = ""
    is_private: bool = False
    is_im: bool = False
    is_archived: bool = False
    is_shared: bool = False
    """Shared with another company through Slack Connect."""


def cast() -> tuple[User, ...]:
    """Everybody, the bot and Slackbot included. The first is who a visitor is at first."""
    return (
        User(id="U0ANA", name="ana", real_name="Ana Lima", email="ana@acme.test", title="Engineer"),
        User(id="U0BO", name="bo", real_name="Bo Chen", email="bo@acme.test", title="Approver"),
        User(
            id="U0CLEO",
            name="cleo",
            real_name="Cleo Diaz",
            email="cleo@acme.test",
            title="Approver",
            tz="Europe/Lisbon",
        ),
        User(
            id="U0DAN", name="dan", real_name="Dan Eze", email="dan@acme.test", title="Data owner"
        ),
        User(
            id="U0GUS",
            name="gus",
            real_name="Gus Guest",
            email="gus@freelance.test",
            title="Guest",
            is_restricted=True,
            is_ultra_restricted=True,
        ),
        User(
            id="U0SAM",
            name="sam",
            real_name="Sam Stranger",
            email="sam@globex.test",
            title="From another company",
            team=OTHER_TEAM,
            is_stranger=True,
        ),
        User(id=BOT, name="jit", real_name="JIT access", title="The bot", is_bot=True),
        User(id=SLACKBOT, name="slackbot", real_name="Slackbot", title="Slack itself"),
    )


def groups() -> tuple[Group, ...]:
    """The user groups."""
    return (
        Group(
            id="S0OWNERS",
            handle="data-owners",
            name="Data owners",
            members=frozenset({"U0BO", "U0CLEO", "U0DAN"}),
        ),
        Group(
            id="S0ENG",
            handle="engineers",
            name="Engineers",
            members=frozenset({"U0ANA", "U0BO"}),
        ),
    )


def channels() -> tuple[Channel, ...]:
    """The channels. The first is where a visitor starts."""
    colleagues = frozenset({"U0ANA", "U0BO", "U0CLEO", "U0DAN"})
    outsiders = frozenset({"U0GUS", "U0SAM"})
    return (
        Channel(
            id="C0ACCESS",
            name="db-access",
            members=colleagues | outsiders | {BOT},
            topic="Ask for database access: /jit",
            is_shared=True,
        ),
        Channel(
            id="C0AUDIT",
            name="db-audit",
            members=colleagues | {BOT},
            topic="What was granted, used and ended",
        ),
        Channel(id="C0GENERAL", name="general", members=colleagues, topic="Everything else"),
        Channel(
            id="C0DBA",
            name="dba",
            members=frozenset({"U0BO", "U0DAN"}),
            topic="Those who keep the databases",
        ),
    )
