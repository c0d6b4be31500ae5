"""Settings come from the environment and `.env`; what is wrong is named by key, never by value."""

import pathlib
import re

import pytest

from bot import catalog, errors, settings
from bot.cli import starter

ROOT = pathlib.Path(__file__).parents[2]
GOOD = {"SLACK_BOT_TOKEN": "xoxb-1-abc", "SLACK_APP_TOKEN": "xapp-1-abc"}
URL = "postgresql://jit_bot:p%40ss@db.example.com:5432/my%20shop?sslmode=verify-full"


def load(dotenv=None, **values):
    return settings.load(GOOD | values, dotenv)


def wrong(**values):
    with pytest.raises(errors.SettingsError) as refused:
        load(**values)
    return str(refused.value)


def test_two_tokens_are_enough():
    found = load()
    assert found.slack_bot_token.reveal() == "xoxb-1-abc"
    assert found.slack_api_url == "https://slack.com/api/"
    assert found.database_url.reveal().startswith("sqlite:///")
    assert found.catalog == pathlib.Path("catalog.yml")
    assert (found.slack_signing_secret, found.audit_key) == (None, None)
    assert (found.log_level, found.log_json) == ("info", False)


def test_every_setting_is_taken():
    found = load(
        SLACK_SIGNING_SECRET="0123456789abcdef",
        SLACK_API_URL="http://127.0.0.1:9999/api",
        JIT_DATABASE_URL="postgresql://u:p@h/db",
        JIT_CATALOG="/etc/jit.yml",
        JIT_AUDIT_KEY="sixteen letters!",
        JIT_LOG="debug,json",
    )
    assert found.slack_signing_secret.reveal() == "0123456789abcdef"
    assert found.slack_api_url == "http://127.0.0.1:9999/api/"
    assert found.database_url.reveal() == "postgresql://u:p@h/db"
    assert found.catalog == pathlib.Path("/etc/jit.yml")
    assert found.audit_key == b"sixteen letters!"
    assert (found.log_level, found.log_json) == ("debug", True)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("SLACK_BOT_TOKEN", ""),
        ("SLACK_BOT_TOKEN", "  "),
        ("SLACK_BOT_TOKEN", "xoxp-user-token-s3cret"),
        ("SLACK_BOT_TOKEN", "xapp-s3cret"),
        ("SLACK_BOT_TOKEN", "xoxb-"),
        ("SLACK_BOT_TOKEN", "xoxb-s3cret with space"),
        ("SLACK_APP_TOKEN", "xoxb-s3cret"),
        ("SLACK_APP_TOKEN", ""),
        ("SLACK_SIGNING_SECRET", ""),
        ("SLACK_SIGNING_SECRET", " \t"),
        ("SLACK_SIGNING_SECRET", "s3cre"),
        ("JIT_AUDIT_KEY", ""),
        ("JIT_AUDIT_KEY", "s3cret"),
        ("SLACK_API_URL", "slack.com/api?s3cret"),
        ("SLACK_API_URL", "ftp://s3cret"),
        ("SLACK_API_URL", "https://"),
        ("JIT_DATABASE_URL", "mysql://u:s3cret@h/d"),
        ("JIT_LOG", "s3cret"),
        ("JIT_LOG", "info,s3cret"),
    ],
)
def test_a_wrong_value_is_told_by_its_key_alone(key, value):
    said = wrong(**{key: value})
    assert key in said
    assert "s3cret" not in said
    assert "s3cre" not in said


def test_every_wrong_key_is_told_at_once():
    with pytest.raises(errors.SettingsError) as refused:
        settings.load({"JIT_LOG": "loud"})
    said = str(refused.value)
    assert [key for key in (*GOOD, "JIT_LOG") if key not in said] == []


@pytest.mark.parametrize("key", GOOD)
def test_the_placeholder_is_recognised(key):
    value = re.search(rf"^{key}=(.*)$", starter.ENV, re.MULTILINE)[1]
    assert "placeholder" in wrong(**{key: value})


def test_commands_that_do_not_touch_slack_need_no_tokens():
    found = settings.load({}, slack=False)
    assert not found.slack_bot_token
    assert not settings.without_tokens(load()).slack_bot_token


def test_secrets_do_not_show():
    found = load(
        JIT_AUDIT_KEY="sixteen letters!", JIT_DATABASE_URL="postgresql://u:geheim@h/d", X_URL=URL
    )
    text = f"{found} {found!r} {found.slack_bot_token} {found.target_url('X_URL')!r}"
    for secret in ("xoxb-1", "xapp-1", "sixteen", "geheim", "p%40ss"):
        assert secret not in text


def test_a_target_is_found_by_the_variable_the_catalog_names():
    found = load(SHOP_DATABASE_URL=URL)
    assert found.target_url("SHOP_DATABASE_URL").reveal() == URL
    assert found.target_database("SHOP_DATABASE_URL") == "my shop"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "is not set"),
        ("mysql://u:s3cret@h/d", "must be a URL that begins with postgresql://"),
        ("postgresql://u:s3cret@/d", "names no host"),
        ("postgresql://u:s3cret@h", "names no database"),
        ("postgresql://h/d", "names no user"),
        ("postgresql://u:s3cret@h:port/d", "port"),
        ("postgresql://[s3cret/d", "is no URL"),
    ],
)
def test_a_wrong_target_url_is_told_by_its_variable(value, said):
    with pytest.raises(errors.SettingsError) as refused:
        load(SHOP_DATABASE_URL=value).target_url("SHOP_DATABASE_URL")
    assert said in str(refused.value)
    assert "SHOP_DATABASE_URL" in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_the_file_completes_the_environment_and_never_beats_it(tmp_path):
    dotenv = tmp_path / ".env"
    dotenv.write_text("JIT_LOG=debug\nJIT_CATALOG=from-file.yml\n")
    found = load(dotenv, JIT_LOG="error")
    assert (found.log_level, found.catalog) == ("error", pathlib.Path("from-file.yml"))


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("JIT_CATALOG=a.yml", "a.yml"),
        ("export JIT_CATALOG=a.yml", "a.yml"),
        ("  JIT_CATALOG = a.yml  # why", "a.yml"),
        ("JIT_CATALOG='a # b.yml' # why", "a # b.yml"),
        ('JIT_CATALOG="a.yml"', "a.yml"),
        ("JIT_CATALOG=a#b.yml", "a#b.yml"),
        ("# JIT_CATALOG=a.yml", "catalog.yml"),
        ("JIT_CATALOG=", "catalog.yml"),
    ],
)
def test_the_file_is_read_as_people_write_it(tmp_path, line, value):
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"\n{line}\n")
    assert load(dotenv).catalog == pathlib.Path(value)


@pytest.mark.parametrize("line", ["s3cret", "=s3cret", "JIT_LOG='s3cret"])
def test_a_broken_line_is_told_by_its_number_alone(tmp_path, line):
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"# one\n{line}\n")
    with pytest.raises(errors.SettingsError, match=r"\.env:2: ") as refused:
        load(dotenv)
    assert "s3cret" not in str(refused.value)


def test_no_file_is_no_matter(tmp_path):
    assert load(tmp_path / "absent")


def test_the_example_names_every_setting_and_no_other():
    example = (ROOT / ".env.example").read_text()
    assert example == starter.ENV
    named = set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=", example, re.MULTILINE))
    targets = {t.url_env for t in catalog.loads(starter.CATALOG).targets.values()}
    assert named == set(settings.KEYS) | targets


def test_every_setting_in_the_example_is_explained():
    for paragraph in starter.ENV.strip().split("\n\n"):
        first, *_ = paragraph.splitlines()
        assert re.match(r"# [A-Z][^=]*$", first), first


def test_every_variable_the_code_reads_is_a_setting():
    sources = [*(ROOT / "bot").rglob("*.py")]
    read = {
        key
        for file in sources
        for key in re.findall(r'"((?:JIT|SLACK)_[A-Z_]+)"', file.read_text())
    }
    assert read - {"JIT_FAULT"} <= set(settings.KEYS)  # that one is for crash tests alone


def test_the_example_holds_no_secret_and_is_refused_as_it_stands():
    values = dict(re.findall(r"^([A-Z_]+)=(.*)$", starter.ENV, re.MULTILINE))
    with pytest.raises(errors.SettingsError, match="placeholder"):
        settings.load(values)
