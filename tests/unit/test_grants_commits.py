"""How often the life of a grant waits for the disk: once for each step that must outlive a power cut."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event

from bot import service
from tests.fixtures_core import ANA, World


@contextmanager
def counting(world: World) -> Iterator[Counter[str]]:
    """Writing transactions on SQLite, by whether their commit waits for the disk."""
    found: Counter[str] = Counter()

    def note(kind: str, connection: Any) -> None:
        if connection.get_execution_options().get("jit_writes"):
            found[kind] += 1

    heard = [
        (engine, partial(note, kind))
        for kind, engine in zip(("waits", "lease"), world.store._database.engines, strict=True)
    ]
    for engine, listener in heard:
        event.listen(engine, "commit", listener)
    yield found
    for engine, listener in heard:
        event.remove(engine, "commit", listener)


@pytest.mark.parametrize(
    ("step", "waits", "lease"),
    [("activate", 2, 0), ("reveal", 1, 0), ("revoke", 1, 0), ("close", 1, 1), ("clean", 1, 1)],
)
def test_each_step_of_a_grant_waits_for_the_disk_only_for_what_must_last(
    world: World, bot: service.Service, step: str, waits: int, lease: int
) -> None:
    """Intent with its claim and result; who saw the password; an end; the shut door; the proof, with
    what was done.
    """
    grant_id = world.ask(bot)
    world.approve(bot, grant_id)
    steps: dict[str, Callable[[], object]] = {
        "activate": lambda: bot.grants.activate(grant_id),
        "reveal": lambda: bot.grants.reveal(grant_id, ANA.id),
        "revoke": lambda: bot.grants.revoke_as_operator(grant_id, "root"),
        "close": lambda: bot.grants.close(grant_id),
        "clean": lambda: bot.grants.clean(grant_id),
    }
    for name, run in steps.items():
        with counting(world) as found:
            run()
        if name == step:
            assert found == Counter(waits=waits, lease=lease)
            return
