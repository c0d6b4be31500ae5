"""The edges of the real world: a link to a target that can be cut, and what stands in Slack."""

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bot import model, store
from bot.telling import outbox
from db_grants import errors as target_errors
from db_grants import spec
from tests.fixtures_core import Channel

_CHANGES = frozenset(
    {"create", "reveal", "close", "close_all", "remove", "remove_all", "set_deadline"}
)


class Link:
    """The real engine behind a link that can be cut: before the statement, or after the answer."""

    def __init__(self, engine: Any, now: Callable[[], datetime]) -> None:
        self.engine = engine
        self.now = now
        self.down = False
        self.unheard = 0  # so many next changes are made, and the answer is lost
        self.failed_at = now() - timedelta(hours=1)  # the last call without an answer
        self.before: dict[str, Callable[[], object]] = {}  # what happens first, by call; once

    def __getattr__(self, name: str) -> Callable[..., Any]:
        real = getattr(self.engine, name)
        if name in {"carries", "describe", "dispose", "bootstrap"}:
            return real  # type: ignore[no-any-return]

        def call(*args: Any, **kwargs: Any) -> Any:
            self.before.pop(name.removesuffix("_all"), lambda: None)()
            if self.down:
                self.failed_at = self.now()
                raise target_errors.TargetUnavailable
            answer = real(*args, **kwargs)
            if self.unheard and name in _CHANGES:
                self.unheard -= 1
                self.failed_at = self.now()
                raise target_errors.OutcomeUnknown
            return answer

        return call

    def survey(self) -> spec.Survey:
        """With the service's time: that the two differ is the test's doing, not a fault."""
        seen: spec.Survey = self.__getattr__("survey")()
        return replace(seen, at=self.now())

    def server_time(self) -> datetime:
        """As in `survey`."""
        self.__getattr__("server_time")()
        return self.now()

    def create(self, wanted: spec.GrantSpec, near: spec.Near | None = None) -> spec.ManagedRole:
        """As `survey`: what must be near is the service's time."""
        if near is not None and not near.holds(self.now()):
            raise target_errors.ClockUnsure
        made: spec.ManagedRole = self.__getattr__("create")(wanted)
        return made

    def close(self, role: spec.ManagedRole) -> spec.Closed:
        """Stamped by the service's clock, as in production."""
        done: spec.Closed = self.__getattr__("close")(role)
        return replace(done, at=self.now())

    def close_all(
        self, roles: Sequence[spec.ManagedRole]
    ) -> Mapping[str, spec.Closed | target_errors.DbGrantsError]:
        """As `close`."""
        done = self.__getattr__("close_all")(roles)
        return {
            id_: replace(each, at=self.now()) if isinstance(each, spec.Closed) else each
            for id_, each in done.items()
        }


class Thread(Channel):
    """What stands in Slack: all that was posted and not taken back. As the real poster, it tells
    where each message stands, edits what is there, and posts the rest.
    """

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count(1)
        self._standing = threading.Lock()
        self._at: dict[str, tuple[store.OutboxRow, model.Story | None]] = {}

    def deliver(self, row: store.OutboxRow, story: model.Story | None) -> model.MessageRef | None:
        """As `outbox.Poster`."""
        self.trouble(row)
        with self._standing:
            said = (row, story)
            self.said.append(said)
            drawn = row.kind in {outbox.Kind.CARD, outbox.Kind.LIVE, outbox.Kind.RECEIPT}
            edits = drawn and (row.data.get("only_edit") or (story and story.message(row.kind)))
            if edits or row.kind in {outbox.Kind.HOME, outbox.Kind.ALARM, outbox.Kind.WEBHOOK}:
                return None
            ts = f"{1700000000 + next(self._numbers)}.000100"
            self._at[ts] = said
        asked = row.request_id or ""
        return model.MessageRef(request_id=asked, kind=row.kind, channel_id="C0ACCESS", ts=ts)

    def withdraw(self, message: model.MessageRef) -> None:
        """As `outbox.Poster`."""
        super().withdraw(message)
        with self._standing:
            self.said.remove(self._at.pop(message.ts))

    def forget(self, *, last: int) -> None:
        """These no longer count: copies that the record does not know, and that decide nothing."""
        with self._standing:
            del self.said[len(self.said) - last :]
