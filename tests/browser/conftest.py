"""A real browser on a real workspace, with a small Bolt app on the other side."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page, sync_playwright

from bot.demo.workspace import acts, server
from tests import fixtures_workspace

ACK_SECONDS = 2.0
Blocks = list[dict[str, Any]]
Tab = Callable[..., Page]


def text(words: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": words}


def option(words: str, value: str, about: str = "") -> dict[str, Any]:
    more = {"description": text(about)} if about else {}
    return {"text": text(words), "value": value} | more


def button(label: str, action: str, **more: Any) -> dict[str, Any]:
    return {"type": "button", "text": text(label), "action_id": action, **more}


def field(block: str, label: str, element: dict[str, Any], **more: Any) -> dict[str, Any]:
    element = {"action_id": block, **element}
    return {"type": "input", "block_id": block, "label": text(label), "element": element, **more}


def card(state: str, *buttons: dict[str, Any]) -> Blocks:
    blocks: Blocks = [
        {"type": "section", "text": {"type": "mrkdwn", "text": "*Ana Lima asks to read data*"}},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": state}]},
    ]
    return [*blocks, *([{"type": "actions", "elements": list(buttons)}] if buttons else [])]


WAITING = card(
    "Waiting",
    button("Approve 30 min", "approve", style="primary"),
    button(
        "Revoke",
        "revoke",
        style="danger",
        confirm={
            "title": text("End it now?"),
            "text": text("Sessions are cut."),
            "confirm": text("End it"),
            "deny": text("Keep it"),
        },
    ),
    button("Details", "details"),
)


def form(hint: str = "Choose a target.") -> dict[str, Any]:
    return {
        "type": "modal",
        "callback_id": "ask",
        "notify_on_close": True,
        "title": text("Ask for access"),
        "submit": text("Ask"),
        "blocks": [
            field(
                "target",
                "Target",
                {"type": "static_select", "options": [option("shop", "s"), option("lake", "l")]},
                dispatch_action=True,
            ),
            field("what", "What", {"type": "external_select", "min_query_length": 0}),
            field(
                "tables",
                "Only these tables",
                {
                    "type": "multi_static_select",
                    "options": [option("orders", "o"), option("payments", "p")],
                },
                optional=True,
            ),
            field("why", "Why", {"type": "plain_text_input", "multiline": True}),
            {"type": "context", "elements": [text(hint)]},
        ],
    }


DETAILS = {
    "type": "modal",
    "title": text("Details"),
    "blocks": [
        {"type": "section", "text": text("postgresql://jit_x:pw@127.0.0.1:1/shop")},
        {"type": "actions", "elements": [button("Deeper", "deeper")]},
    ],
}


class Desk:
    """A bench that remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.cut = False
        self.answers = threading.Event()
        self.answers.set()
        self.down: set[str] = set()

    def sql_connect(self, person: str, url: str) -> dict[str, Any]:
        self.asked.append(("connect", person, url))
        return {"ok": True, "message": "Connected to shop as jit_x"}

    def sql_run(self, person: str, statement: str) -> dict[str, Any]:
        self.asked.append(("run", person, statement))
        assert self.answers.wait(5)
        if self.cut:
            return {"ok": False, "message": "Session ended: terminating connection"}
        if "secret" in statement:
            return {"ok": False, "message": "permission denied for table secrets"}
        rows = [["1", "<b>Mara</b>"], ["2", None]]
        return {"ok": True, "message": "SELECT 2", "columns": ["id", "name"], "rows": rows}

    def grants(self) -> list[dict[str, Any]]:
        return [
            {"id": "7k2m", "requester": "Ana Lima", "entitlement": "read", "expires_at": 4e9},
        ]

    def clock(self, grant_id: str, left_seconds: int) -> str:
        self.asked.append(("clock", grant_id, left_seconds))
        return f"{grant_id} ends in {left_seconds} s"

    def trouble(self, name: str, on: bool) -> str:
        (self.down.add if on else self.down.discard)(name)
        return f"{name} is {'on' if on else 'off'}"

    def status(self) -> dict[str, str]:
        return {part: "down" if f"{part}_down" in self.down else "up" for part in ("bot", "target")}


class Slack:
    """The workspace with its page, the app on it, and what that app was told."""

    def __init__(self, running: server.Server, bolt: fixtures_workspace.Bolt, desk: Desk) -> None:
        self.url = running.url
        self.workspace = running.workspace
        self.client = bolt.client
        self._bolt = bolt
        self.desk = desk
        self.told: list[Any] = []
        _listen(bolt.app, self.told)

    def post(self, words: str, **more: Any) -> str:
        sent = self.client.chat_postMessage(channel="C0ACCESS", text=words, **more)
        return str(sent["ts"])

    def leave(self) -> None:
        """The app goes away."""
        self._bolt.close()
        self._bolt.handlers.clear()
        self.workspace.wait_for(lambda: self.workspace.connected == 0)

    def heard(self, *what: Any) -> None:
        self.workspace.wait_for(lambda: what in self.told)


def _listen(app: Any, told: list[Any]) -> None:  # noqa: C901 - listeners, one after another
    @app.command("/jit")
    def _(ack: Any, body: Any, client: Any) -> None:
        ack()
        told.append(("command", body["text"]))
        if not body["text"]:
            client.views_open(trigger_id=body["trigger_id"], view=form())

    @app.shortcut("request.new")
    def _(ack: Any, body: Any, client: Any) -> None:
        ack()
        client.views_open(trigger_id=body["trigger_id"], view=form())

    @app.options("what")
    def _(ack: Any, payload: Any) -> None:
        known = [
            option("read_customer_data", "r", "Customers without secrets"),
            option("write_logs", "w"),
        ]
        ack(options=[one for one in known if payload["value"] in one["text"]["text"]])

    @app.action("target")
    def _(ack: Any, body: Any, client: Any) -> None:
        ack()
        client.views_update(view_id=body["view"]["id"], view=form("Needs 1 of Bo, Cleo."))

    @app.view("ask")
    def _(ack: Any, view: Any) -> None:
        values = view["state"]["values"]
        why = values["why"]["why"]["value"]
        if not why.startswith("INC-"):
            ack(response_action="errors", errors={"why": "Write the ticket first."})
            return
        ack()
        tables = [one["value"] for one in values["tables"]["tables"]["selected_options"]]
        told.append(("asked", values["what"]["what"]["selected_option"]["value"], tables, why))

    @app.view_closed("ask")
    def _(ack: Any) -> None:
        ack()
        told.append(("closed",))

    @app.action("approve")
    def _(ack: Any, body: Any, client: Any) -> None:
        ack()
        place, ts = body["channel"]["id"], body["message"]["ts"]
        who = body["user"]["id"]
        if who == "U0ANA":
            client.chat_postEphemeral(channel=place, user=who, text="Someone else has to decide.")
            return
        client.chat_update(channel=place, ts=ts, text="Active", blocks=card("Active, by Bo"))
        client.chat_postMessage(channel=place, thread_ts=ts, text="Approved by Bo")

    @app.action("revoke")
    def _(ack: Any) -> None:
        ack()
        told.append(("revoked",))

    @app.action("details")
    def _(ack: Any, body: Any, client: Any) -> None:
        ack()
        client.views_open(trigger_id=body["trigger_id"], view=DETAILS)

    @app.action("deeper")
    def _(ack: Any, body: Any, client: Any) -> None:
        ack()
        deeper = {**DETAILS, "title": text("Deeper"), "blocks": WAITING[:1]}
        client.views_push(trigger_id=body["trigger_id"], view=deeper)

    @app.event("app_home_opened")
    def _(event: Any, client: Any) -> None:
        blocks = [{"type": "header", "text": text("My access now")}, *WAITING[2:]]
        client.views_publish(user_id=event["user"], view={"type": "home", "blocks": blocks})


@pytest.fixture
def slack() -> Iterator[Slack]:
    """The workspace and its app, connected."""
    desk = Desk()
    workspace = acts.Workspace(ack_timeout=ACK_SECONDS)
    with server.Server(workspace, page=True, bench=desk) as running:
        bolt = fixtures_workspace.Bolt(running)
        try:
            made = Slack(running, bolt, desk)
            bolt.connect()
            yield made
        finally:
            bolt.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The machine's Chromium, or the one Playwright keeps."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    installed = next(filter(None, map(shutil.which, names)), None)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=os.environ.get("CHROMIUM") or installed, args=["--no-sandbox"]
            )
        except Error as error:
            pytest.skip(f"no Chromium here: {error.message.splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium: Browser, slack: Slack) -> Iterator[Tab]:
    """Opens the page as somebody. No tab may have complained on its console when the test ends."""
    complaints: list[str] = []
    contexts = []

    def open_tab(user: str = "", width: int = 1500, scheme: str = "light", **query: str) -> Page:
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(6000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda line: (
                complaints.append(line.text) if line.type in ("error", "warning") else None
            ),
        )
        asked = {"as": user, **query} if user else query
        page.goto(f"{slack.url}/?{'&'.join(f'{k}={v}' for k, v in asked.items())}")
        page.wait_for_selector("body[data-live]")
        return page

    yield open_tab
    for context in contexts:
        context.close()
    assert complaints == []
