"""The catalog changes while somebody holds access: it ends on time, from what was recorded."""

import pathlib
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest

from bot import catalog, clock, errors, model, service, store
from bot.granting import places
from bot.watching import ringing
from db_grants import engine as engines_
from db_grants.postgres import engine as postgres
from tests.fixtures_core import BO, Channel, Directory
from tests.fixtures_postgres import BOT_PASSWORD, Shop
from tests.real_world import CATALOG

pytestmark = pytest.mark.target

OTHER = CATALOG.replace("  shop: {url_env: SHOP_URL", "  wiki: {url_env: WIKI_URL").replace(
    "target: shop", "target: wiki"
)


class Home:
    """A record, a real server, and bots that start one after the other."""

    def __init__(self, folder: pathlib.Path, shop: Shop) -> None:
        self.shop = shop
        self.clock = clock.ManualClock(datetime.now(UTC))
        self.store = store.open_store(f"sqlite:///{folder / 'state.sqlite3'}", self.clock)
        self.urls = {"SHOP_URL": shop.bot_url, "WIKI_URL": shop.bot_url}
        self.channel = Channel()
        self.made: list[engines_.Engine] = []

    def connect(self, place: places.Place) -> engines_.Engine:
        if place.url_env not in self.urls:
            raise errors.SettingsError(f"{place.url_env} is not set.")
        self.made.append(postgres.PostgresEngine(self.urls[place.url_env], clock=self.clock.now))
        return self.made[-1]

    def bot(self, text: str) -> service.Service:
        loaded = catalog.loads(text.replace("DATABASE", self.shop.database))
        engines = {
            t.name: self.connect(places.Place(target=t.name, url_env=t.url_env))
            for t in loaded.targets.values()
        }
        return service.Service(
            store=self.store,
            engines=engines,
            strays=places.strays(self.store, loaded.targets, self.connect),
            catalog=lambda: loaded,
            directory=Directory(),
            poster=lambda _service: self.channel,
            clock=self.clock,
        )

    def live(self, bot: service.Service) -> model.Grant:
        draft = model.Draft(
            requester_id="U0ANA", entitlement="read_customer_data", justification="export"
        )
        request_id = bot.access.submit(draft).request.id
        bot.outbox.pump()
        found = self.store.story(request_id).message("card")
        assert found is not None
        from bot.asking import access

        source = access.Source(channel_id=found.channel_id, ts=found.ts)
        bot.access.review(request_id, BO.id, model.Answer.APPROVE, source=source)
        grant = bot.grants.activate(request_id)
        assert grant.status is model.GrantStatus.ACTIVE
        return grant

    def roles(self) -> list[str]:
        with psycopg.connect(self.shop.admin_url) as admin:
            query = "SELECT rolname FROM pg_roles WHERE rolname ~ '^jit_[0-9a-z]{8}$'"
            return [name for (name,) in admin.execute(query)]

    def later(self) -> None:
        self.clock.raise_to(max(g.expires_at for g in self.store.grants()))

    def close(self) -> None:
        for engine in self.made:
            engine.dispose()
        self.store.close()


@pytest.fixture
def home(tmp_path: pathlib.Path, shop: Shop) -> Iterator[Home]:
    assert BOT_PASSWORD in shop.bot_url
    made = Home(tmp_path, shop)
    yield made
    made.close()


def end(home: Home, bot: service.Service, grant: model.Grant) -> model.Grant:
    home.later()
    bot.grants.begin_due()
    return bot.grants.end(grant.id)


@pytest.mark.parametrize(
    "text",
    [
        OTHER,  # the target is gone
        CATALOG.replace("read_customer_data", "read_nothing"),  # the entitlement is gone
        CATALOG.replace("owners", "others"),  # the rule is gone
        CATALOG.replace("SHOP_URL", "WIKI_URL"),  # the name is another server's now
    ],
    ids=["target", "entitlement", "rule", "moved"],
)
def test_what_left_the_catalog_ends_on_time(home: Home, text: str) -> None:
    first = home.bot(CATALOG)
    grant = home.live(first)
    first.stop(5)
    if "WIKI_URL" in text:
        home.urls["WIKI_URL"] = "postgresql://nobody:x@127.0.0.1:9/none"
    assert home.roles() == [grant.role_name]
    bot = home.bot(text)
    assert end(home, bot, grant).status is model.GrantStatus.ENDED
    assert home.roles() == []
    bot.stop(5)


def test_a_target_whose_address_is_gone_is_an_alarm_at_once(home: Home) -> None:
    first = home.bot(CATALOG)
    grant = home.live(first)
    first.stop(5)
    url = home.urls.pop("SHOP_URL")
    bot = home.bot(OTHER)
    bot.grants.watch()
    (found,) = ringing.everything(home.store)
    assert (str(found.condition.kind), found.condition.target) == ("stranded", "shop")
    assert found.condition.grants == (grant.id,)
    ended = end(home, bot, grant)
    assert ended.access_ended_at is None
    assert "SHOP_URL is not set" in str(ended.last_error)
    bot.stop(5)
    home.urls["SHOP_URL"] = url  # put back, and started again
    after = home.bot(OTHER)
    assert after.grants.end(grant.id).status is model.GrantStatus.ENDED
    after.grants.watch()
    assert ringing.everything(home.store) == ()
    after.stop(5)


def test_a_name_that_moved_is_not_looked_for_on_the_new_server(home: Home) -> None:
    """There the role is not, which would look like an end."""
    first = home.bot(CATALOG)
    grant = home.live(first)
    first.stop(5)
    home.urls.pop("SHOP_URL")
    bot = home.bot(CATALOG.replace("SHOP_URL", "WIKI_URL"))
    assert end(home, bot, grant).status is model.GrantStatus.REVOKING
    assert home.roles() == [grant.role_name]
    bot.stop(5)
    home.urls["SHOP_URL"] = home.shop.bot_url
    after = home.bot(CATALOG)
    assert after.grants.end(grant.id).status is model.GrantStatus.ENDED
    after.stop(5)
