"""The record is changed behind the bot's back: an older copy is put back, or somebody edits it."""

import sqlite3
from contextlib import closing
from datetime import timedelta

from hypothesis import stateful
from hypothesis import strategies as st

from bot import model
from bot.store import mapping
from tests.integration.test_invariants import by_hand
from tests.stateful.history import History


class Records(History):
    """Rules of a record in a file.

    What happened since a copy was made cannot be known from it. What must hold all the same: access
    ends by the deadline that its role was given, nothing stays for good, nothing foreign is touched,
    the chain that is there verifies; and for all that is in the record, I1 to I8.
    """

    @stateful.rule()
    def copy_the_record(self) -> None:
        copy = self.world.path.with_suffix(".copy")
        copy.unlink(missing_ok=True)
        with closing(sqlite3.connect(self.world.path)) as now, closing(sqlite3.connect(copy)) as to:
            now.backup(to)

    @stateful.precondition(lambda self: self.world.path.with_suffix(".copy").exists())
    @stateful.rule()
    def put_the_copy_back(self) -> None:
        world = self.world
        for replica in world.replicas:
            replica.stop()
        for end in ("", "-wal", "-shm"):
            world.path.with_name(world.path.name + end).unlink(missing_ok=True)
        world.path.write_bytes(world.path.with_suffix(".copy").read_bytes())
        for replica in world.replicas:
            replica.start()
        self._changed_by_hand()

    @stateful.rule(number=st.integers(0, 9), what=st.sampled_from(["later", "lost"]))
    def edit_a_grant(self, number: int, what: str) -> None:
        """Somebody would give it more time, or have it forgotten."""
        world = self.world
        live = world.store.grants(status=model.LIVE_GRANT)
        if not live:
            return
        grant = live[number % len(live)]
        for replica in world.replicas:
            replica.stop()
        if what == "later":
            later = mapping.plain(grant.expires_at + timedelta(hours=5))
            by_hand(world, "UPDATE access_grant SET expires_at = ? WHERE id = ?", later, grant.id)
        else:
            by_hand(world, "DELETE FROM access_grant WHERE id = ?", grant.id)
        for replica in world.replicas:
            replica.start()
        self._changed_by_hand()

    def _changed_by_hand(self) -> None:
        self.memory.put_back()
        self.head = self.world.store.chain_head()
        self.world.channel.forget(last=len(self.world.channel.said))
        self.world.sweep()
