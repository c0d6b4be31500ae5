"""From an entitlement to exact access, and whether it is still the same."""

import json

import pytest

from bot import catalog, errors
from db_grants import spec
from tests.unit import sample_catalog


def item(text=sample_catalog.TEXT):
    return catalog.loads(text).entitlements["read_customer_data"]


def test_an_entitlement_carries_all_its_tables():
    scope = catalog.scope_of(item())
    assert [table.label for table in scope.tables] == ["app.customers", "app.orders"]
    assert not scope.narrowed


def test_a_narrower_request_carries_only_what_was_named():
    scope = catalog.scope_of(item(), ["app.orders"])
    assert [table.label for table in scope.tables] == ["app.orders"]
    assert scope.narrowed


def test_naming_every_table_is_not_narrower():
    assert not catalog.scope_of(item(), ["app.orders", "app.customers"]).narrowed


def test_a_table_that_is_not_part_of_it_is_refused():
    with pytest.raises(errors.InvalidDraft) as refused:
        catalog.scope_of(item(), ["app.secrets"])
    assert set(refused.value.fields) == {"tables"}


@pytest.mark.parametrize("tables", [(), ("app.orders",)])
def test_a_recorded_scope_is_read_back_unchanged(tables):
    scope = catalog.scope_of(item(), tables)
    recorded = json.loads(json.dumps(catalog.scope_to_json(scope)))
    assert catalog.scope_from_json(recorded) == scope
    assert catalog.database_of(recorded) == scope.database


def test_what_is_read_of_a_table_is_made_once_and_again_when_it_differs():
    recorded = catalog.scope_to_json(catalog.scope_of(item()))
    other = json.loads(json.dumps(recorded))
    other["tables"][0]["columns"] = ["id"]
    other["tables"][1]["privileges"] = ["insert"]
    first, again, differs = map(catalog.scope_from_json, (recorded, recorded, other))
    assert all(a is b for a, b in zip(first.tables, again.tables, strict=True))
    assert differs.tables[0].columns == ("id",)
    assert differs.tables[1].privileges == frozenset({spec.Privilege.INSERT})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[id, name, email, city]", "[city, email, name, id]"),
        ("description: Customers", "description: All customers"),
        ("max_duration: 4h", "max_duration: 2h"),
        ("can: read}\n      - {table: app.orders", "can: [select]}\n      - {table: app.orders"),
        ("data-owners:\n    approvers", "data-owners:   # who\n    approvers"),
    ],
)
def test_the_hash_stays_while_the_same_access_would_be_granted(old, new):
    changed = item(sample_catalog.swapped(old, new))
    assert catalog.scope_hash(changed) == catalog.scope_hash(item())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[id, name, email, city]", "[id, name, email, city, ssn]"),
        ("app.orders", "app.payments"),
        ("app.orders, can: read", "app.orders, can: [read, insert]"),
        ("production}", "production, database: other}"),
        ("  shop: {url", "  other: {url_env: X, environment: x}\n  shop: {url"),
    ],
)
def test_the_hash_changes_with_the_access(old, new):
    text = sample_catalog.swapped(old, new)
    if "other: {" in text:
        text = text.replace("target: shop", "target: other", 1)
    assert catalog.scope_hash(item(text)) != catalog.scope_hash(item())


def test_a_table_added_elsewhere_leaves_a_narrower_request_alone():
    more = sample_catalog.swapped(
        "requesters: [everyone]", "  - {table: app.logs, can: read}\n    requesters: [everyone]"
    )
    before, after = item(), item(more)
    assert catalog.scope_hash(after, ["app.orders"]) == catalog.scope_hash(before, ["app.orders"])
    assert catalog.scope_hash(after) != catalog.scope_hash(before)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "app.orders",
            "app.payments",
            "app.payments was added to read_customer_data, app.orders was taken from read_customer_data",
        ),
        (
            "[id, name, email, city]",
            "[id]",
            "what read_customer_data gives on app.customers changed",
        ),
        (
            "production}",
            "production, database: x}",
            "read_customer_data is now in another database",
        ),
    ],
)
def test_what_changed_is_told_in_words(old, new, said):
    asked = catalog.scope_from_json(catalog.scope_to_json(catalog.scope_of(item())))
    offered = catalog.scope_of(item(sample_catalog.swapped(old, new)))
    assert catalog.changes(asked, offered) == said


def test_what_is_gone_is_told():
    assert (
        catalog.changes(catalog.scope_of(item()), None) == "read_customer_data is no longer offered"
    )
