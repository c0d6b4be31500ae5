"""Stories in every state, for tests of what is drawn from them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bot import catalog, model
from bot.slack import words
from db_grants.spec import Privilege, Scope, TableScope

NOW = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
NAMES = {"U0BO": "Bo Chen", "U0CLEO": "Cleo Diaz", "U0DAN": "Dan Eze", "U0ANA": "Ana Lima"}
READ = frozenset({Privilege.SELECT})
CUSTOMERS = TableScope(
    schema="app", table="customers", columns=("id", "name", "email", "city"), privileges=READ
)
ORDERS = TableScope(schema="app", table="orders", privileges=READ)
SCOPE = Scope(name="read_customer_data", database="shop", tables=(CUSTOMERS, ORDERS))


def around(**changes: Any) -> words.Around:
    base = words.Around(now=NOW, names=lambda who: NAMES.get(who, "someone"))
    return replace(base, **changes)


def request(**changes: Any) -> model.AccessRequest:
    base = model.AccessRequest(
        id="7k2mq4ab",
        status=model.RequestStatus.PENDING,
        requester_id="U0ANA",
        requester_name="Ana Lima",
        requester_tz="Europe/Berlin",
        team_id="T0ACME",
        target="shop",
        environment="production",
        entitlement="read_customer_data",
        tables=(),
        scope=catalog.scope_to_json(SCOPE),
        scope_hash="hash",
        catalog_version="version",
        duration=timedelta(minutes=30),
        justification="INC-4412: export stuck for 8821",
        ticket="INC-4412",
        verdict=model.Verdict.NEEDS_APPROVAL,
        rule="data-owners",
        reasons=("Needs 1 of Bo, Cleo, Dan",),
        approvers=("U0BO", "U0CLEO", "U0DAN"),
        needs=1,
        created_at=NOW,
        decide_by=NOW + timedelta(hours=1),
    )
    return replace(base, **changes)


def decided(status: model.RequestStatus, **changes: Any) -> model.AccessRequest:
    return request(
        status=status,
        decided_at=NOW + timedelta(minutes=2),
        decided_by="U0BO",
        decided_by_name="Bo Chen",
        **changes,
    )


def grant(status: model.GrantStatus, **changes: Any) -> model.Grant:
    base = model.Grant(
        id="7k2mq4ab",
        status=status,
        target="shop",
        requester_id="U0ANA",
        role_name="jit_7k2mq4ab",
        duration=timedelta(minutes=30),
        created_at=NOW + timedelta(minutes=2),
        expires_at=NOW + timedelta(minutes=32),
        activate_by=NOW + timedelta(minutes=10),
    )
    return replace(base, **changes)


def waiting(**changes: Any) -> model.Story:
    return model.Story(request=request(**changes))


def granted(status: model.GrantStatus, **changes: Any) -> model.Story:
    approved = decided(model.RequestStatus.APPROVED)
    return model.Story(request=approved, grant=grant(status, **changes))


LIVE_SINCE = NOW + timedelta(minutes=2)
END = NOW + timedelta(minutes=32)

EVERY = {
    "waiting": waiting(),
    "granting": granted(model.GrantStatus.ACTIVATING),
    "delayed": granted(
        model.GrantStatus.ACTIVATING, last_error="The target could not be reached. Odd."
    ),
    "active": granted(model.GrantStatus.ACTIVE, activated_at=LIVE_SINCE),
    "ending": granted(
        model.GrantStatus.REVOKING, cause=model.EndCause.DEADLINE, activated_at=LIVE_SINCE
    ),
    "overdue": granted(
        model.GrantStatus.REVOKING,
        cause=model.EndCause.REVOKED,
        ended_by_name="Bo Chen",
        activated_at=LIVE_SINCE,
        alarmed_at=END,
    ),
    "unsure": granted(model.GrantStatus.REVOKING, cause=model.EndCause.ACTIVATION_UNKNOWN),
    "cleaning": granted(
        model.GrantStatus.REVOKING,
        cause=model.EndCause.DEADLINE,
        activated_at=LIVE_SINCE,
        access_ended_at=END,
        quarantined=("table app.tmp_export",),
    ),
    "ended": granted(
        model.GrantStatus.ENDED,
        cause=model.EndCause.DEADLINE,
        activated_at=LIVE_SINCE,
        access_ended_at=END,
        cleaned_up_at=END,
    ),
    "given_up": granted(
        model.GrantStatus.REVOKED,
        cause=model.EndCause.OPERATOR,
        activated_at=LIVE_SINCE,
        ended_by="operator:kim",
        ended_by_name="kim",
        end_comment="the server was deleted",
    ),
    "failed": granted(model.GrantStatus.ACTIVATION_FAILED, last_error="No such scope."),
    "denied": model.Story(
        request=decided(model.RequestStatus.DENIED, comment="use the staging copy for this.")
    ),
    "cancelled": waiting(status=model.RequestStatus.CANCELLED),
    "lapsed": waiting(status=model.RequestStatus.EXPIRED),
    "superseded": waiting(
        status=model.RequestStatus.SUPERSEDED, comment="payments was added to read_customer_data"
    ),
}
