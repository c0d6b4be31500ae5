"""Proof that nothing is left of a role: the catalogues themselves are asked, column by column.

Which columns can mention a role is read from the catalogues too, by type (`aclitem[]`) and by name
(owner, grantor, member …), so that a catalogue we have not met is searched as well.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

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
_YOUNG = sql.SQL("age(xmin) <= (SELECT age FROM since)")
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
            _scans(relations, _QUICK, _probe),
            "= $1",
            "ARRAY[$1]",
        )
        self._many = _prepared(
            "residue_many",
            "oid[], text",
            _scans(relations, _QUICK_MANY, _probe_many),
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
    """These scans and what is no catalogue's column, as one query about `oids`.

    What is found is counted once for all: forty counts take longer to plan, and to begin, than some
    of the scans to run.
    """
    elsewhere = queries.query("residue_elsewhere", equals=sql.SQL(equals))
    text = queries.query(
        "residue",
        since=queries.query("residue_since", oids=sql.SQL(oids)),
        found=sql.SQL("\nUNION ALL\n").join([*scans, elsewhere]),
    ).as_string(None)
    return queries.Prepared(name=name, types=types, text=text)


def _scans(
    relations: Iterable[tuple[str, links.Rows]],
    ways: Mapping[str, str],
    probe: Callable[[str, Mapping[str, str]], sql.Composable],
) -> Iterator[sql.Composable]:
    """Each column an index tells by itself, and all others of a relation together."""
    for relation, columns in relations:
        rest = [row for row in columns if row["kind"] not in _PROBE]
        yield from (probe(relation, row) for row in columns if row["kind"] in _PROBE)
        if any(row["kind"] == "acl" for row in rest):
            yield _scan(relation, rest, ways, _young(relation, rest, ways))
        elif rest:
            yield _scan(relation, rest, ways)


def _probe(relation: str, column: Mapping[str, str]) -> sql.Composable:
    """What mentions the role `$1` in a column that an index tells."""
    return _scan(relation, [column], _PROBE)


def _probe_many(relation: str, column: Mapping[str, str]) -> sql.Composable:
    """The same for each of `$1`."""
    source = sql.SQL(
        "unnest($1) AS gone (oid), LATERAL"
        " (SELECT FROM {relation} WHERE {mentioned} OFFSET 0) AS found"
    ).format(relation=_catalog(relation), mentioned=_mention(column, _PROBE_MANY))
    return _labelled(f"{relation}.{column['attribute']}", source)


def _young(relation: str, columns: links.Rows, ways: Mapping[str, str]) -> sql.Composable:
    """Rows of which an ACL must be looked at, or where another column mentions the role.

    OFFSET 0 keeps the planner from looking for both at once: to know an old row as such need not
    unpack its ACL, mostly the last of its columns.
    """
    near = [_YOUNG, *(_mention(row, ways) for row in columns if row["kind"] != "acl")]
    return sql.SQL("(SELECT {columns} FROM {relation} WHERE {near} OFFSET 0) AS young").format(
        columns=sql.SQL(", ").join(sql.Identifier(row["attribute"]) for row in columns),
        relation=_catalog(relation),
        near=sql.SQL(" OR ").join(near),
    )


def _scan(
    relation: str,
    columns: Sequence[Mapping[str, str]],
    ways: Mapping[str, str],
    rows: sql.Composable | None = None,
) -> sql.Composable:
    """What of `columns` mentions the role; `ways` to tell, by kind of column; in `rows` alone."""
    source = sql.SQL("{rows} WHERE {mentioned}").format(
        rows=rows or _catalog(relation),
        mentioned=sql.SQL(" OR ").join(_mention(row, ways) for row in columns),
    )
    return _labelled(".".join([relation, *(row["attribute"] for row in columns)]), source)


def _labelled(label: str, source: sql.Composable) -> sql.Composable:
    return sql.SQL("SELECT {label} FROM {source}").format(label=sql.Literal(label), source=source)


def _catalog(relation: str) -> sql.Identifier:
    return sql.Identifier("pg_catalog", relation)


def _mention(column: Mapping[str, str], ways: Mapping[str, str]) -> sql.Composable:
    """Whether a row mentions the role in this column."""
    return sql.SQL(ways[column["kind"]]).format(column=sql.Identifier(column["attribute"]))
