"""`jit demo`: the whole product on this machine, with nothing to prepare.

Starts, in this order: a PostgreSQL of its own with a small shop in it, the local workspace, and the
real bot as a child process that knows the workspace only as `SLACK_API_URL`. Ends them in the
opposite order, whatever happens.
"""

import contextlib
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from bot import clock, errors, store
from bot.demo import bench, bot_process, instance
from bot.demo import target as targets
from bot.demo.workspace import server as workspace_server

CATALOG = pathlib.Path(__file__).with_name("catalog.yml")
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """The running parts."""

    folder: pathlib.Path
    target: targets.Target
    workspace: workspace_server.Server
    bot: bot_process.BotProcess
    records: store.Store
    bench: bench.DemoBench
    environ: Mapping[str, str]  # what a `jit` command needs to act on this demo
    settings: pathlib.Path  # the same as a file, for `jit --env-file`

    @property
    def url(self) -> str:
        """Where to look."""
        return self.workspace.url


@contextlib.contextmanager
def running(root: pathlib.Path, *, port: int = 0, say: Say = lambda _: None) -> Iterator[Demo]:
    """Start everything, hand it over, end everything.

    `say` is told each step. Raises OperatorError when a part cannot start.
    """
    with contextlib.ExitStack() as stack:
        held = instance.take(root)
        stack.callback(held.release)
        held.wipe()
        shutil.copy(CATALOG, held.folder / "catalog.yml")

        with _step(say, "PostgreSQL"):
            target = targets.Target(held.cluster)
            stack.callback(target.discard)
        with _step(say, "Sample shop"):
            target.prepare(held.folder / "catalog.yml")
        with _step(say, "Workspace"):
            workspace = workspace_server.Server(port=port, page=True, app_manifest=_manifest())
            _listen(workspace, port)
            stack.callback(workspace.stop)
        environ = _environ(held, target, workspace)
        _keep(environ, held.settings)
        records = store.open_store(held.state_url, clock.SystemClock())
        stack.callback(records.close)
        bot = bot_process.BotProcess(environ, held.log, held.folder)
        stack.callback(bot.stop)
        with _step(say, "Bot"):
            bot.start()
        desk = bench.DemoBench(records=records, bot=bot, target=target, environ=environ)
        stack.callback(desk.pane.close)
        if workspace.site is not None:
            workspace.site.bench = desk
        yield Demo(
            folder=held.folder,
            target=target,
            workspace=workspace,
            bot=bot,
            records=records,
            bench=desk,
            environ=environ,
            settings=held.settings,
        )


def _keep(environ: Mapping[str, str], path: pathlib.Path) -> None:
    """Leave the settings where a `jit` in another terminal finds them; for nobody else to read."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:  # noqa: PTH123
        file.writelines(f'{key}="{value}"\n' for key, value in environ.items())


@contextlib.contextmanager
def _step(say: Say, what: str) -> Iterator[None]:
    begin = time.monotonic()
    yield
    say(f"{what} is up ({time.monotonic() - begin:.1f} s)")


def _listen(workspace: workspace_server.Server, port: int) -> None:
    try:
        workspace.start()
    except OSError as error:
        raise errors.OperatorError(
            f"Port {port} is taken ({error.strerror}). Leave --port out to take a free one."
        ) from error


def _manifest() -> dict[str, Any] | None:
    """The app's manifest, when we run from a checkout: it names the shortcuts."""
    path = pathlib.Path(__file__).parents[2] / "manifest.yml"
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None


def _environ(
    held: instance.Instance, target: targets.Target, workspace: workspace_server.Server
) -> dict[str, str]:
    return {
        "SLACK_BOT_TOKEN": workspace.workspace.bot_token,
        "SLACK_APP_TOKEN": workspace.workspace.app_token,
        "SLACK_API_URL": workspace.api_url,
        "JIT_DATABASE_URL": held.state_url,
        "JIT_CATALOG": str(held.folder / "catalog.yml"),
        "SHOP_DATABASE_URL": target.bot_url,
        "JIT_LOG": "info",
    }
