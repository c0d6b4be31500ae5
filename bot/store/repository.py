"""The store: the state database, opened. Reads are methods; writes happen inside `begin`."""

import contextlib
import itertools
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from typing import Any, Self

import sqlalchemy as sa

from bot import clock as clocks
from bot import model
from bot.store import chain, claims, ends, outbox, proof, rewind, tables, upsert, walk
from bot.store.actor import SYSTEM, Actor
from bot.store.database import Database
from bot.store.migrate import migrate
from bot.store.reads import Reads
from bot.store.transaction import Transaction

_HIGH_WATER = "clock.high_water"


def open_store(
    url: str, clock: clocks.Clock, audit_key: bytes | None = None, *, patience: float = 5.0
) -> "Store":
    """Open the state database, make or migrate it, and teach `clock` the latest time it knows.

    `patience`: seconds to wait for a lock before Busy. Raises StoreError with one sentence, never
    with the password.
    """
    database = Database(url, patience=patience)
    try:
        migrate(database)
        store = Store(database, clock, audit_key)
        store.restore_clock()
    except BaseException:
        database.close()
        raise
    return store


class Store(Reads):
    """The state database. Thread-safe; close it."""

    def __init__(self, database: Database, clock: clocks.Clock, audit_key: bytes | None) -> None:
        self._database = database
        self._clock = clock
        self._key = audit_key

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give every connection back."""
        self._database.close()

    @property
    def place(self) -> str:
        """Where the database is, for people; without user and password."""
        return self._database.place

    def _reading(self) -> AbstractContextManager[sa.Connection]:
        return self._database.read()

    def _looking(self) -> AbstractContextManager[sa.Connection]:
        return self._database.look()

    @contextmanager
    def begin(self, actor: Actor) -> Iterator[Transaction]:
        """A transaction in the name of `actor`, committed when the block ends without an error.

        Conflict: what was expected is no longer so. Busy: no lock came in time, nothing was done.
        """
        with self._database.write() as connection:
            tx = Transaction(self._database, connection, actor, self._clock.now(), self._key)
            yield tx
            tx.finish()

    def claim_grant(
        self, grant_id: str, expected: model.GrantStatus, holder: str, lease: timedelta
    ) -> model.Grant | None:
        """The grant as it is now, to work on for `lease` by the database's clock, or None.

        None: it is no longer in `expected`, or somebody else works on it. Its `fence` is a new one;
        writes that follow the work ask for it.
        """
        with self._database.lease(once=True) as connection:
            return claims.take(connection, grant_id, expected, holder, lease)

    def claim_for(
        self, grant: model.Grant, holder: str, lease: timedelta, **intended: Any
    ) -> model.Grant | None:
        """As `claim_grant`, of a grant that nobody has claimed since it was read; with what is intended
        with it, by its fields. That is durable as anything recorded.
        """
        with self._database.write_once() as connection:
            return claims.take_for(connection, grant, holder, lease, intended)

    def renew_grant(self, grant_id: str, fence: int, lease: timedelta) -> bool:
        """Work on it for `lease` from now on; false when it is no longer ours to work on."""
        with self._database.lease(once=True) as connection:
            return claims.renew(connection, grant_id, fence, lease)

    def claim_ends(
        self, where: ends.Waiting, now: datetime, holder: str, lease: timedelta, most: int
    ) -> tuple[model.Grant, ...]:
        """As `claim_grant`, some of the ends that wait there; the longest overdue first."""
        with self._database.lease(once=True) as connection:
            return ends.take(connection, where, now, holder, lease, most)

    def renew_grants(self, fences: Mapping[str, int], lease: timedelta) -> None:
        """Work on these (fence by id) for `lease` from now on, as far as they are still ours."""
        with self._database.lease() as connection:
            ends.renew(connection, fences, lease)

    def release_grants(self, fences: Mapping[str, int]) -> None:
        """Let go of these (fence by id), as far as they are still ours.

        Mostly the last note let them go: then nobody has to wait.
        """
        with self._looking() as connection:
            if not ends.is_any_held(connection, fences):
                return
        with self._database.lease() as connection:
            ends.let_go(connection, fences)

    def forget_pauses(self) -> None:
        """Whatever waits for its next attempt may be tried at once."""
        with self._database.write() as connection:
            ends.forget_pauses(connection)

    def begin_serving(self) -> bool:
        """Told by a process that is about to work. Whether it is known to be the only one.

        On SQLite every other process is on this machine, and the kernel tells whether one lives: if
        none does, what the dead had claimed is free at once. On PostgreSQL leases run out.
        """
        if not self._database.alone():
            return False
        with self._database.write() as connection:
            claims.void(connection)
        return True

    def beat(self, name: str) -> None:
        """The replica of that name lives, by the database's clock."""
        with self._database.write() as connection:
            claims.beat(connection, name)

    def replicas(self) -> tuple[claims.Replica, ...]:
        """Every replica of the last day, the one heard of last first."""
        with self._looking() as connection:
            return claims.replicas(connection)

    def outbox_due(self, now: datetime, limit: int = 50) -> tuple[outbox.OutboxRow, ...]:
        """Heads of lanes whose time has come, oldest first, whether or not somebody is saying them."""
        with self._looking() as connection:
            return outbox.due(connection, now, limit)

    def outbox_claim(
        self,
        now: datetime,
        limit: int = 50,
        lease: timedelta = timedelta(seconds=60),
        *,
        but: Collection[str] = (),
    ) -> tuple[outbox.OutboxRow, ...]:
        """As `outbox_due`, to be said: nobody else gets these for `lease` by the database's clock.

        `but`: kinds that cannot be said now; what is behind them in their lanes waits with them.
        """
        if self._database.is_sqlite:  # there whoever has nothing to say keeps nobody from writing
            with self._looking() as connection:
                if not outbox.is_any_free(connection, now, but):
                    return ()
        with self._database.lease() as connection:
            return outbox.claim(connection, now, limit, lease, but)

    def outbox_renew(self, rows: Mapping[int, int], lease: timedelta) -> None:
        """These (fence by id) are still being said."""
        with self._database.lease() as connection:
            outbox.renew(connection, rows, lease)

    def outbox_release(self, row_id: int, fence: int) -> None:
        """It is not being said after all; whoever comes next may. Never raises Conflict."""
        with self._database.lease(once=True) as connection:
            outbox.release(connection, row_id, fence)

    def outbox_done(
        self, row_id: int, *, message: model.MessageRef | None = None, fence: int | None = None
    ) -> None:
        """It was said; `message` is remembered as ours, and its place under the key the row names.

        Conflict: it was settled before, or (by `fence`) somebody else has claimed it meanwhile.
        """
        with self.begin(SYSTEM) as tx:
            row = outbox.settle(tx.connection, row_id, tx.at, fence=fence)
            if message is not None and row.request_id is not None:
                tx.remember_message(message)
            if message is not None and (key := row.data.get(outbox.PLACE_KEY)):
                tx.put(str(key), json.dumps([message.channel_id, message.ts]))

    def outbox_retry(
        self, row_id: int, not_before: datetime, error: str, *, fence: int | None = None
    ) -> None:
        """It could not be said; its lane waits until then. Conflict: as `outbox_done`."""
        with self._database.write_once() as connection:
            outbox.put_off(connection, row_id, not_before, error, fence=fence)

    def outbox_drop(self, row_id: int, error: str, *, fence: int | None = None) -> None:
        """It can never be said; the lane goes on. Audited. Conflict: as `outbox_done`."""
        with self.begin(SYSTEM) as tx:
            row = outbox.settle(tx.connection, row_id, tx.at, error, fence=fence)
            told = {"kind": row.kind, "lane": row.lane, "error": error}
            tx.record("outbox.dropped", row.request_id, told)

    def outbox_depth(self) -> int:
        """How many lines wait to be said."""
        with self._looking() as connection:
            return outbox.depth(connection)

    def outbox_oldest(self, *, refused: bool = False) -> datetime | None:
        """Since when the oldest line that waits has been waiting; `refused`: that was tried."""
        with self._looking() as connection:
            return outbox.oldest(connection, refused=refused)

    def take_turn(self, key: str, now: datetime, every: timedelta) -> bool:
        """Whether it is this caller's turn at something done once per `every`, by all together."""
        with self._database.write_once() as connection:
            return claims.take_turn(connection, key, now, every)

    def put(self, key: str, value: str) -> None:
        """Keep a small thing by key, in place of what was kept there."""
        with self._database.write_once() as connection:
            statement = upsert.insert(connection, tables.setting).values(key=key, value=value)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["key"], set_={"value": statement.excluded.value}
                )
            )

    def forget(self, key: str, value: str | None = None) -> None:
        """Keep nothing by key any more; with `value`, only if that is what is kept."""
        setting = tables.setting
        statement = sa.delete(setting).where(setting.c.key == key)
        if value is not None:
            statement = statement.where(setting.c.value == value)
        with self._database.write_once() as connection:
            connection.execute(statement)

    def remember_time(self) -> None:
        """Keep the present time, so that after a restart no clock can tell an earlier one.

        Another replica's clock may be ahead of ours: the later time stays.
        """
        kept, now = self.get(_HIGH_WATER), self._clock.now()
        if kept is None or datetime.fromisoformat(kept) < now:
            self.put(_HIGH_WATER, now.isoformat())

    def rewind(self, to: datetime, actor: Actor) -> None:
        """Let the present be `to`, though a later time was told. See `rewind`. Raises NotAllowed."""
        with self._database.write() as connection:
            tx = Transaction(self._database, connection, actor, to, self._key)
            rewind.forget_after(tx, self._clock.now())
            tx.finish()

    def restore_clock(self) -> None:
        """Raise the clock to the latest time that was ever recorded."""
        kept = self.get(_HIGH_WATER)
        moments = [datetime.fromisoformat(kept)] if kept else []
        seq, _ = self.chain_head()
        moments += [event.at for event in self.events(seq - 1, 1)]
        if moments:
            self._clock.raise_to(max(moments))

    def verify_chain(self, since: int = 0) -> proof.Verification:
        """Walk the whole audit chain, or from the event of that number on. See `audit.chain`."""
        before = max(0, since - 1)
        with contextlib.closing(walk.rows(self._database, before)) as rows:
            first = next(rows, None)
            if first is None:
                return proof.walk((), self._key, after=self.chain_head())
            after = (before, first[5]) if before else (0, chain.GENESIS)
            return proof.walk(itertools.chain([first], rows), self._key, after=after)

    def check_chain_end(self, links: int) -> str | None:
        """What is wrong with the latest events of the audit chain, if anything; cheap, no proof."""
        found = self.verify_chain(self.chain_head()[0] - links + 1)
        return None if found.ok else f"event {found.bad_seq}: {found.problem}"

    def holds_hash(self, beginning: str) -> bool:
        """Whether the hash of any event of the audit chain begins so."""
        return walk.holds(self._database, beginning)

    def texts(self, after: int = 0) -> Iterator[tuple[str, str]]:
        """Every audit event behind that number in order: the very text that was hashed, and its hash."""
        return walk.texts(self._database, after)

    def version_marker(self) -> int:
        """A number that is another one after anybody's commit. Cheap; a hint to look, no more."""
        return self._database.marker()
