"""The migrations, run by Alembic. Imported only when there is one to run."""

from collections.abc import Iterable
from pathlib import Path

import sqlalchemy as sa
from alembic import command, config, script

_SCRIPTS = Path(__file__).parent / "migrations"


def heads() -> set[str]:
    """The last revision, by the scripts themselves."""
    return set(script.ScriptDirectory.from_config(_settings()).get_heads())


def unknown(present: Iterable[str]) -> list[str]:
    """Those of these revisions that no script of ours makes."""
    scripts = script.ScriptDirectory.from_config(_settings())
    known = {revision.revision for revision in scripts.walk_revisions()}
    return sorted(set(present) - known)


def run(connection: sa.Connection) -> None:
    """Everything that is missing, in the transaction of that connection."""
    settings = _settings()
    settings.attributes["connection"] = connection
    command.upgrade(settings, "head")


def _settings() -> config.Config:
    settings = config.Config()
    settings.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return settings
