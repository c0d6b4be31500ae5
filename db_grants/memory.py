"""The contract of `db_grants.engine` without a server, for tests of what stands above it.

It keeps roles and sessions in memory and refuses what the real engine refuses; both pass
tests/contract. A test may connect sessions and make operations fail.
"""

import itertools
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from db_grants import errors, naming
from db_grants.spec import (
    Activity,
    Closed,
    Credential,
    Evidence,
    Finding,
    FoundRole,
    GrantSpec,
    ManagedRole,
    Near,
    Privilege,
    Removed,
    Scope,
    Session,
    SessionSeen,
    Severity,
    Statement,
    Survey,
)

_Result = TypeVar("_Result")


@dataclass(slots=True, kw_only=True)
class _Role:
    """A role as this server remembers it."""

    found: FoundRole
    spec: GrantSpec | None  # None: not ours
    password: str | None = None
    sessions: dict[int, Session] = field(default_factory=dict)

    @property
    def seen(self) -> FoundRole:
        """The role as a survey tells of it."""
        return replace(self.found, sessions=len(self.sessions))


def _utc_now() -> datetime:
    return datetime.now(UTC)


class MemoryEngine:
    """Temporary roles in memory. Thread-safe."""

    def __init__(
        self, *, clock: Callable[[], datetime] = _utc_now, scopes: Sequence[Scope] | None = None
    ) -> None:
        """`scopes`: what the target is prepared for; None prepares it for everything."""
        self._clock = clock
        self._prepared = None if scopes is None else {scope.name for scope in scopes}
        self._lock = threading.RLock()
        self._roles: dict[str, _Role] = {}
        self._seen: dict[int, list[SessionSeen]] = {}
        self._statements: dict[int, list[Statement]] = {}
        self._numbers = itertools.count(20000)
        # method → raised at its next calls
        self.failures: dict[str, list[errors.DbGrantsError]] = {}
        self.calls: list[tuple[str, str]] = []  # (method, role or grant), in order
        self.identifier, self.timeline, self.written = "memory", 1, 0  # see Survey
        self.prepared = True
        self.ahead = timedelta(0)  # of the server's clock

    def check(self, scopes: Sequence[Scope]) -> tuple[Finding, ...]:
        """Only whether the scopes are prepared."""
        self._begin("check", "")
        missing = [scope.name for scope in scopes if not self._is_prepared(scope)]
        if not missing:
            return (Finding(severity=Severity.OK, subject="scopes", message="all are prepared"),)
        return tuple(
            Finding(
                severity=Severity.ERROR,
                subject=name,
                message="the scope is not prepared",
                remedy="run the bootstrap SQL",
            )
            for name in missing
        )

    def bootstrap(self, scopes: Sequence[Scope]) -> str:
        """A comment for each scope; there is nothing to run."""
        return "".join(f"-- {scope.name}\n" for scope in scopes)

    def describe(self, spec: GrantSpec) -> tuple[str, ...]:
        """See `db_grants.engine.Engine.describe`."""
        _check_scope(spec.scope)
        labels = "; ".join(table.label for table in spec.scope.tables)
        return (f"Make the role {spec.role_name}", f"Allow: {labels}", "Let it log in")

    def create(self, spec: GrantSpec, near: Near | None = None) -> ManagedRole:
        """See `db_grants.engine.Engine.create`."""
        self._begin("create", spec.role_name)
        if near is not None and not near.holds(self._clock() + self.ahead):
            raise errors.ClockUnsure
        _check_scope(spec.scope)
        if not self._is_prepared(spec.scope):
            raise errors.NotPrepared(f"The target lacks the role of {spec.scope.name}.")
        with self._lock:
            known = self._roles.get(spec.role_name)
            if known is not None and known.spec is None:
                raise errors.ForeignRole(f"A role named {spec.role_name} exists and is not ours.")
            oid = known.found.oid if known else next(self._numbers)
            found = FoundRole(
                name=spec.role_name,
                oid=oid,
                grant_id=spec.grant_id,
                expires_at=spec.expires_at,
                can_login=True,
                valid_until=spec.expires_at,
                connection_limit=spec.connection_limit,
                member_of=(self.carries(spec.scope),),
            )
            if known is None:
                self._roles[spec.role_name] = _Role(found=found, spec=spec)
            else:
                known.found, known.spec = found, spec
            return ManagedRole(
                grant_id=spec.grant_id, name=spec.role_name, oid=oid, server=self.identifier
            )

    def find(self, grant_id: str, role_name: str) -> ManagedRole | None:
        """See `db_grants.engine.Engine.find`."""
        self._begin("find", role_name)
        with self._lock:
            known = self._roles.get(role_name)
        if known is None:
            return None
        if known.spec is None:
            raise errors.ForeignRole(f"A role named {role_name} exists and is not ours.")
        return ManagedRole(grant_id=grant_id, name=role_name, oid=known.found.oid)

    def reveal(self, role: ManagedRole, expires_at: datetime, database: str) -> Credential:
        """See `db_grants.engine.Engine.reveal`."""
        self._begin("reveal", role.name)
        with self._lock:
            known = self._open(role)
            known.password = secrets.token_urlsafe(24)
            return Credential(
                role=role.name,
                password=known.password,
                host="127.0.0.1",
                port=5432,
                database=database,
                sslmode=None,
                expires_at=expires_at,
            )

    def set_deadline(self, role: ManagedRole, expires_at: datetime) -> None:
        """See `db_grants.engine.Engine.set_deadline`."""
        self._begin("set_deadline", role.name)
        with self._lock:
            known = self._open(role)
            known.found = replace(known.found, expires_at=expires_at, valid_until=expires_at)

    def close(self, role: ManagedRole) -> Closed:
        """See `db_grants.engine.Engine.close`."""
        self._begin("close", role.name)
        with self._lock:
            known = self._of(role)
            cut: tuple[Session, ...] = ()
            if known is not None:
                known.found = replace(
                    known.found, can_login=False, valid_until=None, member_of=(), connection_limit=0
                )
                known.password = None
                cut = tuple(known.sessions.values())
                known.sessions.clear()
                self._end_seen(role.oid)
            return Closed(at=self._clock(), sessions_cut=cut, missing=known is None)

    def remove(self, role: ManagedRole) -> Removed:
        """See `db_grants.engine.Engine.remove`."""
        self._begin("remove", role.name)
        with self._lock:
            known = self._of(role)
            if known is not None and known.sessions:
                raise errors.StillAlive
            if known is not None:
                del self._roles[role.name]
            return Removed(at=self._clock(), quarantined=(), residue=(), missing=known is None)

    def close_all(
        self, roles: Sequence[ManagedRole]
    ) -> Mapping[str, Closed | errors.DbGrantsError]:
        """See `db_grants.engine.Engine.close_all`. `fail("close", …)` fails single ones of them."""
        self._begin("close_all", "")
        return {role.grant_id: _outcome(self.close, role) for role in roles}

    def remove_all(
        self, roles: Sequence[ManagedRole]
    ) -> Mapping[str, Removed | errors.DbGrantsError]:
        """See `db_grants.engine.Engine.remove_all`. `fail("remove", …)` fails single ones."""
        self._begin("remove_all", "")
        return {role.grant_id: _outcome(self.remove, role) for role in roles}

    def activity(self, role: ManagedRole, since: datetime) -> Activity:
        """What `connect` and `run` were told."""
        self._begin("activity", role.name)
        with self._lock:
            statements = tuple(s for s in self._statements.get(role.oid, []) if s.at >= since)
            sessions = tuple(self._seen.get(role.oid, []))
        kinds = [statement.kind for statement in statements]
        counts = sorted({(kind, kinds.count(kind)) for kind in kinds}, key=lambda pair: -pair[1])
        return Activity(
            evidence=Evidence.STATEMENT_LOG,
            sessions=sessions,
            statements=statements,
            counts=tuple(counts),
        )

    def activity_all(
        self, sinces: Mapping[ManagedRole, datetime]
    ) -> Mapping[str, Activity | errors.DbGrantsError]:
        """See `db_grants.engine.Engine.activity_all`. `fail("activity", …)` fails single ones."""
        self._begin("activity_all", "")
        return {
            role.grant_id: _outcome(lambda role: self.activity(role, sinces[role]), role)
            for role in sinces
        }

    def managed(self) -> tuple[FoundRole, ...]:
        """See `db_grants.engine.Engine.managed`."""
        self._begin("managed", "")
        return self._survey().managed

    def survey(self) -> Survey:
        """See `db_grants.engine.Engine.survey`."""
        self._begin("survey", "")
        return self._survey()

    def server_time(self) -> datetime:
        """See `db_grants.engine.Engine.server_time`."""
        self._begin("server_time", "")
        return self._clock() + self.ahead

    def identity(self) -> str:
        """See `db_grants.engine.Engine.identity`."""
        self._begin("identity", "")
        return self.identifier

    def carries(self, scope: Scope) -> str:
        """See `db_grants.engine.Engine.carries`."""
        _check_scope(scope)
        return naming.scope_role(scope.name, scope.database)

    def _survey(self) -> Survey:
        with self._lock:
            roles = sorted(self._roles.values(), key=lambda role: role.found.name)
            return Survey(
                at=self._clock() + self.ahead,
                identifier=self.identifier,
                timeline=self.timeline,
                written=self.written,
                prepared=self.prepared,
                managed=tuple(role.seen for role in roles if role.spec is not None),
                lookalikes=tuple(role.seen for role in roles if role.spec is None),
            )

    def dispose(self) -> None:
        """There is nothing to close."""

    # What a test does to the server.

    def fail(self, method: str, *failures: errors.DbGrantsError) -> None:
        """Let the next calls of `method` raise these, one each."""
        with self._lock:
            self.failures.setdefault(method, []).extend(failures)

    def add_foreign(self, name: str) -> None:
        """A role that somebody else made."""
        with self._lock:
            found = FoundRole(
                name=name, oid=next(self._numbers), grant_id=None, expires_at=None, can_login=True
            )
            self._roles[name] = _Role(found=found, spec=None)

    def change(self, name: str, **changes: Any) -> None:
        """Change a role by hand, as a DBA may."""
        with self._lock:
            self._roles[name].found = replace(self._roles[name].found, **changes)

    def forget(self, name: str) -> None:
        """Let a role be gone, as after a restore from a backup."""
        with self._lock:
            del self._roles[name]

    def connect(self, role: str, password: str) -> Session | None:
        """Log in; None where a server would refuse."""
        with self._lock:
            known = self._roles.get(role)
            if known is None or not known.found.can_login or known.password != password:
                return None
            expires_at = known.found.expires_at
            if expires_at is not None and expires_at <= self._clock():
                return None
            number = next(self._numbers)
            session = Session(
                pid=number, application="test", client="127.0.0.1", started_at=self._clock()
            )
            known.sessions[number] = session
            self._seen.setdefault(known.found.oid, []).append(
                SessionSeen(
                    started_at=session.started_at,
                    ended_at=None,
                    application=session.application,
                    client=session.client,
                )
            )
            return session

    def goes_on(self, session: Session) -> bool:
        """Whether a session that `connect` made has not been cut."""
        with self._lock:
            return any(session.pid in role.sessions for role in self._roles.values())

    def run(self, role: str, kind: str, text: str) -> None:
        """Let the holder run a statement."""
        with self._lock:
            oid = self._roles[role].found.oid
            made = Statement(at=self._clock(), kind=kind, text=text)
            self._statements.setdefault(oid, []).append(made)

    def _begin(self, method: str, subject: str) -> None:
        with self._lock:
            self.calls.append((method, subject))
            waiting = self.failures.get(method)
            failure = waiting.pop(0) if waiting else None
        if failure is not None:
            raise failure

    def _is_prepared(self, scope: Scope) -> bool:
        return self._prepared is None or scope.name in self._prepared

    def _of(self, role: ManagedRole) -> _Role | None:
        """The role by OID, whatever became of its name."""
        known = self._roles.get(role.name)
        return known if known is not None and known.found.oid == role.oid else None

    def _open(self, role: ManagedRole) -> _Role:
        known = self._of(role)
        if known is None or not known.found.can_login:
            raise errors.RoleMissing
        return known

    def _end_seen(self, oid: int) -> None:
        now = self._clock()
        self._seen[oid] = [
            seen if seen.ended_at else replace(seen, ended_at=now)
            for seen in self._seen.get(oid, [])
        ]


def _outcome(
    step: Callable[[ManagedRole], _Result], role: ManagedRole
) -> _Result | errors.DbGrantsError:
    try:
        return step(role)
    except errors.DbGrantsError as error:
        return error


def _check_scope(scope: Scope) -> None:
    if not scope.tables:
        raise errors.InvalidScope(f"The scope {scope.name} names no table.")
    for table in scope.tables:
        if not table.privileges or (table.columns and Privilege.DELETE in table.privileges):
            raise errors.InvalidScope(f"{table.label} cannot be granted like that.")
