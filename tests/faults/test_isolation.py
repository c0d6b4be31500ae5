"""One dead target delays no other: the service over two real servers, one of them silent."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot import catalog, model, service
from bot.demo import postgres
from db_grants.postgres import PostgresEngine
from tests.fixtures_core import World, wait_for
from tests.fixtures_postgres import SETTINGS, Shop, drop_shop, make_shop

pytestmark = pytest.mark.faults

DEADLINE = 2.0
ENDS_WITHIN = 5.0  # seconds; three times less than what is promised
ENTITLEMENTS = """
channels: {{approvals: "#db-access", audit: "#db-audit"}}
targets:
  shop: {{url_env: SHOP_URL, environment: production, database: {silent}}}
  wiki: {{url_env: WIKI_URL, environment: production, database: {well}}}
entitlements:
  read_customer_data:
    target: shop
    scope:
      - {{table: app.customers, columns: [id, name, email, city], can: read}}
      - {{table: app.orders, can: read}}
    requesters: [everyone]
    approval: owners
  read_orders:
    target: wiki
    scope: [{{table: app.orders, can: read}}]
    requesters: [everyone]
    approval: owners
rules:
  owners: {{approvers: ["@owners"], auto_approve_up_to: 4h}}
"""


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[Shop]:
    """A shop on a server of its own, which the test will stop."""
    server = postgres.Server.start(tmp_path / "silent", settings=SETTINGS)
    made = make_shop(server, "shop_silent")
    yield made
    server.resume()
    drop_shop(made)
    server.discard()


@pytest.fixture
def engines(world: World, silent: Shop, shop: Shop) -> None:
    """The service of `world` acts on these two servers, and its clock tells about our time."""
    world.clock.raise_to(datetime.now(UTC))
    world.text = ENTITLEMENTS.format(silent=silent.database, well=shop.database)
    world.catalog = catalog.loads(world.text)
    world.shop = silent.engine(world.clock.now, deadline=DEADLINE)
    world.wiki = shop.engine(world.clock.now, deadline=DEADLINE)


def live(world: World, bot: service.Service, entitlement: str) -> str:
    draft = world.draft(entitlement=entitlement, duration=timedelta(minutes=20))
    request_id = bot.access.submit(draft).request.id
    bot.grants.activate(request_id)
    assert world.grant(request_id).status is model.GrantStatus.ACTIVE
    return request_id


def ended(world: World, request_id: str) -> Callable[[], bool]:
    return lambda: world.grant(request_id).status is model.GrantStatus.ENDED


@pytest.mark.fault(
    "F-22c",
    "one of two targets is silent at many deadlines",
    how="SIGSTOP, swallowed packets",
    expects="grants on the other end in time",
)
def test_grants_on_a_live_target_end_in_time_while_another_is_silent(
    world: World, engines: None, silent: Shop
) -> None:
    bot = world.new_bot()
    stuck = [live(world, bot, "read_customer_data") for _ in range(5)]
    well = [live(world, bot, "read_orders") for _ in range(5)]
    silent.server.pause()
    try:
        world.advance(minutes=20)
        began = time.monotonic()
        bot.start()
        for request_id in well:
            wait_for(ended(world, request_id), ENDS_WITHIN)
        assert time.monotonic() - began < ENDS_WITHIN
        wait_for(lambda: all(world.grant(one).attempts for one in stuck), 5 * DEADLINE + 10)
        world.advance(minutes=1)
        bot.wake()
        wait_for(lambda: all(world.grant(one).alarmed_at for one in stuck), 10)
        assert all(world.grant(one).access_ended_at is None for one in stuck)
    finally:
        silent.server.resume()
    world.advance(minutes=1)  # their next attempts are due
    for request_id in stuck:
        wait_for(ended(world, request_id), 20)
    assert silent.engine().survey().managed == ()


@pytest.mark.fault(
    "F-22d",
    "one of two targets is silent while people ask",
    how="SIGSTOP, swallowed packets",
    expects="requests for the other are served",
)
def test_asking_on_a_live_target_is_served_while_another_is_silent(
    world: World, engines: None, silent: Shop
) -> None:
    bot = world.new_bot()
    bot.start()
    silent.server.pause()
    try:
        for _ in range(3):
            bot.access.submit(world.draft(entitlement="read_customer_data"))
        asked = bot.access.submit(world.draft(entitlement="read_orders")).request.id
        wait_for(lambda: world.grant(asked).status is model.GrantStatus.ACTIVE, ENDS_WITHIN)
    finally:
        silent.server.resume()


def test_every_engine_of_this_test_is_a_real_one(world: World, engines: None) -> None:
    assert isinstance(world.shop, PostgresEngine)
    assert isinstance(world.wiki, PostgresEngine)
