"""Draws the regions of a tab. The page swaps a region when its HTML differs from what it has."""

import dataclasses
import datetime as dt
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from markupsafe import Markup

from bot.demo.workspace import acts, bench, blockkit, mrkdwn, people, things
from bot.demo.workspace.page import manifest, visit

MOST_MESSAGES = 120
MOST_WIRE = 80
MOST_KEPT = 3000
SAME_BREATH = 300
NOTICE_STAYS = 12
SLOW_MS = 1000
"""An acknowledgement slower than this is marked: Slack's patience ends at three times as much."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A message as it is drawn."""

    message: things.Message
    author: people.User | None
    body: Markup
    at: dt.datetime
    joined: bool
    new_day: str
    replies: int = 0
    last_reply: dt.datetime | None = None


class Screen:
    """Knows how every part of the page looks for one visit."""

    def __init__(
        self,
        workspace: acts.Workspace,
        *,
        bench: Callable[[], bench.Bench | None],
        manifest: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._workspace = workspace
        self._bench = bench
        self._manifest = manifest
        self._templates = blockkit.environment()
        self._templates.filters["hue"] = self._hue
        self._read: dict[tuple[str, str], str] = {}
        self._bodies: dict[tuple[str, str], tuple[things.Message, float, Markup]] = {}
        self._lock = threading.Lock()

    def page(self, tab: visit.Visit) -> str:
        """The whole page."""
        offered = manifest.completions(self._manifest())
        return self._template(
            "page.html.j2",
            tab,
            regions=self.regions(tab),
            completions=[dataclasses.asdict(each) for each in offered],
        )

    def regions(self, tab: visit.Visit) -> dict[str, Markup]:
        """Every region's HTML by its element id."""
        self._mark_read(tab)
        drawn = {name: draw(tab) for name, draw in self._regions().items()}
        return {name: Markup(html) for name, html in drawn.items()}  # noqa: S704 - templates' own output

    def _regions(self) -> dict[str, Callable[[visit.Visit], str]]:
        return {
            "top": self._top,
            "side": self._side,
            "place": self._place,
            "thread": self._thread,
            "modals": self._modals,
            "notices": self._notices,
            "clock": self._clock,
            "trouble": self._trouble,
            "wire": self._wire,
        }

    def _template(self, name: str, tab: visit.Visit, **more: Any) -> str:
        template = self._templates.get_template(name)
        workspace = self._workspace
        return template.render(
            tab=tab,
            me=workspace.users[tab.user],
            workspace=workspace,
            people=people,
            folk=visit.folk(workspace),
            **more,
        )

    def _reader(self, tab: visit.Visit) -> mrkdwn.Reader:
        return visit.reader(self._workspace, tab.user)

    def renderer(
        self,
        tab: visit.Visit,
        scope: str,
        *,
        errors: Mapping[str, str] | None = None,
        values: things.Values | None = None,
    ) -> blockkit.Renderer:
        """What draws the blocks of one message or view for this visitor."""
        return blockkit.Renderer(
            reader=self._reader(tab),
            scope=scope,
            errors=errors or {},
            values=values or {},
            listed=lambda kind: visit.listed(self._workspace, tab.user, kind),
        )

    def _hue(self, user: people.User) -> int:
        """Which of the six colours of pictures is theirs."""
        return list(self._workspace.users).index(user.id) % 6

    # -- people and places ----------------------------------------------------------------------

    def _top(self, tab: visit.Visit) -> str:
        return self._template("top.html.j2", tab)

    def _side(self, tab: visit.Visit) -> str:
        places = self._workspace.places(tab.user)
        unread = {place.id for place in places if self._is_unread(tab, place.id)}
        return self._template("side.html.j2", tab, places=places, unread=unread)

    def _newest(self, user: str, place: str) -> str:
        posted = self._workspace.messages(place, as_user=user)
        return max((m.ts for m in posted if m.user != user), default="")

    def _mark_read(self, tab: visit.Visit) -> None:
        if tab.place != visit.HOME:
            with self._lock:
                self._read[tab.user, tab.place] = self._newest(tab.user, tab.place)

    def _is_unread(self, tab: visit.Visit, place: str) -> bool:
        return self._newest(tab.user, place) > self._read.get((tab.user, place), "")

    # -- conversation ---------------------------------------------------------------------------

    def _place(self, tab: visit.Visit) -> str:
        if tab.place == visit.HOME:
            return self._home(tab)
        posted = self._workspace.messages(tab.place, as_user=tab.user)
        offered = manifest.shortcuts(self._manifest())
        return self._template(
            "place.html.j2",
            tab,
            place=self._workspace.channels[tab.place],
            lines=self._lines(tab, posted[-MOST_MESSAGES:]),
            hidden=max(0, len(posted) - MOST_MESSAGES),
            shortcuts=offered,
        )

    def _home(self, tab: visit.Visit) -> str:
        view = self._workspace.home_of(tab.user)
        body = None
        if view:
            body = self.renderer(tab, view.id, values=view.values).blocks(view.blocks)
        return self._template("home.html.j2", tab, view=view, body=body)

    def _thread(self, tab: visit.Visit) -> str:
        if tab.thread is None or tab.place == visit.HOME:
            return ""
        posted = self._workspace.messages(tab.place, tab.thread, as_user=tab.user)
        lines = self._lines(tab, posted, in_thread=True)
        place = self._workspace.channels[tab.place]
        return self._template("thread.html.j2", tab, lines=lines, place=place)

    def _lines(
        self, tab: visit.Visit, posted: Iterable[things.Message], *, in_thread: bool = False
    ) -> list[Line]:
        lines: list[Line] = []
        for message in posted:
            lines.append(
                self._line(tab, message, lines[-1] if lines else None, in_thread=in_thread)
            )
        return lines

    def _line(
        self, tab: visit.Visit, message: things.Message, before: Line | None, *, in_thread: bool
    ) -> Line:
        reader = self._reader(tab)
        at = dt.datetime.fromtimestamp(message.at, reader.zone)
        new_day = "" if before and before.at.date() == at.date() else _day(at, reader)
        replies = () if in_thread else self._replies(tab, message)
        return Line(
            message=message,
            author=self._workspace.users.get(message.user),
            body=self._body(tab, message, "thread" if in_thread else "place"),
            at=at,
            joined=not new_day and before is not None and _same_breath(before.message, message),
            new_day="" if in_thread else new_day,
            replies=len(replies),
            last_reply=dt.datetime.fromtimestamp(replies[-1].at, reader.zone) if replies else None,
        )

    def _replies(self, tab: visit.Visit, message: things.Message) -> tuple[things.Message, ...]:
        if message.is_reply:
            return ()
        everything = self._workspace.messages(message.channel, message.ts, as_user=tab.user)
        return tuple(reply for reply in everything if reply.is_reply)

    def _body(self, tab: visit.Visit, message: things.Message, region: str) -> Markup:
        """The message's inside, drawn anew when it changes and each minute ("today", "5 min ago")."""
        scope = f"{region}/{message.channel}/{message.ts}"
        minute = self._workspace.now() // 60
        known = self._bodies.get((tab.user, scope))
        if known and known[0] is message and known[1] == minute:
            return known[2]
        drawn = self._draw_body(tab, message, scope)
        with self._lock:
            if len(self._bodies) > MOST_KEPT:
                self._bodies.clear()
            self._bodies[tab.user, scope] = (message, minute, drawn)
        return drawn

    def _draw_body(self, tab: visit.Visit, message: things.Message, scope: str) -> Markup:
        renderer = self.renderer(tab, scope, values=message.values)
        body = Markup("")
        if message.blocks:
            body += renderer.blocks(message.blocks)
        elif message.text:
            text = mrkdwn.html(message.text, renderer.reader)
            body += Markup('<div class="bk-text">{}</div>').format(text)
        for attachment in message.attachments:
            body += self._attachment(renderer, attachment)
        for each in message.files:
            body += Markup('<div class="bk-file">{}</div>').format(
                each.get("title") or each.get("name")
            )
        return body

    def _attachment(self, renderer: blockkit.Renderer, attachment: things.Json) -> Markup:
        shade = {"good": "good", "warning": "warn", "danger": "bad"}.get(
            str(attachment.get("color")), "plain"
        )
        if attachment.get("blocks"):
            inner = renderer.blocks(attachment["blocks"])
        else:
            text = attachment.get("text") or attachment.get("fallback") or ""
            inner = mrkdwn.html(str(text), renderer.reader)
        return Markup('<div class="attachment {}">{}</div>').format(shade, inner)

    # -- modals and what Slack says -------------------------------------------------------------

    def _modals(self, tab: visit.Visit) -> str:
        stack = self._workspace.stack(tab.user)
        view = stack[-1] if stack else None
        body = Markup("")
        if view:
            renderer = self.renderer(tab, view.id, errors=view.errors, values=view.values)
            body = renderer.blocks(view.blocks)
        return self._template("modal.html.j2", tab, view=view, body=body, depth=len(stack))

    def _notices(self, tab: visit.Visit) -> str:
        since = self._workspace.now() - NOTICE_STAYS
        fresh = [each for each in self._workspace.notices(tab.user) if each.at > since]
        return self._template("notices.html.j2", tab, notices=fresh)

    # -- bench ----------------------------------------------------------------------------------

    def _clock(self, tab: visit.Visit) -> str:
        desk = self._bench()
        return self._template(
            "clock.html.j2", tab, bench=desk, grants=desk.grants() if desk else ()
        )

    def _trouble(self, tab: visit.Visit) -> str:
        desk = self._bench()
        status = desk.status() if desk else {}
        switches = self._workspace.trouble
        return self._template(
            "trouble.html.j2",
            tab,
            bench=desk,
            status=status,
            down=switches.is_down,
            now_on=switches.now_on(),
        )

    def _wire(self, tab: visit.Visit) -> str:
        entries = self._workspace.wire.entries()
        return self._template(
            "wire.html.j2",
            tab,
            entries=[
                (each, dt.datetime.fromtimestamp(each.at, self._reader(tab).zone))
                for each in reversed(entries[-MOST_WIRE:])
            ],
            slow=SLOW_MS,
        )


def _same_breath(before: things.Message, message: things.Message) -> bool:
    return (
        before.user == message.user
        and (before.user != people.BOT or before.is_reply)
        and not before.is_ephemeral
        and not message.is_ephemeral
        and message.at - before.at < SAME_BREATH
    )


def _day(at: dt.datetime, reader: mrkdwn.Reader) -> str:
    days = (at.date() - reader.now.astimezone(at.tzinfo).date()).days
    return {0: "Today", -1: "Yesterday"}.get(days, f"{at:%A, %d %B %Y}")
