"""`jit catalog`, `jit bootstrap` and `jit init`, as they are typed."""

import json
import os
import stat

import pytest

from bot import catalog, cli
from tests.unit import sample_catalog

URL = "postgresql://keeper:s3cret@db.example.com/shop"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with the sample catalog and no settings."""
    monkeypatch.chdir(tmp_path)
    for key in list(os.environ):
        if key.startswith(("JIT_", "SLACK_", "SHOP_")):
            monkeypatch.delenv(key)
    (tmp_path / "catalog.yml").write_text(sample_catalog.TEXT)
    return tmp_path


@pytest.fixture
def jit(folder, capsys):
    """Runs a command: exit code, standard output, standard error."""

    def run(*arguments):
        code = cli.run(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_lint_says_what_is_in_it(jit):
    assert jit("catalog", "lint") == (
        0,
        "The catalog is in order: 1 target, 2 entitlements, 2 rules.\n",
        "",
    )


def test_lint_tells_every_error_and_exits_2(jit, folder):
    (folder / "catalog.yml").write_text(sample_catalog.TEXT.replace("url_env", "url_evn"))
    code, out, err = jit("catalog", "lint")
    assert (code, out) == (2, "")
    assert "catalog.yml:4: unknown key `url_evn` in target shop; did you mean `url_env`?" in err
    assert "Traceback" not in err


def test_lint_answers_programs(jit, folder):
    assert json.loads(jit("catalog", "lint", "--json")[1])["ok"] is True
    (folder / "catalog.yml").write_text("x: 1")
    code, out, _ = jit("catalog", "lint", "--json")
    assert code == 2
    assert json.loads(out)["errors"][0].startswith("catalog.yml:1: ")


def test_another_file_can_be_named(jit, folder):
    (folder / "other.yml").write_text(sample_catalog.TEXT)
    (folder / "catalog.yml").unlink()
    assert jit("catalog", "lint")[0] == 2
    assert jit("catalog", "lint", "other.yml")[0] == 0
    assert jit("catalog", "explain", "fix_orders", "--catalog", "other.yml")[0] == 0


def test_the_settings_file_can_name_the_catalog(jit, folder):
    (folder / "catalog.yml").rename(folder / "other.yml")
    (folder / "my.env").write_text("JIT_CATALOG=other.yml\n")
    assert jit("--env-file", "my.env", "catalog", "lint")[0] == 0


def test_explain_tells_what_who_and_how_long(jit):
    code, out, _ = jit("catalog", "explain", "read_customer_data")
    assert code == 0
    for said in (
        "app.customers: select of id, name, email, city",
        "everyone",
        "30 min unless asked otherwise, at most 4 h",
        "approved automatically up to 15 min",
        "1 of @data-owners, dan@acme.test (rule data-owners)",
        "after 1 h without a decision",
    ):
        assert said in out


def test_explain_answers_programs(jit):
    told = json.loads(jit("catalog", "explain", "fix_orders", "--json")[1])
    assert told["needs"] == 2
    assert told["max_duration"] == 3600
    assert told["auto_approve_up_to"] is None
    assert told["scope"][0]["privileges"] == ["delete", "insert", "select", "update"]


def test_explain_knows_only_what_is_there(jit):
    code, _, err = jit("catalog", "explain", "nope")
    assert code == 3
    assert err == (
        "There is no entitlement nope; the catalog has read_customer_data, fix_orders.\n"
    )


def test_who_can_lists_every_way_to_a_table(jit):
    out = jit("catalog", "who-can", "app.orders")[1]
    assert "read_customer_data" in out
    assert "delete, insert, select, update" in out
    assert "@engineers, U0DAN" in out
    assert "automatic up to 15 min, then 1 of @data-owners, dan@acme.test" in out
    assert "  2 of @data-owners (rule two-owners)" in out
    told = json.loads(jit("catalog", "who-can", "app.orders", "--json")[1])
    assert [item["entitlement"] for item in told] == ["read_customer_data", "fix_orders"]


def test_who_can_says_when_nobody_can(jit):
    assert jit("catalog", "who-can", "app.secrets")[1] == (
        "Nothing in the catalog reaches app.secrets.\n"
    )
    assert jit("catalog", "who-can", "secrets")[0] == 2


def test_schema_is_json(jit):
    assert "entitlements" in json.loads(jit("catalog", "schema")[1])["properties"]


def test_bootstrap_prints_sql_for_the_role_and_database_of_the_url(jit, monkeypatch):
    monkeypatch.setenv("SHOP_DATABASE_URL", URL)
    code, out, _ = jit("bootstrap", "shop")
    assert code == 0
    assert "CREATE ROLE" in out
    assert "keeper" in out
    assert '"shop"' in out
    assert "s3cret" not in out


def test_bootstrap_needs_no_url_when_the_catalog_names_the_database(jit, folder):
    assert jit("bootstrap", "shop")[0] == 2
    named = sample_catalog.swapped("production}", "production, database: bazaar}")
    (folder / "catalog.yml").write_text(named)
    code, out, _ = jit("bootstrap", "shop")
    assert code == 0
    assert "bazaar" in out
    assert "jit_bot" in out


@pytest.mark.parametrize(
    ("variable", "url", "same"),
    [
        ("SHOP_DATABASE_URL", URL, True),
        ("ALSO_URL", URL.replace("keeper", "other"), True),
        ("ALSO_URL", URL.replace("/shop", "/wiki"), False),
        ("ALSO_URL", "", False),
    ],
)
def test_bootstrap_prepares_a_database_for_all_targets_that_are_it(
    jit, folder, monkeypatch, variable, url, same
):
    monkeypatch.setenv("SHOP_DATABASE_URL", URL)
    if url:
        monkeypatch.setenv(variable, url)
    also = f"targets:\n  also: {{url_env: {variable}, environment: production}}\n"
    asked = (
        "entitlements:\n  count_orders: {target: also, scope: [{table: app.orders, can: read}], "
    )
    text = sample_catalog.swapped("targets:\n", also)
    text = text.replace(
        "entitlements:\n", asked + 'requesters: ["@engineers"], approval: data-owners}\n', 1
    )
    (folder / "catalog.yml").write_text(text)
    code, out, err = jit("bootstrap", "shop")
    assert (code, err) == (0, "")
    assert ("jit_s_count_orders" in out) is same


def test_bootstrap_knows_only_targets_of_the_catalog(jit):
    assert jit("bootstrap", "nope") == (3, "", "There is no target nope; the catalog has shop.\n")


def test_init_writes_a_catalog_that_loads_and_private_settings(jit, tmp_path):
    code, out, _ = jit("init", "fresh")
    assert code == 0
    assert "jit check" in out
    assert catalog.load(tmp_path / "fresh/catalog.yml")
    assert stat.S_IMODE((tmp_path / "fresh/.env").stat().st_mode) == 0o600


def test_init_leaves_alone_what_is_there(jit, folder):
    code, _, err = jit("init")
    assert code == 2
    assert err == "Already there, and left alone: catalog.yml.\n"
    assert (folder / "catalog.yml").read_text() == sample_catalog.TEXT
    assert not (folder / ".env").exists()


def test_a_name_that_is_misspelt_is_told_what_was_meant(jit):
    said = "There is no entitlement fix_order; did you mean fix_orders?\n"
    assert jit("catalog", "explain", "fix_order") == (3, "", said)
