"""The whole story, played by itself on the running parts and checked by its effects.

People act through the workspace, which speaks Slack's own protocol with the bot; the database is
looked at with a client of our own. Nothing is believed because somebody said so: a step counts
only when what it should have done can be seen.
"""

import functools
import html
import re
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from bot import errors
from bot.audit import chain
from bot.demo import launch
from bot.demo.workspace import acts, things

ANA, BO, GUS, SAM = "U0ANA", "U0BO", "U0GUS", "U0SAM"
ACCESS, AUDIT = "C0ACCESS", "C0AUDIT"
ASK = "/jit read_customer_data 30m INC-4412: export stuck for customer 8821"
PATIENCE = 15.0  # seconds a step may take before it counts as failed
_LABELLED = re.compile(r"<[^|>]+\|([^>]*)>")  # a time or a link, with what a reader sees of it
SHOWN = 160  # characters of what was seen
LEFT = 2  # seconds left when the tour brings the deadline nearer


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One effect that was looked for."""

    step: str
    effect: str
    held: bool
    seen: str

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        return {"step": self.step, "effect": self.effect, "held": self.held, "seen": self.seen}


class Failed(errors.JitError):
    """An effect did not come about; the rest of the story makes no sense without it."""


class Tour:
    """Plays the story; `checks` grows as it goes."""

    def __init__(self, demo: launch.Demo, tell: Callable[[str], None]) -> None:
        self._demo = demo
        self._people: acts.Workspace = demo.workspace.workspace
        self._tell = tell
        self._step = ""
        self._role = ("", 0)
        self.checks: list[Check] = []

    @property
    def held(self) -> bool:
        """Whether every effect that was looked for was seen."""
        return bool(self.checks) and all(check.held for check in self.checks)

    def play(self) -> None:
        """Play every step; stops early when an effect fails that the rest builds on."""
        try:
            self._ask()
            self._wrong_people_try()
            self._approve()
            url = self._open_credentials()
            with psycopg.connect(url, autocommit=True, connect_timeout=5) as session:
                self._use(session)
                self._end(session)
            self._prove(url)
            self._look_back()
        except Failed:
            return

    def _narrate(self, step: str, words: str) -> None:
        self._step = step
        self._tell(words)

    def _check(self, effect: str, held: bool, seen: str) -> None:  # noqa: FBT001 - reads as a sentence
        self.checks.append(Check(step=self._step, effect=effect, held=held, seen=seen))
        self._tell(f"   {'ok  ' if held else 'FAIL'} {effect}: {seen}")
        if not held:
            raise Failed(effect)

    def _wait(self, effect: str, look: Callable[[], Any]) -> Any:
        """Wait until `look` sees something; tell what it saw."""
        try:
            found = self._people.wait_for(look, PATIENCE)
        except TimeoutError:
            self._check(effect, False, f"not within {PATIENCE:.0f} s")
        self._check(effect, True, _one_line(found))
        return found

    # -- the story -------------------------------------------------------------------------------

    def _ask(self) -> None:
        self._narrate("ask", f"Ana types in #db-access: {ASK}")
        self._people.slash(ANA, ACCESS, ASK)
        self._wait("the card asks for a decision", lambda: self._card("Approve 30 min"))
        self._wait("Ana has a receipt", lambda: self._dm(ANA, "Asked"))
        self._check("no role exists yet", not self._roles(), "the catalogue has none")

    def _wrong_people_try(self) -> None:
        self._narrate("guard", "Ana, a guest and somebody from another company press Approve")
        for who, name in ((ANA, "Ana"), (GUS, "the guest"), (SAM, "the stranger")):
            before = len(self._whispers(who))
            self._people.click(who, self._card("Approve 30 min"), "Approve 30 min")
            self._wait(
                f"{name} is told privately why not",
                functools.partial(self._whispers, who, before),
            )
        self._check("no role exists still", not self._roles(), "the catalogue has none")

    def _approve(self) -> None:
        self._narrate("approve", "Bo presses Approve 30 min")
        self._people.click(BO, self._card("Approve 30 min"), "Approve 30 min")
        self._wait("the card says active", lambda: self._card("Active until"))
        roles = self._roles()
        self._check("exactly one managed role exists", len(roles) == 1, ", ".join(roles))
        self._role = next(iter(roles.items()))

    def _open_credentials(self) -> str:
        self._narrate("credentials", "Ana opens the credentials from her direct message")
        message = self._wait("Ana is told it is hers", lambda: self._dm(ANA, "Open credentials"))
        self._people.click(ANA, message, "Open credentials")
        url = self._wait_url()
        self._check("the modal holds a way in", bool(url), re.sub(r":[^:@/]+@", ":…@", url))
        return url

    def _wait_url(self) -> str:
        def look() -> str | None:
            view = self._people.view_of(ANA)
            found = view and re.search(
                r"postgresql://[^\s'\"]+:[^\s'\"@]+@[^\s'\"]+", _all(view.body)
            )
            return found.group(0) if found else None

        try:
            return self._people.wait_for(look, PATIENCE) or ""
        except TimeoutError:
            return ""

    def _use(self, session: psycopg.Connection[Any]) -> None:
        self._narrate("use", "Ana works with it")
        who = session.execute("select current_user").fetchone()
        self._check("login works", who is not None, f"connected as {who[0] if who else '?'}")
        rows = session.execute("select id, name, email, city from app.customers limit 3").fetchall()
        self._check("an allowed read works", len(rows) == 3, f"{len(rows)} customers")  # noqa: PLR2004
        for statement, what in (
            ("select ssn from app.customers", "a column outside the scope"),
            ("select * from app.payments", "a table outside the scope"),
            ("update app.orders set id = id", "a write"),
        ):
            self._refused(session, statement, what)

    def _refused(self, session: psycopg.Connection[Any], statement: str, what: str) -> None:
        try:
            session.execute(statement.encode())
        except psycopg.errors.InsufficientPrivilege as error:
            self._check(f"{what} is refused", True, _one_line(error))
        else:
            self._check(f"{what} is refused", False, "it was carried out")

    def _end(self, session: psycopg.Connection[Any]) -> None:
        grant = self._demo.bench.grants()[0]["id"]
        self._narrate("end", f"The deadline is brought nearer: jit shorten {grant} --left {LEFT}s")
        said = self._demo.bench.clock(grant, LEFT)
        self._check("the operator's command was taken", grant in said, _one_line(said))
        begin = time.monotonic()
        cut = self._until_cut(session)
        self._check(
            "the open session is cut", bool(cut), f"after {time.monotonic() - begin:.1f} s: {cut}"
        )

    def _until_cut(self, session: psycopg.Connection[Any]) -> str:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            try:
                session.execute("select 1")
            except psycopg.OperationalError as error:
                return _one_line(error)
            time.sleep(0.05)
        return ""

    def _prove(self, url: str) -> None:
        self._narrate("prove", "Is anything left?")
        self._wait("the card says so", lambda: self._card("verified gone"))
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError as error:
            self._check("a new login is refused", True, _one_line(error))
        else:
            self._check("a new login is refused", False, "it was let in")
        self._check("no managed role exists", not self._roles(), "the catalogue has none")
        left = self._demo.target.traces_of(*self._role)
        self._check("the catalogue holds nothing of it", not left, ", ".join(left) or "no trace")

    def _look_back(self) -> None:
        self._narrate("record", "What was it?")
        self._wait("the thread has the summary", lambda: self._thread("Access ended and verified"))
        self._wait(
            "the audit channel has its line", lambda: self._find(AUDIT, "read_customer_data")
        )
        found = chain.verify(self._demo.records)
        self._check("the audit chain verifies", found.ok, f"{found.count} events")

    # -- where to look ---------------------------------------------------------------------------

    def _card(self, words: str) -> things.Message:
        return self._find(ACCESS, words)  # type: ignore[return-value]  # falsy while it is not there

    def _dm(self, who: str, words: str) -> things.Message | None:
        return self._find(self._people.dm(who), words)

    def _find(self, channel: str, words: str) -> things.Message | None:
        found = (m for m in self._people.messages(channel) if words in _all(m.blocks) + m.text)
        return next(found, None)

    def _thread(self, words: str) -> things.Message | None:
        replies = self._people.messages(ACCESS, self._card("").ts)
        return next((m for m in replies if words in _all(m.blocks) + m.text), None)

    def _whispers(self, who: str, after: int = 0) -> list[things.Message]:
        seen = self._people.messages(ACCESS, as_user=who)
        return [m for m in seen if m.only_for == who][after:]

    def _roles(self) -> dict[str, int]:
        return self._demo.target.managed_roles()


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)


def _all(value: object) -> str:
    """Everything a person could read in a piece of Block Kit."""
    return "\n".join(_strings(value))


def _one_line(value: object) -> str:
    if isinstance(value, list | tuple) and value:
        value = value[-1]
    if isinstance(value, things.Message):
        value = html.unescape(_LABELLED.sub(r"\1", value.text))
    return textwrap.shorten(str(value), SHOWN, placeholder="…")
