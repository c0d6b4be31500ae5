"""A small catalog and its people, for tests of catalog, policy and context."""

from datetime import UTC, datetime, timedelta

from bot import catalog, errors, model
from bot.deciding.policy import Facts

NOW = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
TEXT = """\
channels: {approvals: "#db-access", audit: "#db-audit"}
digest: {at: "09:00", zone: Europe/Berlin}
targets:
  shop: {url_env: SHOP_DATABASE_URL, environment: production}
entitlements:
  read_customer_data:
    target: shop
    description: Customers without their secrets, and orders
    sensitivity: personal data
    scope:
      - {table: app.customers, columns: [id, name, email, city], can: read}
      - {table: app.orders, can: read}
    requesters: [everyone]
    approval: data-owners
    default_duration: 30m
    max_duration: 4h
    ticket: "[A-Z]+-[0-9]+"
  fix_orders:
    target: shop
    scope:
      - {table: app.orders, can: [read, write]}
    requesters: ["@engineers", U0DAN]
    approval: two-owners
    max_duration: 1h
rules:
  data-owners:
    approvers: ["@data-owners", dan@acme.test]
    auto_approve_up_to: 15m
  two-owners:
    approvers: ["@data-owners"]
    needs: 2
    decide_within: 20m
"""


def load() -> catalog.Catalog:
    """The sample catalog."""
    return catalog.loads(TEXT)


def swapped(old: str, new: str) -> str:
    """The text with one passage exchanged, which must be there."""
    assert old in TEXT
    return TEXT.replace(old, new, 1)


def person(name: str, **more: object) -> model.Person:
    """Somebody of Acme: `person("ana")` is U0ANA, ana@acme.test."""
    known = {"email": f"{name}@acme.test", "team_id": "T0ACME", "name": f"{name.title()} Ace"}
    return model.Person(id=f"U0{name.upper()}", **(known | more))


OWNERS = frozenset({"U0BO", "U0CLEO", "U0DAN"})
MEMBERS = {
    "@data-owners": OWNERS,
    "@engineers": frozenset({"U0ANA", "U0BO"}),
    "dan@acme.test": frozenset({"U0DAN"}),
}
PEOPLE = {p.id: p for p in map(person, ("ana", "bo", "cleo", "dan"))}


def facts(requester: model.Person | None = None, **more: object) -> Facts:
    """What is known when Ana asks, or `requester`."""
    names = {who: p.name for who, p in PEOPLE.items()}
    known = {"requester": requester or PEOPLE["U0ANA"], "members": MEMBERS, "names": names}
    return Facts(**(known | more))


def draft(**more: object) -> model.Draft:
    """Ana asks for customer data, in order."""
    known = {
        "requester_id": "U0ANA",
        "entitlement": "read_customer_data",
        "justification": "INC-4412: export stuck",
    }
    return model.Draft(**(known | more))


def story(**more: object) -> model.Story:
    """Ana's request, waiting; `more` replaces fields of the request."""
    known = {
        "id": "7k2mq4xw",
        "status": model.RequestStatus.PENDING,
        "requester_id": "U0ANA",
        "requester_name": "Ana Ace",
        "requester_tz": "Europe/Berlin",
        "team_id": "T0ACME",
        "target": "shop",
        "environment": "production",
        "entitlement": "read_customer_data",
        "tables": (),
        "scope": {},
        "scope_hash": "",
        "catalog_version": "",
        "duration": timedelta(minutes=30),
        "justification": "INC-4412",
        "ticket": "INC-4412",
        "verdict": model.Verdict.NEEDS_APPROVAL,
        "rule": "data-owners",
        "reasons": (),
        "approvers": ("U0BO",),
        "needs": 1,
        "created_at": NOW,
        "decide_by": NOW + timedelta(hours=1),
    }
    return model.Story(request=model.AccessRequest(**(known | more)))


class People:
    """A Directory of known people; `silent` makes Slack not answer."""

    def __init__(self, people: dict | None = None, members: dict | None = None) -> None:
        self.people = PEOPLE if people is None else people
        self.groups = MEMBERS if members is None else members
        self.silent = False
        self.asked_fresh: list[str] = []

    def person(self, user_id: str, *, fresh: bool = False) -> model.Person:
        if fresh:
            self.asked_fresh.append(user_id)
        if self.silent:
            raise errors.IdentityUnknown
        if user_id not in self.people:
            raise errors.NotFound
        return self.people[user_id]

    def members(self, ref: str, *, fresh: bool = False) -> frozenset[str] | None:
        if fresh:
            self.asked_fresh.append(ref)
        return None if self.silent else self.groups.get(ref)

    def resolve_channel(self, ref: str) -> str | None:
        return None

    def reason(self, ref: str) -> str | None:
        return None if self.silent else f"Slack shows us nothing called {ref}."
