"""Proof that nothing is left of a role: the catalogues themselves are asked, column by column.

Which columns can mention a role is read from the catalogues too, by type (`aclitem[]`) and by name
(owner, grantor, member …), so that a catalogue we have not met is searched as well.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence

from psycopg import sql

from db_grants.postgres import links, queries

_EXACT = {
    "acl": (
        "{column} IS NOT NULL AND EXISTS (SELECT FROM aclexplode({column}) AS held"
        " WHERE $1 IN (held.grantee, held.grantor))"
    ),
    "list": "$1 = ANY ({column})",
    "one": "{column} = $1",
    "shared": "refclassid = 'pg_authid'::regclass AND {column} = $1",  # as its index begins
}
# A role that is gone stands in an ACL's text by its number (putid in utils/adt/acl.c), and looking
# for that is twenty times as quick as taking long ACLs apart. It may find too much, never too little:
# a role that still stands by its name is found in pg_roles.
# A row older than the role cannot mention it: its ACL, however long, is not taken apart at all.
_YOUNG = "{column} IS NOT NULL AND age(xmin) <= (SELECT age FROM since)"
_QUICK = _EXACT | {"acl": f"({_YOUNG} AND position($1::text IN {{column}}::text) > 0)"}
# The same for several at once; `$2` matches any of their numbers.
_QUICK_MANY = {
    "acl": f"({_YOUNG} AND {{column}}::text ~ $2)",
    "list": "{column} && $1",
    "one": "{column} = ANY ($1)",
    "shared": "refclassid = 'pg_authid'::regclass AND {column} = ANY ($1)",
}
_NOTE = queries.prepared("note_since", "oid[]")


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
            [_scan(relation, rows, _QUICK) for relation, rows in relations],
            "= $1",
            "ARRAY[$1]",
        )
        self._many = _prepared(
            "residue_many",
            "oid[], text",
            [_scan(relation, rows, _QUICK_MANY) for relation, rows in relations],
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

    def quick(self, oids: Sequence[int]) -> tuple[queries.Prepared, queries.Prepared]:
        """The queries that `noted` and `asked` run for so many roles."""
        return _NOTE, self._quick if len(oids) == 1 else self._many

    def noted(self, oids: Sequence[int]) -> sql.Composable:
        """To be run before these roles are dropped: it spares `asked` what is older than they are."""
        return _NOTE.run(oids)

    def asked(self, oids: Sequence[int]) -> sql.Composable:
        """`quick`, asked of these: no row when nothing mentions any of them."""
        if len(oids) == 1:
            return self._quick.run(oids[0])
        return self._many.run(oids, "|".join(map(str, oids)))

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
    """These scans and what is no catalogue's column, as one query about `oids`."""
    elsewhere = queries.query("residue_elsewhere", equals=sql.SQL(equals))
    since = queries.query("residue_since", oids=sql.SQL(oids)).as_string(None)
    found = sql.SQL("\nUNION ALL\n").join([*scans, elsewhere]).as_string(None)
    text = f"WITH since AS MATERIALIZED (\n{since}\n)\n{found}"
    return queries.Prepared(name=name, types=types, text=text)


def _scan(relation: str, columns: links.Rows, ways: Mapping[str, str]) -> sql.Composable:
    """What of `columns` mentions the role; `ways` to tell, by kind of column."""
    mentioned = [
        sql.SQL(ways[row["kind"]]).format(column=sql.Identifier(row["attribute"]))
        for row in columns
    ]
    label = ".".join([relation, *(row["attribute"] for row in columns)])
    return sql.SQL(
        "SELECT {label} AS what, count(*) AS n FROM pg_catalog.{relation} WHERE {mentioned}"
        " HAVING count(*) > 0"
    ).format(
        label=sql.Literal(label),
        relation=sql.Identifier(relation),
        mentioned=sql.SQL(" OR ").join(mentioned),
    )
