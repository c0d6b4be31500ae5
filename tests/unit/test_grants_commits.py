"""How often the life of a grant waits for the disk: once for each step that must outlive a power cut."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import pytest

from bot import service
from tests.fixtures_core import ANA, World
from tests.fixtures_store import heard


@contextmanager
def counting(world: World) -> Iterator[Counter[str]]:
    """Writing transactions on SQLite, by whether their commit waits for the disk."""
    found: Counter[str] = Counter(waits=0, lease=0)
    with ExitStack() as stack:
        for kind, lines in zip(("waits", "lease"), world.store._database._kept, strict=True):
            stack.enter_context(heard(lines, partial(found.update, [kind])))
        yield found


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
