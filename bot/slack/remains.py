"""What remains of a role, in people's words: an engine tells it by the columns of the catalogue.

Whoever has to put it right finds those in `jit show`.
"""

import re
from collections.abc import Iterable

from bot.telling import render

# `1 in pg_class.relacl (shop)`: see db_grants.postgres.residue
_FOUND = re.compile(r"(?P<n>\d+) in (?P<what>[\w. ]+?)(?: \((?P<database>.+)\))?", re.DOTALL)
_KINDS = {
    "attribute": ("column", "columns"),
    "class": ("table", "tables"),
    "database": ("database", "databases"),
    "foreign_data_wrapper": ("foreign-data wrapper", "foreign-data wrappers"),
    "foreign_server": ("foreign server", "foreign servers"),
    "language": ("language", "languages"),
    "largeobject_metadata": ("large object", "large objects"),
    "namespace": ("schema", "schemas"),
    "parameter_acl": ("setting", "settings"),
    "proc": ("function", "functions"),
    "tablespace": ("tablespace", "tablespaces"),
    "type": ("type", "types"),
}
_COLUMN = re.compile(r"pg_(?P<kind>\w+)\.\w*(?P<how>acl|owner|datdba)")
_WHOLE = {  # singular, plural
    "pg_roles": ("the login itself, shut", "logins, shut"),
    "pg_auth_members": ("a membership", "memberships"),
    "pg_default_acl": ("a default privilege", "default privileges"),
    "pg_db_role_setting": ("a setting", "settings"),
    "pg_policy": ("a row policy", "row policies"),
    "sessions": ("a session", "sessions"),
    "prepared transactions": ("a prepared transaction", "prepared transactions"),
    "user mappings": ("a user mapping", "user mappings"),
}
_SEEN_TWICE = "pg_shdepend"  # the same things once more, from the other side


def told(found: Iterable[str]) -> list[str]:
    """The same for people, each once; what is told in words already stays as it is."""
    every = list(found)
    known = [_FOUND.fullmatch(each) for each in every]
    said = [
        _words(one) if one else each
        for each, one in zip(every, known, strict=True)
        if one is None or not one["what"].startswith(_SEEN_TWICE)
    ]
    return list(dict.fromkeys(said)) or (["something that refers to the role"] if every else [])


def _words(found: re.Match[str]) -> str:
    n, what = int(found["n"]), found["what"]
    where = f" in {found['database']}" if found["database"] else ""
    column, whole = _COLUMN.fullmatch(what), _WHOLE.get(what.partition(".")[0])
    if column is not None and column["kind"] in _KINDS:
        thing = render.count(n, *_KINDS[column["kind"]])
        return (
            f"privileges on {thing}{where}" if column["how"] == "acl" else f"{thing} it owns{where}"
        )
    if whole is not None:
        return f"{whole[0] if n == 1 else f'{n} {whole[1]}'}{where}"
    return found[0]
