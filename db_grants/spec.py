"""What access is, as data: scopes, grants and what an engine reports back.

All values are frozen. Times are aware UTC datetimes; durations are timedeltas. Identifiers are the
database's own spelling (unquoted, any legal characters); they are quoted only where SQL is composed.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

CONNECTIONS = 4  # at a time, with one grant
TEXT_KEPT = 2000  # characters of a statement; what is longer is cut


class Privilege(StrEnum):
    """The only privileges that can be offered: nothing here lets its holder leave anything behind."""

    SELECT = "select"
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableScope:
    """Privileges on one table, or on some of its columns."""

    schema: str
    table: str
    columns: tuple[str, ...] = ()  # none named: the whole table
    privileges: frozenset[Privilege]

    @property
    def label(self) -> str:
        """`schema.table`, for people."""
        return f"{self.schema}.{self.table}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A named, lasting set of privileges in one database: what an entitlement carries.

    `name` is the entitlement's key and names the scope role; `tables` may be a subset of what the
    entitlement carries, in which case `narrowed` is true and only those atoms are granted.
    """

    name: str
    database: str
    tables: tuple[TableScope, ...]
    narrowed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantSpec:
    """One grant to be made: who it is for is the caller's business; here it is an id and a deadline."""

    grant_id: str
    role_name: str
    scope: Scope
    expires_at: datetime
    connection_limit: int = CONNECTIONS
    log_statements: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """What a server's clock must be near to: our time when it was asked."""

    at: datetime
    within: timedelta

    @property
    def earliest(self) -> datetime:
        """A clock that says less is too far behind."""
        return self.at - self.within

    @property
    def latest(self) -> datetime:
        """A clock that says more is too far ahead, or was asked late."""
        return self.at + self.within

    def holds(self, told: datetime) -> bool:
        """Whether a clock that says `told` is surely near."""
        return self.earliest <= told <= self.latest


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedRole:
    """The temporary role of one grant. Everything after its creation keys on the OID."""

    grant_id: str
    name: str
    oid: int
    server: str = field(default="", compare=False)  # Engine.identity() of where it was made


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRole:
    """A role as the target itself remembers it: with our mark, enough to end it without any record."""

    name: str
    oid: int
    grant_id: str | None
    expires_at: datetime | None  # as noted on it; without a note, its VALID UNTIL
    can_login: bool
    valid_until: datetime | None = None  # none: never set, or infinite either way
    connection_limit: int = -1  # the server's word for "no limit"
    powers: tuple[str, ...] = ()  # attributes we never give: SUPERUSER, CREATEROLE, …
    member_of: tuple[str, ...] = ()  # other than our mark
    members: tuple[str, ...] = ()  # who may act as it, other than the bot
    owned: int = 0  # objects, in all databases
    privileges: int = 0  # given to it directly, on objects in all databases
    sessions: int = 0
    administered: bool = True  # whether the bot may change and drop it

    @property
    def role(self) -> "ManagedRole":
        """What to hand to an engine to have it ended."""
        return ManagedRole(grant_id=self.grant_id or "", name=self.name, oid=self.oid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """All on a server that concerns us, at one moment of the server's own clock."""

    at: datetime
    identifier: str  # of the database cluster: another one means another server
    timeline: int  # rises at a promotion and at a recovery from a backup
    written: int  # bytes of write-ahead log since initdb: less than before means an older state
    prepared: bool  # whether our mark exists at all
    managed: tuple[FoundRole, ...]  # carrying our mark
    lookalikes: tuple[FoundRole, ...]  # named like a managed role, without our mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A password made just now. It exists in this value and in the requester's window, nowhere else."""

    role: str
    password: str = field(repr=False)
    host: str
    port: int
    database: str
    sslmode: str | None
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One backend under a managed role's OID."""

    pid: int
    application: str
    client: str | None
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """Access has ended: no login is possible, and no session was found in several passes."""

    at: datetime  # the moment the last empty pass was seen, by the caller's clock
    sessions_cut: tuple[Session, ...]
    undone: tuple[str, ...] = ()  # what kept the door open and was rolled back, for people
    missing: bool = False  # there was no such role: ended by somebody else, or never on this server


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What is left after cleaning. `residue` empty means: nothing remains, proven by the catalogue."""

    at: datetime
    quarantined: tuple[str, ...]  # objects now owned by the quarantine role, described for people
    residue: tuple[str, ...]  # what still refers to the role, described for people
    undone: tuple[str, ...] = ()  # done as a scope role, outliving sessions: taken back, for people
    missing: bool = False  # as in Closed

    @property
    def clean(self) -> bool:
        """Whether the catalogue holds nothing of the role."""
        return not self.residue


class Evidence(StrEnum):
    """How much the activity figures can be trusted."""

    STATEMENT_LOG = "statement_log"  # the server's own log, complete
    PARTIAL_LOG = "partial_log"  # the server's own log, cut or rotated away in part
    COUNTERS = "counters"  # pg_stat_statements only: kinds and counts, no times, no refusals
    NONE = "none"  # statements unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement the holder ran, as the server's log tells it."""

    at: datetime
    kind: str  # SELECT, INSERT, …, or OTHER
    text: str
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSeen:
    """One session the holder had, as far as the evidence tells."""

    started_at: datetime
    ended_at: datetime | None
    application: str
    client: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What was done with a grant, and what that is known from."""

    evidence: Evidence
    note: str = ""  # why the evidence is thin, for people; empty when it is complete
    sessions: tuple[SessionSeen, ...] = ()
    statements: tuple[Statement, ...] = ()  # capped by the engine; counts below are not
    counts: tuple[tuple[str, int], ...] = ()  # (kind, n), most frequent first; "refused" is one
    tables: tuple[tuple[str, int], ...] = ()  # (schema.table, n) as far as the text tells


class Severity(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of a doctor's report: what was looked at, what was seen, what to do about it."""

    severity: Severity
    subject: str
    message: str
    remedy: str = ""
