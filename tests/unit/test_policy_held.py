"""Whoever asks for what they hold is told so, before they send it and in the record."""

from datetime import timedelta

import pytest

from bot import catalog, model
from bot.deciding import policy
from bot.granting import activation
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


def test_the_hint_says_until_when_on_the_holders_clock() -> None:
    ana = sample_catalog.person("ana", tz="Europe/Berlin")
    wanted = draft(duration=5 * MINUTE, justification="")
    decision = policy.outlook(wanted, CATALOG, facts(ana, holds=(held(),)), NOW)
    assert decision.verdict is AUTO
    assert decision.reasons[-1] == "You hold this until 15:10"


def test_the_verdict_is_the_same_with_and_without_what_is_held() -> None:
    assert decide(held()).verdict is AUTO
    assert decide(held(), minutes=30).verdict is PEOPLE


@pytest.mark.parametrize(
    "other",
    [
        held(timedelta(0)),
        held(status=model.GrantStatus.REVOKING),
        held(name="fix_orders"),
    ],
)
def test_what_is_over_or_something_else_is_not_spoken_of(other: model.Story) -> None:
    assert not any("hold" in reason for reason in decide(other).reasons)


def test_of_several_the_one_that_lasts_longest_is_named() -> None:
    decision = decide(held(), held(20 * MINUTE))
    assert decision.reasons[-1] == "You hold this until 14:20"


def test_one_that_is_being_made_is_said_to_be() -> None:
    decision = decide(held(status=model.GrantStatus.ACTIVATING))
    assert decision.reasons[-1] == "The same is being granted to you just now"


def test_another_day_is_named() -> None:
    assert "Sat" in decide(held(timedelta(hours=20))).reasons[-1]
