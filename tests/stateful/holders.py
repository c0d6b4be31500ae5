"""What holders do with access: they use it, and some of them would keep it."""

import secrets
from contextlib import suppress

import psycopg
from hypothesis import stateful
from hypothesis import strategies as st
from psycopg import sql

from db_grants import naming
from tests.stateful.history import History


class Holders(History):
    """Rules of holders."""

    @stateful.rule(number=st.integers(0, 9))
    def open_session(self, number: int) -> None:
        self.connect(number)

    @stateful.rule(
        number=st.integers(0, 9),
        act=st.sampled_from(["cursor", "set role", "prepare", "password", "lock", "settings"]),
    )
    def be_hostile(self, number: int, act: str) -> None:
        if not self.sessions:
            return
        request_id, session = self.sessions[number % len(self.sessions)]
        me = sql.Identifier(f"jit_{request_id}")
        _, _, entitlement = self.deliveries[request_id]
        role = naming.scope_role(entitlement, self.shop.database)
        acts: dict[str, list[sql.Composed | str]] = {
            "cursor": ["BEGIN", "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM app.orders"],
            "set role": [sql.SQL("SET ROLE {}").format(sql.Identifier(role))],
            "prepare": ["BEGIN", "SELECT 1", f"PREPARE TRANSACTION '{secrets.token_hex(4)}'"],
            "password": [sql.SQL("ALTER ROLE {} PASSWORD 'mine'").format(me)],
            "lock": ["BEGIN", sql.SQL("ALTER ROLE {} PASSWORD 'mine'").format(me)],
            "settings": [sql.SQL("ALTER ROLE {} SET statement_timeout = 0").format(me)],
        }
        for statement in acts[act]:
            with suppress(psycopg.Error):  # what is refused, or the session is cut
                session.execute(statement)

    @stateful.rule()
    def knock(self) -> None:
        self.locked_out()
