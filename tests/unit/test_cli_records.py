"""`jit list`, `show`, `revoke`, `shorten` and `audit` on a real record."""

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest

from bot import cli, errors, model
from bot.audit import chain
from tests import fixtures_store
from tests.fixtures_core import ANA, BO, wait_for


@pytest.fixture
def jit(world, tmp_path, monkeypatch, capsys):
    """Runs a command on the record of `world`, which lives in our own time."""
    world.clock.raise_to(datetime.now(UTC))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JIT_DATABASE_URL", world.url)
    monkeypatch.delenv("JIT_AUDIT_KEY", raising=False)

    def run(*arguments):
        capsys.readouterr()  # what the service around us logged is not the command's
        code = cli.run(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_nothing_is_told_as_nothing(jit):
    assert jit("list") == (0, "Nothing is granted and nothing is waiting.\n", "")
    assert jit("list", "--json") == (0, "[]\n", "")


def test_list_shows_what_is_granted_and_what_is_waiting(jit, world, bot):
    waiting, live = world.ask(bot, entitlement="read_pages"), world.live(bot)
    over = world.ask(bot, entitlement="write_orders")
    bot.access.cancel(over, ANA.id)
    out = jit("list")[1]
    assert {line.split()[0]: line.split()[1] for line in out.splitlines()[1:]} == {
        waiting: "pending",
        live: "active",
    }
    assert over in jit("list", "--all")[1]


def test_list_says_until_when_it_really_was(jit, world, bot):
    live = world.live(bot)
    until = f"{world.grant(live).expires_at:%Y-%m-%d %H:%M:%SZ}"
    assert until in jit("list")[1]
    world.advance(minutes=3)
    bot.grants.give_back(live, ANA.id)
    bot.grants.end(live)
    ended = world.grant(live).access_ended_at
    assert f"{ended:%Y-%m-%d %H:%M:%SZ}" in jit("list", "--all")[1]


def test_list_answers_programs(jit, world, bot):
    live = world.live(bot)
    (told,) = json.loads(jit("list", "--json")[1])
    assert (told["id"], told["status"], told["requester"]) == (live, "active", "Ana Lima")
    assert told["duration"] == 1800
    assert datetime.fromisoformat(told["expires_at"]) == world.grant(live).expires_at


def test_list_shows_all_however_many_newest_first(jit, world):
    made = [fixtures_store.granted(world.store).id for _ in range(203)]
    world.clock.advance(timedelta(seconds=1))
    made += [
        fixtures_store.submit(world.store, created_at=world.clock.now()).id for _ in range(203)
    ]
    told = [each["id"] for each in json.loads(jit("list", "--json")[1])]
    assert sorted(told) == sorted(made)
    assert set(told[:203]) == set(made[203:])


def test_list_all_puts_what_is_over_in_its_place(jit, world, bot):
    over = world.ask(bot, entitlement="write_orders")
    bot.access.cancel(over, ANA.id)
    world.clock.advance(timedelta(seconds=1))
    live = world.live(bot)
    assert [each["id"] for each in json.loads(jit("list", "--all", "--json")[1])] == [live, over]


def test_show_tells_everything_of_one_request(jit, world, bot):
    live = world.live(bot)
    out = jit("show", live)[1]
    for said in ("Ana Lima (U0ANA)", "read_customers on shop", "approve by Bo Chen", f"jit_{live}"):
        assert said in out
    told = json.loads(jit("show", live, "--json")[1])
    assert told["request"]["justification"] == "export stuck"
    assert len(told["events"]) == len(world.events(live))


def test_show_does_not_let_others_words_command_the_terminal(jit, world, bot):
    asked = world.ask(bot, justification="x\x1b]0;pwned\x07\u202ey")
    out = jit("show", asked)[1]
    assert "pwned" in out
    assert not set(out) & {"\x1b", "\x07", "\u202e"}


@pytest.mark.parametrize(
    "command", [("show", "nope"), ("revoke", "nope"), ("shorten", "nope", "--left", "1m")]
)
def test_what_is_not_there_exits_3(jit, command):
    assert jit(*command)[0] == 3


def test_shorten_brings_the_deadline_nearer_and_is_audited(jit, world, bot):
    live = world.live(bot)
    code, out, _ = jit("shorten", live, "--left", "60s")
    assert code == 0
    assert out.startswith(f"{live}: ends at ")
    left = world.grant(live).expires_at - datetime.now(UTC)
    assert timedelta(seconds=50) < left <= timedelta(seconds=60)
    last = json.loads(world.store.events_of(live)[-1].body)
    assert last["actor"]["kind"] == "operator"


def test_shorten_never_lengthens(jit, world, bot):
    live = world.live(bot)
    before = world.grant(live).expires_at
    code, _, err = jit("shorten", live, "--left", "5h")
    assert code == 1
    assert "ends earlier than that already" in err
    assert world.grant(live).expires_at == before


@pytest.mark.parametrize("left", ["x", "-5m", "nan", "1e9"])
def test_shorten_refuses_what_is_no_duration(jit, world, bot, left):
    live = world.live(bot)
    assert jit("shorten", live, f"--left={left}")[0] == 2


def test_nothing_left_ends_it_at_once(jit, world, bot):
    live = world.live(bot)
    assert jit("shorten", live, "--left", "0s")[0] == 0
    assert world.grant(live).expires_at <= datetime.now(UTC)


def test_revoke_records_the_end_with_its_operator(jit, world, bot):
    live = world.live(bot)
    assert jit("revoke", live, "--comment", "laptop lost") == (0, f"{live}: revoking.\n", "")
    grant = world.grant(live)
    assert (grant.status, grant.cause) == (model.GrantStatus.REVOKING, model.EndCause.OPERATOR)
    assert grant.end_comment == "laptop lost"


def test_revoke_all_ends_every_grant_however_many(jit, world):
    for _ in range(203):  # the record tells of 200 at a time
        fixtures_store.granted(world.store)
    code, out, _ = jit("revoke", "--all")
    assert (code, len(out.splitlines())) == (0, 203)
    assert world.store.grants(status={model.GrantStatus.ACTIVE}) == ()


def test_revoke_needs_neither_settings_nor_catalog_nor_target(jit, world, bot, tmp_path):
    live = world.live(bot)
    (tmp_path / "catalog.yml").write_text("broken: [")
    world.shop.down = True
    assert jit("revoke", live)[0] == 0


def test_revoke_what_is_over_is_told(jit, world, bot):
    live = world.live(bot)
    bot.grants.give_back(live, ANA.id)
    bot.grants.end(live)
    code, out, err = jit("revoke", live)
    assert (code, out) == (1, "")
    assert err


def test_revoke_all_ends_every_grant(jit, world, bot):
    lives = {world.live(bot), world.live(bot, entitlement="read_pages")}
    world.ask(bot)
    assert jit("revoke", "--all")[0] == 0
    assert {world.grant(g).status for g in lives} == {model.GrantStatus.REVOKING}
    assert jit("revoke", "--all")[1] == "Nothing is granted.\n"


def test_revoke_wants_one_or_all(jit):
    assert jit("revoke")[0] == 2
    assert jit("revoke", "abc", "--all")[0] == 2


def test_wait_returns_when_access_has_ended(jit, world, bot):
    live = world.live(bot)

    def end():
        wait_for(lambda: world.grant(live).status is model.GrantStatus.REVOKING)
        bot.grants.end(live)

    other = threading.Thread(target=end)
    other.start()
    code, out, _ = jit("revoke", live, "--wait")
    other.join()
    assert code == 0
    assert out.endswith("Ended, and verified gone.\n")


def test_wait_gives_up_in_words_when_nothing_ends_it(jit, world, bot):
    live = world.live(bot)
    code, out, _ = jit("revoke", live, "--wait", "--patience", "0.1")
    assert code == 1
    assert f"{live}: still has access; is the bot running?" in out


def test_what_is_ending_already_is_waited_for(jit, world, bot):
    live = world.live(bot)
    assert jit("revoke", live)[0] == 0
    code, out, err = jit("revoke", live, "--wait", "--patience", "0.1")
    assert (code, err) == (1, "")
    assert f"{live}: still has access; is the bot running?" in out
    assert jit("revoke", live)[0] == 1  # nothing to wait for: it is said that it was done before
    bot.grants.end(live)
    assert jit("revoke", live, "--wait")[0] == 1  # over


def test_the_chain_is_verified(jit, world, bot):
    world.live(bot)
    code, out, _ = jit("audit", "verify")
    _, head = world.store.chain_head()
    assert code == 0
    assert head in out
    assert jit("audit", "verify", "--head", head[:12])[0] == 0
    assert json.loads(jit("audit", "verify", "--json")[1])["ok"] is True


def test_the_chain_is_verified_from_where_it_was_verified_before(jit, world, bot):
    world.live(bot)
    seq, head = world.store.chain_head()
    seen = f"{seq}:{head}"
    assert jit("audit", "verify", "--since", seen)[0] == 0
    world.ask(bot)
    code, out, _ = jit("audit", "verify", "--since", seen)
    last, head = world.store.chain_head()
    assert (code, out) == (0, f"Events {seq} to {last} hold; the chain's head is {head}.\n")
    code, out, _ = jit("audit", "verify", "--since", f"{seq}:00c0ffee")
    assert code == 1
    assert f"not the event that was seen. Those before {seq} were not walked." in out
    code, out, _ = jit("audit", "verify", "--since", f"{last + 5}:{head}")
    assert code == 1
    assert f"the chain ends at {last}, but event {last + 5} was seen" in out
    for wrong in ("7", "0:00c0ffee", "x:00c0ffee", f"{seq}:00"):
        assert jit("audit", "verify", "--since", wrong)[0] == 2


def test_a_head_that_is_not_in_the_chain_is_a_finding(jit, world, bot):
    world.ask(bot)
    code, out, _ = jit("audit", "verify", "--head", "00c0ffee")
    assert code == 1
    assert "its end was cut off, or that is the head of another record" in out
    assert jit("audit", "verify", "--head", "0")[0] == 2
    assert jit("audit", "verify", "--head", "not a hash")[0] == 2


def test_every_event_is_exported(jit, world, bot):
    world.live(bot)
    exported = jit("audit", "export")[1].splitlines()
    assert exported == list(chain.export_jsonl(world.store))
    lines = [json.loads(line) for line in exported]
    assert [line["event"]["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert {"at", "type", "actor", "prev", "data"} <= set(lines[0]["event"])
    assert jit("audit", "export", "--after", "2")[1].splitlines() == exported[2:]


def test_a_record_that_is_not_there_is_not_made(jit, tmp_path, monkeypatch):
    monkeypatch.setenv("JIT_DATABASE_URL", "sqlite:///absent.sqlite3")
    code, _, err = jit("audit", "verify")
    assert code == 2
    assert err == "There is no record at absent.sqlite3; `jit serve` makes one.\n"
    assert not (tmp_path / "absent.sqlite3").exists()


def test_a_grant_is_also_named_by_its_role(jit, world, bot):
    live = world.live(bot)
    assert jit("show", f"jit_{live}") == jit("show", live)
    assert jit("shorten", f"jit_{live}", "--left", "5m")[0] == 0
    assert jit("revoke", f"jit_{live}") == (0, f"{live}: revoking.\n", "")


def test_what_does_not_exist_is_told_with_where_to_look(jit, world):
    said = "There is no request nope; `jit list --all` shows them.\n"
    assert jit("show", "nope") == (3, "", said)
    assert jit("give-up", "nope", "--because", "x") == (3, "", "There is no grant nope.\n")


def test_show_tells_who_did_what(jit, world, bot):
    live = world.live(bot)
    bot.grants.shorten(live, timedelta(seconds=60), "root")
    lines = jit("show", live)[1].splitlines()
    done = {line.split()[2]: line.split("  ")[-1].strip() for line in lines if "Z  " in line}
    assert done["review.approve"] == BO.name
    assert done["grant.shortened"] == "root (command line)"
    assert done["grant.active"] == "grant.active"  # the bot, by itself


def test_show_tells_what_was_said_to_whoever_pressed_in_vain(jit, world, bot):
    asked = world.ask(bot)
    with pytest.raises(errors.NotAllowed):
        world.approve(bot, asked, ANA)
    (line,) = [each for each in jit("show", asked)[1].splitlines() if "click.refused" in each]
    assert "U0ANA: You asked for this, so someone else has to decide." in line
