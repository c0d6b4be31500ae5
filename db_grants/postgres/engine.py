"""The contract of `db_grants.engine` on a real server: thin methods over inspect, plan and ending."""

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from psycopg import sql

from db_grants import errors
from db_grants.postgres import (
    activity,
    atoms,
    batches,
    bootstrap,
    closing,
    deputy,
    doctor,
    failures,
    inspect,
    links,
    plan,
    quick,
    removal,
    residue,
    scram,
    survey,
)
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

Steps = Sequence[sql.Composable]

_TRIES = 5


def _utc_now() -> datetime:
    return datetime.now(UTC)


class PostgresEngine:
    """Temporary roles on the server that `url` names, as the bot role that `url` names.

    `deadline` (seconds) bounds every operation on our side. `public_host` and `public_port` stand in
    the credentials people see, where the bot's own way to the server is not theirs. Thread-safe.
    """

    def __init__(
        self,
        url: str,
        *,
        deadline: float = 10.0,
        clock: Callable[[], datetime] = _utc_now,
        public_host: str | None = None,
        public_port: int | None = None,
    ) -> None:
        self._links = links.Links(url, deadline)
        self._deadline = deadline
        self._clock = clock
        given = self._links.parameters
        self._host = public_host or str(given.get("host") or "localhost")
        self._port = public_port or int(given.get("port") or 5432)
        self._database = str(given.get("dbname") or given.get("user") or "postgres")
        self._bot_role = str(given.get("user") or bootstrap.BOT_ROLE)
        self._sslmode: str | None = given.get("sslmode")
        self._passwords = scram.Ahead()
        self._search: residue.Search | None = None
        self._search_lock = threading.Lock()

    @property
    def database(self) -> str:
        """The database the bot itself connects to."""
        return self._database

    def check(self, scopes: Sequence[Scope]) -> tuple[Finding, ...]:
        """See `db_grants.engine.Engine.check`."""
        with self._links.link() as link:
            return doctor.examine(link, scopes, self._clock())

    def bootstrap(self, scopes: Sequence[Scope]) -> str:
        """See `db_grants.engine.Engine.bootstrap`."""
        return bootstrap.script(scopes, database=self._database, bot_role=self._bot_role)

    def describe(self, spec: GrantSpec) -> tuple[str, ...]:
        """See `db_grants.engine.Engine.describe`."""
        unmet = inspect.TargetState(
            version=inspect.INHERIT_OPTION, granted_exists=not spec.scope.narrowed, role=None
        )
        return tuple(step.description for step in plan.create(spec, unmet))

    def create(self, spec: GrantSpec, near: Near | None = None) -> ManagedRole:
        """See `db_grants.engine.Engine.create`. Two colliding creations are tried again."""
        end = time.monotonic() + self._deadline
        self._passwords.begin()  # somebody will open the credentials
        with self._links.link() as link:
            server = link.server()
            made = quick.created(link, spec, end, near)
        if made is not None:
            return dataclasses.replace(made, server=server)
        if near is not None and not near.holds(self.server_time()):
            raise errors.ClockUnsure
        for _ in range(_TRIES - 1):
            try:
                return self._create(spec, end)
            except failures.Collision:
                continue
        return self._create(spec, end)

    def _create(self, spec: GrantSpec, end: float) -> ManagedRole:
        """Inspect, plan, apply, verify, commit: with all care, for what is not the plain case.

        Whoever is paused on the way and wakes late must not bring a role into being that others have
        already proven gone. So the server itself refuses to commit after `end`.
        """
        with self._links.link() as link:
            link.forget()  # a function of the bootstrap may have been taken away
            server = link.server()
            opened = plan.opening(spec)
            left = _left(end)
            if opened:
                link.ask(*opened)
            state = inspect.for_grant(link, spec)
            steps = deputy.bringing(link, spec, state)
            begin = [] if opened else [sql.SQL("BEGIN")]
            left = left if opened else _left(end)
            results = link.ask(*begin, *steps, inspect.role_query(spec.role_name))
            found = inspect.role_of(results[-1])
            lacking = plan.wrong(spec, found)
            if found is None or lacking:
                raise errors.NotPrepared(
                    f"The role {spec.role_name} did not come out right: {lacking}."
                )
            link.tell(links.younger_than(left), sql.SQL("COMMIT"))
        return ManagedRole(
            grant_id=spec.grant_id, name=spec.role_name, oid=found.oid, server=server
        )

    def find(self, grant_id: str, role_name: str) -> ManagedRole | None:
        """See `db_grants.engine.Engine.find`."""
        with self._links.link() as link:
            (rows,) = link.ask(inspect.role_query(role_name))
        found = inspect.role_of(rows)
        if found is None:
            return None
        inspect.require_ours(found)
        return ManagedRole(grant_id=grant_id, name=found.name, oid=found.oid)

    def reveal(self, role: ManagedRole, expires_at: datetime, database: str) -> Credential:
        """See `db_grants.engine.Engine.reveal`. The password goes nowhere but into the result."""
        password, verifier = self._passwords.take()
        self._change(role, lambda link: deputy.giving_password(link, role, verifier))
        return Credential(
            role=role.name,
            password=password,
            host=self._host,
            port=self._port,
            database=database,
            sslmode=self._sslmode,
            expires_at=expires_at,
        )

    def set_deadline(self, role: ManagedRole, expires_at: datetime) -> None:
        """See `db_grants.engine.Engine.set_deadline`."""
        self._change(role, lambda link: deputy.moving_deadline(link, role, expires_at))

    def _change(self, role: ManagedRole, wanted: Callable[[links.Link], Steps]) -> None:
        """Change a role that is ours and open, or tell why it cannot be."""
        end = time.monotonic() + self._deadline
        with self._links.link() as link:
            steps = wanted(link)
            if quick.changed(link, role, end, *steps):
                return
            if not inspect.name_of(link, role).can_login:
                raise errors.RoleMissing(f"The access of {role.name} has ended.")
            link.tell(quick.BEGIN, *steps, quick.COMMIT)

    def close(self, role: ManagedRole) -> Closed:
        """See `db_grants.engine.Engine.close`."""
        with self._links.link() as link:
            return closing.close(self._links, link, role, self._clock)

    def remove(self, role: ManagedRole) -> Removed:
        """See `db_grants.engine.Engine.remove`."""
        with self._links.link() as link:
            search = self._search_for(link)
            return removal.remove(self._links, link, role, search, self._clock)

    def close_all(
        self, roles: Sequence[ManagedRole]
    ) -> Mapping[str, Closed | errors.DbGrantsError]:
        """See `db_grants.engine.Engine.close_all`."""
        with self._links.link() as link:
            outcomes = closing.close_all(self._links, link, roles, self._clock)
        return batches.by_grant(roles, outcomes)

    def remove_all(
        self, roles: Sequence[ManagedRole]
    ) -> Mapping[str, Removed | errors.DbGrantsError]:
        """See `db_grants.engine.Engine.remove_all`."""
        with self._links.link() as link:
            search = self._search_for(link)
            outcomes = removal.remove_all(self._links, link, roles, search, self._clock)
        return batches.by_grant(roles, outcomes)

    def _search_for(self, link: links.Link) -> residue.Search:
        """It changes with the server's version only, so it is worked out once."""
        with self._search_lock:
            if self._search is None:
                self._search = residue.search(link)
            return self._search

    def activity(self, role: ManagedRole, since: datetime) -> Activity:
        """See `db_grants.engine.Engine.activity`."""
        with self._links.link() as link:
            return activity.of_role(link, role, since)

    def activity_all(
        self, sinces: Mapping[ManagedRole, datetime]
    ) -> Mapping[str, Activity | errors.DbGrantsError]:
        """See `db_grants.engine.Engine.activity_all`."""
        with self._links.link() as link:
            told = activity.of_roles(link, sinces)
        return activity.one_by_one(self._links, sinces) if told is None else told

    def managed(self) -> tuple[FoundRole, ...]:
        """See `db_grants.engine.Engine.managed`."""
        return self.survey().managed

    def survey(self) -> Survey:
        """See `db_grants.engine.Engine.survey`."""
        with self._links.link() as link:
            return survey.of_server(link)

    def server_time(self) -> datetime:
        """See `db_grants.engine.Engine.server_time`."""
        with self._links.link() as link:
            (rows,) = link.ask(sql.SQL("SELECT clock_timestamp() AS at"))
        at: datetime = rows[0]["at"]
        return at.astimezone(UTC)

    def identity(self) -> str:
        """See `db_grants.engine.Engine.identity`."""
        with self._links.link() as link:
            return link.server()

    def carries(self, scope: Scope) -> str:
        """See `db_grants.engine.Engine.carries`."""
        return atoms.role_to_grant(scope)

    def dispose(self) -> None:
        """See `db_grants.engine.Engine.dispose`."""
        self._passwords.close()
        self._links.close()


def _left(end: float) -> float:
    """Seconds left to make a role. Raises TargetUnavailable when there are none."""
    left = end - time.monotonic()
    if left <= 0:
        raise errors.TargetUnavailable("The target was too slow; nothing was changed.")
    return left
