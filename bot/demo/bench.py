"""What the workspace's page offers beside the conversation: SQL, clock and trouble, for real.

Implements `workspace.bench.Bench`. Deadlines move only through the operator's own command, so what
the page shows is what production does; nothing here bends time.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from bot import errors, model, store
from bot.demo import bot_process, sqlpane
from bot.demo import target as targets


class DemoBench:
    """Hands the page's buttons to the parts they act on."""

    def __init__(
        self,
        *,
        records: store.Store,
        bot: bot_process.BotProcess,
        target: targets.Target,
        environ: Mapping[str, str],
    ) -> None:
        self._records = records
        self._bot = bot
        self._target = target
        self._environ = environ
        self.pane = sqlpane.SqlPane()

    def sql_connect(self, person: str, url: str) -> dict[str, Any]:
        """Open the person's database session."""
        return self.pane.connect(person, url)

    def sql_run(self, person: str, statement: str) -> dict[str, Any]:
        """Run a statement in the person's session."""
        return self.pane.run(person, statement)

    def grants(self) -> list[dict[str, Any]]:
        """The active grants, soonest end first."""
        active = self._records.grants(status={model.GrantStatus.ACTIVE})
        return [self._row(grant) for grant in sorted(active, key=lambda grant: grant.expires_at)]

    def _row(self, grant: model.Grant) -> dict[str, Any]:
        request = self._records.request(grant.id)
        return {
            "id": grant.id,
            "requester": request.requester_name,
            "entitlement": request.entitlement,
            "expires_at": int(grant.expires_at.timestamp()),
        }

    def clock(self, grant_id: str, left_seconds: int) -> str:
        """Bring a deadline nearer with `jit shorten`; returns what the command said."""
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "bot", "shorten", grant_id, "--left", f"{left_seconds}s"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env={**os.environ, **self._environ},
        )
        return (done.stdout or done.stderr).strip()

    def trouble(self, name: str, on: bool) -> str:  # noqa: FBT001 - the page's switch
        """Make trouble, or end it. Raises nothing: the page shows what came of it."""
        try:
            if name == "target_down":
                return self._target_down(on=on)
            if name == "bot_down":
                return self._bot_down(on=on)
        except errors.JitError as error:
            return str(error)
        return f"no such trouble: {name}"

    def _target_down(self, *, on: bool) -> str:
        if on:
            self._target.down()
            return "PostgreSQL is stopped"
        self._target.up()
        return "PostgreSQL is up"

    def _bot_down(self, *, on: bool) -> str:
        if on:
            self._bot.kill()
            return "The bot was killed"
        self._bot.start()
        return "The bot is up"

    def status(self) -> dict[str, str]:
        """What is up and what is down."""
        return {
            "bot": "up" if self._bot.alive else "down",
            "target": "up" if self._target.running else "down",
        }
