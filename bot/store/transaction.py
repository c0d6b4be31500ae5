"""Writing: one object for one transaction. What is recorded and the event that tells of it go together.

Events and lines to say are gathered and written at the very end of the transaction, behind one lock,
so that the chain is serial for the shortest time and numbers are handed out in the order of commit.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from bot import errors, model
from bot.store import chain, change, ends, mapping, outbox, tables, tip, turns, upsert
from bot.store.actor import Actor
from bot.store.database import Database
from bot.store.reads import Reads

_FEW = 20  # events in one transaction; of more the driver's pipeline takes longer than it saves


class Transaction(Reads):
    """Everything that may be written, inside `with store.begin(actor) as tx`.

    All of it is committed at the end of the block, or none of it. Nothing may be announced before.
    Reads through the transaction see what it has written; `story` also holds the request, so that a
    decision made from it cannot be overtaken.
    """

    def __init__(
        self,
        database: Database,
        connection: sa.Connection,
        actor: Actor,
        at: datetime,
        key: bytes | None,
    ) -> None:
        self._database = database
        self.connection = connection
        self._actor = actor
        self._key = key
        self._events: list[tuple[str, str | None, Mapping[str, object]]] = []
        self._said: list[outbox.Said] = []
        self._changing: set[str] = set()  # grants whose rows are ours until we commit
        self.at = at  # the one time of everything in this transaction

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        yield self.connection

    def _looking(self) -> AbstractContextManager[sa.Connection]:
        return self._reading()

    def story(self, request_id: str) -> model.Story:
        """As Store.story; nobody else can change the request until this transaction ends."""
        self._hold(request_id)
        return super().story(request_id)

    def add_request(self, request: model.AccessRequest) -> None:
        """Record a new request; it must be PENDING. Conflict: its id or dedupe key is taken."""
        if request.status is not model.RequestStatus.PENDING:
            raise ValueError("a request begins as pending")
        if not self._insert(tables.access_request, mapping.values_of(request)):
            raise errors.Conflict("This request has already been recorded.")
        told = {k: v for k, v in mapping.values_of(request).items() if v is not None}
        self.record("request.submitted", request.id, told)

    def settle_request(
        self,
        request_id: str,
        to: model.RequestStatus,
        *,
        decided_by: str | None = None,
        decided_by_name: str | None = None,
        comment: str | None = None,
    ) -> model.AccessRequest:
        """Decide a request that is still PENDING. Conflict: somebody else did."""
        decision = {
            "decided_by": decided_by,
            "decided_by_name": decided_by_name,
            "comment": comment,
        }
        table = tables.access_request
        row = self.connection.execute(
            sa.update(table)
            .where(table.c.id == request_id, table.c.status == model.RequestStatus.PENDING)
            .values(status=to, decided_at=self.at, **decision)
            .returning(table)
        ).one_or_none()
        if row is None:
            raise errors.Conflict(f"Request {request_id} is not waiting for a decision.")
        self.record(f"request.{to.value}", request_id, decision)
        return mapping.value_from(model.AccessRequest, row, table)

    def add_review(self, review: model.Review) -> None:
        """Record one person's answer. Conflict: already answered by them, or decided meanwhile."""
        status = self._hold(review.request_id)
        if status is not model.RequestStatus.PENDING:
            raise errors.Conflict(f"Request {review.request_id} is not waiting for a decision.")
        if not self._insert(tables.review, mapping.values_of(review)):
            raise errors.Conflict(f"{review.reviewer_name} has already answered.")
        told = mapping.values_of(review)
        self.record(f"review.{review.answer.value}", told.pop("request_id"), told)

    def add_grant(self, grant: model.Grant) -> None:
        """Record the grant of an approved request; it must be ACTIVATING. Conflict: there is one."""
        if grant.status is not model.GrantStatus.ACTIVATING:
            raise ValueError("a grant begins as activating")
        values = mapping.values_of(grant) | {"used": mapping.was_used(grant.activity)}
        if not self._insert(tables.access_grant, values):
            raise errors.Conflict(f"Request {grant.id} already has a grant.")
        told = ("target", "role_name", "duration", "expires_at", "activate_by")
        self.record("grant.activating", grant.id, {name: values[name] for name in told})

    def move_grant(
        self,
        grant_id: str,
        from_: model.GrantStatus,
        to: model.GrantStatus,
        *,
        fence: int | None = None,
        **changes: Any,
    ) -> model.Grant:
        """Take a grant to another status, with any changes of its other fields.

        A new step begins: `attempts`, `next_attempt_at` and `last_error` start afresh unless given.
        `fence`: the claim under which the work for it was done, which ends with it.
        Conflict: it is no longer in `from_`, or (by `fence`) somebody else works on it by now.
        ValueError: no grant may go that way.
        """
        if (from_, to) not in model.GRANT_TRANSITIONS:
            raise ValueError(f"no grant goes from {from_.value} to {to.value}")
        grant = self._change_grant(grant_id, from_, to, {**change.FRESH_STEP, **changes}, fence)
        self.record(f"grant.{to.value}", grant_id, {"from": from_, **change.told(changes)})
        return grant

    def move_due(self, limit: int, **changes: Any) -> Mapping[str, str]:
        """Take active grants whose time is over by now to REVOKING; of each, the target by its id.

        At most `limit`, longest overdue first. What somebody else is about to end is passed over.
        """
        found = ends.due(self.connection, self.at, limit)
        self._begin_ends(tuple(found), model.GrantStatus.ACTIVE, changes)
        return found

    def move_all(self, from_: model.GrantStatus, limit: int, **changes: Any) -> tuple[str, ...]:
        """Take grants in `from_` to REVOKING, at most `limit` of them; which."""
        found = ends.in_status(self.connection, from_, limit)
        self._begin_ends(found, from_, changes)
        return found

    def change_grants(
        self, expected: model.GrantStatus, batch: Sequence[change.Change]
    ) -> tuple[model.Grant, ...]:
        """Record what became of the grants of a batch; those it was recorded of.

        Left out is what is no longer in `expected`, or what somebody else works on by now: nothing
        of it is changed, and it does not keep the others from being recorded.
        """
        if len(batch) == 1:
            return self._change_one(expected, batch[0])
        fences = {each.grant.id: each.grant.fence for each in batch}
        ours = frozenset(ends.in_hand(self.connection, fences, expected))
        self._changing |= ours
        told, kinds = list[model.Grant](), dict[Hashable, change.Written]()
        for each in batch:
            if each.grant.id in ours:
                alike = change.alike(each)
                if alike not in kinds:
                    kinds[alike] = change.written(expected, each)
                kind = kinds[alike]
                kind.ids.append(each.grant.id)
                told.append(change.after(each.grant, kind.values))
                if each.event is not None:
                    self.record(each.event, each.grant.id, kind.event)
        change.write_all(self.connection, kinds.values())
        return tuple(told)

    def note_grant(
        self,
        grant_id: str,
        expected: model.GrantStatus,
        *,
        event: str | None,
        fence: int | None = None,
        **changes: Any,
    ) -> model.Grant:
        """Change fields of a grant that stays in its status.

        `event` names the audit event; None is for bookkeeping that tells an auditor nothing.
        `fence`: the claim under which the work for it was done, which ends with it.
        Conflict: it is no longer in `expected`, or (by `fence`) somebody else works on it by now.
        """
        grant = self._change_grant(grant_id, expected, expected, changes, fence)
        if event is not None:
            self.record(event, grant_id, change.told(changes))
        return grant

    def note_reveal(self, grant: model.Grant) -> None:
        """Its credentials are about to be shown once more. Conflict: it is no longer active."""
        seen = {"reveals": grant.reveals + 1}
        if not change.write_unread(self.connection, grant.id, model.GrantStatus.ACTIVE, seen):
            raise errors.Conflict(f"Grant {grant.id} is no longer active.")
        self.record("credential.revealed", grant.id, seen)

    def say(
        self,
        kind: str,
        request_id: str | None,
        lane: str,
        data: Mapping[str, Any] | None = None,
        *,
        not_before: datetime | None = None,
        key: str | None = None,
        redraw: bool = False,
    ) -> None:
        """Owe Slack a message. Within a lane, strictly one after the other in the order said.

        `key`: said once only, ever; a second time is ignored. `redraw`: it brings up to the record what
        stands in Slack, and has no words of its own; while such a one waits, a second is not needed.
        """
        when = {"not_before": not_before, "key": key}
        self.say_of_each(kind, (request_id,), lane, data or {}, redraw=redraw, **when)

    def say_of_each(
        self,
        kind: str,
        request_ids: Sequence[str | None],
        lane: str,
        data: Mapping[str, Any],
        *,
        redraw: bool = False,
        **when: Any,
    ) -> None:
        """As `say`, the same of each of these; EACH in `lane` stands for the request."""
        row = {"kind": kind, "data": mapping.plain(data), "created_at": self.at, "attempts": 0}
        row |= {"not_before": None, "key": None, **when}
        self._said.append(outbox.Said(of=request_ids, lane=lane, values=row, redraw=redraw))

    def remember_message(self, ref: model.MessageRef) -> None:
        """This message is ours, and a click on it counts. Twice is the same as once."""
        self._insert(tables.message, mapping.values_of(ref))

    def put(self, key: str, value: str) -> None:
        """Keep a small thing by key, in place of what was kept there."""
        statement = upsert.insert(self.connection, tables.setting).values(key=key, value=value)
        self.connection.execute(
            statement.on_conflict_do_update(
                index_elements=["key"], set_={"value": statement.excluded.value}
            )
        )

    def forget(self, key: str) -> None:
        """Keep nothing by key any more."""
        setting = tables.setting
        self.connection.execute(sa.delete(setting).where(setting.c.key == key))

    def alone(self) -> None:
        """From now on be the only writer, until this transaction ends. For what must be said once."""
        self._database.lock_chain(self.connection)

    def record(self, type: str, request_id: str | None, data: Mapping[str, object]) -> None:  # noqa: A002
        """Append an audit event. `data` must hold only what JSON, times and durations can say."""
        self._events.append((type, request_id, data))

    def finish(self) -> None:
        """Write what was gathered and, on PostgreSQL, commit, unless it is so much that turns on the
        wire are nothing beside it. Called by the store at the end.
        """
        if len(self._events) > _FEW:
            self._write_gathered()
            return
        if not self._events and not self._said:
            return
        with turns.saved(self.connection):
            self._write_gathered()
            turns.commit(self.connection)

    def _write_gathered(self) -> None:
        news = outbox.news(self.connection, self._said)  # waits for nobody: before the one lock
        shared = [said for said in news if not self._has_to_itself(said)]
        outbox.write(self.connection, [said for said in news if self._has_to_itself(said)])
        if not self._events and not shared:
            return
        data = self._told()
        seq, prev = tip.hold(self.connection)
        if self._events:
            tip.append(self.connection, self._linked(seq, prev, data))
        outbox.write(self.connection, shared)

    def _has_to_itself(self, said: outbox.Said) -> bool:
        """Whether it is of lanes of grants that nobody else changes until we commit.

        Such rows are numbered in the order of commit anyway, and need no lock that all wait for. On
        SQLite whoever writes has all to itself, and one statement does for all rows.
        """
        if self._database.is_sqlite:
            return True
        return all(
            each is not None and each in self._changing and each in said.lane_of(each)
            for each in said.of
        )

    def _told(self) -> list[str]:
        """The data of the events as their texts have it. What is the same of many is told once."""
        texts = {id(data): data for _, _, data in self._events}
        told = {key: chain.canonical(data) for key, data in texts.items()}
        return [told[id(data)] for _, _, data in self._events]

    def _linked(self, seq: int, prev: str, told: Sequence[str]) -> list[model.AuditEvent]:
        """What was gathered, as the events behind that one."""
        linked: list[model.AuditEvent] = []
        gathered = zip(self._events, told, strict=True)
        for number, ((type_, request_id, _), data) in enumerate(gathered, seq + 1):
            event = chain.link(
                seq=number,
                prev=prev,
                at=self.at,
                actor=self._actor,
                type=type_,
                request_id=request_id,
                data=data,
                key=self._key,
            )
            prev = event.hash
            linked.append(event)
        return linked

    def _begin_ends(
        self, ids: Sequence[str], from_: model.GrantStatus, changes: Mapping[str, Any]
    ) -> None:
        if not ids:
            return
        self._changing |= set(ids)
        to = model.GrantStatus.REVOKING
        values = {**change.FRESH_STEP, **changes}
        change.check(values)
        change.write_alike(self.connection, ids, {**values, "status": to})
        told = {"from": from_, **change.told(changes)}
        for grant_id in ids:
            self.record(f"grant.{to.value}", grant_id, told)

    def _change_one(
        self, expected: model.GrantStatus, each: change.Change
    ) -> tuple[model.Grant, ...]:
        kind = change.written(expected, each)
        found = change.write(
            self.connection, each.grant.id, expected, each.grant.fence, kind.values
        )
        if found is None:
            return ()
        self._changing.add(found.id)
        if each.event is not None:
            self.record(each.event, found.id, kind.event)
        return (found,)

    def _change_grant(
        self,
        grant_id: str,
        expected: model.GrantStatus,
        to: model.GrantStatus,
        changes: Mapping[str, Any],
        fence: int | None,
    ) -> model.Grant:
        change.check(changes)
        values = {**changes, "status": to}
        if "activity" in values:
            values["used"] = mapping.was_used(values["activity"])
        if fence is not None:
            values |= change.LET_GO
        found = change.write(self.connection, grant_id, expected, fence, values)
        if found is None:
            whose = "" if fence is None else ", or somebody else works on it"
            raise errors.Conflict(f"Grant {grant_id} is no longer {expected.value}{whose}.")
        return found

    def _hold(self, request_id: str) -> model.RequestStatus:
        """Keep everybody else from changing the request until this transaction ends."""
        table = tables.access_request
        query = sa.select(table.c.status).where(table.c.id == request_id).with_for_update()
        status = self.connection.execute(query).scalar_one_or_none()
        if status is None:
            raise errors.NotFound
        return model.RequestStatus(status)

    def _insert(self, table: sa.Table, values: Mapping[str, Any]) -> bool:
        """Insert a row unless a unique key is taken; the transaction stays usable either way."""
        statement = upsert.insert(self.connection, table).values(**values).on_conflict_do_nothing()
        inserted = self.connection.execute(statement.returning(*table.primary_key))
        return inserted.first() is not None
