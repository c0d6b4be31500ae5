"""What a command works with: settings, catalog, record; and how it answers."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot import clock as clocks
from bot import errors
from bot import settings as settings_

if TYPE_CHECKING:  # read only by commands that need them: a command line is to answer at once
    from bot import catalog as catalogs
    from bot import store as stores

AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Opens what a command asks for, from the same settings."""

    env_file: Path

    def settings(self, *, slack: bool = False) -> settings_.Settings:
        """The settings; with `slack` the tokens must be there. Raises SettingsError."""
        return settings_.load(os.environ, self.env_file, slack=slack)

    def variable(self, name: str) -> str:
        """One variable alone, whatever the others hold; empty where it is not set."""
        return settings_.variable(name, os.environ, self.env_file)

    def catalog(self, path: Path | None = None) -> "catalogs.Catalog":
        """The catalog of the settings, or of `path`. Raises CatalogError, SettingsError."""
        from bot import catalog as catalogs

        return catalogs.load(path or self.settings().catalog)

    @contextmanager
    def store(self, clock: clocks.SystemClock | None = None) -> Iterator["stores.Store"]:
        """The record there is, closed afterwards. Raises StoreError, SettingsError."""
        from bot import store as stores

        settings = self.settings()
        url = settings.database_url.reveal()
        _must_exist(url)
        with stores.open_store(url, clock or clocks.SystemClock(), settings.audit_key) as opened:
            yield opened


def desk(ctx: typer.Context) -> Desk:
    """The desk of this command."""
    found = ctx.find_object(Desk)
    return found or Desk(env_file=Path(".env"))


def _must_exist(url: str) -> None:
    """To look into a record that is not there would make an empty one, and mislead."""
    scheme, _, path = url.partition(":///")
    if scheme == "sqlite" and not Path(path.partition("?")[0]).is_file():
        raise errors.StoreError(f"There is no record at {path}; `jit serve` makes one.")


def answer(value: Any) -> None:
    """Print for a program."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print for people, in columns."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def moment(at: datetime | None) -> str:
    """A time for people, UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at else ""


def id_of(typed: str) -> str:
    """A request's id, typed as such or as the name of its role: `5d9gb8me`, `jit_5d9gb8me`."""
    return typed.strip().lower().removeprefix("jit_")


def visible(text: str) -> str:
    """Other people's words without characters that a terminal would obey."""
    return "".join(c if c.isprintable() else " " for c in text)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, (frozenset, set)):
        return sorted(value)
    return str(value)
