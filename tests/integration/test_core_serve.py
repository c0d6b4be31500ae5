"""`jit serve` as a process of its own: killed by SIGKILL between two steps, started again, stopped."""

import gc
import pathlib
import sys
import time

import pytest

from bot import model
from bot.cli import serve
from tests.fixtures_core import wait_for
from tests.fixtures_served import CATALOG, PATIENCE, Served
from tests.integration.test_core_crashes import ENDING, GRANTING


@pytest.mark.fault(
    "F-09",
    "SIGKILL at any step of granting",
    how="checkpoint kills a real process",
    expects="after the restart one grant and its role, said once",
)
@pytest.mark.parametrize("name", [n for n in GRANTING if n != "decision-recorded"])
def test_killed_while_granting_it_grants_once(served: Served, name: str) -> None:
    served.start(name)
    served.ask()
    served.died()
    served.start()
    grant = served.reaches(model.GrantStatus.ACTIVE)
    assert served.roles() == [grant.role_name]
    assert len(served.store.requests()) == 1
    wait_for(lambda: served.store.outbox_depth() == 0, PATIENCE)
    assert served.said(f"Live as {grant.role_name}") == 1


@pytest.mark.fault(
    "F-14",
    "SIGKILL at any step of an end",
    how="checkpoint kills a real process",
    expects="after the restart it ends once, no role remains, one summary",
)
@pytest.mark.parametrize("name", ENDING)
def test_killed_while_ending_it_ends_once_and_nothing_remains(served: Served, name: str) -> None:
    served.start(name)
    served.ask()
    served.end_now()
    served.died()
    served.start()
    served.reaches(model.GrantStatus.ENDED)
    assert served.roles() == []
    wait_for(lambda: served.store.outbox_depth() == 0, PATIENCE)
    assert served.said("Access ended and verified") == 1


@pytest.mark.fault(
    "F-20",
    "the bot is dead at a deadline",
    how="SIGKILL of a real process",
    expects="access ends within 10 s of the next start",
)
def test_a_deadline_that_passes_while_it_is_dead_is_honoured_within_seconds(
    served: Served,
) -> None:
    served.start()
    served.ask()
    served.reaches(model.GrantStatus.ACTIVE)
    assert served.process is not None
    served.process.kill()
    served.end_now()
    begin = time.monotonic()
    served.start()
    served.reaches(model.GrantStatus.ENDED)
    assert time.monotonic() - begin < 10


@pytest.mark.fault(
    "F-47", "SIGTERM", how="signal to a real process", expects="it stops in order within 10 s"
)
def test_sigterm_stops_it_in_order_within_ten_seconds(served: Served) -> None:
    process = served.start()
    assert process.pid is not None
    begin = time.monotonic()
    process.stop()
    assert time.monotonic() - begin < 10
    assert "stopped" in (served.folder / "bot.log").read_text()
    assert "Traceback" not in (served.folder / "bot.log").read_text()


def test_the_log_holds_no_password(served: Served) -> None:
    served.start()
    served.ask()
    served.reaches(model.GrantStatus.ACTIVE)
    log = (served.folder / "bot.log").read_text()
    for secret in ("xoxb-", "xapp-", "bot-password-of-the-tests"):
        assert secret not in log


def test_slack_without_an_answer_at_the_start_is_no_want_of_approvers(served: Served) -> None:
    served.workspace.trouble.fail("usergroups.list", "service_unavailable", n=50)
    served.start()
    log = served.folder / "bot.log"
    wait_for(lambda: "target_finding" in log.read_text(), PATIENCE)  # said after it
    told = log.read_text().splitlines()
    assert len([line for line in told if "reference_unknown" in line]) == 1
    assert not [line for line in told if "dead_end" in line]


def test_a_wrong_catalog_is_told_in_one_sentence(served: Served, tmp_path: pathlib.Path) -> None:
    (tmp_path / "catalog.yml").write_text(CATALOG.replace("approvers", "approvres"))
    with pytest.raises(Exception, match="unknown key `approvres`"):
        served.start()


def test_what_exists_at_the_start_is_not_gone_through_again() -> None:
    try:
        serve.keep_for_good()
        assert gc.get_freeze_count() > len(sys.modules)
    finally:
        gc.unfreeze()
