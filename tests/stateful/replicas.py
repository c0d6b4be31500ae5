"""Several replicas serve one record: each looks by itself; some pause in the middle, some die."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

from hypothesis import stateful
from hypothesis import strategies as st

from bot import faults, model
from tests.integration.test_core_crashes import ENDING, GRANTING, POSTING
from tests.real_world import Replica
from tests.stateful.history import REFUSALS, History, at_checkpoint

CHECKPOINTS = [*GRANTING[2:], *ENDING, POSTING]
NUMBER = st.integers(0, 2)
MEANWHILE = st.sampled_from(["a sweep", "an hour", "a revocation"])
HALFWAY = st.sampled_from(["a sweep"]) | MEANWHILE  # more often, what leaves the end half done
ENDS = st.sampled_from(["a deadline", "a revocation"])
MOST = 3


class Replicas(History):
    """Rules of replicas. The first is the one that people talk to."""

    @stateful.precondition(lambda self: len(self.world.replicas) < MOST)
    @stateful.rule()
    def another_starts(self) -> None:
        self.world.replicas.append(Replica(self.world))

    @stateful.precondition(lambda self: len(self.world.replicas) > 1)
    @stateful.rule(number=NUMBER)
    def one_looks(self, number: int) -> None:
        self._pick(number).sweep()

    @stateful.precondition(lambda self: len(self.world.replicas) > 1)
    @stateful.rule(number=NUMBER, down=st.booleans())
    def one_is_cut_off(self, number: int, down: bool) -> None:
        """From the target, and no other replica is."""
        self._pick(number).link.down = down

    @stateful.precondition(lambda self: len(self.world.replicas) > 1)
    @stateful.rule(
        target=History.asked,
        number=NUMBER,
        where=st.sampled_from(["create", "create", *GRANTING[2:]]),
        meanwhile=MEANWHILE,
    )
    def one_pauses_in_granting(self, number: int, where: str, meanwhile: str) -> Any:
        made = self.approved()
        self._pause(number, where, meanwhile)
        return made or stateful.multiple()

    @stateful.precondition(lambda self: len(self.world.replicas) > 1)
    @stateful.rule(
        target=History.asked,
        number=NUMBER,
        where=st.sampled_from(["end-begun", "access-closed", "end-noted", "close"]),
        first=ENDS,
        meanwhile=HALFWAY,
    )
    def one_pauses_in_closing(self, number: int, where: str, first: str, meanwhile: str) -> Any:
        made = self._held()
        self._happens(first)
        self._pause(number, where, meanwhile)
        return made

    @stateful.precondition(lambda self: len(self.world.replicas) > 1)
    @stateful.rule(
        target=History.asked,
        number=NUMBER,
        where=st.sampled_from([*ENDING[3:], POSTING, "remove", "survey"]),
        first=ENDS,
        meanwhile=MEANWHILE,
    )
    def one_pauses_in_cleaning(self, number: int, where: str, first: str, meanwhile: str) -> Any:
        made = self._held()
        self._happens(first)
        self._pick(number).sweep()
        self._pause(number, where, meanwhile)
        return made

    def _held(self) -> Any:
        """Somebody holds access, if they can get it."""
        made = self.approved()
        self.world.sweep()
        return made or stateful.multiple()

    def _pause(self, number: int, where: str, meanwhile: str) -> None:
        """For longer than its claims last, in the middle of a step; then it wakes and goes on."""
        paused = self._pick(number)

        def others_go_on() -> None:
            self.world.leases_run_out()
            self._happens(meanwhile)
            others = [replica for replica in self.world.replicas if replica is not paused]
            for other in others * (1 if meanwhile == "a sweep" else 3):
                other.sweep()

        paused.link.before[where] = others_go_on
        with at_checkpoint(where, others_go_on):
            paused.sweep()
        paused.link.before.clear()
        self.world.sweep()

    @stateful.precondition(lambda self: len(self.world.replicas) > 1)
    @stateful.rule(
        target=History.asked,
        number=NUMBER,
        where=st.sampled_from(CHECKPOINTS),
        comes=st.booleans(),
    )
    def one_dies(self, number: int, where: str, comes: bool) -> Any:
        """And lets go of nothing that it claims: the others wait until that has run out."""
        dead, made = self._pick(number), self.approved() if where in GRANTING else None
        if where in ENDING:
            self._happens("a deadline")

        def die() -> None:
            if where == POSTING:
                self.world.channel.forget(last=1)
            dead.freeze()
            raise faults.Injected(where)

        with suppress(faults.Injected), at_checkpoint(where, die):
            dead.sweep()
        dead.stop()
        self.world.replicas.remove(dead)
        self.world.sweep()
        self.world.leases_run_out()
        self.world.sweep()
        if comes:
            self.world.replicas.append(dead)
            dead.start()
        else:
            dead.dispose()
        return made or stateful.multiple()

    def _pick(self, number: int) -> Replica:
        return self.world.replicas[number % len(self.world.replicas)]

    def _happens(self, what: str) -> None:
        """To every grant there is; as the command line does it, which has a store of its own."""
        if what == "a deadline":
            self.world.clock.advance(timedelta(minutes=31))
        if what == "an hour":
            self.world.clock.advance(timedelta(hours=1))
        for grant in self.world.store.grants(status=model.LIVE_GRANT):
            if what == "a revocation":
                with suppress(*REFUSALS):
                    self.world.bot.grants.revoke_as_operator(grant.id, "root")


class Pair(Replicas):
    """Two serve it from the beginning."""

    @stateful.initialize()
    def two_serve_it(self) -> None:
        self.another_starts()
