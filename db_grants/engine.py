"""The contract between a service and one database server that it may grant access on.

Implementations: `db_grants.postgres.PostgresEngine` and `db_grants.memory.MemoryEngine`; both pass
tests/contract. Every method is safe to call again with the same arguments after any failure.
Every method returns or raises within the engine's own deadline, also when the server is stopped or
the network swallows packets.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from db_grants import errors
from db_grants.spec import (
    Activity,
    Closed,
    Credential,
    Finding,
    FoundRole,
    GrantSpec,
    ManagedRole,
    Near,
    Removed,
    Scope,
    Survey,
)


class Engine(Protocol):
    """Temporary, scoped roles on one database server."""

    def check(self, scopes: Sequence[Scope]) -> tuple[Finding, ...]:
        """Look at server, bot role and scope roles; report what would stop or weaken a grant.

        Raises TargetUnavailable.
        """

    def bootstrap(self, scopes: Sequence[Scope]) -> str:
        """The SQL a DBA runs once, as text: bot role, bookkeeping, scope roles. Needs no connection."""

    def create(self, spec: GrantSpec, near: Near | None = None) -> ManagedRole:
        """Make the role of this grant, verify it in the catalogue, return it. No password is set yet.

        What has not been committed within the engine's deadline, by the server's clock, never is:
        also when the caller was paused in the middle.
        Called again for the same grant it brings a half-made role to the asked state.
        Raises InvalidScope, NotPrepared, ForeignRole (final); TargetUnavailable, OutcomeUnknown; and
        ClockUnsure, having made nothing, where the server's clock is not surely `near`.
        """

    def describe(self, spec: GrantSpec) -> tuple[str, ...]:
        """What `create` would do, one line a step, for dry run and for the card's details. Pure."""

    def find(self, grant_id: str, role_name: str) -> ManagedRole | None:
        """The role of this grant if it exists and is ours. Raises TargetUnavailable, ForeignRole."""

    def reveal(self, role: ManagedRole, expires_at: datetime, database: str) -> Credential:
        """Give the role a fresh random password; only its SCRAM verifier reaches the server.

        Raises RoleMissing, TargetUnavailable, OutcomeUnknown.
        """

    def set_deadline(self, role: ManagedRole, expires_at: datetime) -> None:
        """Move VALID UNTIL and the marker. Raises RoleMissing, TargetUnavailable, OutcomeUnknown."""

    def close(self, role: ManagedRole) -> Closed:
        """Phase one of the end: shut the door, commit, cut sessions by OID until none appears.

        A missing role still has its sessions cut, and is success; it is told as `missing`. Raises StillAlive,
        TargetUnavailable, OutcomeUnknown.
        """

    def remove(self, role: ManagedRole) -> Removed:
        """Phase two: prepared transactions, owned objects, privileges, the role; then prove it.

        Only after `close`. A missing role is success, told as `missing`. Raises StillAlive,
        TargetUnavailable, OutcomeUnknown.
        """

    def close_all(
        self, roles: Sequence[ManagedRole]
    ) -> Mapping[str, Closed | errors.DbGrantsError]:
        """`close` for each, in as few turns as can be: what came of it by grant id.

        One that fails does not stop the others; its error is its value. The one deadline is for all.
        Raises TargetUnavailable when nothing is known of any of them.
        """

    def remove_all(
        self, roles: Sequence[ManagedRole]
    ) -> Mapping[str, Removed | errors.DbGrantsError]:
        """`remove` for each, as `close_all`: only after `close`. Raises TargetUnavailable as that."""

    def activity(self, role: ManagedRole, since: datetime) -> Activity:
        """What the holder did. Never raises for thin evidence: says so. Raises TargetUnavailable."""

    def activity_all(
        self, sinces: Mapping[ManagedRole, datetime]
    ) -> Mapping[str, Activity | errors.DbGrantsError]:
        """`activity` of each since its time, by grant id: one look at the evidence for all of them.

        The bound on how much of it is looked at is for all: whose part of it is cut off is told so. A
        server prepared by an earlier bootstrap is asked one by one, each with a deadline of its own;
        one that fails is its value there. Raises TargetUnavailable when nothing is known of any.
        """

    def managed(self) -> tuple[FoundRole, ...]:
        """Every role on the server that carries our mark. Raises TargetUnavailable."""

    def survey(self) -> Survey:
        """Everything on the server that concerns us, to be compared with a record or with its clock.

        Raises TargetUnavailable.
        """

    def server_time(self) -> datetime:
        """What the server's clock says. Raises TargetUnavailable."""

    def identity(self) -> str:
        """Which server it is: the same on its standbys and in its physical backups, of no other.

        "" where it does not tell. Raises TargetUnavailable.
        """

    def carries(self, scope: Scope) -> str:
        """The one lasting role that a managed role of `scope` is a member of. Pure.

        Raises InvalidScope.
        """

    def dispose(self) -> None:
        """Close whatever connections the engine keeps."""
