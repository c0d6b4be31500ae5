"""How many connections an engine opens and keeps when many use it at once."""

import contextlib
import time
from collections.abc import Iterator

import pytest

from db_grants.postgres import PostgresEngine, links
from tests.fixtures_postgres import Shop


@pytest.fixture
def pool(shop: Shop) -> Iterator[links.Links]:
    engine: PostgresEngine = shop.engine()
    yield engine._links
    engine.dispose()


def _backends(pool: links.Links, count: int) -> set[int]:
    """Use so many connections at once; the server's processes behind them."""
    with contextlib.ExitStack() as held:
        return {held.enter_context(pool.link())._connection.info.backend_pid for _ in range(count)}


def _later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + seconds)


def test_connections_in_use_at_once_are_there_for_the_next(pool: links.Links) -> None:
    first = _backends(pool, links._SPARE)
    assert len(first) == links._SPARE
    assert _backends(pool, links._SPARE) == first


def test_a_crowd_leaves_no_more_than_are_kept(pool: links.Links) -> None:
    first = _backends(pool, links._SPARE + 3)
    assert len(pool._idle) == links._SPARE
    assert len(_backends(pool, links._SPARE + 3) & first) == links._SPARE


def test_what_nobody_had_use_for_lately_is_closed(
    pool: links.Links, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    _backends(pool, links._SPARE)
    kept = list(pool._idle)
    _later(monkeypatch, links._LATELY - 5)
    lately = _backends(pool, links._KEEP + 2)
    assert len(pool._idle) == links._SPARE
    _later(monkeypatch, links._LATELY - 5)
    _backends(pool, 1)
    assert {each.info.backend_pid for each in pool._idle} == lately
    assert sum(each.closed for each in kept) == links._SPARE - len(lately)


def test_a_few_are_kept_however_long_nobody_uses_them(
    pool: links.Links, monkeypatch: pytest.MonkeyPatch
) -> None:
    _backends(pool, links._SPARE)
    _later(monkeypatch, 100 * links._LATELY)
    _backends(pool, 1)
    assert len(pool._idle) == links._KEEP
    assert not any(each.closed for each in pool._idle)
