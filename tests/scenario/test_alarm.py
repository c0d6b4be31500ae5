"""An alarm in the audit channel: it calls people, they say that they know, and it is over."""

from datetime import timedelta

from bot import alarms, catalog
from bot.demo.workspace import things
from tests.scenario.conftest import ANA, BO, CATALOG, Acme

AUDIT = "C0AUDIT"


def audit(acme: Acme) -> list[things.Message]:
    return acme.workspace.messages(AUDIT)


def test_an_overdue_end_calls_people_and_is_acknowledged_by_a_click(acme: Acme) -> None:
    acme.catalog = catalog.loads(CATALOG + 'alarms: {mention: ["@data-owners", U0BO]}\n')
    request_id = acme.live()
    acme.shop.down = True
    acme.clock.raise_to(acme.clock.now() + timedelta(minutes=31))
    acme.workspace.wait_for(lambda: acme.store.grant(request_id).attempts)
    message = acme.saying(lambda: audit(acme), "*Overdue:*", "Ana Lima")
    assert message.text.startswith("<!subteam^S0OWNERS> <@U0BO> *Overdue:*")
    acme.saying(lambda: acme.cards()[-1:], "Overdue: access should have ended")
    acme.thread("Overdue: access may still exist")
    acme.workspace.click(ANA, message, "Acknowledge")
    acme.whispered(ANA, "Only those who may revoke this access", channel=AUDIT)
    acme.workspace.click(BO, message, "Acknowledge")
    acme.saying(lambda: audit(acme), "Bo knows about this")
    (known,) = alarms.everything(acme.store)
    assert known.acknowledged_by == BO
    acme.shop.down = False
    acme.saying(lambda: audit(acme), "Over: access of Ana Lima", "has ended after all")
