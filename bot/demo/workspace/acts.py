"""What a person can do in the workspace: type, click, choose, submit, look.

Each act returns once the app acknowledged it, or raises `TimedOut`; so they block for up to three
seconds and must not be called on the server's event loop (a plain `def` route is right).
"""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from bot.demo.workspace import (
    answers,
    inputs,
    payloads,
    people,
    posting,
    refusal,
    slips,
    sockets,
    state,
    surfaces,
    things,
    trouble,
    views,
    wire,
)
from bot.demo.workspace.surfaces import NotThere, Where

__all__ = ["BadAnswer", "NeedsConfirming", "NotThere", "TimedOut", "Where", "Workspace"]

LEAST_TYPED = 3
BadAnswer = answers.BadAnswer


class TimedOut(Exception):
    """The app did not acknowledge in time (or is not connected). The person was told so.

    `error` is Slack's word: operation_timeout, or dispatch_failed when nothing is connected.
    """

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


class NeedsConfirming(Exception):
    """The button asks again first; `dialog` is its confirm object. Act again with confirm=True."""

    def __init__(self, dialog: things.Json) -> None:
        super().__init__(dialog.get("title", {}).get("text", "Are you sure?"))
        self.dialog = dialog


class Workspace(state.State):
    """The state and everything people do to it.

    `scopes` are what the app was granted; None grants everything. `commands` are the slash commands
    it has, `events` the events it asked for. `now` tells the time for triggers, response urls and
    timestamps; acknowledgements are waited for in real seconds.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float] = time.time,
        ack_timeout: float = 3.0,
        scopes: frozenset[str] | None = None,
        commands: tuple[str, ...] = ("/jit",),
        events: frozenset[str] = frozenset({"app_home_opened"}),
        bot_token: str | None = None,
        app_token: str | None = None,
    ) -> None:
        super().__init__(now=now)
        self.bot_token = bot_token or f"xoxb-local-{secrets.token_hex(12)}"
        self.app_token = app_token or f"xapp-1-local-{secrets.token_hex(12)}"
        self.scopes = scopes
        self.commands = commands
        self.events = events
        self.paid_plan = True
        self.base_url = ""
        self.files: dict[str, things.Json] = {}
        self.uploads: dict[str, bytes] = {}
        self.triggers = slips.Triggers(now)
        self.response_urls = slips.ResponseUrls(now)
        self.wire = wire.Wire(now)
        self.trouble = trouble.Trouble()
        self.hub = sockets.Hub(self, self.wire, self.trouble, ack_timeout)
        self._offered: dict[tuple[Any, ...], list[things.Json]] = {}

    def has_scope(self, scope: str) -> bool:
        """Whether the app was granted `scope`."""
        return self.scopes is None or scope in self.scopes

    @property
    def connected(self) -> int:
        """How many sockets the app has open."""
        return self.hub.connected

    def close(self) -> None:
        """End every connection and wake everybody who waits."""
        self.hub.stop()
        super().close()

    # -- typing ---------------------------------------------------------------------------------

    def slash(self, user: str, channel: str, text: str) -> things.Ack:
        """Type a slash command in a channel: `slash("U0ANA", "C0ACCESS", "/jit help")`."""
        place = self._member_of(user, channel)
        command = text.split(maxsplit=1)[0] if text.strip() else ""
        if command not in self.commands:
            raise NotThere(f"{command or 'nothing'} is not a valid command")
        url = self._response_url("commands", self.response_urls.issue(user, channel))
        trigger = self.triggers.issue(user)
        payload = payloads.slash(self.users[user], place, text, trigger, url)
        try:
            ack = self.hub.deliver("slash_commands", "slash_commands", payload)
        except sockets.NotAcknowledged as silence:
            self._slackbot(user, channel, f'{command} failed with the error "{silence.error}"')
            raise TimedOut(silence.error) from None
        self._say_answer(user, channel, command, ack.payload)
        return ack

    def _say_answer(self, user: str, channel: str, command: str, answer: things.Json) -> None:
        if not answer:
            return
        try:
            posting.respond(self, slips.ResponseUrl(user=user, channel=channel, at=0), answer)
        except refusal.Refused as refused:
            self._slackbot(user, channel, f'{command} failed with the error "{refused.error}"')
            self.wire.note("ack", "slash_commands", error=refused.error, body=refused.more)
            raise BadAnswer(f"{refused.error} {refused.more or ''}".strip()) from None

    def _slackbot(self, user: str, channel: str, text: str) -> None:
        said = posting.Content(text=text)
        posting.post(self, channel, said, user=people.SLACKBOT, only_for=user)

    def say(
        self, user: str, channel: str, text: str, thread_ts: str | None = None
    ) -> things.Message:
        """Write a message in a channel or thread. The app hears of it only if it asked to."""
        place = self._member_of(user, channel)
        said = posting.post(
            self, channel, posting.Content(text=text), user=user, thread_ts=thread_ts
        )
        if ("message.im" if place.is_im else "message.channels") in self.events:
            self._event(payloads.said_event(self, said))
        return said

    def _member_of(self, user: str, channel: str) -> people.Channel:
        place = self.channels.get(channel)
        if place is None or user not in place.members:
            raise NotThere(f"{user} is not in {channel}")
        return place

    def _response_url(self, kind: str, token: str) -> str:
        return f"{self.base_url}/{kind}/{people.TEAM}/{token}"

    # -- pressing and choosing ------------------------------------------------------------------

    def click(
        self,
        user: str,
        where: Where,
        action: str,
        value: str | None = None,
        *,
        confirm: bool = False,
    ) -> things.Ack:
        """Press a button, named by its visible label or its action_id.

        `value` tells several alike apart by the button's value; of an overflow menu it is the
        option's text. Raises NotThere for what this person does not see, NeedsConfirming where the
        button asks again and `confirm` was not given.
        """
        surface = surfaces.find(self, user, where)
        spot = surfaces.spot(surface, action, value)
        kind = spot.element["type"]
        if kind not in inputs.BUTTONS:
            raise NotThere(f"{action!r} is a {kind} to choose in, not a button to press")
        option = inputs.pick(inputs.options_of(spot.element), value)
        if kind == "overflow" and option is None:
            raise NotThere(f"there is no {value!r} in that menu")
        return self._act(user, surface, spot, None, option, confirm=confirm)

    def select(
        self,
        user: str,
        where: Where,
        action: str,
        value: Any,
        *,
        confirm: bool = False,
        tell: bool = True,
    ) -> things.Ack | None:
        """Choose or type in an input, named by label, block_id or action_id.

        `value` is what a person sees: an option's text (or its value), a list of them, a text, a
        date; None empties it. The app is told only where Slack tells it (not in an input block, or
        with dispatch_action; not yet, without `tell`); the answer is None where it is not.
        """
        surface = surfaces.find(self, user, where)
        spot = surfaces.spot(surface, action)
        if spot.element["type"] not in inputs.KINDS:
            raise NotThere(f"{action!r} is a button to press, not something to choose in")
        entry = inputs.entry_for(
            spot,
            value,
            self._options(user, surface, spot, value),
            lambda kind, name: surfaces.resolve(self, kind, name),
        )
        if entry is None:
            raise NotThere(f"there is no {value!r} to choose in {action!r}")
        if not (tell and spot.tells):
            self._keep(surface, spot, entry)
            return None
        return self._act(user, surface, spot, entry, None, confirm=confirm)

    def _options(
        self, user: str, surface: surfaces.Surface, spot: inputs.Spot, value: Any
    ) -> list[things.Json]:
        """What may be chosen: the element's own options, or those the app offered while typing."""
        if spot.element["type"] not in inputs.EXTERNAL:
            return inputs.options_of(spot.element)
        key = surfaces.key(surface, spot)
        known = [*self._offered.get(key, []), *inputs.chosen(surface.values, spot)]
        wanted = value if isinstance(value, (list, tuple)) else [value]
        for one in wanted:
            if one not in (None, "") and inputs.pick(known, one) is None:
                typed = one["text"]["text"] if isinstance(one, dict) else str(one)
                known += self._ask_options(user, surface, spot, typed)
        return known

    def _keep(
        self, surface: surfaces.Surface, spot: inputs.Spot, entry: things.Json
    ) -> surfaces.Surface:
        """Remember what was chosen, in the surface as it is now."""
        with self.changing():
            if isinstance(surface, things.Message):
                said = self.find_message(surface.channel, surface.ts) or surface
                return self.put_message(
                    replace(said, values=inputs.with_value(said.values, spot, entry))
                )
            view = self.find_view(surface.id) or surface
            errors = {name: why for name, why in view.errors.items() if name != spot.block_id}
            values = inputs.with_value(view.values, spot, entry)
            return self.put_view(replace(view, values=values, errors=errors))

    def _act(
        self,
        user: str,
        surface: surfaces.Surface,
        spot: inputs.Spot,
        entry: things.Json | None,
        option: things.Json | None,
        *,
        confirm: bool,
    ) -> things.Ack:
        dialog = spot.element.get("confirm")
        if dialog is not None and not confirm:
            raise NeedsConfirming(dialog)
        if not surfaces.is_the_bots(surface):
            raise NotThere("nobody listens there")
        if entry is not None:
            surface = self._keep(surface, spot, entry)
        done = [inputs.action(spot, entry, option, self.next_ts())]
        person, trigger = self.users[user], self.triggers.issue(user)
        if isinstance(surface, things.View):
            payload = payloads.view_actions(person, surface, done, trigger)
        else:
            url = self._message_url(user, surface)
            place = self.channels[surface.channel]
            payload = payloads.message_actions(person, place, surface, done, trigger, url)
        return self._interact(user, payload, surfaces.where_id(surface))

    def _message_url(self, user: str, said: things.Message) -> str:
        token = self.response_urls.issue(user, said.channel, said.ts, said.thread_ts)
        return self._response_url("actions", token)

    def _interact(self, user: str, payload: things.Json, where: str) -> things.Ack:
        try:
            return self.hub.deliver("interactive", str(payload["type"]), payload)
        except sockets.NotAcknowledged as silence:
            self.notice(user, answers.TROUBLE, where)
            raise TimedOut(silence.error) from None

    # -- type-ahead -----------------------------------------------------------------------------

    def suggest(self, user: str, where: Where, action: str, typed: str = "") -> list[things.Json]:
        """Type into a type-ahead select and see the options the app offers.

        Slack asks the app only from `min_query_length` typed characters on (3 unless the element
        says otherwise); before that there is nothing to see.
        """
        surface = surfaces.find(self, user, where)
        spot = surfaces.spot(surface, action)
        if spot.element["type"] not in inputs.EXTERNAL:
            return inputs.options_of(spot.element)
        if len(typed) < spot.element.get("min_query_length", LEAST_TYPED):
            return []
        return self._ask_options(user, surface, spot, typed)

    def _ask_options(
        self, user: str, surface: surfaces.Surface, spot: inputs.Spot, typed: str
    ) -> list[things.Json]:
        if isinstance(surface, things.View):
            inside = payloads.suggestion_in_view(surface)
        else:
            inside = payloads.suggestion_in_message(self.channels[surface.channel], surface)
        person = self.users[user]
        payload = payloads.suggestion(person, spot.action_id, spot.block_id, typed, inside)
        ack = self._interact(user, payload, surfaces.where_id(surface))
        options = answers.options(ack.payload)
        self._offered[surfaces.key(surface, spot)] = options
        return options

    # -- modals ---------------------------------------------------------------------------------

    def fill(self, user: str, values: Mapping[str, Any]) -> things.View:
        """Fill several inputs of the top modal, as `select` does each: {label: what a person sees}."""
        for name, value in values.items():
            self.select(user, surfaces.top(self, user), name, value)
        return surfaces.top(self, user)

    def submit(
        self, user: str, view_id: str | None = None, values: Mapping[str, Any] | None = None
    ) -> dict[str, str] | None:
        """Submit the top modal. Returns the errors by block_id, or None when it was taken.

        What Slack's own client refuses (an empty required field, a malformed address) comes back as
        an error too, and the app does not hear of it.
        """
        surfaces.top(self, user, view_id)
        view = self.fill(user, values or {})
        wrong = inputs.problems(view.blocks, view.values)
        if wrong:
            self.put_view(replace(view, errors=wrong))
            return wrong
        payload = payloads.view_submission(self.users[user], view, self.triggers.issue(user))
        ack = self._interact(user, payload, view.id)
        try:
            return answers.to_submission(self, view, ack.payload)
        except BadAnswer as bad:
            self.notice(user, answers.TROUBLE, view.id)
            self.wire.note("ack", "view_submission", error=str(bad), body=ack.payload)
            raise

    def close_view(self, user: str, *, everything: bool = False) -> None:
        """Close the top modal; `everything`, or clear_on_close, closes those beneath as well."""
        view = surfaces.top(self, user)
        cleared = everything or bool(view.body.get("clear_on_close"))
        closed = list(reversed(self.stack(user))) if cleared else [view]
        views.pop(self, user, closed[-1].id)
        for one in closed:
            if one.body.get("notify_on_close"):
                person = self.users[user]
                payload = payloads.view_closed(person, one, is_cleared=cleared)
                self._interact(user, payload, one.id)

    # -- shortcuts and Home ---------------------------------------------------------------------

    def shortcut(self, user: str, callback_id: str) -> things.Ack:
        """Use a global shortcut."""
        trigger = self.triggers.issue(user)
        payload = payloads.shortcut(self.users[user], callback_id, trigger, self.next_ts())
        return self._interact(user, payload, self.dm(user))

    def message_shortcut(self, user: str, where: Where, callback_id: str) -> things.Ack:
        """Use a shortcut of a message's menu."""
        said = surfaces.find(self, user, where)
        if not isinstance(said, things.Message):
            raise NotThere("a message shortcut is used on a message")
        payload = payloads.message_shortcut(
            self.users[user],
            self.channels[said.channel],
            said,
            callback_id,
            self.triggers.issue(user),
            self._message_url(user, said),
        )
        return self._interact(user, payload, said.channel)

    def open_home(self, user: str, tab: str = "home") -> things.Ack | None:
        """Open the app's Home. None when the app did not ask to hear of it."""
        if "app_home_opened" not in self.events:
            return None
        return self._event(
            payloads.home_opened(user, self.dm(user), tab, self.home_of(user)),
        )

    def _event(self, event: things.Json) -> things.Ack:
        try:
            return self.hub.post_event(event)
        except sockets.NotAcknowledged as silence:
            raise TimedOut(silence.error) from None
