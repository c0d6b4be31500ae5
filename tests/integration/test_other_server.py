"""A target's URL that names another real server, and the same server restored from a backup."""

import pathlib
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from bot import model
from bot.demo import postgres
from tests.fixtures_postgres import SETTINGS, Shop, drop_shop, make_shop
from tests.integration.test_catalog_changes import Home, end
from tests.real_world import CATALOG


@pytest.fixture
def elsewhere(tmp_path: pathlib.Path) -> Iterator[Shop]:
    """A shop of the same name on a server of its own."""
    server = postgres.Server.start(tmp_path / "elsewhere", settings=SETTINGS)
    made = make_shop(server, "shop_elsewhere")
    yield made
    drop_shop(made)
    server.discard()


@pytest.fixture
def home(tmp_path: pathlib.Path, shop: Shop) -> Iterator[Home]:
    made = Home(tmp_path, shop)
    yield made
    made.close()


@pytest.mark.target
@pytest.mark.fault(
    "F-59",
    "the URL of a target names another server while access is live",
    how="a second real server",
    expects="not taken for ended: overdue, in plain words; ends when the URL is right again",
)
def test_access_on_the_old_server_is_not_taken_for_ended(home: Home, elsewhere: Shop) -> None:
    first = home.bot(CATALOG)
    grant = home.live(first)
    first.stop(5)
    right, home.urls["SHOP_URL"] = home.urls["SHOP_URL"], elsewhere.bot_url
    bot = home.bot(CATALOG)
    ended = end(home, bot, grant)
    assert (ended.status, ended.access_ended_at) == (model.GrantStatus.REVOKING, None)
    assert "another server now" in str(ended.last_error)
    assert f"than the one this access is on ({grant.server})" in str(ended.last_error)
    assert home.roles() == [grant.role_name]
    bot.stop(5)
    home.urls["SHOP_URL"] = right
    after = home.bot(CATALOG)
    assert after.grants.end(grant.id).status is model.GrantStatus.ENDED
    assert home.roles() == []
    after.stop(5)


@pytest.mark.target
def test_a_server_restored_from_an_older_backup_is_the_same_server(
    tmp_path: pathlib.Path, elsewhere: Shop
) -> None:
    """Its role is not there, which is an end: nobody can have this access."""
    server = elsewhere.server
    data, port = server.config.data_dir, server.port
    backup = data.with_name(f"{data.name}-backup")
    server.stop()
    subprocess.run(["cp", "-a", data, backup], check=True)
    server = postgres.Server.start(tmp_path / "elsewhere", port=port, settings=SETTINGS)
    home = Home(tmp_path, elsewhere)
    try:
        bot = home.bot(CATALOG)
        grant = home.live(bot)
        server.stop()
        shutil.rmtree(data)
        backup.rename(data)
        server = postgres.Server.start(tmp_path / "elsewhere", port=port, settings=SETTINGS)
        assert home.roles() == []
        assert end(home, bot, grant).status is model.GrantStatus.ENDED
        bot.stop(5)
    finally:
        home.close()
        server.stop()
