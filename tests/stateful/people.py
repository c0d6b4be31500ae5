"""What people do: ask, decide, change their minds; also twice, too late, or without being asked."""

import secrets
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from hypothesis import stateful
from hypothesis import strategies as st

from bot import model
from tests.fixtures_core import ANA, BO, CLEO
from tests.stateful.history import MALLORY, REFUSALS, History

WHO = st.sampled_from([ANA, BO, CLEO, MALLORY])
ASKED = History.asked


class People(History):
    """Rules of people."""

    @stateful.rule(
        target=ASKED,
        minutes=st.sampled_from([3, 30, 240]),
        entitlement=st.sampled_from(["read_customer_data", "write_orders"]),
        dies=st.booleans(),
    )
    def ask(self, minutes: int, entitlement: str, dies: bool) -> Any:
        key = secrets.token_hex(4)
        again = (minutes, entitlement)
        if dies:
            with self.stopped_at("request-recorded"), suppress(*REFUSALS):
                self.world.ask(minutes, entitlement, dedupe_key=key)
            self.world.restart()
        try:
            request_id = self.world.ask(minutes, entitlement, dedupe_key=key)
        except REFUSALS:
            return stateful.multiple()
        self.deliveries[request_id] = (key, *again)
        return request_id

    @stateful.rule(target=ASKED, asks=st.integers(1, 3))
    def more_are_granted(self, asks: int) -> Any:
        """Asked and approved without a hitch, as far as people are concerned."""
        made = []
        for _ in range(asks):
            with suppress(*REFUSALS):
                made.append(self.world.ask())
                self.deliveries[made[-1]] = ("", 30, "read_customer_data")
                self.world.review(made[-1], BO)
        self.world.sweep()
        return stateful.multiple(*made)

    @stateful.rule(request_id=ASKED)
    def delivered_again(self, request_id: str) -> None:
        key, minutes, entitlement = self.deliveries[request_id]
        known = self.world.store.find_request_by_dedupe(key) if key else None
        if known is not None:
            assert self.world.ask(minutes, entitlement, dedupe_key=key) == request_id

    @stateful.rule(request_id=ASKED, who=WHO, dies=st.booleans())
    def approve(self, request_id: str, who: model.Person, dies: bool) -> None:
        with suppress(*REFUSALS):
            if dies:
                with self.stopped_at("decision-recorded"):
                    self.world.review(request_id, who)
                self.world.restart()
            self.world.review(request_id, who)
        self.world.sweep()

    @stateful.rule(request_id=ASKED, who=WHO)
    def deny(self, request_id: str, who: model.Person) -> None:
        with suppress(*REFUSALS):
            self.world.review(request_id, who, model.Answer.DENY)

    @stateful.rule(request_id=ASKED, who=WHO)
    def cancel(self, request_id: str, who: model.Person) -> None:
        with suppress(*REFUSALS):
            self.world.bot.access.cancel(request_id, who.id)

    @stateful.rule(request_id=ASKED, who=WHO, act=st.sampled_from(["give_back", "revoke", "stop"]))
    def end(self, request_id: str, who: model.Person, act: str) -> None:
        grants = self.world.bot.grants
        acts: dict[str, Callable[[str, str], object]] = {
            "give_back": grants.give_back,
            "revoke": grants.revoke,
            "stop": grants.stop_trying,
        }
        with suppress(*REFUSALS):
            acts[act](request_id, who.id)

    @stateful.rule(request_id=ASKED, seconds=st.sampled_from([0, 60, 600, 100_000]))
    def shorten(self, request_id: str, seconds: int) -> None:
        before = self.world.store.find_grant(request_id)
        with suppress(*REFUSALS):
            after = self.world.bot.grants.shorten(request_id, timedelta(seconds=seconds), "root")
            assert before is not None
            assert after.expires_at < before.expires_at
