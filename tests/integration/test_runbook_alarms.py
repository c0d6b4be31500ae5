"""The runbook's entries about alarms, typed as written in a running demo that is in that trouble."""

import http.server
import json
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from bot.demo import launch
from bot.watching import ringing
from tests import runbook
from tests.holders import is_cut
from tests.runbook import AUDIT, PATIENCE, Scene

pytestmark = [pytest.mark.timeout(180), pytest.mark.faults]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[launch.Demo]:
    with launch.running(tmp_path_factory.mktemp("demo")) as running:
        yield running


@pytest.fixture
def scene(demo: launch.Demo) -> Iterator[Scene]:
    made = Scene(demo)
    yield made
    made.people.trouble.clear()
    demo.target.up()
    if made.bot is not demo.bot or not demo.bot.alive:
        made.bot.stop()
        demo.bot.start()
        made.people.wait_for(lambda: made.people.connected, PATIENCE)


def alarm(scene: Scene, kind: str) -> ringing.Open:
    def look() -> ringing.Open | None:
        found = (each for each in ringing.everything(scene.records) if each.condition.kind == kind)
        return next(found, None)

    found: ringing.Open = scene.people.wait_for(look, PATIENCE)
    return found


def test_access_is_overdue_because_the_bot_is_dead(scene: Scene) -> None:
    grant = scene.granted()
    scene.demo.bench.clock(grant.id, 12)
    until = f"SELECT 1 FROM pg_roles WHERE rolname = '{grant.role_name}' AND rolvaliduntil < now() + '13 s'"
    scene.people.wait_for(lambda: scene.sql(until), PATIENCE)  # its own deadline is shortened too
    scene.bot.kill()
    scene.people.wait_for(lambda: "is overdue on shop" in scene.shell("jit status").said, 60)
    (command,) = runbook.commands("Access is overdue", "sh")
    answer = scene.shell(command)
    assert answer.code == 0
    assert f"{grant.role_name}: ended, nothing left" in answer.said
    assert grant.role_name not in scene.roles()
    scene.bot.start()
    scene.over(grant)


def test_access_is_overdue_and_ended_by_hand(scene: Scene) -> None:
    """A session that the bot may not cut, for its role was given powers that we never give."""
    grant = scene.granted()
    with psycopg.connect(scene.credentials(grant), autocommit=True) as session:
        scene.sql(f"ALTER ROLE {grant.role_name} SUPERUSER")
        scene.ends_now(grant)
        card = scene.reads(AUDIT, "*Overdue on shop:*", grant.role_name)
        assert "*Do*" in runbook.said(card)
        (command,) = runbook.commands("Access is overdue", "sql")
        scene.sql(command, grant=grant.id)
        assert is_cut(session)
    scene.sql(f"ALTER ROLE {grant.role_name} NOSUPERUSER")
    scene.over(grant)
    scene.reads(AUDIT, "Over: access of Ana Lima", "has ended after all", grant.id)


def test_something_remains(scene: Scene) -> None:
    grant = scene.granted()
    scene.sql(f"GRANT SELECT ON app.payments TO {grant.role_name}")
    scene.ends_now(grant)
    scene.people.wait_for(lambda: scene.records.grant(grant.id).residue, PATIENCE)
    (look,) = runbook.commands("Something remains", "sh")
    assert "pg_class.relacl" in scene.shell(look, grant=grant.id).said
    (command,) = runbook.commands("Something remains", "sql")
    scene.sql(command, grant=grant.id)
    scene.over(grant)
    assert grant.id not in scene.shell("jit list").said


def test_a_target_that_the_bot_has_no_way_to(scene: Scene) -> None:
    grant = scene.granted()
    scene.restart(SHOP_DATABASE_URL=None)
    scene.reads(AUDIT, "*No connection to shop:*", "Ana Lima", "restart the bot")
    scene.restart()
    scene.reads(AUDIT, "Over: nothing on shop is without a connection any more", "live on")
    (command,) = runbook.commands("A target left the catalog", "sh")
    answer = scene.shell(command, grant=grant.id)
    assert (answer.code, answer.said.splitlines()[-1]) == (0, "Ended, and verified gone.")


ELSEWHERE = """
    import pathlib
    from datetime import timedelta
    from bot.granting import skew
    from db_grants.postgres import engine

    set_by = pathlib.Path(__file__).with_name("set_by")
    true_time = engine.PostgresEngine.server_time

    def server_time(self):
        return true_time(self) + timedelta(seconds=float(set_by.read_text()))

    engine.PostgresEngine.server_time = server_time
    skew.EVERY = timedelta(seconds=2)
"""


def test_the_clocks_differ(scene: Scene) -> None:
    """Both are one machine here, so the bot is made to read the target's clock as another one's."""
    environ = runbook.on_a_machine(scene, ELSEWHERE)
    set_by = scene.demo.folder / "machine" / "set_by"
    _write(set_by, "45")
    scene.restart(**environ)
    card = scene.reads(AUDIT, "*Clocks differ on shop:*", "45 s ahead of the bot's")
    assert "set both machines by network time" in runbook.said(card)
    (command,) = runbook.commands("The clocks differ", "sh")
    answer = scene.shell(command)
    assert answer.code == 1
    assert "The clock of shop is 45 s ahead of the bot's" in answer.said
    _write(set_by, "0")
    scene.people.wait_for(lambda: scene.shell(command).code == 0, PATIENCE)
    scene.reads(AUDIT, "Over: the clock of shop agrees with the bot's")


def _write(file: pathlib.Path, text: str) -> None:
    """At once: who reads it meanwhile finds one or the other, and never nothing."""
    whole = file.with_suffix(".whole")
    whole.write_text(text)
    whole.replace(file)


HURRIED = """
    from datetime import timedelta
    from bot.watching import conditions, status

    conditions.UNSAID_AFTER = timedelta(seconds=2)
"""


def test_slack_takes_nothing(scene: Scene) -> None:
    """Ten minutes of waiting are cut short; everything else is as it is."""
    heard: list[dict[str, Any]] = []
    with Endpoint(heard) as url:
        catalog = scene.demo.folder / "catalog.yml"
        kept = catalog.read_text()
        catalog.write_text(f"{kept}\nalarms: {{webhook_env: JIT_ALARM_WEBHOOK}}\n")
        try:
            scene.restart(JIT_ALARM_WEBHOOK=url, **runbook.on_a_machine(scene, HURRIED))
            scene.people.trouble.fail("chat.postMessage", "internal_error", 10_000)
            grant = scene.granted()
            known = alarm(scene, "unsaid")
            (command,) = runbook.commands("Slack takes nothing", "sh")
            answer = scene.shell(command)
            assert "unsaid on outbox" in answer.said
            assert "messages waiting   0" not in answer.said
            scene.people.wait_for(lambda: [e for e in heard if e["id"] == known.id], PATIENCE)
            scene.people.trouble.clear()
            scene.people.wait_for(lambda: not ringing.everything(scene.records), PATIENCE)
            scene.reads(runbook.ACCESS, "read orders", "Active until")
            scene.people.wait_for(lambda: scene.shell(command).code == 0, PATIENCE)
            scene.shell(f"jit revoke {grant.id} --wait")
        finally:
            catalog.write_text(kept)


class Endpoint:
    """Somebody's alerting, on this machine."""

    def __init__(self, heard: list[dict[str, Any]]) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}/hook"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
