"""Random histories of everything that can happen, against a real PostgreSQL; I1 to I8 after each step.

In every run the same bounded number of histories; `JIT_STATEFUL=long` tries many more, other ones
each time. What such a run finds is kept below as a test of its own.
"""

import os
import pathlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import hypothesis
import psycopg
import pytest
from hypothesis import stateful
from psycopg import sql

from tests.fixtures_postgres import Shop, drop_shop, make_shop
from tests.real_world import RealWorld, Replica
from tests.stateful import flaws
from tests.stateful.catalogs import CatalogEdits
from tests.stateful.history import History
from tests.stateful.holders import Holders
from tests.stateful.people import People
from tests.stateful.records import Records
from tests.stateful.replicas import Pair, Replicas
from tests.stateful.trouble import FileTrouble, Time, Trouble

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

LONG = os.environ.get("JIT_STATEFUL") == "long"
EXAMPLES = int(os.environ.get("JIT_STATEFUL_EXAMPLES", "150" if LONG else "10"))
AT_ONCE = 10  # Hypothesis makes so many that differ; later ones are mostly variants of these
PROFILE = hypothesis.settings(
    max_examples=AT_ONCE,
    stateful_step_count=40 if LONG else 20,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)


class InAFile(People, Time, Trouble, FileTrouble, Holders, CatalogEdits, Replicas, Records):
    """Everything there is, over a record in a SQLite file."""


class OnAServer(People, Time, Trouble, Holders, CatalogEdits, Pair):
    """The same over a record on PostgreSQL."""

    def new_world(self, folder: pathlib.Path) -> RealWorld:
        self.record = f"state_{secrets.token_hex(4)}"
        self._as_admin("CREATE DATABASE {}")
        return RealWorld(
            folder, self.shop, self.shop.server.url_for_admin(self.record), flaw=self.flaw
        )

    def leave(self) -> None:
        super().leave()
        self._as_admin("DROP DATABASE {} WITH (FORCE)")

    def _as_admin(self, statement: str) -> None:
        with psycopg.connect(self.shop.server.admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL(statement).format(sql.Identifier(self.record)))


@pytest.fixture(scope="module")
def histories_shop(postgres_server: Any) -> Iterator[Shop]:
    """One database for all histories: each leaves it as it was, or fails."""
    made = make_shop(postgres_server, f"histories_{secrets.token_hex(4)}")
    yield made
    drop_shop(made)


def tell(histories: type[History], number: int, settings: hypothesis.settings = PROFILE) -> None:
    """So many random ones: always the same, but in a long run."""
    for begun in range(0, number, AT_ONCE):
        told = type(histories.__name__, (histories,), {})
        if not LONG:
            hypothesis.seed(begun)(told)
        some = hypothesis.settings(settings, max_examples=min(AT_ONCE, number - begun))
        stateful.run_state_machine_as_test(told, settings=some)


ALL_ALONE = [People, Time, Trouble, Holders]


@pytest.mark.parametrize(
    ("flaw", "rules"),
    [
        (flaws.closes_nothing, ALL_ALONE),
        (flaws.forgets_the_role, ALL_ALONE),
        (flaws.grants_too_much, ALL_ALONE),
        (flaws.never_lapses, ALL_ALONE),
        (flaws.says_it_first, ALL_ALONE),
        (flaws.goes_by_an_old_catalog, [People, CatalogEdits]),
        (flaws.forgets_where_it_was, [Time, CatalogEdits]),
        (flaws.ignores_fences, [Pair]),
        (flaws.undoes_nothing, [Pair]),
        (flaws.never_reconciles, [Time, Records]),
    ],
)
def test_a_flaw_built_in_on_purpose_is_found(
    histories_shop: Shop, flaw: Callable[[Replica], None], rules: list[type[History]]
) -> None:
    """The histories are hard enough, and the invariants sharp enough."""

    class Flawed(*rules):  # type: ignore[misc]
        def settle(self) -> None:
            """It is to be found before: nobody waits for the end of a history."""

    Flawed.shop, Flawed.flaw = histories_shop, staticmethod(flaw)
    many = hypothesis.settings(
        PROFILE,
        stateful_step_count=8,  # short ones, and many: they differ more
        phases=[hypothesis.Phase.generate],
        report_multiple_bugs=False,
    )
    with pytest.raises(AssertionError, match="violations"):
        tell(Flawed, 200, many)


@pytest.mark.fault(
    "F-60",
    "any of it in any order: people, deadlines, crashes at checkpoints, target and Slack down,"
    " lost answers, hostile sessions, an edited catalog, an edited record, an older one put back",
    how="random histories (Hypothesis)",
    expects="I1 to I8 after every step, of a changed record for what it knows; nobody has access"
    " beyond the deadline that was given; nothing is granted by what left the catalog; in the end"
    " nothing is left",
)
def test_whatever_happens_in_whatever_order_the_invariants_hold(histories_shop: Shop) -> None:
    InAFile.shop = histories_shop
    tell(InAFile, EXAMPLES)


@pytest.mark.fault(
    "F-60b",
    "the same by up to three replicas: one is cut off from the target, pauses in the middle of a"
    " step for longer than its claims last, or dies and lets go of nothing",
    how="random histories (Hypothesis) over a record on PostgreSQL",
    expects="as F-60",
)
def test_as_much_holds_over_a_record_on_a_server(histories_shop: Shop) -> None:
    OnAServer.shop = histories_shop
    tell(OnAServer, EXAMPLES)


@contextmanager
def history(shop: Shop) -> Iterator[InAFile]:
    """One that was found, to be told step by step; it ends as every history."""
    InAFile.shop = shop
    told = InAFile()
    try:
        told.somebody_holds_access()
        yield told
        told.settle()
    finally:
        told.leave()


@pytest.mark.fault(
    "F-60c",
    "a deadline was shortened, and before its target is told somebody edits the record to a later"
    " one",
    how="a history that was found at random",
    expects="the target is told what was decided; access ends by then",
)
def test_a_shorter_deadline_is_not_put_off_by_an_edit_of_the_record(histories_shop: Shop) -> None:
    with history(histories_shop) as found:
        (grant,) = found.world.store.grants()
        found.shorten(request_id=grant.id, seconds=600)
        found.edit_a_grant(number=0, what="later")
        found.holds()
        found.tick(1861)
        found.holds()
        assert [role.name for role in found.world.target().managed if role.can_login] == []


@pytest.mark.fault(
    "F-60d",
    "a role was made and the answer is lost twice; until hours later the bot takes no step",
    how="a history that was found at random",
    expects="it is given up, and the next step ends what was made",
)
def test_what_was_made_unheard_ends_once_it_is_given_up(histories_shop: Shop) -> None:
    with history(histories_shop) as found:
        found.answers_get_lost(times=2)
        found.more_are_granted(asks=1)
        found.tick(14_401)
        found.holds()
        assert sorted(role.can_login for role in found.world.target().managed) == [False, True]
        found.tick(0.5)
        assert found.world.target().managed == ()
