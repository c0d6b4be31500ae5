"""The catalog file is written to while the bot runs. The bot read it when it started, and keeps that."""

import pytest

from bot import catalog, errors, model
from tests.fixtures_core import wait_for
from tests.fixtures_served import CATALOG, PATIENCE, Served

pytestmark = pytest.mark.faults


@pytest.mark.fault(
    "F-54",
    "the catalog file is half written, emptied, or gone while the bot runs",
    how="the file under a real process",
    expects="what it read at its start goes on: it grants by it and ends",
)
@pytest.mark.parametrize("left", [CATALOG[: len(CATALOG) // 2], "", None])
def test_a_running_bot_keeps_the_catalog_it_has_read(served: Served, left: str | None) -> None:
    process = served.start()
    file = served.folder / "catalog.yml"
    file.unlink() if left is None else file.write_text(left)
    served.ask()
    grant = served.reaches(model.GrantStatus.ACTIVE)
    assert served.roles() == [grant.role_name]
    served.end_now()
    served.reaches(model.GrantStatus.ENDED)
    assert served.roles() == []
    wait_for(lambda: served.said("Access ended and verified"), PATIENCE)
    assert process.alive


def test_half_a_catalog_is_no_catalog() -> None:
    """Otherwise the test above would show nothing."""
    with pytest.raises(errors.OperatorError):
        catalog.loads(CATALOG[: len(CATALOG) // 2])
