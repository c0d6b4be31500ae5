"""`jit bootstrap`: the SQL a DBA reads and runs once on a target."""

from typing import Annotated
from urllib.parse import unquote, urlsplit

import typer

from bot import catalog as catalogs
from bot import errors
from bot import settings as settings_
from bot.cli import desk

_BOT_ROLE = "jit_bot"


def bootstrap(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A target of the catalog.")],
    *,
    pg_cron: Annotated[
        bool, typer.Option("--pg-cron", help="Also a job that ends access inside the server.")
    ] = False,
) -> None:
    """Print the SQL that prepares a target: the bot's role, bookkeeping, scope roles."""
    opened = desk.desk(ctx)
    catalog = opened.catalog()
    if target not in catalog.targets:
        known = ", ".join(catalog.targets)
        raise errors.NotFound(f"There is no target {target}; the catalog has {known}.")
    print(text(catalog, target, opened.settings()), end="")
    if pg_cron:
        from db_grants.postgres import pg_cron as inside

        print(f"\n{inside.script()}", end="")


def text(catalog: catalogs.Catalog, target: str, settings: settings_.Settings) -> str:
    """The SQL for one target. Raises SettingsError when the database is known from nowhere."""
    from db_grants import errors as grant_errors
    from db_grants.postgres import bootstrap as sql

    role = _login(catalog.targets[target], settings)
    here = catalog.targets[target]
    names = [each.name for each in catalog.targets.values() if _is_same(each, here, settings)]
    placed = {name: catalogs.placed(catalog, settings.target_database, only=name) for name in names}
    scopes = [catalogs.scope_of(item) for name in names for item in placed[name].on(name)]
    database = placed[target].targets[target].database
    try:
        return sql.script(scopes, database=database, bot_role=role)
    except grant_errors.DbGrantsError as wrong:
        raise errors.CatalogError(str(wrong)) from None


def _is_same(other: catalogs.Target, target: catalogs.Target, settings: settings_.Settings) -> bool:
    """Whether both are one database: what is prepared for one alone would be withdrawn by the other."""
    if (other.url_env, other.database) == (target.url_env, target.database):
        return True
    try:
        return _place(other, settings) == _place(target, settings)
    except errors.SettingsError:
        return False


def _place(target: catalogs.Target, settings: settings_.Settings) -> tuple[str | None, int, str]:
    url = urlsplit(settings.target_url(target.url_env).reveal())
    database = target.database or settings.target_database(target.url_env)
    return url.hostname, url.port or 5432, database


def _login(target: catalogs.Target, settings: settings_.Settings) -> str:
    """The role the bot logs in as: the URL's user, or the usual name while there is no URL yet."""
    try:
        url = settings.target_url(target.url_env).reveal()
    except errors.SettingsError:
        if not target.database:
            raise
        return _BOT_ROLE
    return unquote(urlsplit(url).username or _BOT_ROLE)
