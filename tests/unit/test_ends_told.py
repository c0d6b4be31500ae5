"""What is said of many ends at once: the same in one breath, and of each its own."""

from typing import Any

import pytest
import sqlalchemy as sa

from bot import service, store
from bot.store import bulk, tables
from tests.fixtures_core import ANA, World
from tests.unit.test_ends_together import several


def said(world: World, request_id: str, kind: str) -> list[dict[str, Any]]:
    """What each message of that kind about it says."""
    box = tables.outbox
    query = sa.select(box.c.data).where(box.c.request_id == request_id, box.c.kind == kind)
    with world.store.begin(store.SYSTEM) as tx:
        return list(tx.connection.execute(query.order_by(box.c.id)).scalars())


@pytest.mark.parametrize("many", [2, 100])
def test_of_each_end_of_a_batch_its_own_is_told(
    world: World, bot: service.Service, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(bulk, "MANY", many)
    ids = several(world, bot, 4)
    shown = bot.grants.reveal(ids[0], ANA.id)
    assert world.shop.engine.connect(shown.role, shown.password) is not None
    bot.grants.revoke_as_operator(ids[1], "root")
    world.advance(minutes=30)
    bot.grants.begin_due()
    assert (bot.grants.close_some("shop"), bot.grants.clean_some("shop")) == (4, 4)
    ended = [said(world, each, "thread")[-1] for each in ids]
    assert [each["line"] for each in ended] == ["ended"] * 4
    assert [each["cut"] for each in ended] == [1, 0, 0, 0]
    assert [each["cause"] for each in ended] == ["deadline", "operator", "deadline", "deadline"]
    assert [each["late"] for each in ended] == [0.0, 1800.0, 0.0, 0.0]
    assert [len(said(world, each, "told")) for each in ids] == [0, 1, 0, 0]
    assert [len(said(world, each, "summary")) for each in ids] == [1] * 4
    over = [said(world, each, "audit")[-1] for each in ids]
    assert [each["who"] for each in over] == [world.grant(each).ended_by_name for each in ids]
