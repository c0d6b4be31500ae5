"""Slack: what people see and press. Knows nothing of SQL; the rest of the bot knows nothing of it."""

from bot.slack.app import Slack, create

__all__ = ["Slack", "create"]
