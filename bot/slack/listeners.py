"""What Slack may tell us, and which work it starts. Each listener: acknowledge, hand over, done."""

import contextlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import slack_bolt
import slack_sdk
import structlog

from bot import catalog as catalogs
from bot import errors
from bot.slack import command, forms, ids, modals
from bot.slack import origin as origins
from bot.slack.copies import Copies
from bot.slack.counter import Counter, Opened
from bot.slack.desk import Desk
from bot.slack.ids import Act, Field, View
from bot.slack.origin import Body, Origin

_log = structlog.get_logger(__name__)

Ack = Callable[..., Any]

ANYTHING = re.compile(".*")
EVENTS = ("app_home_opened",)


class Listeners:
    """Everything Slack may deliver."""

    def __init__(
        self,
        *,
        counter: Counter,
        desk: Desk,
        copies: Copies,
        client: slack_sdk.WebClient,
        catalog: Callable[[], catalogs.Catalog],
    ) -> None:
        self._counter = counter
        self._desk = desk
        self._copies = copies
        self._client = client
        self._catalog = catalog
        self._presses: Mapping[str, Callable[[Origin], None]] = {
            Act.ASK_NEW: self._ask,
            Act.ASK_FOR: self._ask,
            Act.AGAIN: self._again,
            Act.APPROVE: lambda o: counter.private(o, "approve", lambda: desk.approve(o)),
            Act.DENY: self._deny,
            Act.DETAILS: self._details,
            Act.CANCEL: lambda o: counter.private(o, "cancel", lambda: desk.cancel(o)),
            Act.CREDENTIALS: self._credentials,
            Act.RETURN: lambda o: counter.private(o, "return", lambda: desk.give_back(o)),
            Act.REVOKE: self._revoke,
            Act.STOP: lambda o: counter.private(o, "stop", lambda: desk.stop_trying(o)),
            Act.ACKNOWLEDGE: lambda o: counter.private(o, "ack", lambda: desk.acknowledge(o)),
        }

    def register(self, app: slack_bolt.App) -> None:
        """Tell Bolt. What nobody knows comes last, and is answered too."""
        app.command(ids.COMMAND)(self.on_command)
        app.shortcut(ids.SHORTCUT)(self.on_shortcut)
        for act in Act:
            app.action(act)(self.on_press)
        for chosen in Field:
            app.action(chosen)(self.on_choice)
            app.options(chosen)(self.on_suggest)
        for view in (View.REQUEST, View.DENY, View.REVOKE):
            app.view(view)(self.on_sent)
        for event in EVENTS:
            app.event(event)(self.on_home)
        app.command(ANYTHING)(self.on_unknown_command)
        app.shortcut(ANYTHING)(self.on_unknown)
        app.action(ANYTHING)(self.on_unknown)
        app.options(ANYTHING)(self.on_unknown_options)
        app.view(ANYTHING)(self.on_unknown_view)
        app.view_closed(ANYTHING)(self.on_ignored)
        app.event(ANYTHING)(self.on_ignored)

    def on_command(self, ack: Ack, body: Body) -> None:
        """`/jit …`: incomplete opens the form at once; anything else is worked on."""
        origin = origins.of_command(body)
        asked = command.parse(str(body.get("text") or ""), self._catalog().entitlements)
        try:
            if self._counter.first(origin):
                self._command(origin, asked, str(body.get("text") or ""))
            ack()
        except errors.Busy as busy:
            ack(response_type="ephemeral", text=str(busy))

    def _command(self, origin: Origin, asked: command.Command, text: str) -> None:
        if isinstance(asked, command.Ask) and not asked.complete:
            form = forms.Form(
                entitlement=asked.entitlement,
                duration=asked.duration,
                why=asked.why,
                channel_id=origin.channel_id,
            )
            self._form(origin, form)
        else:
            self._counter.private(origin, "command", lambda: self._desk.typed(origin, text))

    def on_shortcut(self, ack: Ack, body: Body) -> None:
        """The global shortcut: the form."""
        self._take(ack, origins.of_interaction(body), self._ask)

    def on_press(self, ack: Ack, body: Body) -> None:
        """A button of ours."""
        origin = origins.of_interaction(body)
        self._take(ack, origin, self._presses[origin.action_id])
        self._retire_copy(origin)

    def _retire_copy(self, origin: Origin) -> None:
        if not self._copies.may_be(origin):
            return
        with contextlib.suppress(errors.Busy):  # at the next press, then
            self._counter.quietly("copy", lambda: self._copies.retire(origin))

    def _take(self, ack: Ack, origin: Origin, act: Callable[[Origin], None]) -> None:
        ack()
        if not self._counter.first(origin):
            return
        try:
            act(origin)
        except errors.Busy:
            self._counter.busy(origin)

    def _form(self, origin: Origin, form: forms.Form) -> None:
        fill: Callable[[Opened], None] = lambda opened: self._desk.fill(origin, opened, form)  # noqa: E731
        self._counter.window(origin, "form", modals.waiting("Ask for access"), fill)

    def _ask(self, origin: Origin) -> None:
        wanted = origin.value if origin.action_id == Act.ASK_FOR else ""
        self._form(origin, forms.Form(entitlement=wanted, channel_id=origin.channel_id))

    def _again(self, origin: Origin) -> None:
        fill: Callable[[Opened], None] = lambda opened: self._desk.again(origin, opened)  # noqa: E731
        self._counter.window(origin, "again", modals.waiting("Ask for access"), fill)

    def _deny(self, origin: Origin) -> None:
        view = modals.deny(origin.value, origin.place)
        fill: Callable[[Opened], None] = lambda opened: self._desk.check_deny(origin, opened)  # noqa: E731
        self._counter.window(origin, "deny", view, fill)

    def _revoke(self, origin: Origin) -> None:
        view = modals.revoke(origin.value, origin.place)
        fill: Callable[[Opened], None] = lambda opened: self._desk.name_revoke(origin, opened)  # noqa: E731
        self._counter.window(origin, "revoke", view, fill)

    def _details(self, origin: Origin) -> None:
        fill: Callable[[Opened], None] = lambda opened: self._desk.details(origin, opened)  # noqa: E731
        self._counter.window(origin, "details", modals.waiting("Details"), fill)

    def _credentials(self, origin: Origin) -> None:
        fill: Callable[[Opened], None] = lambda opened: self._desk.credentials(origin, opened)  # noqa: E731
        self._counter.window(origin, "credentials", modals.waiting("Credentials"), fill)

    def on_choice(self, ack: Ack, body: Body) -> None:
        """Something was chosen in the form: draw what follows from it."""
        draw = lambda origin: self._counter.choice(origin, lambda: self._desk.choice(origin))  # noqa: E731
        self._take(ack, origins.of_interaction(body), draw)

    def on_suggest(self, ack: Ack, body: Body) -> None:
        """Something was typed into a type-ahead field."""
        origin = origins.of_interaction(body)
        where = (
            str(body.get("action_id")),
            str(body.get("block_id")),
            str(body.get("value") or ""),
        )
        options = self._counter.answer("suggest", lambda: self._desk.suggest(origin, *where), [])
        ack(options=options)

    def on_sent(self, ack: Ack, body: Body) -> None:
        """A window of ours was sent."""
        origin = origins.of_interaction(body)
        if not self._counter.first(origin):
            ack()
            return
        desk, what = self._desk, origin.view.get("callback_id")
        if what == View.REQUEST:
            done = lambda story: desk.asked(origin, story)  # noqa: E731
            ack(**self._counter.sent(origin, "request", lambda: desk.submit(origin), done))
        elif what == View.DENY:
            ack(**self._counter.sent(origin, "deny", lambda: desk.deny(origin), lambda _: None))
        else:
            ack(**self._counter.sent(origin, "revoke", lambda: desk.revoke(origin), lambda _: None))

    def on_home(self, event: Body) -> None:
        """Somebody looks at the Home tab."""
        if event.get("tab", "home") != "home":
            return
        user_id = str(event["user"])
        try:
            self._counter.quietly("home", lambda: self.publish(user_id))
        except errors.Busy:
            _log.info("home_skipped", user=user_id)

    def publish(self, user_id: str) -> None:
        """Draw somebody's Home tab."""
        self._client.views_publish(user_id=user_id, view=self._desk.home(user_id))

    def on_unknown_command(self, ack: Ack, body: Body) -> None:
        """A command that the app's configuration has and we have not."""
        said = str(body.get("command"))[:40]
        ack(response_type="ephemeral", text=f"I do not know {said}. Try {ids.COMMAND} help.")

    def on_unknown(self, ack: Ack, body: Body) -> None:
        """A button or shortcut of another version of ours."""
        origin = origins.of_interaction(body)
        said = "This button is from another version of me. Use the newest message or /jit."
        tell = lambda o: self._counter.private(  # noqa: E731
            o, "unknown", lambda: self._counter.say(o, said)
        )
        _log.info("unknown_action", action_id=origin.action_id)
        self._take(ack, origin, tell)

    def on_unknown_options(self, ack: Ack) -> None:
        """A type-ahead field of another version of ours."""
        ack(options=[])

    def on_unknown_view(self, ack: Ack, body: Body) -> None:
        """A window of another version of ours."""
        _log.info("unknown_view", callback_id=str((body.get("view") or {}).get("callback_id"))[:60])
        said = "This window is from another version of me, so nothing was sent. Type /jit."
        ack(response_action="update", view=modals.saying("Too old", said))

    def on_ignored(self, ack: Ack) -> None:
        """Something that asks for nothing."""
        ack()
