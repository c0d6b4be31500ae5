"""`jit clock`: what the record has reached, and back from a time that was wrong."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot import cli, clock, service, store
from bot.cli import clock as command
from bot.granting import skew
from bot.watching import status
from tests.fixtures_core import World, wait_for

Jit = Callable[..., tuple[int, str, str]]
AHEAD = timedelta(hours=2)


@pytest.fixture
def jit(
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Jit:
    """Runs `jit clock` on the record of `world`; it listens for a bot for a moment only."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JIT_DATABASE_URL", world.url)
    monkeypatch.delenv("JIT_AUDIT_KEY", raising=False)
    monkeypatch.setattr(command, "LISTEN", 0.5)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.run(["clock", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def ahead(world: World, bot: service.Service) -> service.Service:
    """A bot that has run by a clock two hours ahead, with something said and something waiting."""
    world.clock.raise_to(datetime.now(UTC) + AHEAD)
    request_id = world.live(bot)
    bot.scheduler.sweep()
    assert bot.lanes.wait_idle(10)
    world.advance(minutes=1)
    bot.scheduler._beat()
    bot.grants.revoke(request_id, "U0BO")
    bot.grants.end(request_id)
    world.store.put("deadline.noted", "2026")
    return bot


def test_it_tells_both_times(jit: Jit, world: World) -> None:
    world.clock.raise_to(datetime.now(UTC))
    world.store.remember_time()
    code, out, _ = jit()
    assert code == 0
    assert "this machine  20" in out
    assert jit("--reset") == (
        0,
        "The record is not ahead of this machine. Nothing was changed.\n",
        "",
    )


def test_a_record_that_is_ahead_is_told_with_the_remedy(jit: Jit, ahead: service.Service) -> None:
    code, out, _ = jit()
    assert code == 1
    assert "s ahead. If this machine's clock is right" in out


def test_a_reset_goes_back_and_is_audited_and_a_start_stays_there(
    jit: Jit, ahead: service.Service, world: World
) -> None:
    code, out, _ = jit("--reset")
    assert (code, out.split(" was ")[0]) == (0, "The record")
    later = clock.SystemClock()
    with store.open_store(world.url, later) as opened:
        assert abs(later.now() - datetime.now(UTC)) < skew.LIMIT
        (*_, last) = opened.all_events()
        assert last.type == "clock.rewound"
        told = json.loads(last.body)
        assert told["actor"]["kind"] == "operator"
        assert datetime.fromisoformat(told["data"]["from"]) - last.at > AHEAD - skew.LIMIT
        assert opened.verify_chain().ok
        assert opened.get(status.HEARTBEAT) is None
        assert opened.get("deadline.noted") == "2026"  # holds no later time
        assert skew.latest(opened, later.now()) == ()
        waits = opened.outbox_depth()
        assert waits
        assert len({row.lane for row in opened.outbox_due(later.now(), 100)}) > 0


def test_nobody_gets_more_time_by_it(jit: Jit, world: World, bot: service.Service) -> None:
    world.clock.raise_to(datetime.now(UTC) + AHEAD)
    held = world.live(bot)
    before = world.grant(held)
    code, _, err = jit("--reset")
    assert code == 1
    assert "A grant is live" in err
    assert world.grant(held) == before
    later = clock.SystemClock()
    store.open_store(world.url, later).close()
    assert later.now() > datetime.now(UTC) + AHEAD - skew.LIMIT


def test_a_bot_that_runs_is_heard(
    jit: Jit, ahead: service.Service, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "LISTEN", 20.0)
    over = threading.Event()

    def live() -> None:
        while not over.wait(0.05):
            world.advance(minutes=1)
            ahead.scheduler._beat()

    alive = threading.Thread(target=live)
    alive.start()
    try:
        code, _, err = jit("--reset")
    finally:
        over.set()
        alive.join()
    assert (code, err) == (2, "The bot runs. Stop it first.\n")
    wait_for(lambda: world.store.get(status.HEARTBEAT))
