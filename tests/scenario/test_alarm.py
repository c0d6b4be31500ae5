"""An alarm in the audit channel: it calls people, they say that they know, and it is over."""

from datetime import timedelta

from bot import catalog
from bot.demo.workspace import things
from bot.slack import client
from bot.watching import alarms, ringing
from db_grants import errors as target_errors
from tests.scenario.conftest import ANA, BO, CATALOG, DAN, Acme, text_of

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
    (known,) = ringing.everything(acme.store)
    assert known.acknowledged_by == BO
    acme.shop.down = False
    acme.saying(lambda: audit(acme), "Over: access of Ana Lima", "has ended after all, at")
    acme.saying(lambda: audit(acme), f"overdue on shop, alarm {known.id}", "it is over")
    assert len([m for m in audit(acme) if known.id in text_of(m)]) == 2  # the card, and the end


def overdue(acme: Acme) -> None:
    """Two people's access that does not end."""
    acme.live()
    acme.asked(DAN)
    acme.workspace.click(BO, acme.card(), "Approve 30 min")
    acme.wait_card("Active until")
    acme.shop.down = True
    acme.clock.raise_to(acme.clock.now() + timedelta(minutes=31))
    acme.workspace.wait_for(lambda: all(grant.attempts for grant in acme.store.grants()))
    acme.saying(lambda: audit(acme), "*Overdue on shop:*")
    acme.clock.raise_to(acme.clock.now() + alarms.CHANGE_EVERY)
    acme.saying(lambda: audit(acme), "*Overdue on shop:*", "(2 grants)")


def test_an_alarm_is_brought_up_to_date_in_place(acme: Acme) -> None:
    overdue(acme)
    posted = len(audit(acme))
    acme.shop.failing["close"] += [target_errors.StillAlive()] * 100
    acme.shop.down = False
    acme.clock.raise_to(acme.clock.now() + timedelta(seconds=45))
    acme.saying(lambda: audit(acme), "*Overdue on shop:*", "a session of the role is still there")
    assert len(audit(acme)) == posted


def test_a_repeat_leaves_one_card_to_read_and_to_press(acme: Acme) -> None:
    overdue(acme)
    (known,) = ringing.everything(acme.store)
    acme.clock.raise_to(acme.clock.now() + timedelta(minutes=15))
    acme.saying(lambda: audit(acme), f"alarm {known.id}", "said again below")
    acme.saying(lambda: audit(acme), "*Overdue on shop:*")
    assert len([m for m in audit(acme) if "Acknowledge" in text_of(m)]) == 1


def test_a_card_that_somebody_deleted_does_not_keep_the_word_that_it_is_over(acme: Acme) -> None:
    overdue(acme)
    card = acme.saying(lambda: audit(acme), "*Overdue on shop:*")
    web = client.web_client(acme.workspace.bot_token, acme.running.api_url)
    web.chat_delete(channel=AUDIT, ts=card.ts)
    acme.shop.down = False
    acme.saying(lambda: audit(acme), "Over: access of Ana Lima", "and Dan")
