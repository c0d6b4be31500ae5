"""`jit init`: a catalog and a `.env` to begin with."""

import os
from pathlib import Path
from typing import Annotated

import typer

from bot import errors
from bot.cli import starter


def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write them.")] = Path(),
) -> None:
    """Write catalog.yml and .env; refuses when either is there already."""
    wanted = {
        folder / "catalog.yml": (starter.CATALOG, 0o644),
        folder / ".env": (starter.ENV, 0o600),
    }
    there = [str(path) for path in wanted if path.exists() or path.is_symlink()]
    if there:
        raise errors.OperatorError(f"Already there, and left alone: {', '.join(there)}.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, (text, mode) in wanted.items():
            _write(path, text, mode)
    except OSError as error:
        raise errors.OperatorError(f"{error.filename}: {error.strerror}.") from None
    print(
        f"Wrote {' and '.join(map(str, wanted))}.\n"
        "Next: fill in .env, edit catalog.yml, `jit bootstrap shop` for the DBA, then `jit check`."
    )


def _write(path: Path, text: str, mode: int) -> None:
    """Never over something, and never readable by more people than `mode` says, not for a moment."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
