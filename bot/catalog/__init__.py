"""The catalog: what may be requested, by whom, who decides. One YAML file, read and checked."""

from bot.catalog.load import load, loads, placed
from bot.catalog.scope import (
    changes,
    covers,
    database_of,
    scope_from_json,
    scope_hash,
    scope_of,
    scope_to_json,
)
from bot.catalog.values import Alarms, Catalog, Channels, DigestTime, Entitlement, Rule, Target

__all__ = [
    "Alarms",
    "Catalog",
    "Channels",
    "DigestTime",
    "Entitlement",
    "Rule",
    "Target",
    "changes",
    "covers",
    "database_of",
    "load",
    "loads",
    "placed",
    "scope_from_json",
    "scope_hash",
    "scope_of",
    "scope_to_json",
]
