"""The Web API client: where it talks to, how long it waits, and what its errors mean."""

import http.client
import logging
import os
import urllib.parse
from dataclasses import dataclass
from typing import Any

import slack_sdk
import slack_sdk.errors

from bot import errors

TIMEOUT = 6  # seconds a call
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PASSING = frozenset(
    {
        "",
        "ratelimited",
        "rate_limited",
        "internal_error",
        "fatal_error",
        "service_unavailable",
        "request_timeout",
        "team_added_to_org",
        "update_failed",
    }
)
TOKEN_REFUSED = frozenset(
    {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired"}
)
_BAD_TOKEN = TOKEN_REFUSED | {
    "not_allowed_token_type",
    "forbidden_team",
    "missing_scope",
    "no_permission",
    "app_not_installed",
}


class Unreachable(errors.JitError):
    """Slack does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """Where we are, and who we are there."""

    team_id: str
    bot_user_id: str
    bot_id: str
    url: str = ""
    enterprise_id: str | None = None


def web_client(token: str | None, api_url: str = "", *, quiet: bool = False) -> slack_sdk.WebClient:
    """A client that never retries by itself: the outbox does, and a click is simply pressed again.

    `api_url` is Slack's own when empty. A server on this machine is reached without any proxy.
    `quiet`: the library logs nothing of its own, for a caller that tells everything itself.
    """
    base = api_url.rstrip("/") + "/" if api_url else slack_sdk.WebClient.BASE_URL
    client = slack_sdk.WebClient(
        token=token,
        base_url=base,
        timeout=TIMEOUT,
        retry_handlers=[],
        logger=_silent() if quiet else None,
    )
    if is_local(base):
        _bypass_proxies()
        client.proxy = None
    return client


def _silent() -> logging.Logger:
    logger = logging.getLogger(f"{__name__}.silent")
    logger.setLevel(logging.CRITICAL + 1)
    return logger


def is_local(url: str) -> bool:
    """Whether that server is on this machine."""
    return (urllib.parse.urlsplit(url).hostname or "") in _LOOPBACK


def _bypass_proxies() -> None:
    """Urllib asks the environment for proxies at every call, and only NO_PROXY stops it."""
    for name in ("NO_PROXY", "no_proxy"):
        known = [each for each in os.environ.get(name, "").split(",") if each]
        os.environ[name] = ",".join(dict.fromkeys([*known, *_LOOPBACK]))


def error_of(error: slack_sdk.errors.SlackApiError) -> str:
    """Slack's own word for what went wrong, like `channel_not_found`."""
    try:
        return str(error.response.get("error") or "")
    except (AttributeError, ValueError):  # not JSON: a proxy's page, a 5xx without a body
        return ""


def is_passing(error: slack_sdk.errors.SlackApiError) -> bool:
    """Whether what Slack answered is about itself and this moment, and not about what was asked."""
    return error_of(error) in _PASSING or status_of(error) >= 500  # noqa: PLR2004


def status_of(error: slack_sdk.errors.SlackApiError) -> int:
    """The HTTP status; 0 when there is none."""
    return int(getattr(error.response, "status_code", 0) or 0)


def retry_after(error: slack_sdk.errors.SlackApiError, default: float = 1.0) -> float:
    """Seconds Slack asks us to wait."""
    headers = getattr(error.response, "headers", None) or {}
    found = headers.get("Retry-After") or headers.get("retry-after") or default
    try:
        return max(0.1, float(found[0] if isinstance(found, list) else found))
    except (TypeError, ValueError):
        return default


NETWORK = (
    OSError,
    http.client.HTTPException,
    slack_sdk.errors.SlackRequestError,
    slack_sdk.errors.SlackClientError,
)
"""What a call raises when there was no answer to read; a SlackApiError among them had one."""


def reason(error: Exception) -> str:
    """Why there was no answer: `Connection refused`."""
    why = getattr(error, "reason", error)
    return str(getattr(why, "strerror", None) or why or type(error).__name__)


def identify(client: slack_sdk.WebClient) -> Workspace:
    """Who we are. Raises SettingsError when the token is refused, Unreachable without an answer."""
    try:
        found: Any = client.auth_test()
    except slack_sdk.errors.SlackApiError as error:
        raise refused("SLACK_BOT_TOKEN", "a Bot User OAuth Token (xoxb-…)", error) from error
    except NETWORK as error:
        raise Unreachable(f"Slack does not answer ({reason(error)}).") from error
    return Workspace(
        team_id=found["team_id"],
        bot_user_id=found.get("user_id") or "",
        bot_id=found.get("bot_id") or "",
        url=found.get("url") or "",
        enterprise_id=found.get("enterprise_id"),
    )


def refused(
    key: str, wanted: str, error: slack_sdk.errors.SlackApiError
) -> errors.SettingsError | Unreachable:
    """The error to raise when Slack turns a token down: whose fault it is, in a sentence."""
    said = error_of(error)
    if said not in _BAD_TOKEN:
        return Unreachable(f"Slack does not answer as it should ({said or status_of(error)}).")
    needed = error.response.get("needed") if said == "missing_scope" else None
    lacking = f"; it lacks the scope {needed}" if needed else ""
    return errors.SettingsError(
        f"Slack does not accept {key} ({said}{lacking}). Set it to {wanted} of this app."
    )
