"""Time, crashes at checkpoints, and what may be down or lost."""

import contextlib
from contextlib import suppress
from datetime import timedelta

from hypothesis import stateful
from hypothesis import strategies as st

from bot import errors, model
from bot.granting import places
from tests.faults import records
from tests.integration.test_core_crashes import ENDING, GRANTING, POSTING
from tests.stateful.history import History


class Time(History):
    """The rule of time."""

    @stateful.rule(seconds=st.sampled_from([0.5, 5, 31, 61, 600, 1861, 14_401]))
    def tick(self, seconds: float) -> None:
        self.pass_time(seconds)


class Trouble(History):
    """Rules of trouble."""

    @stateful.rule(name=st.sampled_from([*GRANTING[2:], *ENDING, POSTING]), later=st.booleans())
    def crash(self, name: str, later: bool) -> None:
        with self.stopped_at(name):
            self.world.sweep()
        if later:
            self.world.clock.advance(timedelta(hours=1))
        self.world.restart()
        self.world.sweep()

    @stateful.rule(down=st.booleans())
    def target(self, down: bool) -> None:
        for replica in self.world.replicas:
            replica.link.down = down

    @stateful.rule(times=st.integers(1, 3))
    def answers_get_lost(self, times: int) -> None:
        self.world.link.unheard = times

    @stateful.rule(down=st.booleans())
    def slack(self, down: bool) -> None:
        self.slack_answers(answers=not down)

    @stateful.rule()
    def reconcile(self) -> None:
        """It finds nothing wrong with what we do ourselves, and harms nothing."""
        self.world.sweep()
        if "shop" not in places.reachable(self.world.first.engines):
            return
        found = self.world.bot.reconciler.look_now("shop")
        ours = [f for f in found if f.kind not in {"gone", "overdue"}]
        assert self.memory.mild or ours == [], ours


class FileTrouble(History):
    """Rules of trouble that only a record in a file can have."""

    @stateful.rule(seconds=st.sampled_from([31, 1861]), trouble=st.sampled_from(["locked", "full"]))
    def tick_without_a_record(self, seconds: float, trouble: str) -> None:
        """What is due ends although nothing can be written; the record follows."""
        world = self.world
        with contextlib.ExitStack() as broken:
            self._break(trouble, broken)
            world.clock.advance(timedelta(seconds=seconds))
            for replica in world.replicas:
                with suppress(errors.Busy, errors.StoreError):
                    replica.sweep()
            now = world.clock.now()
            due = {g.role_name for g in world.store.due(now) if self._can_be_ended(g)}
            held = [r for r in world.target().managed if r.name in due and r.can_login]
            assert held == []
            self.memory.blind_at = now
        world.sweep()

    def _break(self, trouble: str, broken: contextlib.ExitStack) -> None:
        if trouble == "locked":
            broken.enter_context(records.locked(self.world.path))
            return
        for replica in self.world.replicas:
            broken.enter_context(records.full(replica.store))

    def _can_be_ended(self, grant: model.Grant) -> bool:
        return any(replica.reaches(grant) for replica in self.world.replicas)
