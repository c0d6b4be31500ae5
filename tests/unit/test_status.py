"""`jit status` and `jit ack`: what needs a person, from the record alone."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from bot import cli, service
from bot.watching import ringing, status
from db_grants import errors as target_errors
from tests import fixtures_store
from tests.fixtures_core import World


@pytest.fixture
def operator(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The command line beside a service whose clock is the machine's."""
    world.clock.raise_to(datetime.now(UTC))
    monkeypatch.setenv("JIT_DATABASE_URL", world.url)
    monkeypatch.chdir(world.url.removeprefix("sqlite:///").rpartition("/")[0])
    return world


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Exit code and answer of a command; what the service logged before is not its answer."""
    capsys.readouterr()
    return cli.run(words), capsys.readouterr().out


def beating(world: World) -> None:
    world.store.put("heartbeat", world.clock.now().isoformat())


def late(world: World, bot: service.Service) -> str:
    request_id = world.live(bot)
    bot.outbox.pump()
    world.shop.down = True
    world.advance(minutes=31)
    bot.grants.begin_due()
    bot.grants.close(request_id)
    bot.grants.watch()
    bot.outbox.pump()
    beating(world)
    world.store.remember_time()
    return request_id


def test_all_is_well(operator: World, bot: service.Service, capsys) -> None:
    operator.live(bot)
    bot.outbox.pump()
    beating(operator)
    assert cli.run(["status"]) == 0
    said = capsys.readouterr().out
    assert "Nothing needs a person." in said
    assert "1 active" in said


def test_no_sign_of_life_needs_a_person(operator: World, bot: service.Service, capsys) -> None:
    beating(operator)
    operator.advance(seconds=61)
    operator.store.remember_time()
    assert cli.run(["status"]) == 1
    assert "The bot does not run (no sign of life for 6" in capsys.readouterr().out


def test_an_alarm_names_the_grants_it_is_about_by_now(
    operator: World, bot: service.Service, capsys
) -> None:
    request_id = late(operator, bot)
    (known,) = ringing.everything(operator.store)
    said = run(capsys, "status")[1]
    assert f"alarm {known.id}     overdue on shop: {request_id}\n" in said


def test_overdue_and_cleanup_pending_are_told_apart(
    operator: World, bot: service.Service, capsys
) -> None:
    request_id = late(operator, bot)
    code, said = run(capsys, "status", "--json")
    told = json.loads(said)
    assert code == 1
    assert [each["id"] for each in told["overdue"]] == [request_id]
    assert told["cleanup_pending"] == []
    assert [each["alarm"] for each in told["alarms"]] == ["overdue"]
    assert "overdue" in run(capsys, "list")[1]
    operator.shop.down = False
    bot.grants.close(request_id)
    operator.shop.failing["remove"] = [target_errors.TargetUnavailable()]
    bot.grants.clean(request_id)
    bot.grants.watch()
    bot.outbox.pump()
    operator.store.remember_time()
    code, said = run(capsys, "status", "--json")
    told = json.loads(said)
    assert code == 0  # for a while that is nobody's business
    assert (told["overdue"], told["alarms"]) == ([], [])
    assert [each["id"] for each in told["cleanup_pending"]] == [request_id]
    shown = json.loads(run(capsys, "show", request_id, "--json")[1])
    assert shown["state"] == "cleanup pending"
    assert shown["grant"]["access_ended_at"]
    assert shown["grant"]["cleaned_up_at"] is None
    operator.advance(minutes=6)
    beating(operator)
    operator.store.remember_time()
    assert cli.run(["status"]) == 1
    assert "has ended, cleanup is pending" in capsys.readouterr().out


def test_both_times_of_an_end_are_exported(operator: World, bot: service.Service, capsys) -> None:
    request_id = operator.live(bot)
    operator.advance(minutes=30)
    bot.grants.begin_due()
    bot.grants.close(request_id)
    operator.advance(seconds=2)
    bot.grants.clean(request_id)
    _, said = run(capsys, "audit", "export")
    events = [json.loads(line)["event"] for line in said.splitlines()]
    data = {event["type"]: event["data"] for event in events}
    ended = datetime.fromisoformat(data["grant.access_ended"]["access_ended_at"])
    cleaned = datetime.fromisoformat(data["grant.ended"]["cleaned_up_at"])
    assert cleaned - ended == timedelta(seconds=2)


def test_an_alarm_is_acknowledged_from_the_command_line(
    operator: World, bot: service.Service, capsys
) -> None:
    late(operator, bot)
    (known,) = ringing.everything(operator.store)
    assert cli.run(["ack", known.id]) == 0
    assert "overdue on shop goes on" in capsys.readouterr().out
    (known,) = ringing.everything(operator.store)
    assert str(known.acknowledged_by).startswith("operator:")
    assert cli.run(["ack", known.id]) == 1
    assert cli.run(["ack", "00000000"]) == 3
    assert cli.run(["status"]) == 1  # acknowledged is not over


def test_a_chain_that_was_changed_is_noticed_cheaply(
    operator: World, bot: service.Service, capsys
) -> None:
    operator.live(bot)
    bot.outbox.pump()
    beating(operator)
    database = sa.create_engine(operator.url)
    with database.begin() as connection:
        fixtures_store.unguarded(connection, "audit_event")
        kept = connection.exec_driver_sql("SELECT body FROM audit_event WHERE seq=2").scalar_one()
        connection.exec_driver_sql("UPDATE audit_event SET body='{}' WHERE seq=2")
    assert cli.run(["status"]) == 1
    assert "The audit chain does not hold: event 2" in capsys.readouterr().out
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE audit_event SET body=? WHERE seq=2", (kept,))
    database.dispose()
    assert cli.run(["status"]) == 0


def test_metrics_are_in_the_format_of_prometheus(
    operator: World, bot: service.Service, capsys
) -> None:
    late(operator, bot)
    bot.grants.skew.look("wiki")
    code, said = run(capsys, "status", "--prometheus")
    lines = said.splitlines()
    assert code == 1
    sample = re.compile(r'jit_[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? -?[0-9.e+-]+')
    values = [line for line in lines if not line.startswith("#")]
    assert [line for line in values if not sample.fullmatch(line)] == []
    assert "jit_overdue 1" in values
    assert "jit_up 1" in values
    assert 'jit_alarm{alarm="overdue",target="shop",acknowledged="false"} 1' in values
    named = {line.split("{")[0].split()[0] for line in values}
    assert named <= {line.split()[2] for line in lines if line.startswith("# TYPE")}


def test_labels_cannot_be_broken_out_of() -> None:
    assert status._labels(target='a"b\\c\nd') == '{target="a\\"b\\\\c\\nd"}'


def test_both_forms_at_once_are_an_operators_mistake(operator: World) -> None:
    assert cli.run(["status", "--json", "--prometheus"]) == 2


def test_every_live_grant_is_counted_and_judged_however_many(
    operator: World, bot: service.Service, capsys
) -> None:
    request_id = late(operator, bot)
    fixtures_store.copy_newer(operator.url, request_id, 5001)
    told = json.loads(run(capsys, "status", "--json")[1])
    assert told["live"]["revoking"] == 5002
    assert request_id in {each["id"] for each in told["overdue"]}
