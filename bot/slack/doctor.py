"""What `jit check` asks Slack: whether the tokens are good, and whether we can speak where we must."""

from collections.abc import Iterator, Sequence
from typing import Any

import slack_sdk.errors

from bot import errors, settings
from bot.slack import client as clients
from bot.slack import identity
from db_grants.spec import Finding, Severity

_INVITE = "Invite the bot there: /invite @jit"


class Doctor:
    """Slack, looked at once with the tokens of these settings. Posts nothing."""

    def __init__(self, chosen: settings.Settings) -> None:
        self._client = clients.web_client(
            chosen.slack_bot_token.reveal(), chosen.slack_api_url, quiet=True
        )
        self._app_token = chosen.slack_app_token.reveal()
        self._directory = identity.Directory(self._client)

    @property
    def directory(self) -> identity.Directory:
        """Who people are."""
        return self._directory

    def findings(self, channels: Sequence[str]) -> tuple[Finding, ...]:
        """Tokens first; when Slack refuses the bot's, nothing else can be known."""
        token = self._bot_token()
        if token.severity is Severity.ERROR:
            return (token,)
        return (token, self._socket(), *(f for ref in channels for f in self._channel(ref)))

    def _bot_token(self) -> Finding:
        try:
            place = clients.identify(self._client)
        except errors.JitError as wrong:
            return _finding(Severity.ERROR, "slack", str(wrong))
        return _finding(Severity.OK, "slack", f"the bot is known in {place.url or place.team_id}")

    def _socket(self) -> Finding:
        try:
            self._client.apps_connections_open(app_token=self._app_token)
        except slack_sdk.errors.SlackApiError as error:
            wrong = clients.refused("SLACK_APP_TOKEN", "an app-level token (xapp-…)", error)
            return _finding(Severity.ERROR, "slack", str(wrong))
        except clients.NETWORK:
            return _finding(Severity.ERROR, "slack", "Socket Mode cannot be opened: no answer.")
        return _finding(Severity.OK, "slack", "Socket Mode can be opened")

    def _channel(self, ref: str) -> Iterator[Finding]:
        found = self._directory.resolve_channel(ref)
        if found is None:
            why = self._directory.reason(ref) or "the bot cannot see it"
            yield _finding(Severity.ERROR, f"channel {ref}", why, _INVITE)
            return
        try:
            channel: Any = self._client.conversations_info(channel=found)["channel"]
        except (*clients.NETWORK, KeyError) as error:
            said = (
                clients.error_of(error) if isinstance(error, slack_sdk.errors.SlackApiError) else ""
            )
            yield _finding(
                Severity.ERROR, f"channel {ref}", said or "Slack does not answer", _INVITE
            )
            return
        if channel.get("is_archived"):
            yield _finding(Severity.ERROR, f"channel {ref}", "it is archived", "Name another one.")
        elif not channel.get("is_member"):
            yield _finding(Severity.ERROR, f"channel {ref}", "the bot is not in it", _INVITE)
        else:
            yield _finding(Severity.OK, f"channel {ref}", "the bot is in it")


def _finding(severity: Severity, subject: str, message: str, remedy: str = "") -> Finding:
    return Finding(severity=severity, subject=subject, message=message, remedy=remedy)
