"""What is true in the workspace just now, safe to share between threads.

Everybody reads values; whoever changes something does it `with state.changing():`, which wakes all
who wait. Nothing here knows of HTTP or sockets.
"""

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from bot.demo.workspace import people, things

T = TypeVar("T")
MOST_NOTICES = 50
RECHECK = 0.25


class State:
    """People, channels, messages, views and homes. Subclassed by `acts.Workspace`."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self.now = now
        self.users = {user.id: user for user in people.cast()}
        self.groups = {group.id: group for group in people.groups()}
        self.channels = {channel.id: channel for channel in people.channels()}
        self.homes: dict[str, things.View] = {}
        self.changes = 0
        self.closed = False
        self._condition = threading.Condition(threading.RLock())
        self._subscribers: list[Callable[[int], None]] = []
        self._messages: dict[str, list[things.Message]] = {}
        self._stacks: dict[str, list[things.View]] = {}
        self._notices: list[things.Notice] = []
        self._last_ts = 0

    # -- changing and waiting -------------------------------------------------------------------

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the lock, then count a change and wake everybody who waits."""
        with self._condition:
            yield
            self.changes += 1
            self._condition.notify_all()
            for tell in tuple(self._subscribers):
                tell(self.changes)

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Hold the lock over several reads."""
        with self._condition:
            yield

    def subscribe(self, tell: Callable[[int], None]) -> Callable[[], None]:
        """Call `tell(change number)` after each change, quickly and from any thread.

        Returns what ends it.
        """
        with self._condition:
            self._subscribers.append(tell)

        def end() -> None:
            with self._condition, contextlib.suppress(ValueError):
                self._subscribers.remove(tell)

        return end

    def wait_change(self, since: int, timeout: float) -> int:
        """Wait until more than `since` changes were made or time is up; tell how many there are."""
        with self._condition:
            self._condition.wait_for(lambda: self.changes > since or self.closed, timeout)
            return self.changes

    def wait_for(self, predicate: Callable[[], T], timeout: float = 5.0) -> T:
        """Wait until `predicate()` is true and return what it returned; else TimeoutError.

        It is asked at each change, and a few times a second besides, because it may look at things
        that are not of the workspace. No lock is held meanwhile, so it may also call the Web API.
        """
        until = time.monotonic() + timeout
        while True:
            seen = self.changes
            found = predicate()
            if found:
                return found
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"nothing came of it in {timeout:g} s")
            self.wait_change(seen, min(left, RECHECK))

    def close(self) -> None:
        """Wake everybody who waits for good."""
        with self.changing():
            self.closed = True

    # -- people and places ----------------------------------------------------------------------

    def add_user(self, user: people.User) -> None:
        """Somebody joins, or an account is replaced."""
        with self.changing():
            self.users[user.id] = user

    def change_user(self, user_id: str, **changes: Any) -> None:
        """Change marks of an account: `change_user("U0BO", deleted=True)`."""
        self.add_user(replace(self.users[user_id], **changes))

    def set_group(self, group: people.Group) -> None:
        """Add a user group or replace it."""
        with self.changing():
            self.groups[group.id] = group

    def add_channel(self, channel: people.Channel) -> None:
        """Add a channel or replace it."""
        with self.changing():
            self.channels[channel.id] = channel

    def join(self, channel: str, user: str) -> None:
        """`user` becomes a member of `channel`."""
        with self.changing():
            place = self.channels[channel]
            self.channels[channel] = replace(place, members=place.members | {user})

    def leave(self, channel: str, user: str) -> None:
        """`user` is no longer a member of `channel`."""
        with self.changing():
            place = self.channels[channel]
            self.channels[channel] = replace(place, members=place.members - {user})

    def dm(self, user: str) -> str:
        """The id of the direct conversation of `user` and the bot, made when first asked for."""
        channel = "D0" + user[2:]
        if channel not in self.channels:
            members = frozenset({user, people.BOT})
            self.add_channel(people.Channel(id=channel, name=user, members=members, is_im=True))
        return channel

    def may_see(self, user: str, channel: str) -> bool:
        """Whether `user` may look into `channel`: members, and for public ones every colleague."""
        place = self.channels.get(channel)
        if place is None:
            return False
        if user in place.members:
            return True
        person = self.users[user]
        return not (place.is_private or place.is_im or person.is_guest or person.is_stranger)

    def places(self, user: str) -> list[people.Channel]:
        """The channels `user` may look into, then their conversation with the bot."""
        conversation = self.dm(user)
        open_to = [c for c in self.channels.values() if not c.is_im and self.may_see(user, c.id)]
        return [*open_to, self.channels[conversation]]

    # -- messages -------------------------------------------------------------------------------

    def next_ts(self) -> str:
        """A timestamp later than any before, which is a message's name in its channel."""
        with self._condition:
            self._last_ts = max(self._last_ts + 1, int(self.now() * 1_000_000))
            return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"

    def messages(
        self, channel: str, thread_ts: str | None = None, as_user: str | None = None
    ) -> tuple[things.Message, ...]:
        """What stands in a channel, oldest first; with `thread_ts` that message and its replies.

        `as_user` adds what only they see, and hides everything of a place they may not look into.
        Without it: what all members see.
        """
        if as_user is not None and not self.may_see(as_user, channel):
            return ()
        with self._condition:
            known = tuple(self._messages.get(channel, ()))
        seen = (m for m in known if m.only_for in (None, as_user))
        if thread_ts is None:
            return tuple(m for m in seen if not m.is_reply or m.broadcast)
        return tuple(m for m in seen if thread_ts in (m.ts, m.thread_ts))

    def find_message(self, channel: str, ts: str) -> things.Message | None:
        """The message of that name, ephemeral or not, as it is now."""
        with self._condition:
            return next((m for m in self._messages.get(channel, ()) if m.ts == ts), None)

    def put_message(self, message: things.Message) -> things.Message:
        """Post a message, or replace the one of the same name."""
        with self.changing():
            here = self._messages.setdefault(message.channel, [])
            for place, known in enumerate(here):
                if known.ts == message.ts:
                    here[place] = message
                    return message
            here.append(message)
            return message

    def drop_message(self, channel: str, ts: str) -> None:
        """Delete a message."""
        with self.changing():
            here = self._messages.get(channel, [])
            here[:] = [m for m in here if m.ts != ts]

    # -- views ----------------------------------------------------------------------------------

    def stack(self, user: str) -> tuple[things.View, ...]:
        """The modals `user` has open, the top one last."""
        with self._condition:
            return tuple(self._stacks.get(user, ()))

    def set_stack(self, user: str, views: list[things.View]) -> None:
        """Replace the modals `user` has open."""
        with self.changing():
            self._stacks[user] = views

    def view_of(self, user: str) -> things.View | None:
        """The modal on top of `user`'s screen."""
        stack = self.stack(user)
        return stack[-1] if stack else None

    def home_of(self, user: str) -> things.View | None:
        """The App Home the app published for `user`."""
        with self._condition:
            return self.homes.get(user)

    def find_view(self, view_id: str) -> things.View | None:
        """The open modal or Home of that id."""
        with self._condition:
            everywhere = [v for stack in self._stacks.values() for v in stack]
            return next((v for v in [*everywhere, *self.homes.values()] if v.id == view_id), None)

    def put_view(self, view: things.View) -> things.View:
        """Replace an open view by one of the same id."""
        with self.changing():
            if view.type == "home":
                self.homes[view.user] = view
            else:
                stack = self._stacks.get(view.user, [])
                stack[:] = [view if known.id == view.id else known for known in stack]
        return view

    def next_hash(self) -> str:
        """A new name for a state of a view."""
        return f"{int(self.now())}.{secrets.token_hex(4)}"

    # -- what Slack itself says -----------------------------------------------------------------

    def notices(self, user: str) -> tuple[things.Notice, ...]:
        """What Slack told `user`, oldest first."""
        with self._condition:
            return tuple(notice for notice in self._notices if notice.user == user)

    def notice(self, user: str, text: str, where: str) -> None:
        """Let Slack tell `user` something."""
        with self.changing():
            self._notices.append(things.Notice(at=self.now(), user=user, text=text, where=where))
            del self._notices[:-MOST_NOTICES]
