"""The `jit` command: one module a noun. Exit codes are told in docs/cli.md.

A mistake of an operator's prints one sentence; a bug prints a traceback and a reference to quote.
"""

import errno
import gc
import importlib
import io
import secrets
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from bot import errors, logs
from bot.cli import desk

OK, FINDINGS, OPERATOR, NOT_FOUND, BUG = 0, 1, 2, 3, 70

_COMMANDS = {  # name: module and function, in the order in which people meet them
    "demo": "demo:demo",
    "init": "init:init",
    "check": "check:check",
    "bootstrap": "bootstrap:bootstrap",
    "serve": "serve:serve",
    "status": "status:status",
    "ack": "status:ack",
    "list": "records:list_",
    "show": "records:show",
    "revoke": "ending:revoke",
    "shorten": "ending:shorten",
    "give-up": "ending:give_up",
    "sweep": "sweep:sweep",
    "reconcile": "reconcile:reconcile",
    "clock": "clock:clock",
}
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
ENV_FILE = Path(".env")
_GROUPS = {"catalog": "catalog:app", "audit": "audit:app"}


def main() -> None:
    """The entry point of the `jit` script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name it cannot write ends nothing
            stream.reconfigure(errors="backslashreplace")
    logs.configure("error", as_json=False)  # standard output is for answers
    code = run(sys.argv[1:])
    gc.freeze()  # an end that looks through all there is takes as long as many a command
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command; the exit code."""
    try:
        application(arguments)(list(arguments), prog_name="jit")
    except SystemExit as done:
        return _code(done)
    except errors.NotFound as absent:
        return _say(absent, NOT_FOUND)
    except errors.OperatorError as mistake:
        return _say(mistake, mistake.code)
    except errors.JitError as refusal:
        return _say(refusal, FINDINGS)
    except Exception as error:  # noqa: BLE001 - the top of the process: whatever else it is, is a bug
        return _unexpected(error)
    return OK


def application(arguments: Sequence[str] = ()) -> typer.Typer:
    """The command with its subcommands: those named in `arguments`, or else all of them.

    To import a subcommand takes up to a second, and whoever calls one needs no other. A part that is
    not installed is left out.
    """
    known = {*_COMMANDS, *_GROUPS}
    wanted = known.intersection(arguments) or known
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        help="Just-in-time PostgreSQL access from Slack.",
    )
    app.callback()(_start)
    for name, place in _COMMANDS.items():
        if name in wanted and (command := _part(place)) is not None:
            app.command(name)(command)
    for name, place in _GROUPS.items():
        if name in wanted and (group := _part(place)) is not None:
            app.add_typer(group, name=name)
    return app


def _start(
    ctx: typer.Context,
    *,
    env_file: Annotated[
        Path, typer.Option(help="Settings that the environment does not give.")
    ] = ENV_FILE,
) -> None:
    if env_file != ENV_FILE and not env_file.is_file():
        raise errors.SettingsError(f"There is no file of settings at {env_file}.")
    ctx.obj = desk.Desk(env_file=env_file)


def _part(place: str) -> Any:
    module, _, name = place.partition(":")
    full = f"{__name__}.{module}"
    try:
        return getattr(importlib.import_module(full), name)
    except ModuleNotFoundError as absent:
        if absent.name == full:
            return None
        raise


def _code(done: SystemExit) -> int:
    if done.code is None:
        return OK
    return done.code if isinstance(done.code, int) else FINDINGS


def _say(error: Exception, code: int) -> int:
    print(error, file=sys.stderr)
    return code


def _unexpected(error: Exception) -> int:
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        full = errors.OperatorError(f"The answer cannot be written: {error.strerror}.")
        return _say(full, full.code)
    traceback.print_exception(error)
    reference = f"{secrets.token_hex(2)}-{secrets.token_hex(1)}".upper()
    print(f"That is a bug in jit. Reference {reference}.", file=sys.stderr)
    return BUG
