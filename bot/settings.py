"""Settings from the environment and `.env`: read once, checked at once, frozen.

The environment beats the file. Errors name the key and never the value; secrets are a type of their
own that prints as dots.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bot import errors

KEYS = {  # every key of ours, and what it means; `.env.example` tells them in full
    "SLACK_BOT_TOKEN": "the bot's token, xoxb-…",
    "SLACK_APP_TOKEN": "the app-level token for Socket Mode, xapp-…",
    "SLACK_SIGNING_SECRET": "the signing secret; not needed with Socket Mode",
    "SLACK_API_URL": "a Slack-compatible server instead of Slack itself",
    "JIT_DATABASE_URL": "where the record is kept",
    "JIT_CATALOG": "the catalog file",
    "JIT_AUDIT_KEY": "the key that seals the audit chain",
    "JIT_LOG": "how much is logged, and how",
    "JIT_ALARM_WEBHOOK": "where alarms are posted, if the catalog names it",
    "JIT_SWEEP_URL": "the server that `jit sweep` looks at",
    "JIT_PG_BIN": "PostgreSQL programs for `jit demo`",
}
LEVELS = ("debug", "info", "warning", "error")
_SLACK = "https://slack.com/api/"
_SHORTEST_SECRET = 16  # characters
_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")


@dataclass(frozen=True, slots=True)
class Secret:
    """Text that must not be shown: it takes `reveal()` to read it."""

    _text: str = field(repr=False)

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __str__(self) -> str:
        return "•••"

    def __repr__(self) -> str:
        return "Secret(•••)"

    def __bool__(self) -> bool:
        return bool(self._text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How this bot is set up. Tokens are empty when they were not asked for."""

    slack_bot_token: Secret
    slack_app_token: Secret
    slack_signing_secret: Secret | None
    slack_api_url: str  # ends with a slash
    database_url: Secret  # may hold a password
    catalog: Path
    audit_key: bytes | None = field(repr=False)
    log_level: str
    log_json: bool
    _values: Mapping[str, str] = field(repr=False)

    def target_url(self, url_env: str) -> Secret:
        """The URL of a target, from the variable its catalog entry names. Raises SettingsError."""
        text = self._values.get(url_env, "").strip()
        if not text:
            raise errors.SettingsError(
                f"{url_env} is not set: it holds the URL of a target, "
                "like postgresql://jit_bot:…@host:5432/database."
            )
        _check_target(url_env, text)
        return Secret(text)

    def webhook_url(self, name: str) -> Secret:
        """The URL that alarms are posted to, from the variable the catalog names. SettingsError."""
        text = self._values.get(name, "").strip()
        if not text:
            raise errors.SettingsError(
                f"{name} is not set: it holds the URL that alarms are posted to."
            )
        if said := _url({name: text}, name, ("https", "http")):
            raise errors.SettingsError(said)
        parts = urlsplit(text)
        if parts.scheme == "http" and not _is_here(parts.hostname or ""):
            raise errors.SettingsError(f"{name} must begin with https://, except on this machine.")
        return Secret(text)

    def target_database(self, url_env: str) -> str:
        """The database that the URL of a target names. Raises SettingsError."""
        return unquote(urlsplit(self.target_url(url_env).reveal()).path.lstrip("/"))


def load(environ: Mapping[str, str], dotenv: Path | None = None, *, slack: bool = True) -> Settings:
    """Settings from `environ`, completed from the file `dotenv` where it exists.

    With `slack` the tokens must be there. Raises SettingsError naming every wrong key at once.
    """
    values = {**(_read_dotenv(dotenv) if dotenv else {}), **environ}
    wrong = [said for said in _complaints(values, slack=slack) if said]
    if wrong:
        raise errors.SettingsError("\n".join(wrong))
    level, _, shape = _plain(values, "JIT_LOG", "info").lower().partition(",")
    signing, audit_key = _plain(values, "SLACK_SIGNING_SECRET"), _plain(values, "JIT_AUDIT_KEY")
    return Settings(
        slack_bot_token=Secret(_plain(values, "SLACK_BOT_TOKEN")),
        slack_app_token=Secret(_plain(values, "SLACK_APP_TOKEN")),
        slack_signing_secret=Secret(signing) if signing else None,
        slack_api_url=_plain(values, "SLACK_API_URL", _SLACK).rstrip("/") + "/",
        database_url=Secret(_plain(values, "JIT_DATABASE_URL", "sqlite:///jit.sqlite3")),
        catalog=Path(_plain(values, "JIT_CATALOG", "catalog.yml")),
        audit_key=audit_key.encode() if audit_key else None,
        log_level=level,
        log_json=shape == "json",
        _values=values,
    )


def variable(key: str, environ: Mapping[str, str], dotenv: Path | None = None) -> str:
    """One variable as `load` would find it, for what needs no other; empty where there is none.

    Raises SettingsError when it is not in `environ` and the file cannot be read.
    """
    values = environ if key in environ or not dotenv else _read_dotenv(dotenv)
    return _plain(values, key)


def without_tokens(settings: Settings) -> Settings:
    """The same settings for work that must not touch Slack."""
    return replace(settings, slack_bot_token=Secret(""), slack_app_token=Secret(""))


def _plain(values: Mapping[str, str], key: str, default: str = "") -> str:
    return values.get(key, "").strip() or default


def _complaints(values: Mapping[str, str], *, slack: bool) -> list[str | None]:
    """What is wrong with each key, or None."""
    return [
        _token(values, "SLACK_BOT_TOKEN", "xoxb-", needed=slack),
        _token(values, "SLACK_APP_TOKEN", "xapp-", needed=slack),
        _secret(values, "SLACK_SIGNING_SECRET"),
        _secret(values, "JIT_AUDIT_KEY"),
        _url(values, "SLACK_API_URL", ("http", "https")),
        _url(
            values, "JIT_DATABASE_URL", ("sqlite", "postgresql", "postgres", "postgresql+psycopg")
        ),
        _log(values),
    ]


def _token(values: Mapping[str, str], key: str, start: str, *, needed: bool) -> str | None:
    text = values.get(key)
    if text is None or not needed:
        return f"{key} is not set: it is {KEYS[key]}." if needed else None
    if not text.strip():
        return f"{key} is blank: it is {KEYS[key]}."
    if not re.fullmatch(rf"{start}[!-~]+", text.strip()):
        return f"{key} is of the wrong kind: it begins with {start} and has no spaces."
    if "-your-" in text:
        return f"{key} is still the placeholder."
    return None


def _secret(values: Mapping[str, str], key: str) -> str | None:
    """A blank secret is worse than none: anybody could sign with it."""
    text = values.get(key)
    if text is None:
        return None
    if not text.strip():
        return f"{key} is blank: set it, or leave the line out."
    if len(text.strip()) < _SHORTEST_SECRET:
        return f"{key} is too short to be a secret; it has at least {_SHORTEST_SECRET} characters."
    return None


def _url(values: Mapping[str, str], key: str, schemes: tuple[str, ...]) -> str | None:
    text = _plain(values, key)
    if not text:
        return None
    try:
        parts = urlsplit(text)
    except ValueError:
        return f"{key} is no URL."
    if parts.scheme not in schemes:
        return f"{key} must be a URL that begins with {' or '.join(f'{s}://' for s in schemes)}."
    if "sqlite" not in schemes and not parts.hostname:
        return f"{key} names no host."
    return None


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_target(key: str, text: str) -> None:
    if said := _url({key: text}, key, ("postgresql", "postgres")):
        raise errors.SettingsError(said)
    parts = urlsplit(text)
    try:
        _ = parts.port
    except ValueError:
        raise errors.SettingsError(f"{key} has a port that is no port.") from None
    if not parts.path.strip("/"):
        raise errors.SettingsError(f"{key} names no database; it ends like …:5432/shop.")
    if not parts.username:
        raise errors.SettingsError(f"{key} names no user; the bot logs in as jit_bot by default.")


def _log(values: Mapping[str, str]) -> str | None:
    level, _, shape = _plain(values, "JIT_LOG", "info").lower().partition(",")
    if level in LEVELS and shape in {"", "text", "json"}:
        return None
    return f"JIT_LOG must be one of {', '.join(LEVELS)}, with ,json after it for machines."


def _read_dotenv(path: Path) -> dict[str, str]:
    """Lines of KEY=value; quotes and `export` are allowed, `#` begins a comment."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError):
        raise errors.SettingsError(f"{path} cannot be read.") from None
    return dict(
        _pair(line, f"{path.name}:{number}")
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.lstrip().startswith("#")
    )


def _pair(line: str, place: str) -> tuple[str, str]:
    found = _LINE.fullmatch(line)
    if found is None:
        raise errors.SettingsError(f"{place}: write KEY=value.")
    key, rest = found[1], found[2].strip()
    if rest[:1] in {"'", '"'}:
        end = rest.find(rest[0], 1)
        if end < 0:
            raise errors.SettingsError(f"{place}: the quotes of {key} are not closed.")
        return key, rest[1:end]
    return key, re.split(r"\s+#", rest, maxsplit=1)[0].strip()
