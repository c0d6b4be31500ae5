"""Proof that nothing is left of a role: the catalogues themselves are asked, column by column.

Which columns can mention a role is read from the catalogues too, by type (`aclitem[]`) and by name
(owner, grantor, member …), so that a catalogue we have not met is searched as well.
"""

import itertools
from collections.abc import Iterable, Mapping

from psycopg import sql

from db_grants.postgres import links, queries

_EXACT = {
    "acl": (
        "{column} IS NOT NULL AND EXISTS (SELECT FROM aclexplode({column}) AS held"
        " WHERE $1 IN (held.grantee, held.grantor))"
    ),
    "list": "$1 = ANY ({column})",
    "one": "{column} = $1",
}
# A role that is gone stands in an ACL's text by its number (putid in utils/adt/acl.c), and looking
# for that is twenty times as quick as taking long ACLs apart. It may find too much, never too little:
# a role that still stands by its name is found in pg_roles.
_QUICK = _EXACT | {"acl": "position($1::text IN {column}::text) > 0"}


class Search:
    """The search of one server version, composed once. Its query is prepared on each connection:
    planning forty scans would take longer than running them.
    """

    def __init__(self, columns: links.Rows) -> None:
        by_relation = itertools.groupby(columns, key=lambda row: row["relation"])
        whole = [_scan(relation, list(rows), _QUICK) for relation, rows in by_relation]
        single = [_scan(row["relation"], [row], _EXACT) for row in columns]
        elsewhere = queries.query("residue_elsewhere")
        self._quick = _rendered([*whole, elsewhere])
        self._exact = _rendered([*single, elsewhere])

    def of_role(self, link: links.Link, oid: int) -> tuple[str, ...]:
        """What of the cluster and of this link's database still mentions the role, for people."""
        if not link.probe("residue_quick", self._quick, oid):
            return ()
        rows = link.probe("residue_exact", self._exact, oid)
        return tuple(sorted(f"{row['n']} in {row['what']}" for row in rows))


def search(link: links.Link) -> Search:
    """The search that fits this server."""
    (rows,) = link.ask(queries.query("catalog_columns"))
    return Search(rows)


def _rendered(parts: Iterable[sql.Composable]) -> sql.SQL:
    """The text is the same each time; rendering seven thousand characters again would cost."""
    return sql.SQL(sql.SQL("\nUNION ALL\n").join(parts).as_string(None))


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
