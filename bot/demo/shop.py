"""The sample shop: a database with something worth guarding, prepared as a DBA would prepare it."""

from importlib import resources
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

DATABASE = "shop"
BOT_ROLE = "jit_bot"


def prepare(
    admin_url: str,
    bootstrap: str,
    *,
    bot_password: str,
    database: str = DATABASE,
    bot_role: str = BOT_ROLE,
) -> str:
    """Make the shop's database unless it is there, run `bootstrap` in it, set the bot's password.

    `admin_url` is a superuser's; `bootstrap` is what `jit bootstrap` prints. Returns the bot's URL.
    Twice is the same as once, and the second time costs a few milliseconds.
    """
    with psycopg.connect(admin_url, autocommit=True) as admin:
        known = admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
        if known is None:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
    with psycopg.connect(in_database(admin_url, database), autocommit=True) as admin:
        if admin.execute("SELECT to_regnamespace('app')").fetchone() == (None,):
            with admin.transaction():
                admin.execute(_sample_data())
        admin.execute(sql.SQL(bootstrap))  # the one script that is text by design
        _set_password(admin, bot_role, bot_password)
    return _as(in_database(admin_url, database), bot_role, bot_password)


def in_database(url: str, database: str) -> str:
    """The same URL, for another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{quote(database, safe='')}"))


def _sample_data() -> sql.SQL:
    text = resources.files(__package__).joinpath("shop.sql").read_text(encoding="utf-8")
    return sql.SQL(text)


def _set_password(admin: psycopg.Connection, role: str, password: str) -> None:
    """Only the SCRAM verifier goes to the server: a password would end in its log."""
    verifier = admin.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
    admin.execute(statement.format(sql.Identifier(role), sql.Literal(verifier.decode())))


def _as(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    who = f"{quote(user, safe='')}:{quote(password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{who}@{place}"))
