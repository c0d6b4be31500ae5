"""What remains of a role, told to people: no column of the catalogue, and nothing left out."""

import pytest

from bot.slack import remains


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (["1 in pg_class.relacl", "1 in pg_shdepend.refobjid"], ["privileges on 1 table"]),
        (["2 in pg_attribute.attacl"], ["privileges on 2 columns"]),
        (["1,204 in nothing we know"], ["1,204 in nothing we know"]),
        (["3 in pg_class.relowner (shop two)"], ["3 tables it owns in shop two"]),
        (["1 in pg_database.datdba"], ["1 database it owns"]),
        (["1 in pg_parameter_acl.paracl"], ["privileges on 1 setting"]),
        (["1 in pg_roles"], ["the login itself, shut"]),
        (["1 in pg_auth_members.member", "1 in pg_auth_members.roleid"], ["a membership"]),
        (["2 in sessions", "1 in user mappings"], ["2 sessions", "a user mapping"]),
        (["1 in pg_new_catalog.newacl"], ["1 in pg_new_catalog.newacl"]),
        (["1 in pg_shdepend.refobjid"], ["something that refers to the role"]),
        (["settings of jit_s_1: a=b"], ["settings of jit_s_1: a=b"]),
        ([], []),
    ],
)
def test_a_column_of_the_catalogue_is_told_in_words(found: list[str], said: list[str]) -> None:
    assert remains.told(found) == said
