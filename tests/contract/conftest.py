"""Every engine that is held to the contract."""

import contextlib
from collections.abc import Iterator

import pytest

from tests.contract import worlds
from tests.fixtures_postgres import drop_shop, make_shop, without_deputies


@pytest.fixture(
    params=["memory", "postgres_server", "installed_server", "without the bootstrap's functions"]
)
def world(request: pytest.FixtureRequest) -> Iterator[worlds.World]:
    if request.param == "memory":
        yield worlds.memory_world()
        return
    server = request.param if request.param.endswith("_server") else "postgres_server"
    made = make_shop(request.getfixturevalue(server), "shop_contract")
    there = worlds.postgres_world(made)
    with contextlib.nullcontext() if server == request.param else without_deputies(made):
        yield there
    for connection in there.opened:
        connection.close()
    drop_shop(made)
