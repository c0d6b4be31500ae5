"""The catalog as the rest of the bot sees it: frozen, checked, every reference resolved."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time, timedelta
from zoneinfo import ZoneInfo

from bot.catalog import reference
from db_grants.spec import TableScope

_CHOICES = tuple(timedelta(minutes=m) for m in (15, 30, 60, 120, 240, 480, 1440))


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """Where the bot speaks: `#name` or channel id."""

    approvals: str
    audit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestTime:
    """When the daily digest is due."""

    at: time
    zone: ZoneInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarms:
    """Whom and what an alarm reaches, besides the audit channel."""

    mention: tuple[str, ...] = ()  # references to people
    webhook_env: str | None = None  # the environment variable that holds its URL


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One database server we may act on."""

    name: str
    url_env: str  # the environment variable that holds its URL
    environment: str
    database: str = ""  # empty: the one in the URL
    public_host: str | None = None  # what holders connect to, if not what the bot connects to
    public_port: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Who decides, and when a decision needs nobody."""

    name: str
    approvers: tuple[str, ...]  # references
    needs: int  # distinct people
    auto_approve_up_to: timedelta | None  # none: people are always asked
    decide_within: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitlement:
    """What one may request."""

    name: str
    target: str
    database: str
    environment: str
    description: str
    sensitivity: str
    tables: tuple[TableScope, ...]
    requesters: tuple[str, ...]  # references
    approval: str  # the name of a rule
    default_duration: timedelta
    max_duration: timedelta
    ticket: str | None  # a pattern the justification must begin with
    ticket_example: str | None

    @property
    def labels(self) -> tuple[str, ...]:
        """`schema.table` of everything it carries, once each, in the file's order."""
        return tuple(dict.fromkeys(table.label for table in self.tables))

    @property
    def choices(self) -> tuple[timedelta, ...]:
        """The durations worth offering, shortest first; the default and the maximum among them."""
        usual = {choice for choice in _CHOICES if choice <= self.max_duration}
        return tuple(sorted(usual | {self.default_duration, self.max_duration}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Everything that may be requested, by whom, and who decides."""

    channels: Channels
    digest: DigestTime | None
    targets: Mapping[str, Target]
    entitlements: Mapping[str, Entitlement]
    rules: Mapping[str, Rule]
    version: str  # sha256 of the file's bytes
    alarms: Alarms = Alarms()
    unusable: str = ""  # why the file cannot be used; then this is an earlier one, for ends alone
    lost: Mapping[str, str] = field(default_factory=dict)  # why, by target we have no way to

    def rule_of(self, entitlement: Entitlement) -> Rule:
        """The rule that decides about it; loading made sure there is one."""
        return self.rules[entitlement.approval]

    def on(self, target: str) -> tuple[Entitlement, ...]:
        """The entitlements of one target."""
        return tuple(e for e in self.entitlements.values() if e.target == target)

    def references(self) -> frozenset[str]:
        """Every reference that only Slack can resolve to people."""
        named = [ref for e in self.entitlements.values() for ref in e.requesters]
        named += [ref for rule in self.rules.values() for ref in rule.approvers]
        named += self.alarms.mention
        fixed = {reference.Kind.EVERYONE, reference.Kind.ACCOUNT}
        return frozenset(ref for ref in named if reference.kind(ref) not in fixed)
