"""The shape of the catalog file. Unknown keys are errors; every message is for the file's author."""

import re
from datetime import timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from bot.catalog import duration, reference, table
from db_grants.spec import Privilege

_READ = (Privilege.SELECT,)
_WRITE = (Privilege.INSERT, Privilege.UPDATE, Privilege.DELETE)
_WORDS: dict[str, tuple[Privilege, ...]] = {
    "read": _READ,
    "write": _WRITE,
    **{privilege.value: (privilege,) for privilege in Privilege},
}
_REFUSED = {  # tried against real servers: each lets its holder stay, or become more
    "trigger": "a trigger runs with the rights of whoever writes next, up to superuser",
    "truncate": "it empties a table past every row rule and cannot be limited",
    "references": "a foreign key blocks other people's deletes and outlives the grant",
    "maintain": "it allows locks that stop everybody else",
    "create": "objects made would stay behind, owned by a role that must go",
    "temporary": "objects made would stay behind, owned by a role that must go",
    "usage": "schemas are opened as far as the tables need; nothing else is offered",
    "execute": "functions may act with their owner's rights",
    "all": "it includes trigger and truncate",
    "all privileges": "it includes trigger and truncate",
    "grant": "access could be passed on and outlive the grant",
    "grant option": "access could be passed on and outlive the grant",
    "with grant option": "access could be passed on and outlive the grant",
    "admin option": "access could be passed on and outlive the grant",
    "set": "settings are not access to data",
    "owner": "an owner can do anything to the table, also afterwards",
    "superuser": "nothing could be ended or proven",
}
# what follows `/jit`, or may one day: an entitlement of that name could then not be asked for
_COMMANDS = frozenset({
    "audit", "explain", "extend", "help", "home", "list", "mine", "new", "pending", "revoke", "run",
})  # fmt: skip


def _duration(value: Any) -> timedelta:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("a duration is written like 30m, 1h30m or 2 hours")  # noqa: TRY004
    return duration.parse(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("text is expected here; put it in quotes")  # noqa: TRY004
    return value.strip()


def _listed(value: Any) -> Any:
    """One item may stand without its brackets."""
    return [value] if isinstance(value, str) else value


def _people(value: Any) -> Any:
    value = _listed(value)
    if isinstance(value, list) and None in value:
        raise ValueError('an entry is empty; names that begin with # need quotes, like "#dba"')
    return value


def _reference(value: Any) -> str:
    return reference.parse(_text(value))


def _approver(value: Any) -> str:
    ref = _reference(value)
    if reference.kind(ref) is reference.Kind.EVERYONE:
        raise ValueError("everyone may ask, but everyone cannot approve; name a group or people")
    return ref


def _called(value: Any) -> str:
    ref = _reference(value)
    if reference.kind(ref) in {reference.Kind.EVERYONE, reference.Kind.CHANNEL}:
        raise ValueError(f"{ref} calls nobody in particular; name a user group or people")
    return ref


def _privileges(value: Any) -> tuple[Privilege, ...]:
    value = _listed(value)
    if not isinstance(value, list) or not value:
        raise ValueError("write can: read, can: write, or a list like [select, insert]")
    found = {privilege for word in value for privilege in _privilege(word)}
    return tuple(p for p in Privilege if p in found)


def _privilege(word: Any) -> tuple[Privilege, ...]:
    said = str(word).strip().lower()
    if said in _WORDS:
        return _WORDS[said]
    if said in _REFUSED:
        raise ValueError(f"{said} is never offered: {_REFUSED[said]}")
    raise ValueError(f"{said!r} cannot be offered; choose from {', '.join(_WORDS)}")


def _table(value: Any) -> tuple[str, str]:
    if isinstance(value, dict):
        if set(value) != {"schema", "name"}:
            raise ValueError("a table written in parts has exactly the keys schema and name")
        schema, name = (table.checked(_text(value[key])) for key in ("schema", "name"))
    else:
        schema, name = table.parse(_text(value))
    if schema.startswith("pg_") or schema == "information_schema":
        raise ValueError(f"{schema} belongs to the server itself and is never offered")
    return schema, name


def _column(value: Any) -> str:
    return table.column(_text(value) if not isinstance(value, int) else str(value))


def _pattern(value: Any) -> str:
    try:
        compiled = re.compile(_text(value))
    except re.error as error:
        raise ValueError(f"this is no regular expression: {error}") from None
    if compiled.fullmatch(""):
        raise ValueError("this pattern also matches no ticket at all")
    return compiled.pattern


def _zone(value: Any) -> str:
    name = _text(value)
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; write it like Europe/Berlin or UTC") from None
    return name


def _channel(value: Any) -> str:
    if value is None:
        raise ValueError('a channel is missing; put it in quotes, like "#db-access"')
    ref = _reference(value)
    if reference.kind(ref) is not reference.Kind.CHANNEL:
        raise ValueError(f"{ref} is no channel; write #name in quotes, or its id")
    return ref


def _key(value: Any) -> str:
    name = _text(value)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,59}", name):
        raise ValueError(
            f"{name!r} cannot be a name: begin with a letter, then letters, digits, _ . -"
        )
    if name.lower() in _COMMANDS:
        raise ValueError(f"{name!r} is a word of the /jit command and cannot be a name")
    return name


def _variable(value: Any) -> str:
    name = _text(value)
    if "://" in name:
        raise ValueError("name the environment variable that holds the URL, not the URL itself")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(f"{name!r} cannot be the name of an environment variable")
    return name


def _described(check: Any, **schema: Any) -> Any:
    return BeforeValidator(check), WithJsonSchema({"type": "string", **schema})


_ANY_DURATION = {"type": ["string", "integer"], "examples": ["30m", "4h"]}
_ANY_REFERENCE = {
    "type": "string",
    "examples": ["@data-owners", "#dba", "bo@example.com", "U012ABCDEF"],
}
_ANY_PRIVILEGE = {"enum": list(_WORDS)}
Key = Annotated[str, *_described(_key, pattern="^[A-Za-z][A-Za-z0-9_.-]{0,59}$")]
Words = Annotated[str, *_described(_text)]
Duration = Annotated[timedelta, BeforeValidator(_duration), WithJsonSchema(_ANY_DURATION)]
Requester = Annotated[str, *_described(_reference, examples=["everyone", "@engineers"])]
Approver = Annotated[str, BeforeValidator(_approver), WithJsonSchema(_ANY_REFERENCE)]
Called = Annotated[str, *_described(_called, examples=["@dba", "U012ABCDEF"])]
Channel = Annotated[str, *_described(_channel, examples=["#db-access"])]
Zone = Annotated[str, *_described(_zone, examples=["Europe/Berlin", "UTC"])]
Pattern = Annotated[str, *_described(_pattern, format="regex")]
Variable = Annotated[str, *_described(_variable, pattern="^[A-Za-z_][A-Za-z0-9_]*$")]
TableName = Annotated[
    tuple[str, str],
    BeforeValidator(_table),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "examples": ["app.orders", 'app."Odd.Name"']},
                {
                    "type": "object",
                    "properties": {"schema": {"type": "string"}, "name": {"type": "string"}},
                    "required": ["schema", "name"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
Privileges = Annotated[
    tuple[Privilege, ...],
    BeforeValidator(_privileges),
    WithJsonSchema(
        {"anyOf": [_ANY_PRIVILEGE, {"type": "array", "items": _ANY_PRIVILEGE, "minItems": 1}]}
    ),
]
Column = Annotated[str, *_described(_column)]


class Shape(BaseModel):
    """What all parts of the file share."""

    model_config = ConfigDict(extra="forbid", frozen=True, regex_engine="python-re")


class ChannelsShape(Shape):
    """Where the bot speaks."""

    approvals: Channel = Field(description="Channel in which requests are decided")
    audit: Channel | None = Field(None, description="Channel of the record and the daily digest")


class DigestShape(Shape):
    """When the daily digest is posted."""

    at: Words = Field("09:00", pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="HH:MM")
    zone: Zone = Field("UTC", description="Time zone, like Europe/Berlin")


class AlarmsShape(Shape):
    """Whom and what an alarm reaches, besides the audit channel."""

    mention: Annotated[list[Called], BeforeValidator(_people)] = Field(
        default_factory=list, description="User groups or people called in the audit channel"
    )
    webhook_env: Variable | None = Field(
        None, description="Environment variable that holds the URL of an outgoing webhook"
    )


class TargetShape(Shape):
    """One database server the bot may act on."""

    url_env: Variable = Field(
        description="Environment variable that holds the URL of the bot's login"
    )
    environment: Words = Field(description="Like production or staging; shown on every card")
    database: Words = Field("", description="Database, when it is not the one in the URL")
    public_host: Words | None = Field(None, description="Host that people connect to")
    public_port: int | None = Field(
        None, strict=True, ge=1, le=65535, description="Port that people connect to"
    )


class TableShape(Shape):
    """Privileges on one table, or on some of its columns."""

    table: TableName = Field(description="schema.table, quoted as in SQL")
    columns: list[Column] | None = Field(None, min_length=1, description="None: the whole table")
    can: Privileges = Field(description="read, write (insert, update, delete), or a list")


class EntitlementShape(Shape):
    """Something one may request."""

    target: Words = Field(description="Name of a target")
    description: Words = Field("", max_length=200, description="One line for people")
    sensitivity: Words = Field("", max_length=40, description="Like personal data")
    scope: list[TableShape] = Field(min_length=1, description="What it gives")
    requesters: Annotated[list[Requester], BeforeValidator(_people)] = Field(
        min_length=1, description="Who may ask"
    )
    approval: Words = Field(description="Name of the rule that decides")
    default_duration: Duration = Field(
        timedelta(minutes=30), description="When none is asked for", validate_default=False
    )
    max_duration: Duration = Field(
        timedelta(hours=4), description="Longest that can be asked for", validate_default=False
    )
    ticket: Pattern | None = Field(None, description="Pattern the justification must begin with")
    ticket_example: Words | None = Field(None, description="A ticket as people write it")


class RuleShape(Shape):
    """Who decides, and when nobody needs to."""

    approvers: Annotated[list[Approver], BeforeValidator(_people)] = Field(
        default_factory=list, description="Who may decide; the requester never counts"
    )
    needs: int = Field(
        1, strict=True, ge=1, le=20, description="How many distinct people must approve"
    )
    auto_approve_up_to: Duration | None = Field(
        None, description="Granted without asking up to this long; absent: always ask"
    )
    decide_within: Duration = Field(
        timedelta(hours=1), description="Undecided requests lapse then", validate_default=False
    )


class CatalogShape(Shape):
    """What may be requested, by whom, and who decides."""

    channels: ChannelsShape = Field(description="Where the bot speaks")
    digest: DigestShape | None = Field(None, description="Daily digest; absent: none")
    alarms: AlarmsShape | None = Field(None, description="Who is called when something is wrong")
    targets: dict[Key, TargetShape] = Field(min_length=1, description="Database servers")
    entitlements: dict[Key, EntitlementShape] = Field(min_length=1, description="What may be asked")
    rules: dict[Key, RuleShape] = Field(min_length=1, description="Who decides")
