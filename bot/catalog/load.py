"""From the file to a Catalog, or to every complaint about it at once."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable
from datetime import time
from pathlib import Path
from zoneinfo import ZoneInfo

import pydantic

from bot.catalog import complaint, lint, schema, source, ticket
from bot.catalog.values import Alarms, Catalog, Channels, DigestTime, Entitlement, Rule, Target
from db_grants.spec import TableScope


def load(path: Path | str) -> Catalog:
    """Read and check the catalog file.

    Raises CatalogError whose message has one line a problem: `catalog.yml:12: …`.
    """
    return _checked(source.read(Path(path)))


def loads(text: str | bytes, name: str = "catalog.yml") -> Catalog:
    """As `load`, from text. Raises CatalogError."""
    return _checked(source.parse(text.encode() if isinstance(text, str) else text, name))


def placed(
    catalog: Catalog, database_of: Callable[[str], str], *, only: str | None = None
) -> Catalog:
    """The catalog with every database named: where the file names none, the one in the URL.

    `database_of` maps a URL variable to a database (`Settings.target_database`), and may raise.
    With `only`, other targets are left as they are.
    """
    named = {
        t.name: t.database if t.database or only not in {None, t.name} else database_of(t.url_env)
        for t in catalog.targets.values()
    }
    return dataclasses.replace(
        catalog,
        targets={n: dataclasses.replace(t, database=named[n]) for n, t in catalog.targets.items()},
        entitlements={
            n: dataclasses.replace(e, database=named[e.target])
            for n, e in catalog.entitlements.items()
        },
    )


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
            read.complain(spot, complaint.words(spot, error, read.data))
    read.raise_problems()
    raise AssertionError("a file that does not validate has problems")


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
        alarms=_alarms(shape.alarms) if shape.alarms else Alarms(),
    )


def _digest(shape: schema.DigestShape) -> DigestTime:
    return DigestTime(at=time.fromisoformat(shape.at), zone=ZoneInfo(shape.zone))


def _alarms(shape: schema.AlarmsShape) -> Alarms:
    return Alarms(mention=_once(shape.mention), webhook_env=shape.webhook_env)


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
