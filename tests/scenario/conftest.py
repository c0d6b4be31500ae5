"""A real bot on the local workspace: real payloads, real Bolt, real sockets; a target in memory."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from bot import catalog, clock, service, slack, store
from bot.demo.workspace import acts, server, things
from bot.slack import client, identity
from db_grants import memory
from proof import invariants, reality
from tests.fixtures_core import Target

ACCESS, AUDIT, GENERAL = "C0ACCESS", "C0AUDIT", "C0GENERAL"
ANA, BO, CLEO, DAN, GUS, SAM = "U0ANA", "U0BO", "U0CLEO", "U0DAN", "U0GUS", "U0SAM"

CATALOG = """
channels: {approvals: "#db-access", audit: "#db-audit"}
targets:
  shop: {url_env: SHOP_URL, environment: production, database: shop}
  wiki: {url_env: WIKI_URL, environment: staging, database: wiki}
entitlements:
  read_customer_data:
    target: shop
    description: Customers without their secrets, and their orders
    sensitivity: personal data
    scope:
      - {table: app.customers, columns: [id, name, email, city], can: read}
      - {table: app.orders, can: read}
    requesters: [everyone]
    approval: data-owners
    ticket: "[A-Z]+-[0-9]+"
  write_logs:
    target: shop
    description: Add rows to the application log
    scope: [{table: app.logs, can: [insert]}]
    requesters: ["@engineers"]
    approval: low-risk
    default_duration: 15m
    max_duration: 1h
  read_pages:
    target: wiki
    scope: [{table: app.pages, can: read}]
    requesters: ["@data-owners"]
    approval: two-owners
rules:
  data-owners: {approvers: ["@data-owners"]}
  low-risk: {approvers: ["@data-owners"], auto_approve_up_to: 30m}
  two-owners: {approvers: ["@data-owners"], needs: 2}
"""


class Acme:
    """The workspace, the bot in it, and what a test looks at."""

    def __init__(self, running: server.Server, folder: pathlib.Path) -> None:
        self.running = running
        self.workspace: acts.Workspace = running.workspace
        self.passwords = reality.overheard(self.workspace)
        self.url = f"sqlite:///{folder / 'state.sqlite3'}"
        self.catalog = catalog.loads(CATALOG)
        self.clock = clock.SystemClock()
        self.shop = Target(memory.MemoryEngine(clock=self.clock.now))
        self.wiki = Target(memory.MemoryEngine(clock=self.clock.now))
        self.connect()

    def connect(self, *, wait: bool = True) -> None:
        """Start a bot over the state that is there."""
        self.store = store.open_store(self.url, self.clock)
        web = client.web_client(self.workspace.bot_token, self.running.api_url)
        directory = identity.Directory(web)
        self.service = service.Service(
            store=self.store,
            engines={"shop": self.shop, "wiki": self.wiki},  # type: ignore[dict-item]
            catalog=lambda: self.catalog,
            directory=directory,
            poster=lambda made: self._slack(made, web, directory).poster,
            clock=self.clock,
        )
        self.slack.start()
        self.service.start()
        if wait:
            self.workspace.wait_for(lambda: self.workspace.connected)

    def _slack(self, made: service.Service, web: Any, directory: identity.Directory) -> slack.Slack:
        self.slack = slack.create(
            client=web,
            app_token=self.workspace.app_token,
            access=made.access,
            grants=made.grants,
            store=self.store,
            directory=directory,
            lanes=made.lanes,
            catalog=lambda: self.catalog,
            clock=self.clock,
        )
        return self.slack

    def disconnect(self) -> None:
        """Stop the bot; the state stays."""
        self.slack.stop()
        assert self.service.stop(5), "a worker did not stop"
        assert self.store.verify_chain().ok
        self.store.close()

    def check(self) -> None:
        """I1 to I8 of what the test left behind. Only once the bot is stopped: then nothing moves."""
        with store.open_store(self.url, self.clock) as kept:
            recorded = reality.record(kept, self.clock.now())
        invariants.check(
            recorded,
            [reality.in_memory(n, t.engine) for n, t in (("shop", self.shop), ("wiki", self.wiki))],
            reality.of_workspace(self.workspace, recorded),
            {self.workspace.bot_token, self.workspace.app_token} | self.passwords,
        )

    def restart(self) -> None:
        """The bot goes and comes again."""
        self.disconnect()
        self.connect()

    def slash(self, user: str, text: str, channel: str = GENERAL) -> things.Ack:
        return self.workspace.slash(user, channel, text)

    def asked(self, user: str = ANA, text: str = "") -> things.Message:
        """A request by command; its card."""
        before = len(self.cards())
        self.slash(user, text or "/jit read_customer_data 30m INC-4412 export stuck for 8821")
        return self.workspace.wait_for(lambda: self.cards()[before:])[0]

    def cards(self) -> list[things.Message]:
        return [m for m in self.workspace.messages(ACCESS) if m.thread_ts in (None, m.ts)]

    def card(self) -> things.Message:
        """The newest card as it is now."""
        return self.cards()[-1]

    def wait_card(self, words: str) -> things.Message:
        """Wait until the newest card says so."""
        return self.saying(lambda: self.cards()[-1:], words)

    def saying(self, messages: Any, *words: str) -> things.Message:
        """Wait for a message that holds all these words."""

        def found() -> things.Message | None:
            return next((m for m in messages() if all(w in text_of(m) for w in words)), None)

        try:
            return self.workspace.wait_for(found)
        except TimeoutError:
            said = "\n".join(text_of(m) for m in messages())
            raise AssertionError(f"nobody said {words}; this was said:\n{said}") from None

    def told(self, user: str, *words: str) -> things.Message:
        """Wait for a direct message of the bot to this person."""
        return self.saying(lambda: self.workspace.messages(self.workspace.dm(user)), *words)

    def whispered(self, user: str, *words: str, channel: str = GENERAL) -> things.Message:
        """Wait for a message that only this person sees."""
        return self.saying(
            lambda: [
                m for m in self.workspace.messages(channel, as_user=user) if m.only_for == user
            ],
            *words,
        )

    def thread(self, *words: str) -> things.Message:
        """Wait for a line in the newest card's thread."""
        ts = self.card().ts
        return self.saying(lambda: self.workspace.messages(ACCESS, thread_ts=ts), *words)

    def window(self, user: str, *words: str) -> things.View:
        """Wait until the top window of this person says so."""

        def found() -> things.View | None:
            view = self.workspace.view_of(user)
            return view if view and all(w in text_of(view) for w in words) else None

        try:
            return self.workspace.wait_for(found)
        except TimeoutError:
            view = self.workspace.view_of(user)
            raise AssertionError(f"no window says {words}: {view and text_of(view)}") from None

    def live(self) -> str:
        """Ana holds access that Bo approved; its id."""
        card = self.asked()
        self.workspace.click(BO, card, "Approve 30 min")
        self.wait_card("Active until")
        return self.store.requests()[0].id


def text_of(shown: things.Message | things.View) -> str:
    """Every text in it."""
    return "\n".join(
        _texts(shown.blocks if isinstance(shown, things.View) else list(shown.blocks))
    ) + (f"\n{shown.text}" if isinstance(shown, things.Message) else "")


def _texts(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "text" and isinstance(value, str):
                yield value
            else:
                yield from _texts(value)
    elif isinstance(part, (list, tuple)):
        for each in part:
            yield from _texts(each)


@pytest.fixture
def acme(tmp_path: pathlib.Path) -> Iterator[Acme]:
    """A bot at work in the local workspace."""
    with server.Server(acts.Workspace()) as running:
        made = Acme(running, tmp_path)
        yield made
        made.workspace.trouble.clear()
        made.disconnect()
        made.check()
