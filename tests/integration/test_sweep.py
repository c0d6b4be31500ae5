"""`jit sweep`: access ends with nothing but the guarded server's URL."""

import json
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from bot import cli
from db_grants import errors, memory, naming, sweep
from db_grants.spec import GrantSpec, ManagedRole
from tests.fixtures_postgres import Shop
from tests.holders import is_cut

HOUR = timedelta(hours=1)


def make(shop: Shop, left: timedelta = HOUR) -> ManagedRole:
    """A live grant with that much time left."""
    grant_id = secrets.token_hex(4)
    return shop.engine().create(
        GrantSpec(
            grant_id=grant_id,
            role_name=naming.managed_role(grant_id),
            scope=shop.scope(),
            expires_at=datetime.now(UTC) + left,
        )
    )


def log_in(shop: Shop, role: ManagedRole) -> psycopg.Connection:
    credential = shop.engine().reveal(role, datetime.now(UTC) + HOUR, shop.database)
    url = shop.server.url(shop.database, credential.role, credential.password)
    return psycopg.connect(url, autocommit=True)


def move(shop: Shop, role: ManagedRole, by: timedelta) -> None:
    """Move the deadline by hand, as if time had passed."""
    shop.engine().set_deadline(role, datetime.now(UTC) + by)


def run(shop: Shop, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JIT_SWEEP_URL", shop.bot_url)
        code = cli.run(["sweep", *options])
    said = capsys.readouterr()
    return code, said.out + said.err


def roles(shop: Shop) -> set[str]:
    with shop.connect() as admin:
        rows = admin.execute("SELECT rolname FROM pg_roles").fetchall()
    return {name for (name,) in rows}


@pytest.mark.fault(
    "F-20b",
    "the bot and its record are gone at a deadline",
    how="jit sweep with the URL alone",
    expects="sessions cut, role gone; what is not due stays",
)
def test_an_overdue_role_is_ended_with_its_sessions_and_the_others_are_left(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    over, running = make(shop), make(shop)
    session = log_in(shop, over)
    other = log_in(shop, running)
    move(shop, over, -timedelta(seconds=5))
    code, said = run(shop, capsys)
    assert code == 0
    assert f"{over.name}: ended, nothing left" in said
    assert "sessions cut: 1" in said
    assert over.name not in roles(shop)
    assert running.name in roles(shop)
    with session:
        assert is_cut(session)
    with other:
        assert other.execute("SELECT count(*) > 0 FROM app.orders").fetchone() == (True,)


def test_nothing_due_is_a_success(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    make(shop)
    code, said = run(shop, capsys)
    assert (code, said.startswith("0 due, 1 not yet due")) == (0, True)


def test_a_dry_run_says_what_is_due_and_changes_nothing(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    role = make(shop)
    move(shop, role, -timedelta(seconds=5))
    code, said = run(shop, capsys, "--dry-run", "--json")
    told: dict[str, Any] = json.loads(said)
    assert code == 1
    assert [(one["role"], one["outcome"]) for one in told["swept"]] == [(role.name, "due")]
    assert role.name in roles(shop)


def test_grace_leaves_the_bot_its_time(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    role = make(shop)
    move(shop, role, -timedelta(seconds=5))
    assert run(shop, capsys, "--grace", "1m")[0] == 0
    assert role.name in roles(shop)


def test_what_cannot_be_removed_is_ended_all_the_same_and_told(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    role = make(shop)
    with shop.connect() as admin:  # a privilege only its giver can take back
        name = sql.Identifier(role.name)
        admin.execute(sql.SQL("GRANT SELECT ON app.payments TO {}").format(name))
    move(shop, role, -timedelta(seconds=5))
    code, said = run(shop, capsys)
    assert code == 1
    assert f"{role.name}: access ended, cleanup pending" in said
    with shop.connect() as admin:
        row = admin.execute("SELECT rolcanlogin FROM pg_roles WHERE oid = %s", [role.oid])
        assert row.fetchone() == (False,)


def test_a_role_renamed_by_hand_is_told_as_not_ended(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    role = make(shop)
    move(shop, role, -timedelta(seconds=5))
    with shop.connect() as admin:
        name = sql.Identifier(role.name)
        admin.execute(sql.SQL("ALTER ROLE {} RENAME TO alice").format(name))
    try:
        code, said = run(shop, capsys)
        assert code == 3
        assert "alice: NOT ENDED" in said
    finally:
        with shop.connect() as admin:
            admin.execute("DROP ROLE alice")


@pytest.mark.fault(
    "F-20c",
    "one of several overdue roles cannot be ended",
    how="it was renamed by hand",
    expects="the others are; the exit code says so",
)
def test_one_that_fails_does_not_keep_the_others_from_ending(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = make(shop), make(shop)
    move(shop, first, -timedelta(seconds=50))
    move(shop, second, -timedelta(seconds=5))
    with shop.connect() as admin:
        name = sql.Identifier(first.name)
        admin.execute(sql.SQL("ALTER ROLE {} RENAME TO mallory").format(name))
    try:
        assert run(shop, capsys)[0] == 3
        assert second.name not in roles(shop)
    finally:
        with shop.connect() as admin:
            admin.execute("DROP ROLE mallory")


def test_a_role_without_any_deadline_is_due(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    role = make(shop)
    with shop.connect() as admin:
        name = sql.Identifier(role.name)
        admin.execute(
            sql.SQL("COMMENT ON ROLE {0} IS NULL; ALTER ROLE {0} VALID UNTIL 'infinity'").format(
                name
            )
        )
    code, said = run(shop, capsys)
    assert code == 0
    assert "no deadline" in said
    assert role.name not in roles(shop)


def test_a_deadline_put_off_on_the_role_alone_does_not_count(shop: Shop) -> None:
    role = make(shop)
    move(shop, role, -timedelta(seconds=5))
    with shop.connect() as admin:
        name = sql.Identifier(role.name)
        admin.execute(sql.SQL("ALTER ROLE {} VALID UNTIL '2099-01-01'").format(name))
    assert [found.name for found in sweep.overdue(shop.engine().survey())] == [role.name]


@pytest.mark.fault(
    "H-10", "a role named like ours", how="CREATE ROLE by hand", expects="the sweep leaves it alone"
)
def test_a_role_that_is_not_ours_is_left_alone(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    with shop.connect() as admin:
        admin.execute("CREATE ROLE jit_00000000 LOGIN VALID UNTIL '2020-01-01'")
    code, _ = run(shop, capsys)
    assert code == 0
    assert "jit_00000000" in roles(shop)
    assert [found.name for found in shop.engine().survey().lookalikes] == ["jit_00000000"]


def test_a_note_that_is_not_ours_cannot_break_the_sweep(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    role = make(shop)
    for note in ('{"grant": 7, "expires": []}', "[", '"x"', '{"expires": "2020-01-01T00:00:00"}'):
        with shop.connect() as admin:
            statement = sql.SQL("COMMENT ON ROLE {} IS {}")
            admin.execute(statement.format(sql.Identifier(role.name), sql.Literal(note)))
        assert run(shop, capsys)[0] == 0
    assert role.name in roles(shop)  # its VALID UNTIL still stands


def test_twice_is_the_same_as_once(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    move(shop, make(shop), -timedelta(seconds=5))
    assert run(shop, capsys)[0] == 0
    assert run(shop, capsys) == (0, "0 due, 0 not yet due.\n")


def test_a_server_that_cannot_be_seen_is_not_a_success(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ELSEWHERE", shop.bot_url.replace(f":{shop.server.port}/", ":1/"))
        assert cli.run(["sweep", "--target-url-env", "ELSEWHERE"]) == 3
    assert "could not be looked at" in capsys.readouterr().out


def test_the_url_may_stand_in_the_file_of_settings(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bot.env").write_text(f"SHOP_DATABASE_URL={shop.bot_url}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SHOP_DATABASE_URL", raising=False)
        file, url = str(tmp_path / "bot.env"), "SHOP_DATABASE_URL"
        assert cli.run(["--env-file", file, "sweep", "--target-url-env", url]) == 0
        assert cli.run(["--env-file", file, "sweep"]) == 2
    assert "0 due" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "JIT_SWEEP_URL"),
        (["--target-url", "http://x"], "cannot be read"),
        (["--target-url", "postgresql://x/", "--target-url-env", "Y"], "not both"),
        (["--target-url", "postgresql://x/", "--grace", "soon"], "--grace"),
    ],
)
def test_an_operators_mistake_is_one_sentence_and_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("JIT_SWEEP_URL", raising=False)
        assert cli.run(["sweep", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_server_that_was_never_prepared_is_not_taken_for_a_clean_one() -> None:
    bare = memory.MemoryEngine()
    bare.prepared = False
    with pytest.raises(errors.NotPrepared):
        sweep.sweep(bare)
