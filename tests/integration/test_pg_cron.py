"""The job inside the server: overdue access ends with no bot and no network."""

import contextlib
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from bot.demo import binaries, postgres
from db_grants import naming
from db_grants.postgres import pg_cron
from db_grants.spec import Credential, GrantSpec, ManagedRole
from tests.fixtures_core import wait_for
from tests.fixtures_postgres import SETTINGS, Shop, drop_shop, make_shop
from tests.holders import is_cut, log_in

HOUR = timedelta(hours=1)
CALL = "CALL jit_admin.close_overdue()"


@pytest.fixture
def job(shop: Shop) -> Shop:
    """A shop with the job's procedure and no pg_cron to call it."""
    with shop.connect() as admin:
        admin.execute(sql.SQL(pg_cron.script()))
    return shop


def live(shop: Shop) -> tuple[ManagedRole, Credential]:
    grant_id = secrets.token_hex(4)
    engine = shop.engine()
    role = engine.create(
        GrantSpec(
            grant_id=grant_id,
            role_name=naming.managed_role(grant_id),
            scope=shop.scope(),
            expires_at=datetime.now(UTC) + HOUR,
        )
    )
    return role, engine.reveal(role, datetime.now(UTC) + HOUR, shop.database)


def expire(shop: Shop, role: ManagedRole) -> None:
    shop.engine().set_deadline(role, datetime.now(UTC) - timedelta(seconds=1))


def run(shop: Shop) -> None:
    with shop.connect() as admin:
        admin.execute(CALL)


def test_it_ends_what_is_over_and_leaves_what_runs(job: Shop) -> None:
    (over, given), (running, other) = live(job), live(job)
    with (
        contextlib.closing(log_in(job, given)) as holder,
        contextlib.closing(log_in(job, other)) as colleague,
    ):
        expire(job, over)
        run(job)
        assert is_cut(holder)
        assert not is_cut(colleague)
    found = {role.oid: role for role in job.engine().survey().managed}
    assert (found[over.oid].can_login, found[over.oid].member_of) == (False, ())
    assert found[running.oid].can_login
    assert job.engine().remove(over).clean


def test_a_holder_who_locks_their_own_role_is_out_as_well(job: Shop) -> None:
    role, given = live(job)
    with contextlib.closing(log_in(job, given)) as holder:
        statement = sql.SQL("ALTER ROLE {} PASSWORD 'mine'")
        holder.execute(statement.format(sql.Identifier(role.name)))
        expire_unseen(job, role)
        run(job)
        assert is_cut(holder)
    (found,) = job.engine().survey().managed
    assert not found.can_login


def expire_unseen(shop: Shop, role: ManagedRole) -> None:
    """Only the note: VALID UNTIL would wait for the holder's lock."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    note = f'{{"grant": "{role.grant_id}", "expires": "{past.isoformat()}"}}'
    with shop.connect() as admin:
        statement = sql.SQL("COMMENT ON ROLE {} IS {}")
        admin.execute(statement.format(sql.Identifier(role.name), sql.Literal(note)))


def test_a_role_without_a_deadline_is_over_and_a_stranger_is_not_ours(job: Shop) -> None:
    role, _ = live(job)
    with job.connect() as admin:
        name = sql.Identifier(role.name)
        admin.execute(
            sql.SQL("COMMENT ON ROLE {0} IS 'x'; ALTER ROLE {0} VALID UNTIL 'infinity'").format(
                name
            )
        )
        admin.execute("CREATE ROLE jit_00000000 LOGIN VALID UNTIL '2020-01-01'")
    run(job)
    found = job.engine().survey()
    assert [one.can_login for one in found.managed] == [False]
    assert [one.can_login for one in found.lookalikes] == [True]


def test_nobody_but_a_superuser_may_call_it(job: Shop) -> None:
    with (
        psycopg.connect(job.bot_url) as bot,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        bot.execute(CALL)


@pytest.fixture
def cron(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, Path]]:
    """A shop on an installed server that has pg_cron, with the job scheduled."""
    found = [f for f in binaries.installed() if (f.parent / "lib" / "pg_cron.so").exists()]
    if not found:
        pytest.skip("no installed PostgreSQL has pg_cron (Debian: postgresql-15-cron)")
    folder = tmp_path_factory.mktemp("cron") / "data"
    settings = SETTINGS | {
        "shared_preload_libraries": "pg_cron,pg_stat_statements",
        "cron.database_name": "shop_cron",
        "cron.use_background_workers": "on",
    }
    server = postgres.Server.start(folder, bin_dir=found[0], settings=settings)
    made = make_shop(server, "shop_cron")
    yield made, folder
    drop_shop(made)
    server.discard()


def test_pg_cron_runs_it(cron: tuple[Shop, Path]) -> None:
    shop, folder = cron
    with shop.connect() as admin:
        admin.execute("CREATE EXTENSION pg_cron")
        for _ in range(2):  # twice is the same as once
            admin.execute(sql.SQL(pg_cron.script()))
        rows = admin.execute("SELECT jobid, schedule, command, active FROM cron.job").fetchall()
        assert [row[1:] for row in rows] == [("* * * * *", CALL, True)]
        # The next minute may be far: let it be run once at the start of the server instead.
        admin.execute("SELECT cron.alter_job(%s, schedule := '@reboot')", [rows[0][0]])
    role, _ = live(shop)
    expire(shop, role)
    old = shop.server
    old.stop()
    new = postgres.Server.start(
        folder, bin_dir=old.config.bin_dir, port=old.port, settings=old.config.settings
    )
    old.__dict__.update(new.__dict__)
    wait_for(lambda: not shop.engine().survey().managed[0].can_login, 30)
    assert shop.engine().remove(role).clean
