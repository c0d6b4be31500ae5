"""The demo's guarded database: a server with the shop in it, prepared as a DBA would.

Also an independent pair of eyes: what it says of roles and traces comes from a superuser's own
queries, not from the bot or its engine.
"""

import pathlib
import secrets
from dataclasses import replace

import psycopg

from bot import catalog
from bot.demo import postgres, shop
from db_grants.postgres import bootstrap

_TRACES = """
    SELECT 'role' FROM pg_roles WHERE oid = %(oid)s OR rolname = %(name)s
    UNION ALL SELECT 'session' FROM pg_stat_activity WHERE usesysid = %(oid)s
    UNION ALL SELECT 'membership' FROM pg_auth_members
              WHERE %(oid)s IN (roleid, member, grantor)
    UNION ALL SELECT 'dependency' FROM pg_shdepend
              WHERE refclassid = 'pg_authid'::regclass AND refobjid = %(oid)s
    UNION ALL SELECT 'setting' FROM pg_db_role_setting WHERE setrole = %(oid)s
    UNION ALL SELECT 'comment' FROM pg_shdescription
              WHERE classoid = 'pg_authid'::regclass AND objoid = %(oid)s
    UNION ALL SELECT 'prepared transaction' FROM pg_prepared_xacts WHERE owner = %(name)s
    UNION ALL SELECT 'privilege on ' || c.oid::regclass
              FROM pg_class c, aclexplode(c.relacl) a WHERE %(oid)s IN (a.grantee, a.grantor)
"""


class Target:
    """A PostgreSQL that can be taken down and brought up again on the same port."""

    def __init__(self, folder: pathlib.Path) -> None:
        """`folder` is where the cluster lives; it is made anew."""
        self._folder = folder
        self._server = postgres.Server.start(folder)
        self.bot_url = ""

    @property
    def running(self) -> bool:
        """Whether the server is up."""
        return self._server.running

    def prepare(self, catalog_path: pathlib.Path) -> None:
        """Fill the shop and run the bootstrap SQL for the catalog, as a superuser."""
        offered = catalog.load(catalog_path).entitlements.values()
        scopes = [replace(catalog.scope_of(item), database=shop.DATABASE) for item in offered]
        self.bot_url = shop.prepare(
            self._server.admin_url,
            bootstrap.script(scopes, database=shop.DATABASE),
            bot_password=secrets.token_urlsafe(24),
        )

    def down(self) -> None:
        """Stop at once, as a crash would."""
        self._server.stop("immediate")

    def up(self) -> None:
        """Start again where clients expect it."""
        if not self.running:
            self._server = postgres.Server.start(self._folder, port=self._server.port)

    def discard(self) -> None:
        """End the server and delete its data."""
        self._server.discard()

    def managed_roles(self) -> dict[str, int]:
        """Names and OIDs of the temporary roles on the server."""
        with psycopg.connect(self._server.admin_url) as admin:
            query = "SELECT rolname, oid::int8 FROM pg_roles WHERE rolname ~ '^jit_[0-9a-z]{8}$'"
            return dict(admin.execute(query).fetchall())

    def traces_of(self, name: str, oid: int) -> list[str]:
        """Whatever in the shop's catalogues still refers to a role, by name or OID."""
        with psycopg.connect(self._server.url_for_admin(shop.DATABASE)) as admin:
            found = admin.execute(_TRACES, {"name": name, "oid": oid}).fetchall()
        return [kind for (kind,) in found]
