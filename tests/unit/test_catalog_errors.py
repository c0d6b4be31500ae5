"""Every mistake in the file is told with its line and what was meant."""

import contextlib

import hypothesis
import pytest
from hypothesis import strategies

from bot import catalog, errors
from tests.unit import sample_catalog


def complaints(text):
    with pytest.raises(errors.CatalogError) as refused:
        catalog.loads(text)
    return str(refused.value)


def line_of(passage):
    before = sample_catalog.TEXT.split(passage, 1)[0]
    return before.count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'approvers: ["@data-owners", dan',
            'approvres: ["@data-owners", dan',
            "unknown key `approvres` in rule data-owners; did you mean `approvers`?",
        ),
        ("url_env", "url_evn", "unknown key `url_evn` in target shop; did you mean `url_env`?"),
        ("columns:", "colums:", "did you mean `columns`?"),
        ("zone:", "wombat:", "unknown key `wombat` in digest; known are at, zone"),
        ("target: shop", "target: shp", "there is no target `shp`; did you mean `shop`?"),
        ("approval: data-owners", "approval: data", "there is no rule `data`"),
        ("default_duration: 30m", "default_duration: soon", "'soon' is not a duration"),
        ("max_duration: 4h", "max_duration: 0", "no time at all"),
        ("max_duration: 4h", "max_duration: 400d", "longer than 31 d"),
        ("default_duration: 30m", "default_duration: 5h", "longer than the maximum, 4 h"),
        ("Europe/Berlin", "Berlin", "'Berlin' is no time zone"),
        ('"09:00"', '"25:00"', "is no time; write it like 09:00"),
        ("needs: 2", "needs: two", "a whole number is expected"),
        ("needs: 2", "needs: true", "a whole number is expected"),
        ("needs: 2", "needs: 0", "this is at least 1"),
        ("app.customers", "customers", "lacks its schema"),
        ("app.customers", "pg_catalog.pg_authid", "belongs to the server itself"),
        ("app.customers", "{schema: app}", "exactly the keys schema and name"),
        ("email, city", "email, id", "column id is named twice"),
        ("[everyone]", "[nobody here]", "names nobody"),
        ('approvers: ["@data-owners", dan', "approvers: [everyone, dan", "everyone cannot approve"),
        ('"[A-Z]+-[0-9]+"', '"[A-Z"', "no regular expression"),
        ('"[A-Z]+-[0-9]+"', '".*"', "no ticket at all"),
        ("SHOP_DATABASE_URL", "postgresql://x:secret@h/d", "not the URL itself"),
        ('approvals: "#db-access"', 'approvals: "@db-access"', "is no channel"),
        ("  fix_orders:", "  revoke:", "a word of the /jit command"),
        ("  fix_orders:", "  30m:", "cannot be a name"),
        ("  fix_orders:", "  Read_Customer_Data:", "differ in capitals only"),
        ("    max_duration: 1h", "    max_duration: 1h\n    max_duration: 2h", "stands here twice"),
    ],
)  # fmt: skip
def test_says_where_and_what_was_meant(old, new, said):
    told = complaints(sample_catalog.swapped(old, new))
    assert said in told
    number = int(told.split(":")[1])
    assert told.startswith("catalog.yml:")
    assert 0 <= number - line_of(old) <= 1


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("trigger", "rights of whoever writes next"),
        ("truncate", "past every row rule"),
        ("references", "outlives the grant"),
        ("maintain", "locks"),
        ("create", "stay behind"),
        ("all", "includes trigger"),
        ("with grant option", "passed on"),
        ("TRIGGER", "rights of whoever writes next"),
        ("pg_read_all_data", "cannot be offered"),
        ("superuser", "nothing could be ended"),
    ],
)
def test_an_unsafe_privilege_is_refused_with_the_reason(word, reason):
    assert reason in complaints(sample_catalog.swapped("[read, write]", f"[read, {word}]"))


def test_delete_cannot_be_limited_to_columns():
    text = sample_catalog.swapped("city], can: read", "city], can: write")
    assert "delete takes whole rows" in complaints(text)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file():
    text = sample_catalog.TEXT.replace("url_env", "url").replace("needs: 2", "needs: x")
    lines = complaints(text).splitlines()
    assert len(lines) == 3
    assert [int(line.split(":")[1]) for line in lines] == sorted(
        int(line.split(":")[1]) for line in lines
    )


def test_of_very_many_mistakes_the_first_ten_are_told():
    many = "".join(f"  t{n}: {{url_env: X, environment: x, odd: 1}}\n" for n in range(30))
    lines = complaints(sample_catalog.swapped("entitlements:\n", many + "entitlements:\n"))
    assert len(lines.splitlines()) == 11
    assert lines.endswith("and 20 more")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"@data-owners", dan', "@data-owners, dan"),
        ('["@engineers", U0DAN]', "[#engineers, U0DAN]"),
    ],
)
def test_a_reference_without_quotes_is_recognised(old, new):
    assert "Put quotes around names that begin with @ or #" in complaints(
        sample_catalog.swapped(old, new)
    )


def test_an_entry_that_became_a_comment_is_recognised():
    text = sample_catalog.swapped('["@engineers", U0DAN]', "\n      - #engineers")
    assert 'names that begin with # need quotes, like "#dba"' in complaints(text)


@pytest.mark.parametrize("text", ["", "[]", "x", "null", "- 1", "a: &a [*a]", "{a: b", "\tx: y"])
def test_what_is_no_catalog_is_refused_in_words(text):
    assert complaints(text).startswith("catalog.yml")


def test_aliases_that_unfold_without_end_are_refused():
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    assert "aliases" in complaints("\n".join(levels))


def test_deep_nesting_is_refused():
    assert complaints("[" * 5000)


def test_text_that_is_not_utf8_is_refused():
    with pytest.raises(errors.CatalogError, match="UTF-8"):
        catalog.loads(b"channels: \xff")


def test_a_file_that_is_absent_is_named(tmp_path):
    with pytest.raises(errors.CatalogError, match=r"no catalog at .*catalog\.yml.*jit init"):
        catalog.load(tmp_path / "catalog.yml")


def test_a_folder_is_no_catalog(tmp_path):
    with pytest.raises(errors.CatalogError, match="cannot be read"):
        catalog.load(tmp_path)


@hypothesis.given(strategies.text(max_size=200))
def test_any_text_is_a_catalog_or_refused_in_words(text):
    with contextlib.suppress(errors.CatalogError):
        catalog.loads(text)


@hypothesis.given(
    strategies.sampled_from(range(len(sample_catalog.TEXT.splitlines()))),
    strategies.text(max_size=30),
)
def test_any_changed_line_is_a_catalog_or_refused_in_words(number, text):
    lines = sample_catalog.TEXT.splitlines()
    lines[number] = text
    with contextlib.suppress(errors.CatalogError):
        catalog.loads("\n".join(lines))
