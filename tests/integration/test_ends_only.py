"""`jit serve` with a catalog that cannot be used, or without the way to a target, as a process.

What is live ends on time whatever has become of the set-up; nothing is granted by it.
"""

import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from bot import errors, model
from bot.demo import bot_process
from bot.demo.workspace import server, things
from bot.telling.notices import Alarm
from bot.watching import ringing
from tests.fixtures_core import wait_for
from tests.fixtures_postgres import Shop
from tests.fixtures_served import CATALOG, PATIENCE, Served
from tests.scenario.conftest import text_of

TWO = CATALOG.replace(
    "entitlements:",
    """  wiki: {url_env: WIKI_URL, environment: production}
entitlements:
  read_customer_data:
    target: wiki
    scope:
      - {table: app.customers, columns: [id, name, email, city], can: read}
      - {table: app.orders, can: read}
    requesters: [everyone]
    approval: owners""",
)
ONLY_WIKI = TWO.replace("  shop: {url_env: SHOP_URL, environment: production}\n", "").replace(
    "target: shop", "target: wiki"
)
ASK = "/jit read_orders 30m export stuck"
ASK_PEOPLE = "/jit read_orders 2h export stuck"


class Home(Served):
    """As Served, with a catalog that changes between two starts."""

    def catalog(self, text: str) -> None:
        (self.folder / "catalog.yml").write_text(text)

    def again(self) -> None:
        """Stop it in order and start it over the same record."""
        assert self.process is not None
        self.process.stop()
        self.workspace.wait_for(lambda: not self.workspace.connected, timeout=PATIENCE)
        self.start()

    def live(self) -> model.Grant:
        self.start()
        self.ask()
        return self.reaches(model.GrantStatus.ACTIVE)

    def alarm(self, kind: Alarm) -> ringing.Open:
        wait_for(lambda: kind in self.alarms(), PATIENCE)
        return next(each for each in ringing.everything(self.store) if each.condition.kind is kind)

    def alarms(self) -> list[Alarm]:
        return [each.condition.kind for each in ringing.everything(self.store)]

    def whispered(self, user: str, *words: str, channel: str = "C0GENERAL") -> None:
        def found() -> bool:
            messages = self.workspace.messages(channel, as_user=user)
            return any(
                all(word in text_of(m) for word in words) for m in messages if m.only_for == user
            )

        self.workspace.wait_for(found, timeout=PATIENCE)

    def shown(self, view: Callable[[], things.View | None], words: str) -> None:
        def found() -> bool:
            return (seen := view()) is not None and words in text_of(seen)

        self.workspace.wait_for(found, timeout=PATIENCE)

    def audited(self, *words: str) -> None:
        def found() -> bool:
            said = self.workspace.messages("C0AUDIT")
            return any(all(word in text_of(m) for word in words) for m in said)

        self.workspace.wait_for(found, timeout=PATIENCE)

    def log(self) -> str:
        return (self.folder / "bot.log").read_text()


Jit = Callable[..., tuple[int, str]]


@pytest.fixture
def home(tmp_path: pathlib.Path, shop: Shop, workspace_server: server.Server) -> Iterator[Home]:
    made = Home(tmp_path, shop, workspace_server)
    yield made
    made.close()


@pytest.fixture
def jit(home: Home) -> Jit:
    """Runs a command as a process of its own; its exit code and what it said."""

    def run(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "bot", *words],
            cwd=home.folder,
            env={**os.environ, **home.environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def half(text: str) -> str:
    """As an editor or a copy leaves it that was stopped in the middle of a line."""
    return text[: text.index("approval: owners")] + 'approval: "ow'


@pytest.mark.fault(
    "F-54b",
    "the catalog is half written, deleted or wrong when the bot starts",
    how="a real process",
    expects="what is live ends on time, nothing is granted, an alarm says so",
)
@pytest.mark.parametrize(
    "broken",
    [half(CATALOG), None, CATALOG.replace("approvers", "approvres")],
    ids=["half", "deleted", "wrong"],
)
def test_what_is_live_ends_on_time_though_the_catalog_cannot_be_used(
    home: Home, jit: Jit, broken: str | None
) -> None:
    grant = home.live()
    file = home.folder / "catalog.yml"
    file.unlink() if broken is None else home.catalog(broken)
    home.again()
    assert home.alarm(Alarm.ENDS_ONLY).condition.target == "catalog"
    home.audited("*Ends only:*", "catalog.yml")
    code, said = jit("status")
    assert code == 1
    assert "the catalog cannot be used" in said
    assert "last sign of life  none" not in said
    home.workspace.slash("U0ANA", "C0GENERAL", ASK)
    home.whispered("U0ANA", "Nothing can be requested or approved just now", "catalog.yml")
    home.end_now()
    assert home.reaches(model.GrantStatus.ENDED).id == grant.id
    assert home.roles() == []
    assert len(home.store.requests()) == 1
    assert "ends_only" in home.log()
    home.catalog(CATALOG)
    home.again()
    wait_for(lambda: home.alarms() == [], PATIENCE)
    home.workspace.slash("U0ANA", "C0GENERAL", ASK)
    wait_for(lambda: len(home.store.grants(status={model.GrantStatus.ACTIVE})) == 1, PATIENCE)


def test_people_are_answered_and_may_end_access_while_the_catalog_cannot_be_used(
    home: Home,
) -> None:
    grant = home.live()
    home.workspace.slash("U0CLEO", "C0GENERAL", ASK_PEOPLE)
    wait_for(lambda: len(home.store.pending()) == 1 and not home.store.outbox_depth(), PATIENCE)
    (pending,) = home.store.pending()
    home.catalog("entitlements: [")
    home.again()
    card = home.workspace.messages("C0ACCESS")[-1]
    home.workspace.click("U0BO", card, "Approve 2 h")
    home.whispered("U0BO", "approved just now", "catalog.yml:1", channel="C0ACCESS")
    assert home.store.request(pending.id).status is model.RequestStatus.PENDING
    home.workspace.slash("U0ANA", "C0GENERAL", "/jit")
    home.shown(lambda: home.workspace.view_of("U0ANA"), "approved just now")
    home.workspace.open_home("U0ANA")
    home.shown(lambda: home.workspace.home_of("U0ANA"), "approved just now")
    home.workspace.slash("U0BO", "C0GENERAL", f"/jit revoke {grant.id} incident")
    wait_for(lambda: home.store.grant(grant.id).status is model.GrantStatus.REVOKED, PATIENCE)
    assert home.roles() == []


def test_a_grant_in_the_making_waits_until_the_catalog_is_mended(home: Home) -> None:
    home.start("activation-intended")
    home.ask()
    home.died()
    home.catalog(half(CATALOG))
    home.start()
    grant = home.reaches(model.GrantStatus.ACTIVATING)
    why = "Nothing is granted just now"
    wait_for(lambda: why in str(home.store.grant(grant.id).last_error), PATIENCE)
    assert home.roles() == []
    home.catalog(CATALOG)
    home.again()
    assert home.reaches(model.GrantStatus.ACTIVE).id == grant.id


def test_without_an_earlier_catalog_it_speaks_where_the_cards_are(home: Home) -> None:
    grant = home.live()
    home.store.forget("catalog.last")  # as with a record of an older version
    home.catalog(half(CATALOG))
    home.again()
    home.end_now()
    assert home.reaches(model.GrantStatus.ENDED).id == grant.id
    wait_for(lambda: home.said("*Ends only:*") == 1, PATIENCE)


@pytest.mark.fault(
    "F-54c",
    "a target left the catalog, and its URL the environment",
    how="a real process",
    expects="an alarm at once; with the variable back, its grants end",
)
def test_a_target_that_left_with_its_address_is_an_alarm_until_it_is_back(
    home: Home, jit: Jit
) -> None:
    grant = home.live()
    url = home.environ.pop("SHOP_URL")
    home.environ["WIKI_URL"] = home.shop.bot_url
    home.catalog(ONLY_WIKI)
    home.again()
    stranded = home.alarm(Alarm.STRANDED).condition
    assert (stranded.target, stranded.grants) == ("shop", (grant.id,))
    home.audited("*No connection to shop*", "SHOP_URL is not set", "Ana Lima")
    code, said = jit("status")
    assert code == 1
    assert "There is no connection to shop, where 1 grant is live. SHOP_URL is not set." in said
    home.end_now()
    wait_for(lambda: "SHOP_URL is not set" in str(home.store.grant(grant.id).last_error), PATIENCE)
    home.environ["SHOP_URL"] = url
    home.again()
    home.reaches(model.GrantStatus.ENDED)
    assert home.roles() == []
    wait_for(lambda: home.alarms() == [], PATIENCE)


@pytest.mark.fault(
    "F-54d",
    "the URL of one target is missing when the bot starts",
    how="a real process",
    expects="the others are served; nothing on that one can be requested; an alarm says so",
)
def test_one_target_without_an_address_does_not_keep_the_others_from_being_served(
    home: Home, jit: Jit
) -> None:
    home.environ["WIKI_URL"] = home.shop.bot_url
    home.catalog(TWO)
    grant = home.live()
    del home.environ["SHOP_URL"]
    home.again()
    assert home.alarm(Alarm.STRANDED).condition.grants == (grant.id,)
    home.workspace.slash("U0ANA", "C0GENERAL", ASK)
    home.whispered("U0ANA", "Nothing on shop can be requested", "SHOP_URL is not set")
    home.workspace.slash("U0ANA", "C0GENERAL", "/jit read_customer_data 30m export stuck")
    wait_for(lambda: len(home.store.grants(status={model.GrantStatus.ACTIVE})) == 2, PATIENCE)
    code, said = jit("check", "--json")
    assert code == 1
    assert "SHOP_URL is not set" in said


def test_a_target_without_an_address_and_without_grants_is_told_as_well(
    home: Home, jit: Jit
) -> None:
    home.environ["WIKI_URL"] = home.shop.bot_url
    del home.environ["SHOP_URL"]
    home.catalog(TWO)
    home.start()
    assert home.alarm(Alarm.STRANDED).condition.grants == ()
    home.audited("*No connection to shop*", "nothing is live")
    assert jit("status")[0] == 1


def test_with_nothing_live_a_broken_set_up_is_refused_in_one_sentence(home: Home) -> None:
    del home.environ["SHOP_URL"]
    with pytest.raises(errors.OperatorError, match="SHOP_URL is not set"):
        home.start()
    home.catalog(half(CATALOG))
    with pytest.raises(errors.OperatorError, match=r"catalog.yml:\d+: this is not YAML"):
        home.start()


@pytest.mark.fault(
    "F-54e",
    "a broken catalog is taken up by a reload",
    how="SIGHUP to a real process",
    expects="refused in the log; the bot goes on by what it had read",
)
def test_a_reload_takes_up_a_good_catalog_and_refuses_a_broken_one(home: Home) -> None:
    process = home.start()
    pid = process.pid
    assert pid is not None
    home.catalog(half(CATALOG))
    os.kill(pid, signal.SIGHUP)
    wait_for(lambda: "reload_refused" in home.log(), PATIENCE)
    home.ask()
    home.reaches(model.GrantStatus.ACTIVE)
    home.catalog(CATALOG.replace("auto_approve_up_to: 30m", "auto_approve_up_to: 2h"))
    os.kill(pid, signal.SIGHUP)
    wait_for(lambda: home.log().count(" ready ") == 2, PATIENCE)
    home.workspace.wait_for(lambda: home.workspace.connected == 1, timeout=PATIENCE)
    assert process.pid == pid
    home.workspace.slash("U0ANA", "C0GENERAL", ASK_PEOPLE)
    wait_for(lambda: len(home.store.grants(status={model.GrantStatus.ACTIVE})) == 2, PATIENCE)


def test_a_reload_ends_the_mode_for_ends_alone(home: Home) -> None:
    home.live()
    home.catalog(half(CATALOG))
    home.again()
    home.alarm(Alarm.ENDS_ONLY)
    home.catalog(CATALOG)
    assert home.process is not None
    assert home.process.pid is not None
    os.kill(home.process.pid, signal.SIGHUP)
    wait_for(lambda: home.alarms() == [], PATIENCE)


@pytest.mark.fault(
    "F-54f",
    "Slack refuses the bot's token when it starts",
    how="a real process with another token",
    expects="what is live ends on time; with nothing live it does not start",
)
def test_a_token_that_slack_refuses_does_not_keep_access_alive(home: Home) -> None:
    grant = home.live()
    assert home.process is not None
    home.process.stop()
    wrong = home.environ | {"SLACK_BOT_TOKEN": "xoxb-no-longer-good"}
    home.process = bot_process.BotProcess(wrong, home.folder / "bot.log", home.folder)
    home.process.start()
    assert "slack_refused" in home.log()
    home.end_now()
    assert home.reaches(model.GrantStatus.ENDED).id == grant.id
    assert home.roles() == []
    home.process.stop()
    with pytest.raises(errors.OperatorError, match="Slack does not accept SLACK_BOT_TOKEN"):
        home.process.start()
