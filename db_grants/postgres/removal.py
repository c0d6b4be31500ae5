"""Nothing is left: what hangs on a closed role goes, the role is dropped, and that is proven.

The plain case, a role nothing hangs on, is one round trip for any number of roles: a guard, DROP ROLE,
and behind its commit the search of all catalogues for what still mentions any of them.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from psycopg import sql

from db_grants import errors, naming
from db_grants.postgres import (
    batches,
    closing,
    deputy,
    failures,
    inspect,
    lasting,
    links,
    plan,
    queries,
    quick,
    residue,
)
from db_grants.spec import ManagedRole, Removed

Clock = Callable[[], datetime]
Outcomes = dict[int, Removed | errors.DbGrantsError]  # by OID


def remove(
    pool: links.Links, link: links.Link, role: ManagedRole, search: residue.Search, clock: Clock
) -> Removed:
    """Phase two for one role. Raises what `Engine.remove` does."""
    outcome = remove_all(pool, link, [role], search, clock)[role.oid]
    if isinstance(outcome, errors.DbGrantsError):
        raise outcome
    return outcome


def remove_all(
    pool: links.Links,
    link: links.Link,
    roles: Sequence[ManagedRole],
    search: residue.Search,
    clock: Clock,
) -> Outcomes:
    """Phase two for many; what could not be tried, as the server was lost, has that for an outcome."""
    batch = _Batch(pool, link, search, clock)
    return batches.completed(roles, batch.outcomes, lambda: batch.run(roles))


class _Batch:
    """The plain ones together, or each by itself; then with all care what is not plain."""

    def __init__(
        self, pool: links.Links, link: links.Link, search: residue.Search, clock: Clock
    ) -> None:
        self._pool = pool
        self._link = link
        self._search = search
        self._clock = clock
        self.outcomes: Outcomes = {}

    def run(self, roles: Sequence[ManagedRole]) -> None:
        """Fill `outcomes`. Raises what says that the server is lost."""
        self._drop_plain([role for role in roles if naming.is_legal(role.name)])
        self._one_by_one(role for role in roles if role.oid not in self.outcomes)

    def _drop_plain(self, roles: Sequence[ManagedRole]) -> None:
        """Together; where that is refused, half by half, so that one of five hundred costs few turns."""
        if roles and not self._dropped(roles) and len(roles) > 1:
            middle = len(roles) // 2
            self._drop_plain(roles[:middle])
            self._drop_plain(roles[middle:])

    def _dropped(self, roles: Sequence[ManagedRole]) -> bool:
        """Whether these were plain, and are gone without a trace. Traces are told of with care."""
        oids, names = [role.oid for role in roles], [role.name for role in roles]
        looking = lasting.is_due(self._link)
        guards = _guards(self._link.version, deputy.all_at_hand(self._link))
        guard = guards[-1] if looking else guards[0]
        try:
            self._link.ready(*guards, self._search.quick(oids))
        except errors.NotPrepared:  # before 16, where the bot may not look for passwords
            return False
        done = quick.tried(
            self._link,
            guard.run(oids, names),
            *deputy.dropping(self._link, names),
            quick.COMMIT,
            self._search.asked(oids),
        )
        if done is None:
            return False
        if looking:
            self._link.happened(lasting.LOOK)
        (told,), left = done[0], done[-1]
        if not left and not (told["spare"] and drop_unused_subsets(self._link)):
            at = self._clock()
            self.outcomes |= {
                role.oid: Removed(at=at, quarantined=(), residue=()) for role in roles
            }
        return True

    def _one_by_one(self, roles: Iterable[ManagedRole]) -> None:
        for role in roles:
            removal = Removal(self._pool, self._link, role, self._search)
            try:
                self.outcomes[role.oid] = removal.run(self._clock)
            except errors.DbGrantsError as error:
                self._link.roll_back()
                self.outcomes[role.oid] = error
                if failures.is_loss(error):
                    raise


@functools.cache
def _guards(version: int, listed: bool) -> tuple[queries.Prepared, ...]:  # noqa: FBT001 - cached
    """The guard of the plain case: the last looks at all lasting roles. From 16 on there is another,
    which asks no more than whether whoever ends could have acted as one. Before 16 a role may have
    given memberships on that outlive it, and lasting roles passwords.
    """
    look = queries.query("removable_lasting", look=lasting.look(listed=listed))
    if version < inspect.INHERIT_OPTION:
        more = sql.SQL(" ").join([look, queries.query("removable_before_16")])
        return (_guard("removable", more, listed=listed),)
    bound = queries.query("removable_bound")
    return (
        _guard("removable_bound", bound, listed=listed),
        _guard("removable", look, listed=listed),
    )


def _guard(name: str, more: sql.Composable, *, listed: bool) -> queries.Prepared:
    guard = queries.prepared(
        "removable",
        "oid[], text[]",
        ours=closing.OURS,
        more=more,
        note=residue.NOTE,
        listed=queries.if_listed(listed=listed),
    )
    return dataclasses.replace(guard, name=f"{name}_listed" if listed else name)


def drop_unused_subsets(link: links.Link) -> str:
    """Drop roles of narrowed scopes that no grant uses any more; what went wrong, for people. A
    concurrent grant keeps its own.
    """
    try:
        unused = queries.unused_subsets(listed=deputy.all_at_hand(link))
        (*_, rows) = link.ask(quick.BEGIN, plan.subset_lock(), unused)
        drops = deputy.dropping_narrowed(link, (row["name"] for row in rows))
        link.tell(*drops, quick.COMMIT)
    except errors.DbGrantsError as error:
        if failures.is_loss(error):
            raise
        link.roll_back()
        return str(error)
    return ""


class Removal:
    """Phase two for one role, with all care.

    Collects what it could not do, goes on, and then looks what is left.
    """

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
        self._link.forget()  # a function of the bootstrap may have been taken away
        listed = deputy.all_at_hand(self._link)
        rows, unused, prepared, mentions, amiss = self._link.ask(
            closing.state_of(self._role),
            queries.unused_subsets(listed=listed),
            queries.query("prepared", oid=oid),
            queries.query("dependencies", oid=oid),
            lasting.look(oid, listed=listed),
        )
        state = closing.as_ours(rows, self._role)
        if state["sessions"]:
            raise errors.StillAlive
        if state["name"] is not None:
            self._attempt(functools.partial(self._take_over, state["member_of"]))
            self._roll_back(prepared)
        restoration = lasting.Restoration(self._pool, self._link, oid, self._link.version)
        amiss_still = restoration.run(amiss, sees_passwords=state["sees_passwords"])
        databases = {row["database"] for row in mentions}
        if state["name"] is not None:
            self._drop(sorted(databases))
        if unused and (trouble := drop_unused_subsets(self._link)):
            self._troubles.append(trouble)
        left = self._left(databases - {state["database"]})
        return Removed(
            at=clock(),
            quarantined=(*self._quarantined, *restoration.quarantined),
            residue=(*left, *amiss_still),
            undone=tuple(restoration.undone),
            missing=state["name"] is None,
        )

    def _take_over(self, member_of: list[str]) -> None:
        """What a closing that met nobody there had no reason to do."""
        steps = deputy.taking_over(self._link, {self._role.name: member_of})
        self._link.tell(quick.BEGIN, *steps, quick.COMMIT)

    def _roll_back(self, prepared: links.Rows) -> None:
        """First of all: whatever it prepared may keep locks on what is to be changed."""
        for row in prepared:
            self._attempt(
                functools.partial(
                    lasting.roll_back, self._pool, self._role.name, row["database"], row["gid"]
                )
            )

    def _drop(self, databases: list[str]) -> None:
        """The plain case is one statement; what depends on the role makes it longer."""
        for database in databases:
            self._attempt(functools.partial(self._clean, database))
        if self._link.version < inspect.INHERIT_OPTION:
            self._attempt(self._take_back_memberships)
        self._attempt(lambda: self._link.tell(*deputy.dropping(self._link, [self._role.name])))

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
                    deputy.stripping_quarantined(there),
                ]
            there.ask(*steps)
            there.tell(sql.SQL("COMMIT"))
            self._quarantined += [f"{row['description']} in {database}" for row in owned]

    def _take_back_memberships(self) -> None:
        """Before 16 a membership outlives the role that gave it."""
        (rows,) = self._link.ask(queries.query("granted_onward", oid=self._role.oid))
        for row in rows:
            name = self._role.name
            self._link.tell(*deputy.taking_back(self._link, name, row["role"], row["member"]))

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
