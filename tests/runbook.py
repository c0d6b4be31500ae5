"""The runbook as somebody in trouble uses it: its commands, typed as they stand, in a running demo.

An entry's fenced commands are run as written. Only the example's names are replaced by real ones:
wherever the page says 5d9gb8me it means the grant in question, 1crfj36g its alarm, and jit.sqlite3 the
record, which has another name in the demo.
"""

import os
import pathlib
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from bot import model
from bot.demo import bot_process, launch
from bot.demo.workspace import things

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "runbook.md"
EXAMPLE_GRANT, EXAMPLE_ALARM = "5d9gb8me", "1crfj36g"
ANA, BO, ACCESS, AUDIT = "U0ANA", "U0BO", "C0ACCESS", "C0AUDIT"
PATIENCE = 40.0  # seconds; the bot pauses for up to 30 between attempts
_FENCE = re.compile(r"^( *)```(sh|sql)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def entry(heading: str) -> str:
    """What stands under a heading of the page."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert found is not None, f"the runbook has no entry {heading}"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def commands(heading: str, language: str) -> list[str]:
    """The fenced commands of an entry, in order."""
    found = _FENCE.findall(entry(heading))
    return [textwrap.dedent(text).strip() for _, lang, text in found if lang == language]


@dataclass(frozen=True, kw_only=True)
class Typed:
    """What a shell answered."""

    code: int
    said: str


class Scene:
    """A running demo, the person at the shell, and what they read."""

    def __init__(self, demo: launch.Demo) -> None:
        self.demo = demo
        self.people: Any = demo.workspace.workspace
        self.records = demo.records
        self.environ = dict(demo.environ)
        self.bot = demo.bot

    def shell(self, command: str, **names: str) -> Typed:
        """Type it in a shell, with the operator's environment."""
        path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["/bin/sh", "-c", _filled(command, names)],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
            cwd=self.demo.folder,
            env={**os.environ, **self.environ, "PATH": path},
        )
        return Typed(code=done.returncode, said=done.stdout + done.stderr)

    def sql(self, text: str, **names: str) -> list[tuple[Any, ...]]:
        """Type it as a superuser in the shop; the last rows."""
        rows: list[tuple[Any, ...]] = []
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            for statement in _filled(text, names).split(";\n"):
                cursor = admin.execute(statement.encode())
                rows = cursor.fetchall() if cursor.description else rows
        return rows

    @property
    def admin_url(self) -> str:
        """A superuser's way into the shop."""
        return str(self.demo.target._server.url_for_admin("shop"))

    def granted(self) -> model.Grant:
        """Ana holds access that a rule approved."""
        known = {grant.id for grant in self.records.grants()}
        self.people.slash(ANA, ACCESS, "/jit read_orders 30m export stuck")

        def there() -> list[model.Grant]:
            active = self.records.grants(status={model.GrantStatus.ACTIVE})
            return [grant for grant in active if grant.id not in known]

        found: model.Grant = self.people.wait_for(there, PATIENCE)[0]
        return found

    def credentials(self, grant: model.Grant) -> str:
        """The URL that Ana reads in her window."""
        live = self.reads(self.people.dm(ANA), grant.id, "Open credentials")
        self.people.click(ANA, live, "Open credentials")

        def shown() -> str | None:
            view = self.people.view_of(ANA)
            found = view and re.search(
                rf"postgresql://{grant.role_name}:[^\s'\"@]+@[^\s'\"]+", said(view.body)
            )
            return found.group(0) if found else None

        return str(self.people.wait_for(shown, PATIENCE))

    def ends_now(self, grant: model.Grant) -> None:
        """Its deadline is there."""
        self.demo.bench.clock(grant.id, 0)

    def reads(self, channel: str, *words: str) -> things.Message:
        """Wait for a message there that holds all these words."""

        def look() -> things.Message | None:
            found = (m for m in self.people.messages(channel) if all(w in said(m) for w in words))
            return next(found, None)

        try:
            found: things.Message = self.people.wait_for(look, PATIENCE)
        except TimeoutError:
            told = "\n".join(said(m) for m in self.people.messages(channel))
            raise AssertionError(f"nobody said {words}; this was said:\n{told}") from None
        return found

    def over(self, grant: model.Grant) -> model.Grant:
        """Wait until nothing is left of it."""
        done = lambda: self.records.grant(grant.id).status not in model.LIVE_GRANT  # noqa: E731
        self.people.wait_for(done, PATIENCE)
        return self.records.grant(grant.id)

    def roles(self) -> dict[str, int]:
        """The temporary roles on the server."""
        return self.demo.target.managed_roles()

    def restart(self, **environ: str | None) -> None:
        """Stop the bot and start it with another environment; None takes a variable away."""
        self.bot.stop()
        chosen = {**self.demo.environ, **environ}
        kept = {name: value for name, value in chosen.items() if value is not None}
        settings = self.demo.folder / ".env"  # beside the bot, for whoever types `jit` there
        lines = settings.read_text().splitlines(keepends=True)
        settings.write_text("".join(each for each in lines if each.partition("=")[0] in kept))
        self.bot = bot_process.BotProcess(kept, self.demo.folder / "bot.log", self.demo.folder)
        self.bot.start()
        self.people.wait_for(lambda: self.people.connected, PATIENCE)


def on_a_machine(scene: Scene, lines: str) -> dict[str, str]:
    """An environment in which the bot's process begins with these lines, on a machine of its own."""
    folder = scene.demo.folder / "machine"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(textwrap.dedent(lines))
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(PAGE.parent.parent)])}


def said(shown: Any) -> str:
    """Everything a person could read in it."""
    if isinstance(shown, things.Message):
        return "\n".join([*_strings(list(shown.blocks)), shown.text])
    return "\n".join(_strings(shown))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)


def _filled(text: str, names: dict[str, str]) -> str:
    for example, real in (
        (EXAMPLE_GRANT, names.get("grant")),
        (EXAMPLE_ALARM, names.get("alarm")),
        ("app.export", names.get("table")),
        ("jit.sqlite3", "state.sqlite3"),
    ):
        if example in text:
            assert real is not None, f"the command names {example}: {text}"
            text = text.replace(example, real)
    return text
