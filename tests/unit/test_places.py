"""Where live grants are, whatever the catalog says by now."""

from bot import model, service
from bot.granting import places
from tests import fixtures_store
from tests.fixtures_core import World


def test_every_live_grant_whose_target_left_is_found_however_many(
    world: World, bot: service.Service
) -> None:
    oldest = world.live(bot)
    fixtures_store.copy_newer(world.url, oldest, 5001)
    asked: list[places.Place] = []

    def connect(place: places.Place) -> object:
        asked.append(place)
        return world.shop

    found = places.strays(world.store, {}, connect)  # type: ignore[arg-type]
    assert places.key(oldest) in found
    assert len(found) == len(world.store.live_on("shop")) == 5002
    assert [place.target for place in asked] == ["shop"]  # one connection a place
    assert world.grant(oldest).status is model.GrantStatus.ACTIVE
