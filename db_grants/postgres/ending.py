"""The end of a grant, in two phases: `close` ends access, `remove` leaves nothing behind.

The order is the point. The door is shut and committed before the first session is cut, or a client
that reconnects in between survives. Sessions are cut by OID until none can be left, before the role
is dropped: a session outlives its role, and only whoever has a role's privileges may cut it.
"""

import contextlib
import functools
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from psycopg import sql

from db_grants import errors, naming
from db_grants.postgres import failures, inspect, lasting, links, plan, queries, residue
from db_grants.spec import Closed, ManagedRole, Removed, Session

_PAUSE = 0.02  # seconds between two looks for sessions
_BLIND_PASSES = 4  # empty looks that must do when logins under way never come to an end

Clock = Callable[[], datetime]


def close(pool: links.Links, link: links.Link, role: ManagedRole, clock: Clock) -> Closed:
    """Phase one: shut the door, commit, cut sessions until none appears."""
    (rows,) = link.ask(_state_of(role))
    state = _ours(rows, role)
    early: tuple[Session, ...] = ()
    undone: tuple[str, ...] = ()
    if state["name"] is not None:
        shut = _transaction(plan.shut(role.name).sql)
        steps = plan.take_over(role.name, state["member_of"], state["version"])
        rest = _transaction(*(step.sql for step in steps))
        try:
            # One round trip, two transactions: nothing that fails later can open the door again.
            link.tell(*shut, *rest)
        except failures.Locked:
            link.roll_back()
            link.tell(*rest)
            undone, early = _free_door(pool, link, role, state["version"])
            link.tell(*shut)
        except errors.DbGrantsError:
            _cut_at_least(link, role, rest)
            raise
    cut = _cut_until_none(link, role)
    return Closed(at=clock(), sessions_cut=(*early, *cut), undone=undone)


def _cut_at_least(link: links.Link, role: ManagedRole, rest: tuple[sql.Composable, ...]) -> None:
    """The door cannot be shut: there is no room to write that down, or no right to. Whoever is in is
    put out all the same, and comes back to nothing. What is told is why the door is open.
    """
    for step in (functools.partial(link.tell, *rest), functools.partial(_look, link, role)):
        with contextlib.suppress(errors.DbGrantsError):
            link.roll_back()
            step()


def _free_door(
    pool: links.Links, link: links.Link, role: ManagedRole, version: int
) -> tuple[tuple[str, ...], tuple[Session, ...]]:
    """End whatever keeps the door open by a lock on the role's own row: what was rolled back, and
    sessions cut.

    A holder may ALTER ROLE their own password, and by not committing that (or by preparing it, before
    16 also as the role of their scope) make our ALTER ROLE wait for ever. By now the role has no
    privileges left and the bot may act for it. Sessions go first, or they prepare it once more; and
    last, so that we queue for the lock while their process is still ending: nobody gets it before us.
    """
    _, found, _ = _look(link, role)
    (prepared,) = link.ask(
        queries.query(
            "holding_door",
            oid=role.oid,
            bookkeeping=naming.BOOKKEEPING,
            pattern=naming.LASTING,
        )
    )
    for row in prepared:
        if row["kind"] == "own":
            lasting.roll_back(pool, row["role"], row["database"], row["what"])
        else:
            lasting.roll_back_as_lasting(pool, link, row, version)
    undone = tuple(lasting.in_words(row) for row in prepared if row["kind"] != "own")
    _, again, _ = _look(link, role)
    return undone, (*found, *(session for session in again if session not in found))


def _transaction(*statements: sql.Composable) -> tuple[sql.Composable, ...]:
    return (sql.SQL("BEGIN"), *statements, sql.SQL("COMMIT"))


def _state_of(role: ManagedRole) -> sql.Composable:
    return queries.query(
        "ending_state",
        oid=role.oid,
        bookkeeping=naming.BOOKKEEPING,
        subset_prefix=naming.SUBSET_PREFIX,
    )


def _ours(rows: links.Rows, role: ManagedRole) -> dict[str, Any]:
    """The state of the role with this OID; one under another name was never made by us."""
    name = rows[0]["name"]
    if name is not None and (name != role.name or not naming.is_legal(name)):
        raise errors.ForeignRole(f"The role with OID {role.oid} is {name}, not {role.name}.")
    return rows[0]


def _cut_until_none(link: links.Link, role: ManagedRole) -> tuple[Session, ...]:
    """Cut sessions until a look proves that there is none and none is on its way."""
    seen: dict[tuple[int, datetime], Session] = {}
    empty = 0
    while empty < _BLIND_PASSES:
        arriving, found, known = _look(link, role)
        seen |= {(session.pid, session.started_at): session for session in found}
        empty = 0 if found else empty + 1
        if empty and not arriving - known:
            return tuple(seen.values())
        if link.seconds_left < _PAUSE:
            raise errors.StillAlive
        time.sleep(_PAUSE if empty else _PAUSE / 10)
    return tuple(seen.values())


def _look(link: links.Link, role: ManagedRole) -> tuple[set[int], list[Session], set[int]]:
    """Logins that may be under way, sessions of the role (now being cut), backends we can place."""
    try:
        arriving, found, known = link.ask(
            queries.query("arriving"),
            queries.query("cut_sessions", oid=role.oid),
            queries.query("known_backends"),
        )
    except errors.NotPrepared as error:  # with the role goes the right to cut its sessions
        raise errors.StillAlive(
            f"A session of {role.name} outlived its role; a superuser must cut it: {error}"
        ) from None
    sessions = [
        Session(
            pid=row["pid"],
            application=row["application"],
            client=row["client"],
            started_at=row["started_at"],
        )
        for row in found
    ]
    return _pids(arriving), sessions, _pids(known)


def _pids(rows: links.Rows) -> set[int]:
    return {row["pid"] for row in rows}


class Removal:
    """Phase two for one role. Collects what it could not do, goes on, and then looks what is left."""

    def __init__(
        self, pool: links.Links, link: links.Link, role: ManagedRole, search: residue.Search
    ) -> None:
        self._pool = pool
        self._link = link
        self._role = role
        self._search = search
        self._quarantined: list[str] = []
        self._troubles: list[str] = []

    def run(self, clock: Clock) -> Removed:
        """Drop the role, with whatever hangs on it, and prove it."""
        oid = self._role.oid
        rows, prepared, mentions, amiss = self._link.ask(
            _state_of(self._role),
            queries.query("prepared", oid=oid),
            queries.query("dependencies", oid=oid),
            lasting.look(oid),
        )
        state = _ours(rows, self._role)
        if state["sessions"]:
            raise errors.StillAlive
        if state["name"] is not None:
            self._roll_back(prepared)
        restoration = lasting.Restoration(self._pool, self._link, oid, state["version"])
        amiss_still = restoration.run(amiss, sees_passwords=state["sees_passwords"])
        databases = {row["database"] for row in mentions}
        if state["name"] is not None:
            self._drop(state["version"], sorted(databases))
        if state["unused_subsets"]:
            self._attempt(self._drop_unused_subsets)
        left = self._left(databases - {state["database"]})
        return Removed(
            at=clock(),
            quarantined=(*self._quarantined, *restoration.quarantined),
            residue=(*left, *amiss_still),
            undone=tuple(restoration.undone),
        )

    def _roll_back(self, prepared: links.Rows) -> None:
        """First of all: whatever it prepared may keep locks on what is to be changed."""
        for row in prepared:
            self._attempt(
                functools.partial(
                    lasting.roll_back, self._pool, self._role.name, row["database"], row["gid"]
                )
            )

    def _drop(self, version: int, databases: list[str]) -> None:
        """The plain case is one statement; what depends on the role makes it longer."""
        for database in databases:
            self._attempt(functools.partial(self._clean, database))
        if version < inspect.INHERIT_OPTION:
            self._attempt(self._take_back_memberships)
        self._attempt(lambda: self._link.tell(self._named("DROP ROLE {}")))

    def _attempt(self, step: Callable[[], object]) -> None:
        """One step; what it cannot do is noted and does not stop the next."""
        try:
            step()
        except (errors.TargetUnavailable, errors.OutcomeUnknown):
            raise
        except errors.DbGrantsError as error:
            self._troubles.append(str(error))
            self._link.roll_back()

    def _clean(self, database: str) -> None:
        """In one database: what it owns goes to quarantine, what it was given is taken away.

        Never DROP OWNED before REASSIGN OWNED: it would delete tables. Never reassign to a role with
        power: a SECURITY DEFINER function would run with it.
        """
        with self._pool.link(database) as there:
            (_, owned) = there.ask(
                sql.SQL("BEGIN"), queries.query("owned_objects", oid=self._role.oid)
            )
            steps = [self._named("DROP OWNED BY {}")]
            if owned:
                quarantine = sql.Identifier(naming.QUARANTINE)
                steps = [
                    sql.SQL("REASSIGN OWNED BY {} TO {}").format(self._identifier, quarantine),
                    *steps,
                    queries.query("strip_quarantined"),
                ]
            there.ask(*steps)
            there.tell(sql.SQL("COMMIT"))
            self._quarantined += [f"{row['description']} in {database}" for row in owned]

    def _take_back_memberships(self) -> None:
        """Before 16 a membership outlives the role that gave it."""
        (rows,) = self._link.ask(queries.query("granted_onward", oid=self._role.oid))
        for row in rows:
            self._link.tell(
                sql.SQL("REVOKE {} FROM {} CASCADE").format(
                    sql.Identifier(row["role"]), sql.Identifier(row["member"])
                )
            )

    def _drop_unused_subsets(self) -> None:
        """Roles of narrowed scopes that no grant uses any more. A concurrent grant keeps its own."""
        self._link.ask(sql.SQL("BEGIN"), plan.subset_lock())
        (rows,) = self._link.ask(_state_of(self._role))
        names = map(sql.Identifier, rows[0]["unused_subsets"])
        self._link.tell(
            *(sql.SQL("DROP ROLE {}").format(name) for name in names), sql.SQL("COMMIT")
        )

    def _left(self, elsewhere: set[str]) -> tuple[str, ...]:
        """What still mentions the role, here and in every database it had touched."""
        found = set(self._search.of_role(self._link, self._role.oid))
        for database in sorted(elsewhere):
            with self._pool.link(database) as there:
                here = self._search.of_role(there, self._role.oid)
            found |= {f"{what} ({database})" for what in here}
        return (*sorted(found), *self._troubles) if found else ()

    @property
    def _identifier(self) -> sql.Identifier:
        return sql.Identifier(self._role.name)

    def _named(self, template: str) -> sql.Composable:
        return sql.SQL(template).format(self._identifier)
