"""Lasting roles (scope roles and our mark) as the bootstrap made them: whatever else hangs on them goes.

Before 16 PostgreSQL cannot forbid SET ROLE to a member, so a holder may own objects, prepare
transactions and change settings as the role of their scope, all of which would outlive the grant.
Every end therefore looks at all lasting roles of the server: that also finds what an end that
crashed had left, and costs one query.

From 16 on no holder can act as the role of their scope, so what is found is some administrator's work,
or an interrupted step of our own. Then a plain end looks no more than once a minute on a connection.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC
from typing import Any

from psycopg import sql

from db_grants import errors, naming
from db_grants.postgres import deputy, failures, inspect, links, queries
from db_grants.spec import Finding, Severity

LOOK = "a look at lasting roles"
_EVERY = 60.0  # seconds between two such looks of plain ends, from 16 on


def is_due(link: links.Link) -> bool:
    """Whether a plain end on this connection looks at all lasting roles: before 16 each does."""
    return link.version < inspect.INHERIT_OPTION or link.since(LOOK) >= _EVERY


def look(oid: int = 0, *, listed: bool) -> sql.Composable:
    """The query for what is amiss with lasting roles, seen by the end of the role with that OID.

    `listed`: of those listed on the target; otherwise of those the bot has power over.
    """
    return queries.query(
        "lasting",
        oid=oid,
        ours=queries.query("lasting_listed" if listed else "lasting_administered"),
        bookkeeping=naming.BOOKKEEPING,
        pattern=naming.LASTING,
        setting_databases=queries.query("setting_databases"),
    )


def passwords() -> sql.Composable:
    """The query for lasting roles with a password, where the bootstrap's function may be used."""
    return sql.SQL("SELECT role FROM jit_admin.lasting_passwords() AS role ORDER BY role")


def in_words(row: dict[str, Any]) -> str:
    """One row of `look`, for people."""
    role, what, where = row["role"], row["what"], row["database"]
    at = f"{row['at'].astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if row["at"] else ""
    return {
        "owned": f"objects owned by {role} in {where}: {what}",
        "prepared": f"transaction {what} in {where}, prepared as {role} at {at}",
        "settings": f"settings of {role}{f' in {where}' if where else ''}: {what}",
        "login": f"{role} can log in",
        "borrowed": f"the bot is a member of {role}",
        "onward": f"{what} given to {where} by {role}",
    }[row["kind"]]


def roll_back(pool: links.Links, owner: str, database: str, gid: str) -> None:
    """Only in its own database, and only as its owner, can a prepared transaction be ended."""
    with pool.link(database) as there:
        there.tell(sql.SQL("SET ROLE {}").format(sql.Identifier(owner)))
        there.tell(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(gid)))


def roll_back_as_lasting(pool: links.Links, link: links.Link, row: dict[str, Any]) -> None:
    """End a prepared transaction of a lasting role, `row` of role, database and what (its gid).

    It cannot be done inside a transaction, so for its time the bot is a member. Should it die in
    between, the next end, of whatever grant, takes that back.
    """
    link.tell(deputy.lending_scope_role(link, row["role"]))
    try:
        roll_back(pool, row["role"], row["database"], row["what"])
    finally:
        link.tell(deputy.returning_scope_role(link, row["role"]))


def findings(rows: links.Rows, passwords: links.Rows) -> Iterator[Finding]:
    """What a doctor says of the rows of `look` and of roles that have a password."""
    for row in rows:
        yield Finding(
            severity=Severity.WARNING if row["shared"] else Severity.ERROR,
            subject=row["role"],
            message=f"a scope role must have nothing of its own: {in_words(row)}",
            remedy="the first end a minute from now takes it off; what it cannot, it tells",
        )
    for row in passwords:
        yield Finding(
            severity=Severity.ERROR,
            subject=row["role"],
            message="this scope role has a password",
            remedy=f"ALTER ROLE {row['role']} PASSWORD NULL",
        )


class Restoration:
    """Takes off lasting roles what must not be on them, and tells what it could not take off."""

    def __init__(self, pool: links.Links, link: links.Link, oid: int, version: int) -> None:
        self._pool = pool
        self._link = link
        self._oid = oid
        self._version = version
        self._excused: set[tuple[str, str]] = set()
        self._troubles: list[str] = []
        self.quarantined: list[str] = []
        self.undone: list[str] = []

    def run(self, found: links.Rows, *, sees_passwords: bool) -> tuple[str, ...]:
        """Undo what `found` tells of; what is left of it then, for people. Nothing found, no trip,
        save before 16 one for passwords.

        What a transaction prepared may be somebody else's work when another live grant shares the
        role. It is not rolled back then, and is told as left until that grant has ended as well.
        """
        for row in found:
            if not (row["kind"] == "prepared" and row["shared"]):
                self._attempt(functools.partial(self._undo, row))
        unsettled: tuple[str, ...] = ()
        if self._version < inspect.INHERIT_OPTION:
            unsettled = self._without_passwords(sees_passwords=sees_passwords)
        if not found:
            return unsettled
        (rows,) = self._link.ask(look(self._oid, listed=deputy.all_at_hand(self._link)))
        left = [_left_in_words(row) for row in rows if self._counts(row)]
        return (*left, *unsettled, *(self._troubles if left else ()))

    def _attempt(self, step: Callable[[], object]) -> bool:
        """One step; what it cannot do is noted and does not stop the next. Nor does a lock: another
        holder may have it for as long as they please.
        """
        try:
            step()
        except errors.DbGrantsError as error:
            lost = isinstance(error, errors.TargetUnavailable | errors.OutcomeUnknown)
            if lost and not isinstance(error, failures.Locked):
                raise
            self._troubles.append(str(error))
            self._link.roll_back()
            return False
        return True

    def _counts(self, row: dict[str, Any]) -> bool:
        return row["kind"] != "owned" or (row["role"], row["database"]) not in self._excused

    def _undo(self, row: dict[str, Any]) -> None:
        kind, role = row["kind"], row["role"]
        if kind == "owned":
            self._hand_over(row)
            return
        if kind == "prepared":
            roll_back_as_lasting(self._pool, self._link, row)
        elif kind == "settings":
            self._link.tell(deputy.resetting_scope_role(self._link, role, row["database"]))
        elif kind == "login":
            self._link.tell(deputy.shutting_scope_role(self._link, role))
        elif kind == "borrowed":
            self._link.tell(deputy.returning_scope_role(self._link, role))
            return
        else:
            steps = deputy.taking_back(self._link, role, row["what"], row["database"])
            self._link.tell(sql.SQL("BEGIN"), *steps, sql.SQL("COMMIT"))
        self.undone.append(in_words(row))

    def _hand_over(self, row: dict[str, Any]) -> None:
        """In one database: objects go to quarantine, default privileges back to none.

        Never DROP OWNED here: a lasting role's own privileges are what entitlements are made of.
        The bot has the role's privileges only inside this transaction.
        """
        role = sql.Identifier(row["role"])
        with self._pool.link(row["database"]) as there:
            (_, owned) = there.ask(
                sql.SQL("BEGIN"), queries.query("lasting_owned", role=row["role"])
            )
            objects = [one for one in owned if not one["preset"]]
            if row["shared"] and all(one["temporary"] for one in owned):
                self._excused.add((row["role"], row["database"]))  # of a session that goes on
                there.roll_back()
                return
            steps = []
            if objects:
                quarantine = sql.Identifier(naming.QUARANTINE)
                steps += [
                    sql.SQL("REASSIGN OWNED BY {} TO {}").format(role, quarantine),
                    deputy.stripping_quarantined(there),
                ]
            if len(objects) < len(owned):
                steps.append(queries.query("reset_presets", role=row["role"]))
            self._act_for(row["role"], there, steps)
        where = f"in {row['database']}, made as {row['role']}"
        self.quarantined += [f"{one['description']} {where}" for one in objects]
        self.undone += [
            f"{one['description']} in {row['database']}" for one in owned if one["preset"]
        ]

    def _act_for(self, role: str, there: links.Link, steps: Sequence[sql.Composable]) -> None:
        """The bot has the role's privileges only inside this transaction, unless the functions that
        lend and return it are in another database: then it has them around it.
        """
        commit = sql.SQL("COMMIT")
        lent = deputy.lending_scope_role(self._link, role)
        returned = deputy.returning_scope_role(self._link, role)
        if not deputy.all_at_hand(self._link) or there.database == self._link.database:
            there.ask(lent, *steps, returned)
            there.tell(commit)
            return
        self._link.tell(lent)
        try:
            there.ask(*steps)
            there.tell(commit)
        finally:
            self._link.tell(returned)

    def _without_passwords(self, *, sees_passwords: bool) -> tuple[str, ...]:
        """Passwords cannot be seen without a function of the bootstrap; all are erased without it."""
        if not sees_passwords:
            erase = deputy.erasing_passwords(self._link)
            done = self._attempt(lambda: self._link.tell(erase))
            return () if done else (f"passwords of scope roles, perhaps ({self._troubles[-1]})",)
        left: list[str] = []
        (rows,) = self._link.ask(passwords())
        for row in rows:
            erase = deputy.shutting_scope_role(self._link, row["role"])
            done = self._attempt(functools.partial(self._link.tell, erase))
            words = f"the password of {row['role']}"
            (self.undone if done else left).append(words)
        return tuple(left)


def _left_in_words(row: dict[str, Any]) -> str:
    words = in_words(row)
    if row["kind"] == "prepared" and row["shared"]:
        return f"{words}; another grant has that role too: rolled back when that ends"
    return words
