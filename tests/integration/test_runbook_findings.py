"""The runbook's entries about findings and the record, typed as written in a running demo."""

import shutil
import subprocess
from collections.abc import Iterator

import psycopg
import pytest

from bot import model
from bot.demo import launch
from bot.demo.workspace import things
from tests import runbook
from tests.runbook import ACCESS, ANA, AUDIT, BO, PATIENCE, Scene

pytestmark = [pytest.mark.timeout(180), pytest.mark.faults]

HURRIED = """
    from datetime import timedelta
    from bot.comparing import differences

    differences.SETTLE = timedelta(0)
"""


@pytest.fixture
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A demo of its own. What changed within the last minute is looked at without waiting for it."""
    with launch.running(tmp_path_factory.mktemp("demo")) as running:
        made = Scene(running)
        made.environ |= runbook.on_a_machine(made, HURRIED)
        yield made
        if made.bot is not running.bot:
            made.bot.stop()


def test_a_role_is_missing(scene: Scene) -> None:
    grant = scene.granted()
    scene.sql(f"DROP ROLE {grant.role_name}")
    assert "missing" in scene.shell("jit reconcile").said
    card = scene.reads(AUDIT, "Record and reality differ on shop", "missing", grant.role_name)
    assert f"jit revoke {grant.id}" in runbook.said(card)
    (block,) = runbook.commands("A role is missing", "sh")
    look, close, compare = block.splitlines()
    assert "active" in scene.shell(look, grant=grant.id).said
    assert scene.shell(close, grant=grant.id).said.endswith("Ended, and verified gone.\n")
    assert scene.shell(compare).said == "Record and reality agree.\n"
    scene.reads(AUDIT, f"Settled: missing {grant.role_name} on shop")


def test_a_target_came_back_from_a_backup(scene: Scene) -> None:
    data = scene.demo.target._server.config.data_dir
    backup = data.with_name(f"{data.name}-backup")
    old = scene.granted()
    scene.shell("jit reconcile")  # the running bot does so every five minutes
    scene.demo.target.down()
    subprocess.run(["cp", "-a", data, backup], check=True)  # also whose it is
    scene.demo.target.up()
    scene.shell(f"jit revoke {old.id} --wait")
    new = scene.granted()
    scene.shell("jit reconcile")
    scene.demo.target.down()
    shutil.rmtree(data)
    backup.rename(data)
    scene.demo.target.up()
    (command,) = runbook.commands("A target came back from a backup", "sh")
    answer = scene.shell(command)
    assert "restored: it is in an older state than at the last look" in answer.said
    assert f"missing {new.role_name}" in answer.said
    assert f"orphan {old.role_name}: its grant is revoked, and yet it exists" in answer.said
    assert "Ended; nothing left." in answer.said
    scene.reads(AUDIT, "restored from a backup", "If that was meant")
    scene.shell(f"jit revoke {new.id} --wait")
    assert scene.shell(command).said == "Record and reality agree.\n"
    assert scene.roles() == {}


def test_what_a_holder_made_is_kept_and_given_away(scene: Scene) -> None:
    scene.sql("GRANT CREATE ON SCHEMA app TO PUBLIC")
    grant = scene.granted()
    with psycopg.connect(scene.credentials(grant), autocommit=True) as session:
        session.execute("CREATE TABLE app.tmp_of_ana AS SELECT 1 AS id")
    scene.ends_now(grant)
    over = scene.over(grant)
    assert over.quarantined == ("table app.tmp_of_ana in shop",)
    card = scene.people.wait_for(lambda: _card(scene, "In quarantine"), PATIENCE)
    assert "app.tmp_of_ana" in runbook.said(card)
    look, give = runbook.commands("What a holder made", "sql")
    assert ("app.tmp_of_ana", "r") in scene.sql(look)
    scene.sql(give, table="app.tmp_of_ana")
    assert "app.tmp_of_ana" not in str(scene.sql(look))
    assert scene.sql("SELECT id FROM app.tmp_of_ana") == [(1,)]


def _card(scene: Scene, words: str) -> things.Message | None:
    cards = scene.people.messages(ACCESS)
    lines = (line for card in cards for line in scene.people.messages(ACCESS, card.ts))
    return next((line for line in lines if words.lower() in runbook.said(line).lower()), None)


def test_somebodys_role_has_the_name(scene: Scene) -> None:
    scene.people.slash(ANA, ACCESS, "/jit read_customer_data 30m INC-4412 export stuck")
    card = scene.reads(ACCESS, "Approve 30 min")
    (request,) = scene.records.requests()
    scene.sql(f"CREATE ROLE jit_{request.id} LOGIN; COMMENT ON ROLE jit_{request.id} IS 'mine'")
    scene.people.click(BO, card, "Approve 30 min")
    scene.reads(ACCESS, "nothing was granted", "exists and is not ours")
    (command,) = runbook.commands("Somebody's role has the name", "sql")
    assert scene.sql(command, grant=request.id) == [(f"jit_{request.id}", True, "mine")]
    scene.people.slash(ANA, ACCESS, "/jit read_customer_data 30m INC-4412 export stuck")
    again = scene.people.wait_for(
        lambda: scene.records.requests()[1:] and scene.records.pending(), PATIENCE
    )
    scene.people.click(BO, scene.reads(ACCESS, "Approve 30 min"), "Approve 30 min")
    scene.people.wait_for(lambda: _active(scene, again[0].id), PATIENCE)
    assert scene.sql(command, grant=request.id) != []


def _active(scene: Scene, grant_id: str) -> bool:
    found = scene.records.find_grant(grant_id)
    return found is not None and found.status is model.GrantStatus.ACTIVE


FULL = """
    import pathlib
    from bot.store import kept

    full, take = pathlib.Path(__file__).with_name("full"), kept.Kept._take

    def room(lines):
        line = take(lines)
        (pages,) = line.driver.execute("PRAGMA page_count").fetchone()
        line.driver.execute(f"PRAGMA max_page_count = {pages if full.exists() else 2**30}").close()
        return line

    kept.Kept._take = room
"""


def test_the_record_cannot_be_written(scene: Scene) -> None:
    """The disk of the state database has no room at a deadline: the end is not recorded, and is."""
    environ = runbook.on_a_machine(scene, FULL)
    full = scene.demo.folder / "machine" / "full"
    scene.restart(**environ)
    grant = scene.granted()
    scene.ends_now(grant) if not full.touch() else None
    room, verify = runbook.commands("The record cannot be written", "sh")
    assert scene.shell(room).code == 0
    log = scene.demo.folder / "bot.log"
    scene.people.wait_for(lambda: not _usable(scene, grant), PATIENCE)
    scene.people.wait_for(lambda: "unrecorded" in log.read_text(), PATIENCE)
    full.unlink()
    scene.over(grant)
    answer = scene.shell(verify)
    assert answer.code == 0, answer.said


def _usable(scene: Scene, grant: model.Grant) -> bool:
    return bool(
        scene.sql(f"SELECT 1 FROM pg_roles WHERE rolname = '{grant.role_name}' AND rolcanlogin")
    )
