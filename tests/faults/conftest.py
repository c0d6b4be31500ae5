"""Fixtures of the tests that break a target."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from db_grants import naming
from db_grants.postgres import PostgresEngine
from db_grants.spec import GrantSpec, ManagedRole
from tests.faults.target import DEADLINE, tried_again
from tests.faults.wire import Wire
from tests.fixtures_postgres import Shop


@pytest.fixture(scope="module")
def folder(server_folder: Path, request: pytest.FixtureRequest) -> Path:
    """Where a module's own server has its data."""
    name = str(request.module.__name__)
    return server_folder / name.rpartition(".")[2]


@pytest.fixture
def wire(shop: Shop) -> Iterator[Wire]:
    with Wire(shop.server.port) as made:
        yield made


@pytest.fixture
def engine(shop: Shop, wire: Wire) -> PostgresEngine:
    """An engine whose packets go over `wire`."""
    url = shop.bot_url.replace(f":{shop.server.port}/", f":{wire.port}/")
    made = PostgresEngine(url, deadline=DEADLINE)
    shop.engines.append(made)
    return made


@pytest.fixture
def spec(shop: Shop) -> GrantSpec:
    return GrantSpec(
        grant_id="fau1t001",
        role_name=naming.managed_role("fau1t001"),
        scope=shop.scope(),
        expires_at=datetime.now(UTC) + timedelta(hours=1),
    )


@pytest.fixture
def role(engine: PostgresEngine, spec: GrantSpec) -> ManagedRole:
    return tried_again(lambda: engine.create(spec))
