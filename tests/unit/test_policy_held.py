"""What somebody holds is not given to them once more by rule alone."""

from datetime import timedelta

import pytest

from bot import activation, catalog, model, policy
from tests.unit import sample_catalog
from tests.unit.sample_catalog import NOW, draft, facts

CATALOG = sample_catalog.load()
MINUTE = timedelta(minutes=1)
ACTIVE = model.GrantStatus.ACTIVE
AUTO, PEOPLE, DENY = (
    model.Verdict.AUTO_APPROVE,
    model.Verdict.NEEDS_APPROVAL,
    model.Verdict.DENY,
)


def held(
    left: timedelta = 10 * MINUTE,
    tables: tuple[str, ...] = (),
    status: model.GrantStatus = ACTIVE,
    name: str = "read_customer_data",
) -> model.Story:
    entitlement = CATALOG.entitlements[name]
    scope = catalog.scope_to_json(catalog.scope_of(entitlement, tables))
    request = sample_catalog.story(scope=scope, tables=tables, entitlement=name).request
    planned = activation.planned(request, "jit_x", NOW)
    changed = {"status": status, "expires_at": NOW + left}
    grant = model.Grant(**{f: getattr(planned, f) for f in planned.__slots__} | changed)
    return model.Story(request=request, grant=grant)


def decide(*holds: model.Story, minutes: int = 5, **more: object) -> model.Decision:
    wanted = draft(duration=minutes * MINUTE, **more)
    return policy.evaluate(wanted, CATALOG, facts(holds=holds), NOW)


def test_a_rule_gives_it_once_and_says_until_when_on_the_holders_clock() -> None:
    ana = sample_catalog.person("ana", tz="Europe/Berlin")
    wanted = draft(duration=5 * MINUTE)
    decision = policy.evaluate(wanted, CATALOG, facts(ana, holds=(held(),)), NOW)
    assert decision.verdict is DENY
    assert decision.held == "7k2mq4xw"
    assert decision.fields == {
        "entitlement": "You hold this until 15:10. /jit mine opens it. "
        "To start anew, give it back first, or ask people for more than 15 min."
    }
    assert len(decision.fields["entitlement"]) <= 150  # Slack cuts longer ones


def test_the_hint_says_so_before_it_is_sent() -> None:
    wanted = draft(duration=5 * MINUTE, justification="")
    decision = policy.outlook(wanted, CATALOG, facts(holds=(held(),)), NOW)
    assert decision.reasons[0].startswith("You hold this until 14:10.")


def test_people_may_be_asked_for_longer_than_it_lasts() -> None:
    assert decide(held(), minutes=30).verdict is PEOPLE
    longer = decide(held(60 * MINUTE), minutes=30)
    assert (longer.verdict, longer.fields) == (
        DENY,
        {"entitlement": "You hold this until 15:00, which is longer. /jit mine opens it."},
    )


@pytest.mark.parametrize(
    ("tables", "wanted", "verdict"),
    [
        ((), ("app.orders",), DENY),  # a part of what is held
        (("app.orders",), ("app.orders",), DENY),
        (("app.orders",), (), AUTO),  # more than what is held
        (("app.orders",), ("app.customers",), AUTO),
    ],
)
def test_other_tables_are_something_else(
    tables: tuple[str, ...], wanted: tuple[str, ...], verdict: model.Verdict
) -> None:
    assert decide(held(tables=tables), tables=wanted).verdict is verdict


@pytest.mark.parametrize(
    "over",
    [
        held(timedelta(0)),
        held(status=model.GrantStatus.REVOKING),
        held(name="fix_orders"),
    ],
    ids=["past its deadline", "ending", "something else"],
)
def test_what_is_over_or_something_else_is_not_in_the_way(over: model.Story) -> None:
    assert decide(over).verdict is AUTO


def test_what_is_being_granted_counts_as_held() -> None:
    decision = decide(held(status=model.GrantStatus.ACTIVATING))
    assert decision.reasons == ("This is being granted to you just now. /jit mine shows it.",)


def test_until_another_day_names_the_day() -> None:
    said = decide(held(timedelta(hours=20)), minutes=5).reasons[0]
    assert said.startswith("You hold this until Sat 21 Nov 10:00.")


def test_an_unknown_zone_is_told_in_utc() -> None:
    lost = sample_catalog.person("ana", tz="Mars/Base")
    wanted = draft(duration=5 * MINUTE)
    decision = policy.evaluate(wanted, CATALOG, facts(lost, holds=(held(),)), NOW)
    assert decision.reasons[0].startswith("You hold this until 14:10.")
