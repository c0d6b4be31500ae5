"""`jit demo`: the product on this machine, with nothing to prepare."""

import json
import pathlib
import shlex
import signal
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from bot import errors

if TYPE_CHECKING:  # the demo's parts are an extra; see below
    from bot.demo import launch


def demo(
    *,
    tour: Annotated[bool, typer.Option(help="Play the whole story and check its effects.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --tour: the checks as JSON.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The page's port; 0 takes a free one.")
    ] = 0,
    folder: Annotated[pathlib.Path, typer.Option(help="Where the demo keeps its files.")] = (
        pathlib.Path(".demo")
    ),
) -> None:
    """Start a PostgreSQL, a Slack-like workspace and the bot; print where to look."""
    try:
        from bot.demo import launch as parts_of_it
    except ModuleNotFoundError as error:
        raise errors.OperatorError(
            f"The demo needs {error.name}: install with its extra, like pip install '.[demo]'."
        ) from error
    for ending in (signal.SIGINT, signal.SIGTERM):  # also where the shell ignored Ctrl-C for us
        signal.signal(ending, _interrupt)
    begin = time.monotonic()
    try:
        with parts_of_it.running(folder, port=port, say=_say) as parts:
            if tour:
                raise typer.Exit(_play(parts, as_json=as_json))
            _say(f"Ready after {time.monotonic() - begin:.1f} s")
            _welcome(parts)
            signal.pause()
    except KeyboardInterrupt:
        _say("Everything has ended")


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _say(words: str) -> None:
    print(f"· {words}", file=sys.stderr, flush=True)


def _welcome(parts: "launch.Demo") -> None:
    print(
        f"\n  Open  {parts.url}\n\n"
        "  You are Ana. Type /jit in #db-access; then become Bo and approve.\n"
        f"  Commands: {_ourselves()} --env-file {_shown(parts.settings)} list\n"
        f"  The bot's log: {_shown(parts.folder / 'bot.log')}\n"
        "  Ctrl-C ends everything.\n",
        flush=True,
    )


def _ourselves() -> str:
    """How this program was called, to be typed again: by its script, or as a module."""
    called = pathlib.Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{_shown(pathlib.Path(sys.executable))} -m {called.parent.name}"
    return _shown(called)


def _shown(path: pathlib.Path) -> str:
    """As short as it can be typed in another terminal, from this folder."""
    here = pathlib.Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def _play(parts: "launch.Demo", *, as_json: bool) -> int:
    from bot.demo import tour as story

    tour = story.Tour(parts, tell=_tell_nothing if as_json else _tell)
    tour.play()
    if as_json:
        print(
            json.dumps({"held": tour.held, "checks": [c.as_json() for c in tour.checks]}, indent=1)
        )
    else:
        held = sum(check.held for check in tour.checks)
        print(f"\n{held} of {len(tour.checks)} effects seen")
    return 0 if tour.held else 1


def _tell(words: str) -> None:
    print(words if words.startswith(" ") else f"\n{words}", flush=True)


def _tell_nothing(_words: str) -> None:
    return
