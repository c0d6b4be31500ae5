"""A good catalog becomes exactly what it says."""

import dataclasses
import hashlib
import json
from datetime import time, timedelta
from pathlib import Path

import jsonschema
import pytest
import yaml

from bot import catalog, errors
from bot.catalog import reference
from bot.cli import catalog as command
from bot.cli import starter
from db_grants.spec import Privilege, TableScope
from tests.unit import sample_catalog

ROOT = Path(__file__).parents[2]
TWELVE_LINES = """\
channels: {approvals: "#db-access", audit: "#db-audit"}
targets:
  shop: {url_env: SHOP_DATABASE_URL, environment: production}
entitlements:
  read_customer_data:
    target: shop
    scope:
      - {table: app.customers, columns: [id, name, email, city], can: read}
    requesters: [everyone]
    approval: data-owners
rules:
  data-owners: {approvers: ["@data-owners"], auto_approve_up_to: 15m}
"""


def test_everything_written_is_there(tmp_path):
    file = tmp_path / "catalog.yml"
    file.write_text(sample_catalog.TEXT)
    found = catalog.load(file)
    item, rule = found.entitlements["read_customer_data"], found.rules["data-owners"]
    assert found.channels == catalog.Channels(approvals="#db-access", audit="#db-audit")
    assert (found.digest.at, found.digest.zone.key) == (time(9), "Europe/Berlin")
    assert (item.target, item.environment) == ("shop", "production")
    assert item.tables[0] == TableScope(
        schema="app",
        table="customers",
        columns=("id", "name", "email", "city"),
        privileges=frozenset({Privilege.SELECT}),
    )
    assert (item.ticket, item.ticket_example) == ("[A-Z]+-[0-9]+", "INC-4412")
    assert (rule.approvers, rule.needs) == (("@data-owners", "dan@acme.test"), 1)
    assert rule.auto_approve_up_to == timedelta(minutes=15)
    assert found.version == hashlib.sha256(sample_catalog.TEXT.encode()).hexdigest()


def test_what_is_not_written_has_the_careful_default():
    found = catalog.loads(TWELVE_LINES.replace(", auto_approve_up_to: 15m", ""))
    item, rule = found.entitlements["read_customer_data"], found.rules["data-owners"]
    assert (item.default_duration, item.max_duration) == (
        timedelta(minutes=30),
        timedelta(hours=4),
    )
    assert (rule.needs, rule.auto_approve_up_to, rule.decide_within) == (
        1,
        None,
        timedelta(hours=1),
    )
    assert found.digest is None


def test_twelve_lines_are_enough():
    assert len(TWELVE_LINES.splitlines()) == 12
    assert list(catalog.loads(TWELVE_LINES).entitlements) == ["read_customer_data"]
    assert TWELVE_LINES in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("path", [ROOT / "bot/demo/catalog.yml"])
def test_the_catalogs_we_ship_load(path):
    assert catalog.load(path).entitlements
    assert catalog.loads(starter.CATALOG).entitlements


def test_write_means_insert_update_delete():
    item = sample_catalog.load().entitlements["fix_orders"]
    assert item.tables[0].privileges == frozenset(Privilege)


def test_a_short_maximum_shortens_the_default_that_was_not_written():
    text = sample_catalog.swapped("max_duration: 1h", "max_duration: 10m")
    assert catalog.loads(text).entitlements["fix_orders"].default_duration == timedelta(minutes=10)


def test_words_that_other_yaml_readers_change_stay_words():
    text = sample_catalog.swapped("[id, name, email, city]", "[on, no, y, 1, 12:30]")
    item = catalog.loads(text).entitlements["read_customer_data"]
    assert item.tables[0].columns == ("on", "no", "y", "1", "12:30")


def test_choices_end_at_the_maximum_and_hold_the_default():
    item = sample_catalog.load().entitlements["read_customer_data"]
    minutes = [choice.total_seconds() / 60 for choice in item.choices]
    assert minutes == [15, 30, 60, 120, 240]


@pytest.mark.parametrize(
    ("written", "ref", "kind"),
    [
        ("everyone", "everyone", reference.Kind.EVERYONE),
        ("@Data-Owners", "@data-owners", reference.Kind.GROUP),
        ("S0OWNERS", "S0OWNERS", reference.Kind.GROUP),
        ("#DBA", "#dba", reference.Kind.CHANNEL),
        ("C0DBA", "C0DBA", reference.Kind.CHANNEL),
        ("U0BO", "U0BO", reference.Kind.ACCOUNT),
        ("W0BO", "W0BO", reference.Kind.ACCOUNT),
        (" Bo@Example.COM ", "bo@example.com", reference.Kind.EMAIL),
        ("\uff42o@example.com", "bo@example.com", reference.Kind.EMAIL),
    ],
)
def test_one_person_has_one_spelling(written, ref, kind):
    assert reference.parse(written) == ref
    assert reference.kind(ref) is kind


def test_the_database_is_the_one_in_the_url_unless_the_file_names_one():
    bare = sample_catalog.load()
    placed = catalog.placed(bare, {"SHOP_DATABASE_URL": "shop"}.__getitem__)
    assert bare.entitlements["fix_orders"].database == ""
    assert placed.entitlements["fix_orders"].database == placed.targets["shop"].database == "shop"
    named = catalog.loads(sample_catalog.swapped("production}", "production, database: other}"))
    assert catalog.placed(named, _never).entitlements["fix_orders"].database == "other"


def _never(_name):
    raise errors.SettingsError("not to be asked")


def test_the_committed_schema_is_the_one_in_force():
    assert (ROOT / "docs/catalog.schema.json").read_text() == command.schema_text()


@pytest.mark.parametrize("text", [sample_catalog.TEXT, TWELVE_LINES, starter.CATALOG])
def test_the_schema_accepts_what_we_accept(text):
    jsonschema.validate(yaml.safe_load(text), json.loads(command.schema_text()))


def test_the_schema_refuses_an_unknown_key():
    data = yaml.safe_load(sample_catalog.TEXT)
    data["rules"]["data-owners"]["approvres"] = []
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, json.loads(command.schema_text()))


def test_the_catalog_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        sample_catalog.load().version = "x"
