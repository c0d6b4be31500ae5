"""From the file to a Catalog, or to every complaint about it at once."""

import difflib
import hashlib
from collections.abc import Iterable, Mapping
from datetime import time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pydantic

from bot.catalog import lint, schema, source, ticket
from bot.catalog.values import Catalog, Channels, DigestTime, Entitlement, Rule, Target
from db_grants.spec import TableScope

_NOUNS = {"targets": "target", "entitlements": "entitlement", "rules": "rule"}


def load(path: Path | str) -> Catalog:
    """Read and check the catalog file.

    Raises CatalogError whose message has one line a problem: `catalog.yml:12: …`.
    """
    return _checked(source.read(Path(path)))


def loads(text: str | bytes, name: str = "catalog.yml") -> Catalog:
    """As `load`, from text. Raises CatalogError."""
    return _checked(source.parse(text.encode() if isinstance(text, str) else text, name))


def _checked(read: source.Source) -> Catalog:
    shape = _shape(read)
    lint.check(shape, read)
    read.raise_problems()
    return _catalog(shape, hashlib.sha256(read.text).hexdigest())


def _shape(read: source.Source) -> schema.CatalogShape:
    """The file in its shape. Raises CatalogError."""
    if not isinstance(read.data, dict):
        read.complain((), "a catalog has the keys channels, targets, entitlements and rules")
        read.raise_problems()
    try:
        return schema.CatalogShape.model_validate(read.data)
    except pydantic.ValidationError as invalid:
        for error in invalid.errors(include_url=False, include_input=True):
            spot = tuple(part for part in error["loc"] if part != "[key]")
            read.complain(spot, _words(spot, error, read.data))
    read.raise_problems()
    raise AssertionError("a file that does not validate has problems")


def _words(spot: source.Spot, error: Any, data: Any) -> str:
    """What is wrong, in words for the file's author."""
    match error["type"]:
        case "extra_forbidden":
            return f"unknown key `{spot[-1]}`{_within(spot[:-1])}{_meant(spot, data)}"
        case "missing":
            return f"`{spot[-1]}` is missing{_within(spot[:-1])}"
        case "value_error":
            return f"{error['ctx']['error']}{_within(spot)}"
        case "too_short":
            return f"this must not be empty{_within(spot)}"
        case "string_pattern_mismatch":
            return f"{error['input']!r} is not written as it should be, like 09:00{_within(spot)}"
        case "dict_type" | "model_type":
            return f"keys with values are expected here{_within(spot)}"
        case "list_type":
            return f"a list is expected here{_within(spot)}"
        case "int_type" | "int_parsing" | "int_from_float":
            return f"a whole number is expected here{_within(spot)}"
    said = str(error["msg"])
    return f"{said[0].lower()}{said[1:]}{_within(spot)}"


def _within(spot: source.Spot) -> str:
    """Which part of the file `spot` is in: " in rule data-owners"."""
    if not spot:
        return ""
    if len(spot) == 1:
        return f" in {spot[0]}"
    noun = _NOUNS.get(str(spot[0]), str(spot[0]))
    keys = [str(part) for part in spot[1:] if isinstance(part, str)]
    tail = f" ({keys[-1]})" if len(keys) > 1 and noun != spot[0] else ""
    return f" in {noun} {spot[1]}{tail}" if noun != spot[0] else f" in {noun}"


def _meant(spot: source.Spot, data: Any) -> str:
    """A suggestion for an unknown key, out of the keys known at that place and not used yet."""
    used = data
    for part in spot[:-1]:
        used = used[part]
    known = _known(spot[:-1])
    close = difflib.get_close_matches(str(spot[-1]), [k for k in known if k not in used], n=1)
    if close:
        return f"; did you mean `{close[0]}`?"
    return f"; known are {', '.join(known)}"


def _known(spot: source.Spot) -> list[str]:
    shapes: Mapping[str, type[schema.Shape]] = {
        "channels": schema.ChannelsShape,
        "digest": schema.DigestShape,
        "targets": schema.TargetShape,
        "rules": schema.RuleShape,
    }
    if not spot:
        return list(schema.CatalogShape.model_fields)
    if spot[0] == "entitlements":
        return list(
            (schema.TableShape if "scope" in spot[2:] else schema.EntitlementShape).model_fields
        )
    return list(shapes[str(spot[0])].model_fields)


def _catalog(shape: schema.CatalogShape, version: str) -> Catalog:
    targets = {name: _target(name, t) for name, t in shape.targets.items()}
    approvals = shape.channels.approvals
    return Catalog(
        channels=Channels(approvals=approvals, audit=shape.channels.audit or approvals),
        digest=_digest(shape.digest) if shape.digest else None,
        targets=targets,
        entitlements={
            name: _entitlement(name, e, targets[e.target]) for name, e in shape.entitlements.items()
        },
        rules={name: _rule(name, r) for name, r in shape.rules.items()},
        version=version,
    )


def _digest(shape: schema.DigestShape) -> DigestTime:
    return DigestTime(at=time.fromisoformat(shape.at), zone=ZoneInfo(shape.zone))


def _target(name: str, shape: schema.TargetShape) -> Target:
    return Target(
        name=name,
        url_env=shape.url_env,
        environment=shape.environment,
        database=shape.database,
        public_host=shape.public_host,
        public_port=shape.public_port,
    )


def _rule(name: str, shape: schema.RuleShape) -> Rule:
    return Rule(
        name=name,
        approvers=_once(shape.approvers),
        needs=shape.needs,
        auto_approve_up_to=shape.auto_approve_up_to,
        decide_within=shape.decide_within,
    )


def _entitlement(name: str, shape: schema.EntitlementShape, target: Target) -> Entitlement:
    return Entitlement(
        name=name,
        target=target.name,
        database=target.database,
        environment=target.environment,
        description=shape.description,
        sensitivity=shape.sensitivity,
        tables=tuple(_table(t) for t in shape.scope),
        requesters=_once(shape.requesters),
        approval=shape.approval,
        default_duration=min(shape.default_duration, shape.max_duration),
        max_duration=shape.max_duration,
        ticket=shape.ticket,
        ticket_example=shape.ticket_example
        or (ticket.example(shape.ticket) if shape.ticket else None),
    )


def _table(shape: schema.TableShape) -> TableScope:
    schema_name, table_name = shape.table
    return TableScope(
        schema=schema_name,
        table=table_name,
        columns=tuple(shape.columns or ()),
        privileges=frozenset(shape.can),
    )


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
