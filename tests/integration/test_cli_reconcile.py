"""`jit reconcile` on a real target: what an operator reads, and the exit code."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from bot import cli, clock, store
from tests.fixtures_postgres import Shop

CATALOG = """
channels: {{approvals: "#db-access", audit: "#db-audit"}}
targets:
  shop: {{url_env: SHOP_URL, environment: production, database: {database}}}
entitlements:
  read_orders:
    target: shop
    scope: [{{table: app.orders, can: read}}]
    requesters: [everyone]
    approval: owners
rules:
  owners: {{approvers: ["@owners"]}}
"""


@pytest.fixture
def operator(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.MonkeyPatch]:
    """Somebody at a shell, with catalog, record and the target's URL."""
    (tmp_path / "catalog.yml").write_text(CATALOG.format(database=shop.database))
    url = f"sqlite:///{tmp_path / 'jit.sqlite3'}"
    store.open_store(url, clock.SystemClock()).close()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JIT_DATABASE_URL", url)
    monkeypatch.setenv("JIT_CATALOG", str(tmp_path / "catalog.yml"))
    monkeypatch.setenv("SHOP_URL", shop.bot_url)
    handlers = logging.getLogger().handlers[:]
    yield monkeypatch
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers


def test_a_target_as_recorded_agrees(operator: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["reconcile"]) == 0
    assert capsys.readouterr().out == "Record and reality agree.\n"


def test_a_difference_is_told_with_a_proposal_and_exit_code_1(
    operator: object, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    with shop.connect() as admin:
        admin.execute("CREATE ROLE jit_00000000")
    assert cli.run(["reconcile", "shop"]) == 1
    said = capsys.readouterr().out
    assert said.startswith("shop: look-alike jit_00000000: it is named like a role of ours")
    assert "as a superuser of shop:\n        ALTER ROLE jit_00000000 NOLOGIN;\n" in said
    assert cli.run(["reconcile", "--json"]) == 1
    assert [one["role"] for one in json.loads(capsys.readouterr().out)] == ["jit_00000000"]


def test_an_unknown_target_is_told(operator: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["reconcile", "shoop"]) == 3
    assert "There is no target shoop" in capsys.readouterr().err


def test_a_target_that_is_down_never_agrees(
    operator: pytest.MonkeyPatch, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    operator.setenv("SHOP_URL", shop.bot_url.replace(f":{shop.server.port}/", ":1/"))
    assert cli.run(["reconcile"]) == 1
    assert "shop: gone: it cannot be looked at" in capsys.readouterr().out
