"""Proof that nothing is left of a role: the catalogues themselves are asked, column by column.

Which columns can mention a role is read from the catalogues too, by type (`aclitem[]`) and by name
(owner, grantor, member …), so that a catalogue we have not met is searched as well.
"""

from psycopg import sql

from db_grants.postgres import links, queries


def of_role(link: links.Link, oid: int, columns: links.Rows) -> tuple[str, ...]:
    """What of the cluster and of this link's database still mentions the role, for people."""
    found, elsewhere = link.ask(
        _in_columns(oid, columns), queries.query("residue_elsewhere", oid=oid)
    )
    mentions = [f"{row['n']} in {row['what']}" for row in found]
    return tuple(sorted([*mentions, *(row["what"] for row in elsewhere)]))


def columns(link: links.Link) -> links.Rows:
    """The catalogue columns that can mention a role, on this server."""
    (rows,) = link.ask(queries.query("catalog_columns"))
    return rows


def _in_columns(oid: int, columns: links.Rows) -> sql.Composable:
    return sql.SQL("\nUNION ALL\n").join(_in_column(oid, row) for row in columns)


_TEMPLATES = {
    "acl": (
        "SELECT {what} AS what, count(*) AS n FROM pg_catalog.{relation} WHERE {attribute} IS NOT NULL"
        " AND EXISTS (SELECT FROM aclexplode({attribute}) a WHERE {oid} IN (a.grantee, a.grantor))"
        " HAVING count(*) > 0"
    ),
    "list": (
        "SELECT {what} AS what, count(*) AS n FROM pg_catalog.{relation}"
        " WHERE {oid} = ANY ({attribute}) HAVING count(*) > 0"
    ),
    "one": (
        "SELECT {what} AS what, count(*) AS n FROM pg_catalog.{relation}"
        " WHERE {attribute} = {oid} HAVING count(*) > 0"
    ),
}


def _in_column(oid: int, row: dict[str, str]) -> sql.Composable:
    return sql.SQL(_TEMPLATES[row["kind"]]).format(
        what=sql.Literal(f"{row['relation']}.{row['attribute']}"),
        relation=sql.Identifier(row["relation"]),
        attribute=sql.Identifier(row["attribute"]),
        oid=sql.Literal(oid),
    )
