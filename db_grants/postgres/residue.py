"""Proof that nothing is left of a role: the catalogues themselves are asked, column by column.

Which columns can mention a role is read from the catalogues too, by type (`aclitem[]`) and by name
(owner, grantor, member …), so that a catalogue we have not met is searched as well.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from psycopg import sql

from db_grants.postgres import links, queries

_PLACES = queries.query("setting_databases").as_string(None)
_SETTING = f"setdatabase = ANY (ARRAY({_PLACES})) AND "  # as its index begins
_ONE = {
    "list": "$1 = ANY ({column})",
    "one": "{column} = $1",
    "setting": f"{_SETTING}{{column}} = $1",
}
_EXACT = _ONE | {
    "acl": (
        "{column} IS NOT NULL AND EXISTS (SELECT FROM aclexplode({column}) AS held"
        " WHERE $1 IN (held.grantee, held.grantor))"
    ),
    "first": "{column} = $1",
    "shared": "refclassid = 'pg_authid'::regclass AND {column} = $1",
}
# A role that is gone stands in an ACL's text by its number (putid in utils/adt/acl.c), and looking
# for that is twenty times as quick as taking long ACLs apart. It may find too much, never too little:
# a role that still stands by its name is found in pg_roles.
_QUICK = _ONE | {"acl": "position($1::text IN {column}::text) > 0"}
# The same for several at once; `$2` matches any of their numbers, where a name stands: among many, one
# would soon be found amid the digits of some role's name. What no index tells is compared
# with all of them by a hash: one by one, a thousand roles would be compared with every row.
_QUICK_MANY = {
    "acl": "{column}::text ~ $2",
    "list": "{column} && $1",
    "one": "{column} IN (SELECT unnest($1))",
    "setting": f"{_SETTING}{{column}} = ANY ($1)",
}
# Where an index tells it, each role is looked up, as a range of one: what the planner thinks of how
# often a role is mentioned (half of all rows, for who gave a membership) must not make it read all.
_PROBE = {
    "first": "{column} BETWEEN $1 AND $1",
    "shared": "refclassid = 'pg_authid'::regclass AND {column} BETWEEN $1 AND $1",
}
_PROBE_MANY = {kind: way.replace("$1", "gone.oid") for kind, way in _PROBE.items()}
# A row older than the role cannot mention it: its ACL, however long, is not taken apart at all.
_YOUNG = "age(written) <= (SELECT age FROM since)"
# To be asked before the roles `$1` are dropped: it spares the search what is older than they are.
NOTE = queries.query("note_since")


class Search:
    """The search of one server version, composed once. Its queries are prepared on each connection:
    planning forty scans would take longer than running them.
    """

    def __init__(self, columns: links.Rows) -> None:
        by_relation = itertools.groupby(columns, key=lambda row: row["relation"])
        relations = [(relation, list(rows)) for relation, rows in by_relation]
        self._quick = _prepared(
            "residue_quick",
            "oid",
            _scans(relations, _QUICK | _PROBE),
            "= $1",
            "ARRAY[$1]",
        )
        self._many = _prepared(
            "residue_many",
            "oid[], text",
            _scans(relations, _QUICK_MANY),
            "= ANY ($1)",
            "$1",
        )
        self._exact = _prepared(
            "residue_exact",
            "oid",
            [_scan(row["relation"], [row], _EXACT) for row in columns],
            "= $1",
            "ARRAY[$1]",
        )

    def quick(self, oids: Sequence[int]) -> queries.Prepared:
        """The query that `asked` runs for so many roles."""
        return self._quick if len(oids) == 1 else self._many

    def asked(self, oids: Sequence[int]) -> sql.Composable:
        """`quick`, asked of these: no row when nothing mentions any of them."""
        if len(oids) == 1:
            return self._quick.run(oids[0])
        return self._many.run(oids, f'[{{,"/]({"|".join(map(str, oids))})[=,"}}]')

    def of_role(self, link: links.Link, oid: int) -> tuple[str, ...]:
        """What of the cluster and of this link's database still mentions the role, for people."""
        link.ready(self._quick)
        if not link.ask(self._quick.run(oid))[-1]:
            return ()
        link.ready(self._exact)
        rows = link.ask(self._exact.run(oid))[-1]
        return tuple(sorted(f"{row['n']} in {row['what']}" for row in rows))


def search(link: links.Link) -> Search:
    """The search that fits this server."""
    (rows,) = link.ask(queries.query("catalog_columns"))
    return Search(rows)


def _prepared(
    name: str, types: str, scans: Iterable[sql.Composable], equals: str, oids: str
) -> queries.Prepared:
    """These scans and what is no catalogue's column, as one query about `oids`, counted once for all."""
    elsewhere = queries.query("residue_elsewhere", equals=sql.SQL(equals))
    text = queries.query(
        "residue",
        since=queries.query("residue_since", oids=sql.SQL(oids)),
        found=sql.SQL("\nUNION ALL\n").join([*scans, elsewhere]),
    ).as_string(None)
    return queries.Prepared(name=name, types=types, text=text)


def _scans(
    relations: Iterable[tuple[str, links.Rows]], ways: Mapping[str, str]
) -> Iterator[sql.Composable]:
    """Each column an index tells by itself, all others of a relation together; and in one scan what can
    be asked alike. Whoever changes a schema, be it who may use it, throws away what all connections
    have planned, and forty queries, each with its own filter, take longer to plan than to run.
    """
    alike: dict[tuple[str, ...], list[tuple[str, links.Rows]]] = {}
    for relation, columns in relations:
        rest = [row for row in columns if row["kind"] not in _PROBE]
        for part in (*([row] for row in columns if row["kind"] in _PROBE), rest):
            kinds = tuple(row["kind"] for row in part)
            if kinds and ways.keys() >= {*kinds}:
                alike.setdefault(kinds, []).append((relation, part))
            elif kinds:
                yield _probe_many(relation, part[0])
    for kinds, parts in alike.items():
        if len(parts) > 1 or "acl" in kinds:
            yield _together(kinds, parts, ways)
        else:
            yield _scan(*parts[0], ways)


def _probe_many(relation: str, column: Mapping[str, str]) -> sql.Composable:
    """What mentions any of the roles `$1` in a column that an index tells."""
    return sql.SQL(
        "SELECT {what} FROM unnest($1) AS gone (oid), LATERAL"
        " (SELECT FROM {relation} WHERE {mentioned} OFFSET 0) AS found"
    ).format(
        what=_label(relation, [column]),
        relation=_catalog(relation),
        mentioned=_mention(column, _PROBE_MANY),
    )


def _together(
    kinds: Sequence[str], parts: Sequence[tuple[str, links.Rows]], ways: Mapping[str, str]
) -> sql.Composable:
    """What mentions the role in columns of these kinds, of many relations.

    Of ACLs only those in rows that are young, or where another column mentions the role, are looked
    at. OFFSET 0 keeps the planner from looking for both at once: to know an old row as such need not
    unpack its ACL, mostly the last of its columns.
    """
    names = [f"{kind}_{at}" for at, kind in enumerate(kinds)]
    asked = [ways[kind].format(column=name) for kind, name in zip(kinds, names, strict=True)]
    rows = " UNION ALL ".join(_columns(relation, part, names) for relation, part in parts)
    if "acl" in kinds:
        near = [_YOUNG, *(ask for kind, ask in zip(kinds, asked, strict=True) if kind != "acl")]
        rows = f"SELECT * FROM ({rows}) AS every WHERE {' OR '.join(near)} OFFSET 0"
    return sql.SQL(f"SELECT what FROM ({rows}) AS near WHERE {' OR '.join(asked)}")


def _columns(relation: str, part: links.Rows, names: Sequence[str]) -> str:
    """All rows of a relation, with these columns renamed."""
    renamed = (
        sql.SQL("{} AS {}").format(sql.Identifier(row["attribute"]), sql.SQL(name))
        for row, name in zip(part, names, strict=True)
    )
    return (
        sql.SQL("SELECT {what} AS what, {written}{columns} FROM {relation}")
        .format(
            what=_label(relation, part),
            written=sql.SQL("xmin AS written, " if "acl" in {row["kind"] for row in part} else ""),
            columns=sql.SQL(", ").join(renamed),
            relation=_catalog(relation),
        )
        .as_string(None)
    )


def _scan(
    relation: str, columns: Sequence[Mapping[str, str]], ways: Mapping[str, str]
) -> sql.Composable:
    """What of `columns` mentions the role; `ways` to tell, by kind of column."""
    return sql.SQL("SELECT {what} FROM {relation} WHERE {mentioned}").format(
        what=_label(relation, columns),
        relation=_catalog(relation),
        mentioned=sql.SQL(" OR ").join(_mention(row, ways) for row in columns),
    )


def _label(relation: str, columns: Iterable[Mapping[str, str]]) -> sql.Composable:
    return sql.Literal(".".join([relation, *(row["attribute"] for row in columns)]))


def _catalog(relation: str) -> sql.Identifier:
    return sql.Identifier("pg_catalog", relation)


def _mention(column: Mapping[str, str], ways: Mapping[str, str]) -> sql.Composable:
    """Whether a row mentions the role in this column."""
    return sql.SQL(ways[column["kind"]]).format(column=sql.Identifier(column["attribute"]))
