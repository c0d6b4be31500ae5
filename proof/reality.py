"""What really is so, read past everything the bot believes: the record, a server, what was said.

Values only; `invariants` compares them. A server is read as its superuser, who sees every role,
session, prepared transaction and privilege.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

import psycopg
import sqlalchemy as sa

from bot import model, store
from bot.demo.workspace import acts
from bot.store import mapping, tables
from bot.telling import outbox
from bot.watching import ringing
from db_grants import memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The state database at one moment."""

    now: datetime
    stories: tuple[model.Story, ...]
    events: tuple[model.AuditEvent, ...]
    chain: store.Verification
    waiting: int  # lines still to be said
    ringing: tuple[ringing.Open, ...]  # alarms that are not over
    dump: str  # every value of every table; empty where no secret is looked for
    grants: dict[str, model.Grant] = field(init=False, repr=False)  # every one by id
    _happened: Mapping[str, list[model.AuditEvent]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Sort once: a benchmark's record holds hundreds of thousands of events."""
        grants = {story.grant.id: story.grant for story in self.stories if story.grant}
        happened: dict[str, list[model.AuditEvent]] = {}
        for event in self.events:
            happened.setdefault(event.request_id or "", []).append(event)
        object.__setattr__(self, "grants", grants)
        object.__setattr__(self, "_happened", happened)

    def about(self, request_id: str) -> list[model.AuditEvent]:
        """What happened to a request, in order."""
        return self._happened.get(request_id, [])

    def types(self, request_id: str) -> list[str]:
        """The types of that."""
        return [event.type for event in self.about(request_id)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A role as a superuser sees it. `holds` is what it can do beyond what everybody can."""

    name: str
    oid: int
    can_login: bool  # now, by the server's own clock
    sessions: int = 0
    prepared: int = 0
    powers: str = ""
    holds: frozenset[str] | None = None  # "select app.orders.id"; None: not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One server: what carries our mark, and what must stay as it is."""

    name: str
    at: datetime
    managed: tuple[Role, ...]
    others: Mapping[str, str] = field(default_factory=dict)  # what is not ours, by name
    ghosts: int = 0  # sessions whose role is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One message of ours at one moment: as posted, or as edited later."""

    request_id: str | None
    text: str
    kind: str = ""
    at: datetime | None = None  # by the machine's clock; None where the teller has none


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """All that was said. `raw` is everything that anybody but a window's owner can read."""

    said: tuple[Said, ...] = ()
    raw: str = ""


def record(kept: store.Store, now: datetime, *, dump: bool = True) -> Record:
    """The whole record. `dump`: with every value as text, to look for secrets in."""
    return Record(
        now=now,
        stories=tuple(_stories(kept)),
        events=tuple(kept.all_events()),
        chain=kept.verify_chain(),
        waiting=kept.outbox_depth(),
        ringing=ringing.everything(kept),
        dump=_dump(kept) if dump else "",
    )


def _stories(kept: store.Store) -> Iterator[model.Story]:
    """Every request with what belongs to it: four looks in one snapshot, however many there are."""
    with kept._database.read() as connection:
        asked = _values(connection, model.AccessRequest, tables.access_request)
        grants = {g.id: g for g in _values(connection, model.Grant, tables.access_grant)}
        reviews = _by_request(_values(connection, model.Review, tables.review, "at"))
        messages = _by_request(_values(connection, model.MessageRef, tables.message, "n"))
    for request in sorted(asked, key=lambda each: each.created_at, reverse=True):
        yield model.Story(
            request=request,
            reviews=tuple(reviews.get(request.id, ())),
            grant=grants.get(request.id),
            messages=tuple(messages.get(request.id, ())),
        )


def _values(connection: sa.Connection, cls: type[Any], table: sa.Table, order: str = "") -> Any:
    query = sa.select(table).order_by(table.c[order]) if order else sa.select(table)
    return [mapping.value_from(cls, row, table) for row in connection.execute(query)]


def _by_request(values: Iterable[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for value in values:
        found.setdefault(value.request_id, []).append(value)
    return found


def _dump(kept: store.Store) -> str:
    with kept._database.read() as connection:
        rows = (
            row for table in tables.metadata.tables.values() for row in _rows(connection, table)
        )
        return "\n".join(str(tuple(row)) for row in rows)


def _rows(connection: sa.Connection, table: sa.Table) -> list[Any]:
    return list(connection.execute(sa.select(table)))


_ROLES = """
SELECT r.rolname, r.oid,
       r.rolcanlogin AND coalesce(r.rolvaliduntil, 'infinity') > now() AS can_login,
       (SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = r.oid) AS sessions,
       (SELECT count(*) FROM pg_prepared_xact() p WHERE p.ownerid = r.oid) AS prepared,
       concat_ws(' ', CASE WHEN rolsuper THEN 'SUPERUSER' END,
                 CASE WHEN rolcreaterole THEN 'CREATEROLE' END,
                 CASE WHEN rolcreatedb THEN 'CREATEDB' END,
                 CASE WHEN rolreplication THEN 'REPLICATION' END,
                 CASE WHEN rolbypassrls THEN 'BYPASSRLS' END) AS powers
  FROM pg_roles r
 WHERE r.oid IN (SELECT m.member FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
                  WHERE g.rolname = 'jit_managed')
   AND r.rolname ~ '^jit_[0-9a-z]{8}$'
"""
# What a role holds and PUBLIC does not, whichever way it came to it; pseudo-role 0 is PUBLIC.
_HOLDS = """
SELECT lower(p.kind) || ' ' || n.nspname || '.' || c.relname || '.' || a.attname
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS p(kind)
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^(pg_|information_schema)'
   AND has_column_privilege(%(oid)s::oid, c.oid, a.attnum, p.kind)
   AND NOT has_column_privilege('public', c.oid, a.attnum, p.kind)
 UNION ALL
SELECT lower(p.kind) || ' ' || n.nspname || '.' || c.relname
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN unnest(ARRAY['DELETE', 'TRUNCATE', 'TRIGGER']) AS p(kind)
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^(pg_|information_schema)'
   AND has_table_privilege(%(oid)s::oid, c.oid, p.kind)
   AND NOT has_table_privilege('public', c.oid, p.kind)
 UNION ALL
SELECT 'create ' || n.nspname FROM pg_namespace n
 WHERE has_schema_privilege(%(oid)s::oid, n.oid, 'CREATE')
   AND NOT has_schema_privilege('public', n.oid, 'CREATE')
"""
_OTHERS = """
SELECT r.rolname,
       md5(concat_ws('|', r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin,
           r.rolreplication, r.rolbypassrls, r.rolconnlimit, r.rolpassword, r.rolvaliduntil,
           (SELECT string_agg(g.rolname || m.admin_option, ',' ORDER BY g.rolname)
              FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
             WHERE m.member = r.oid AND g.rolname !~ '^jit_'),
           (SELECT string_agg(s::text, ',' ORDER BY s.setdatabase)
              FROM pg_db_role_setting s WHERE s.setrole = r.oid)))
  FROM pg_authid r WHERE r.rolname !~ '^(jit_[0-9a-z]{8}|jit_u_.*)$'
"""
_GHOSTS = """
SELECT count(*) FROM pg_stat_activity a
 WHERE a.usesysid IS NOT NULL AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = a.usesysid)
"""


def postgres(name: str, admin_url: str, *, privileges: bool = True) -> Target:
    """A real server, and the database of that URL, as its superuser sees it.

    `privileges`: with what each role can do, which takes long where roles and tables are many.
    """
    with psycopg.connect(admin_url) as admin:
        found = admin.execute(_ROLES).fetchall()
        (ghosts,) = admin.execute(_GHOSTS).fetchone() or (0,)
        managed = tuple(
            Role(
                name=row[0],
                oid=row[1],
                can_login=row[2],
                sessions=row[3],
                prepared=row[4],
                powers=row[5],
                holds=_holds(admin, row[1]) if privileges else None,
            )
            for row in found
        )
        others: dict[str, str] = dict(admin.execute(_OTHERS).fetchall())
        (at,) = admin.execute("SELECT now()").fetchone() or (datetime.now(UTC),)
    return Target(name=name, at=at, managed=managed, others=others, ghosts=ghosts)


def _holds(admin: psycopg.Connection, oid: int) -> frozenset[str]:
    return frozenset(holds for (holds,) in admin.execute(_HOLDS, {"oid": oid}))


def scoped(admin_url: str, scope: Mapping[str, Any]) -> frozenset[str]:
    """What a recorded scope stands for in that database, in the words of `Role.holds`."""
    with psycopg.connect(admin_url) as admin:
        return frozenset(
            holds
            for table in scope["tables"]
            for privilege in table["privileges"]
            for holds in _parts(admin, table, privilege)
        )


def _parts(admin: psycopg.Connection, table: Mapping[str, Any], privilege: str) -> Iterator[str]:
    label = f"{table['schema']}.{table['table']}"
    if privilege == "delete":
        yield f"delete {label}"
        return
    every = admin.execute(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name = %s",
        [table["schema"], table["table"]],
    )
    for column in table["columns"] or [name for (name,) in every.fetchall()]:
        yield f"{privilege} {label}.{column}"


def in_memory(name: str, engine: memory.MemoryEngine) -> Target:
    """An engine without a server."""
    seen = engine._survey()
    managed = tuple(
        Role(name=role.name, oid=role.oid, can_login=role.can_login, sessions=role.sessions)
        for role in seen.managed
    )
    others = {role.name: str(role) for role in seen.lookalikes}
    return Target(name=name, at=seen.at, managed=managed, others=others)


_POSTS = ("chat.postMessage", "chat.update", "chat.postEphemeral")


def of_workspace(workspace: acts.Workspace, recorded: Record) -> Transcript:
    """What stands in the local workspace, and what went over its wire."""
    with workspace.reading():
        messages = [each for place in workspace._messages.values() for each in place]
        homes = [home.body for home in workspace.homes.values()]
    ours = {(m.channel_id, m.ts): m for story in recorded.stories for m in story.messages}
    said = [_standing(each, ours) for each in messages]
    calls = [entry for name in _POSTS for entry in workspace.wire.entries(kind="call", name=name)]
    moved = recorded.now > datetime.now(UTC)  # a test moved the bot's clock: not to be compared
    said += [replace(_called(e, ours), at=None) if moved else _called(e, ours) for e in calls]
    raw = json.dumps([[m.text, m.blocks, m.attachments, m.metadata] for m in messages])
    raw += json.dumps(homes) + json.dumps([entry.body for entry in calls])
    return Transcript(said=tuple(said), raw=raw)


def _standing(message: Any, ours: Mapping[tuple[str, str], model.MessageRef]) -> Said:
    ref = ours.get((message.channel, message.ts))
    text = f"{message.text}\n{_words(list(message.blocks))}"
    return Said(request_id=ref.request_id if ref else None, text=text, kind=ref.kind if ref else "")


def _called(entry: Any, ours: Mapping[tuple[str, str], model.MessageRef]) -> Said:
    body = entry.body
    ref = ours.get((str(body.get("channel")), str(body.get("ts"))))
    blocks = body.get("blocks") or []
    blocks = json.loads(blocks) if isinstance(blocks, str) else blocks
    text = f"{body.get('text', '')}\n{_words(blocks)}"
    at = datetime.fromtimestamp(entry.at, UTC)
    return Said(request_id=ref.request_id if ref else None, text=text, at=at)


def _words(part: Any) -> str:
    if isinstance(part, dict):
        own = [part["text"]] if isinstance(part.get("text"), str) else []
        return "\n".join([*own, *(_words(v) for v in part.values() if not isinstance(v, str))])
    if isinstance(part, (list, tuple)):
        return "\n".join(_words(each) for each in part)
    return ""


class Teller(Protocol):
    """A poster of the tests that remembers what it was handed."""

    said: list[tuple[store.OutboxRow, model.Story | None]]


_LINES = {
    "live": "Live as",
    "ended": "Ended: ",
    "approved": "Approved by",
    "denied": "Denied by",
    "cancelled": "Withdrawn by",
    "lapsed": "Lapsed, nobody decided",
    "failed": "Nothing was granted: ",
}


def of_teller(teller: Teller) -> Transcript:
    """What a recording poster was handed, in the words the templates would use."""
    said, raw = [], []
    for row, story in list(teller.said):
        line = _LINES.get(str(row.data.get("line", "")), "")
        text = "Access ended and verified: " if row.kind == outbox.Kind.SUMMARY else line
        if row.kind in {outbox.Kind.ALARM, outbox.Kind.RECEIPT}:
            text = ""
        said.append(Said(request_id=row.request_id, text=text, kind=row.kind))
        raw.append(f"{row} {story}")
    return Transcript(said=tuple(said), raw="\n".join(raw))


def overheard(workspace: acts.Workspace) -> set[str]:
    """Every password that a window shows from now on: it must stand nowhere else, nor on the wire."""
    heard: set[str] = set()
    note = workspace.wire.note

    def listen(kind: str, name: str, **more: Any) -> None:
        if kind == "call" and name.startswith("views."):
            text = json.dumps(more.get("body"))
            heard.update(re.findall(r"postgresql://jit_\w+:([^@\"\\]+)@", text))
        note(kind, name, **more)

    workspace.wire.note = listen  # type: ignore[method-assign]
    return heard
