"""The end of access: the door is shut and that is committed before the first session is cut.

Otherwise a client that reconnects in between survives. Sessions are found and cut by OID, until none
can be left: a session outlives its role, and only whoever has a role's privileges may cut it.

The plain case, nobody there, nobody on their way and nothing left behind, is one round trip for any
number of roles. Then access is proven over with the door alone: a role that cannot log in, has no
session and owns nothing gives nobody what it may still be a member of, and is dropped with that.
"""

import contextlib
import functools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql

from db_grants import errors, naming
from db_grants.postgres import batches, deputy, failures, lasting, links, queries, quick
from db_grants.spec import Closed, ManagedRole, Session

_PAUSE = 0.02  # seconds between two looks for sessions
_BLIND_PASSES = 4  # empty looks that must do when logins under way never come to an end
_STUBBORN = 1.0  # seconds for which one of many may keep the others' result waiting

Clock = Callable[[], datetime]
Outcomes = dict[int, Closed | errors.DbGrantsError]  # by OID

OURS = queries.ours()
_AS_NAMED = queries.prepared("as_named", "oid[], text[]", ours=OURS)
_MEMBERSHIPS = queries.prepared("memberships", "oid[]", bookkeeping=naming.BOOKKEEPING)
_LOOK = queries.prepared("look", "oid[]"), queries.prepared("entangled", "oid[]")


def close(pool: links.Links, link: links.Link, role: ManagedRole, clock: Clock) -> Closed:
    """Phase one for one role. Raises what `Engine.close` does."""
    outcome = close_all(pool, link, [role], clock)[role.oid]
    if isinstance(outcome, errors.DbGrantsError):
        raise outcome
    return outcome


def close_all(
    pool: links.Links, link: links.Link, roles: Sequence[ManagedRole], clock: Clock
) -> Outcomes:
    """Phase one for many; what could not be tried, as the server was lost, has that for an outcome."""
    closing = _Closing(pool, link, clock, patience=_STUBBORN if len(roles) > 1 else None)
    return batches.completed(roles, closing.outcomes, lambda: closing.run(roles))


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one look at the server told."""

    arriving: bool  # a login may be under way that could be anybody's
    sessions: dict[int, list[Session]]  # by the OID of their role
    entangled: frozenset[int]  # OIDs of roles with what outlives sessions

    def busy(self, role: ManagedRole) -> bool:
        """Whether there is anything to cut, to roll back or to render harmless."""
        return role.oid in self.sessions or role.oid in self.entangled


class _Closing:
    """The plain ones together, then whoever is there, then what gave trouble."""

    def __init__(
        self, pool: links.Links, link: links.Link, clock: Clock, *, patience: float | None
    ) -> None:
        """`patience`: seconds to wait for sessions that do not go; None: all the time there is."""
        self._pool = pool
        self._link = link
        self._clock = clock
        self._patience = patience
        self.outcomes: Outcomes = {}

    def run(self, roles: Sequence[ManagedRole]) -> None:
        """Fill `outcomes`. Raises what says that the server is lost."""
        shut, look = self._shut(roles)
        if shut:
            self._prove(shut, look or self._looked(shut))
        self._one_by_one(role for role in roles if role.oid not in self.outcomes)

    def _shut(self, roles: Sequence[ManagedRole]) -> tuple[list[ManagedRole], Look | None]:
        """Which doors could be shut in haste, and the look behind that; a look only if all could."""
        legal = [role for role in roles if naming.is_legal(role.name)]
        if not legal:
            return [], None
        self._link.ready(_AS_NAMED, *_LOOK)
        asked = (*self._doors(legal), quick.COMMIT, *_questions(legal))
        done = quick.tried(self._link, *asked)
        if done is not None:
            return legal, _seen(done[-len(_LOOK) :])
        if len(legal) == 1:
            return [], None
        return [role for role in legal if self._shut_alone(role)], None

    def _shut_alone(self, role: ManagedRole) -> bool:
        return quick.tried(self._link, *self._doors([role]), quick.COMMIT) is not None

    def _doors(self, roles: Sequence[ManagedRole]) -> Iterable[sql.Composable]:
        oids, names = [role.oid for role in roles], [role.name for role in roles]
        return (_AS_NAMED.run(oids, names), *deputy.shutting(self._link, names))

    def _looked(self, roles: Sequence[ManagedRole]) -> Look:
        return _seen(self._link.ask(*_questions(roles)))

    def _prove(self, roles: list[ManagedRole], look: Look) -> None:
        """Of roles whose doors are shut: who is there, until it is certain that nobody else comes."""
        for _ in range(_BLIND_PASSES - 1):
            if not look.arriving or any(map(look.busy, roles)):
                break
            time.sleep(_PAUSE / 4)
            look = self._looked(roles)
        busy = [role for role in roles if look.busy(role)]
        if busy and look.arriving:
            busy = roles
        at = self._clock()
        for role in roles:
            if role not in busy:
                self.outcomes[role.oid] = Closed(at=at, sessions_cut=())
        if busy and self._took_over(busy):
            with contextlib.suppress(errors.StillAlive):  # a role has vanished: each by itself
                self._cut_busy(busy)

    def _took_over(self, roles: list[ManagedRole]) -> bool:
        """Whether the bot may now act for these: all at once, or none."""
        self._link.ready(_MEMBERSHIPS)
        (rows,) = self._link.ask(_MEMBERSHIPS.run([role.oid for role in roles]))
        of_oid = {row["oid"]: row["member_of"] for row in rows}
        held = {role.name: of_oid.get(role.oid, []) for role in roles}
        steps = deputy.taking_over(self._link, held)
        return quick.tried(self._link, *steps, quick.COMMIT) is not None

    def _cut_busy(self, roles: list[ManagedRole]) -> None:
        cut, alive = self._cut_until_none(roles)
        for role in roles:
            if role.oid in alive:
                self.outcomes[role.oid] = errors.StillAlive()
            else:
                done = Closed(at=self._clock(), sessions_cut=cut.get(role.oid, ()))
                self._roll_back(role)
                self.outcomes[role.oid] = done

    def _one_by_one(self, roles: Iterable[ManagedRole]) -> None:
        for role in roles:
            try:
                self.outcomes[role.oid] = self._close_with_care(role)
            except errors.DbGrantsError as error:
                self._link.roll_back()
                self.outcomes[role.oid] = error
                if failures.is_loss(error):
                    raise

    def _close_with_care(self, role: ManagedRole) -> Closed:
        """Also where the role is gone, its row is locked, or the door cannot be shut."""
        self._link.forget()  # a function of the bootstrap may have been taken away
        (rows,) = self._link.ask(state_of(role))
        state = as_ours(rows, role)
        early: tuple[Session, ...] = ()
        undone: tuple[str, ...] = ()
        if state["name"] is not None:
            steps = deputy.taking_over(self._link, {role.name: state["member_of"]})
            undone, early = self._shut_with_care(role, _transaction(*steps))
        cut, alive = self._cut_until_none([role])
        if alive:
            raise errors.StillAlive
        at = self._clock()
        if state["name"] is not None:
            self._roll_back(role)
        return Closed(
            at=at,
            sessions_cut=(*early, *cut.get(role.oid, ())),
            undone=undone,
            missing=state["name"] is None,
        )

    def _shut_with_care(
        self, role: ManagedRole, rest: tuple[sql.Composable, ...]
    ) -> tuple[tuple[str, ...], tuple[Session, ...]]:
        """Shut the door and do `rest`; what was rolled back and who was cut to be able to."""
        shut = _transaction(*deputy.shutting(self._link, [role.name]))
        freed: tuple[tuple[str, ...], tuple[Session, ...]] = (), ()
        try:
            # One round trip, two transactions: nothing that fails later can open the door again.
            self._link.tell(quick.BEGIN, quick.HASTE, *shut[1:], *rest)
        except failures.Locked:
            self._link.roll_back()
            self._link.tell(*rest)
            freed = self._free_door(role)
            self._link.tell(*shut)
        except errors.DbGrantsError:
            self._cut_at_least(role, rest)
            raise
        return freed

    def _cut_at_least(self, role: ManagedRole, rest: tuple[sql.Composable, ...]) -> None:
        """The door cannot be shut: there is no room to write that down, or no right to. Whoever is in
        is put out all the same, and comes back to nothing. What is told is why the door is open.
        """
        for step in (functools.partial(self._link.tell, *rest), lambda: self._cut([role])):
            with contextlib.suppress(errors.DbGrantsError):
                self._link.roll_back()
                step()

    def _roll_back(self, role: ManagedRole) -> None:
        """What it prepared may keep locks, and could still commit. What cannot be rolled back now is
        tried again, and told of, by the removal: access has ended all the same.
        """
        (prepared,) = self._link.ask(queries.query("prepared", oid=role.oid))
        for row in prepared:
            with contextlib.suppress(errors.DbGrantsError):
                lasting.roll_back(self._pool, role.name, row["database"], row["gid"])

    def _free_door(self, role: ManagedRole) -> tuple[tuple[str, ...], tuple[Session, ...]]:
        """End whatever keeps the door open by a lock on the role's own row: what was rolled back, and
        sessions cut.

        A holder may ALTER ROLE their own password, and by not committing that (or by preparing it,
        before 16 also as the role of their scope) make our ALTER ROLE wait for ever. By now the role
        has no privileges left and the bot may act for it. Sessions go first, or they prepare it once
        more; and last, so that we queue for the lock while their process is still ending: nobody gets
        it before us.
        """
        found = self._cut([role]).sessions.get(role.oid, [])
        (prepared,) = self._link.ask(
            queries.query(
                "holding_door",
                oid=role.oid,
                bookkeeping=naming.BOOKKEEPING,
                pattern=naming.LASTING,
            )
        )
        for row in prepared:
            if row["kind"] == "own":
                lasting.roll_back(self._pool, row["role"], row["database"], row["what"])
            else:
                lasting.roll_back_as_lasting(self._pool, self._link, row)
        undone = tuple(lasting.in_words(row) for row in prepared if row["kind"] != "own")
        again = self._cut([role]).sessions.get(role.oid, [])
        return undone, (*found, *(session for session in again if session not in found))

    def _cut_until_none(
        self, roles: Sequence[ManagedRole]
    ) -> tuple[dict[int, tuple[Session, ...]], set[int]]:
        """Cut sessions until a look proves that there is none and none is on its way: what was cut,
        and of which roles some may still be there when patience was over, by OID.
        """
        left = self._link.seconds_left
        end = time.monotonic() + min(self._patience or left, left)
        seen: dict[int, dict[Session, None]] = {}
        alive = {role.oid for role in roles}
        empty = 0
        while True:
            look = self._cut([role for role in roles if role.oid in alive])
            for oid, found in look.sessions.items():
                seen.setdefault(oid, {}).update(dict.fromkeys(found))
            empty = 0 if look.sessions else empty + 1
            if not look.arriving:
                alive &= look.sessions.keys()
            if not alive or empty == _BLIND_PASSES:
                return {oid: tuple(found) for oid, found in seen.items()}, set()
            if time.monotonic() + _PAUSE > end:
                return {oid: tuple(found) for oid, found in seen.items()}, alive
            time.sleep(_PAUSE if empty else _PAUSE / 10)

    def _cut(self, roles: Sequence[ManagedRole]) -> Look:
        """A look that cuts what sessions it finds."""
        try:
            arriving, found, known = self._link.ask(
                queries.query("arriving"),
                queries.query("cut_sessions", oids=sql.Literal([role.oid for role in roles])),
                queries.query("known_backends"),
            )
        except errors.NotPrepared as error:  # with the role goes the right to cut its sessions
            raise errors.StillAlive(
                f"A session of {roles[0].name} outlived its role; a superuser must cut it: {error}"
            ) from None
        return Look(
            arriving=bool(_pids(arriving) - _pids(known)),
            sessions=_by_role(found),
            entangled=frozenset(),
        )


def _questions(roles: Iterable[ManagedRole]) -> Iterable[sql.Composable]:
    """In this order: what outlives sessions is looked at when there are none any more."""
    oids = [role.oid for role in roles]
    look, entangled = _LOOK
    return look.run(oids), entangled.run(oids)


def _seen(answers: Sequence[links.Rows]) -> Look:
    there, entangled = answers
    known = {row["pid"] for row in there if row["known"]}
    return Look(
        arriving=not known.issuperset(there[0]["arriving"] or ()),
        sessions=_by_role([row for row in there if row["ended"]]),
        entangled=frozenset(row["oid"] for row in entangled),
    )


def _transaction(*statements: sql.Composable) -> tuple[sql.Composable, ...]:
    return (quick.BEGIN, *statements, quick.COMMIT)


def state_of(role: ManagedRole) -> sql.Composable:
    """The query for what must be known before a role is ended."""
    return queries.query("ending_state", oid=role.oid, bookkeeping=naming.BOOKKEEPING, ours=OURS)


def as_ours(rows: links.Rows, role: ManagedRole) -> dict[str, Any]:
    """The state of the role with this OID. Raises ForeignRole for one that was never made by us,
    whatever a record that somebody edited says of it.
    """
    name = rows[0]["name"]
    if name is not None and (name != role.name or not naming.is_legal(name)):
        raise errors.ForeignRole(f"The role with OID {role.oid} is {name}, not {role.name}.")
    if name is not None and not rows[0]["ours"]:
        raise errors.ForeignRole(f"The role {name} carries no sign of ours; it is left alone.")
    return rows[0]


def _by_role(rows: links.Rows) -> dict[int, list[Session]]:
    found: dict[int, list[Session]] = {}
    for row in rows:
        session = Session(
            pid=row["pid"],
            application=row["application"],
            client=row["client"],
            started_at=row["started_at"],
        )
        found.setdefault(row["oid"], []).append(session)
    return found


def _pids(rows: links.Rows) -> set[int]:
    return {row["pid"] for row in rows}
