"""The routes of the page: the page itself, its live regions, and what a person does on it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from bot.demo.workspace import acts, bench, blockkit, mrkdwn, trouble
from bot.demo.workspace.page import guard, manifest, screen, visit

STATIC = Path(__file__).parent / "static"
TICK = 1.0
"""Seconds after which a tab is looked at again even if nothing changed in the workspace."""
GATHER = 0.08
"""Seconds in which changes that follow one another are told a tab at once."""

LIMITED_CALLS = 5

Told = dict[str, Any]
Act = Callable[[Told], Told]


class Site:
    """The page over a workspace. `bench` may be attached later."""

    def __init__(
        self,
        workspace: acts.Workspace,
        *,
        bench: bench.Bench | None = None,
        app_manifest: Mapping[str, Any] | None = None,
    ) -> None:
        self.workspace = workspace
        self.bench = bench
        self.manifest = app_manifest or manifest.PLAIN
        self.screen = screen.Screen(
            workspace, bench=lambda: self.bench, manifest=lambda: self.manifest
        )

    def routes(self) -> list[BaseRoute]:
        """To be put among the server's routes."""
        guarded = [Middleware(guard.Guard)]
        return [
            Route("/", self._page, middleware=guarded),
            Route("/archives/{channel}/p{digits:int}", self._permalink, middleware=guarded),
            Mount(
                "/page",
                routes=[
                    Route("/live", self._live),
                    Route("/wire/{number:int}", self._wire_body),
                    *(
                        Route(f"/{name}", _answering(act), methods=["POST"])
                        for name, act in self._acts().items()
                    ),
                    Mount("/static", StaticFiles(directory=STATIC)),
                ],
                middleware=guarded,
            ),
        ]

    def _acts(self) -> dict[str, Act]:
        return {
            "say": self._say,
            "press": self._press,
            "choose": self._choose,
            "suggest": self._suggest,
            "submit": self._submit,
            "close": self._close,
            "shortcut": self._shortcut,
            "home": self._open_home,
            "sql/connect": self._connect,
            "sql/run": self._run,
            "clock": self._clock,
            "trouble": self._trouble,
        }

    # -- looking --------------------------------------------------------------------------------

    def _page(self, request: Request) -> Response:
        tab = visit.of(request.query_params, self.workspace)
        return HTMLResponse(self.screen.page(tab))

    def _permalink(self, request: Request) -> Response:
        """Where a message stands: its channel, with its thread open."""
        channel, digits = request.path_params["channel"], str(request.path_params["digits"])
        ts = f"{digits[:-6]}.{digits[-6:]}"
        message = self.workspace.find_message(channel, ts)
        query = {
            "in": channel,
            "thread": message.thread_ts if message and message.thread_ts else ts,
        }
        if person := request.query_params.get("as"):
            query["as"] = person
        return RedirectResponse(f"/?{urlencode(query)}#m-{ts}")

    def _live(self, request: Request) -> Response:
        tab = visit.of(request.query_params, self.workspace)
        return StreamingResponse(self._changes(request, tab), media_type="text/event-stream")

    async def _changes(self, request: Request, tab: visit.Visit) -> AsyncIterator[str]:
        loop, woken = asyncio.get_running_loop(), asyncio.Event()

        def wake(_change: int) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(woken.set)

        end = self.workspace.subscribe(wake)
        known: dict[str, Markup] = {}
        try:
            while not self.workspace.closed and not await request.is_disconnected():
                woken.clear()
                regions = await run_in_threadpool(self.screen.regions, tab)
                changed = {name: html for name, html in regions.items() if known.get(name) != html}
                known = regions
                if changed:
                    yield f"event: regions\ndata: {json.dumps(changed)}\n\n"
                await _soon(woken)
        finally:
            end()

    def _wire_body(self, request: Request) -> Response:
        number = request.path_params["number"]
        for entry in self.workspace.wire.entries(after=number - 1):
            if entry.number == number:
                return JSONResponse({"body": json.dumps(entry.body, indent=2, ensure_ascii=False)})
        return JSONResponse({"body": "No longer remembered."}, status_code=404)

    # -- acting ---------------------------------------------------------------------------------

    def _say(self, told: Told) -> Told:
        user, place, text = told["as"], told["in"], told["text"].strip()
        thread = told.get("thread") or None
        if text.startswith("/") and not thread:
            self.workspace.slash(user, place, text)
        elif text:
            self.workspace.say(user, place, mrkdwn.escape_typed(text), thread)
        return {}

    def _press(self, told: Told) -> Told:
        self._fill(told)
        where, value = _where(told), told.get("value")
        self.workspace.click(told["as"], where, told["action"], value, confirm=True)
        return {}

    def _choose(self, told: Told) -> Told:
        self._fill(told)
        where = _where(told)
        self.workspace.select(told["as"], where, told["action"], told["value"], confirm=True)
        return {}

    def _fill(self, told: Told) -> None:
        """Keep what was typed since the last act; the app was told of what it hears of."""
        for name, value in (told.get("values") or {}).items():
            self.workspace.select(told["as"], _where(told), name, value, tell=False)

    def _suggest(self, told: Told) -> Told:
        found = self.workspace.suggest(told["as"], _where(told), told["action"], told["typed"])
        grouped = any("options" in each for each in found)
        return {"options": blockkit.options({"option_groups" if grouped else "options": found})}

    def _submit(self, told: Told) -> Told:
        self._fill(told)
        errors = self.workspace.submit(told["as"], told["view"])
        return {"errors": errors or {}}

    def _close(self, told: Told) -> Told:
        self.workspace.close_view(told["as"], everything=bool(told.get("everything")))
        return {}

    def _shortcut(self, told: Told) -> Told:
        self.workspace.shortcut(told["as"], told["callback_id"])
        return {}

    def _open_home(self, told: Told) -> Told:
        self.workspace.open_home(told["as"])
        return {}

    # -- the bench ------------------------------------------------------------------------------

    def _desk(self) -> bench.Bench:
        if self.bench is None:
            raise acts.NotThere("No bench is attached.")
        return self.bench

    def _connect(self, told: Told) -> Told:
        return self._desk().sql_connect(told["as"], told["url"].strip())

    def _run(self, told: Told) -> Told:
        return self._desk().sql_run(told["as"], told["statement"])

    def _clock(self, told: Told) -> Told:
        said = self._desk().clock(told["grant"], int(told["left"]))
        self._look_again()
        return {"message": said}

    def _trouble(self, told: Told) -> Told:
        name, on = told["name"], bool(told["on"])
        switches = self.workspace.trouble
        if name == "rate_limit":
            _rate_limit(switches, on=on)
        elif name == "slack_down":
            switches.down(on)
        elif name == "refresh":
            switches.refresh_sockets()
        else:
            said = self._desk().trouble(name, on)
            self._look_again()
            return {"message": said}
        self._look_again()
        return {}

    def _look_again(self) -> None:
        """Tabs look when the workspace changes; what was changed here is outside of it."""
        with self.workspace.changing():
            pass


def _rate_limit(switches: trouble.Trouble, *, on: bool) -> None:
    if on:
        return switches.rate_limit(n=LIMITED_CALLS, retry_after=2)
    was_down = switches.is_down
    switches.clear()
    return switches.down(was_down)


def _where(told: Told) -> acts.Where:
    if view := told.get("view"):
        return str(view)
    return told["channel"], told["ts"]


async def _soon(woken: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(woken.wait(), TICK)
        await asyncio.sleep(GATHER)
    except TimeoutError:
        return


def _answering(act: Act) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        try:
            told = await request.json()
            return JSONResponse(await run_in_threadpool(act, told))
        except (acts.TimedOut, acts.BadAnswer):
            return JSONResponse({"failed": True})  # the workspace told the person itself
        except acts.NotThere as error:
            return JSONResponse({"problem": str(error) or "That is no longer there."}, 404)
        except (KeyError, ValueError, TypeError) as error:
            return JSONResponse({"problem": f"This was not understood: {error}"}, 400)

    return answer
