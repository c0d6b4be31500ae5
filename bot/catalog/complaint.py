"""What is wrong with the file's shape, in words for its author."""

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from bot.catalog import schema, source

_NOUNS = {"targets": "target", "entitlements": "entitlement", "rules": "rule"}
_SAID: Mapping[str, Callable[[Any], str]] = {
    "value_error": lambda error: str(error["ctx"]["error"]),
    "too_short": lambda _: "this must not be empty",
    "string_pattern_mismatch": lambda error: f"{error['input']!r} is no time; write it like 09:00",
    "dict_type": lambda _: "keys with values are expected here",
    "model_type": lambda _: "keys with values are expected here",
    "list_type": lambda _: "a list is expected here",
    "int_type": lambda _: "a whole number is expected here",
    "greater_than_equal": lambda error: f"this is at least {error['ctx']['ge']}",
    "less_than_equal": lambda error: f"this is at most {error['ctx']['le']}",
    "string_too_long": lambda error: f"this has at most {error['ctx']['max_length']} characters",
}
_SHAPES: Mapping[str, type[schema.Shape]] = {
    "channels": schema.ChannelsShape,
    "digest": schema.DigestShape,
    "alarms": schema.AlarmsShape,
    "targets": schema.TargetShape,
    "entitlements": schema.EntitlementShape,
    "rules": schema.RuleShape,
}


def words(spot: source.Spot, error: Any, data: Any) -> str:
    """One complaint of pydantic's about the thing at `spot`, as a sentence."""
    around = _place(spot[:-1])
    within = f" in {around}" if around else ""
    match error["type"]:
        case "extra_forbidden":
            return f"unknown key `{spot[-1]}`{within}{_meant(spot, data)}"
        case "missing":
            return f"`{spot[-1]}` is missing{within}"
    said = _SAID[error["type"]](error) if error["type"] in _SAID else _plain(str(error["msg"]))
    place = _place(spot)
    return f"{place}: {said}" if place else said


def _plain(message: str) -> str:
    return message[:1].lower() + message[1:]


def _place(spot: source.Spot) -> str:
    """Where `spot` is, as people would say it: "entitlement read_orders, columns"."""
    if len(spot) > 1 and spot[0] in _NOUNS:
        spot = (f"{_NOUNS[str(spot[0])]} {spot[1]}", *spot[2:])
    keys = [str(part) for part in spot if isinstance(part, str)]
    return ", ".join(dict.fromkeys((*keys[:1], *keys[-1:])))


def _meant(spot: source.Spot, data: Any) -> str:
    """A suggestion for an unknown key, out of the keys known at that place and not used yet."""
    used = data
    for part in spot[:-1]:
        used = used[part]
    known = _known(spot[:-1])
    close = difflib.get_close_matches(str(spot[-1]), [key for key in known if key not in used], n=1)
    return f"; did you mean `{close[0]}`?" if close else f"; known are {', '.join(known)}"


def _known(spot: source.Spot) -> list[str]:
    if not spot:
        return list(schema.CatalogShape.model_fields)
    shape = schema.TableShape if "scope" in spot[2:3] else _SHAPES[str(spot[0])]
    return list(shape.model_fields)
