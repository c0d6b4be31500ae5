"""Names of roles: ASCII, short enough, and never two meanings under one name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db_grants import errors, naming
from db_grants.postgres import atoms
from db_grants.spec import Privilege, Scope, TableScope

READ = frozenset({Privilege.SELECT})
names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


def table(name: str, *columns: str, privileges: frozenset[Privilege] = READ) -> TableScope:
    return TableScope(schema="app", table=name, columns=columns, privileges=privileges)


def scope(*tables: TableScope, narrowed: bool = False) -> Scope:
    return Scope(name="reading", database="shop", tables=tables, narrowed=narrowed)


@given(names, names)
def test_every_name_is_plain_ascii_of_at_most_63_bytes(one: str, other: str) -> None:
    made = TableScope(schema=one, table=other, columns=(one,), privileges=READ)
    for name in (
        naming.scope_role(one, other),
        naming.atom_role(made, READ, other),
        naming.subset_role([one, other]),
    ):
        assert naming.is_legal(name)
        assert len(name.encode()) <= 63


@given(names, names)
def test_different_entitlements_never_share_a_role(one: str, other: str) -> None:
    assert (naming.scope_role(one, "shop") == naming.scope_role(other, "shop")) is (one == other)


def test_long_names_that_begin_alike_keep_apart() -> None:
    assert naming.scope_role("a" * 70 + "1", "shop") != naming.scope_role("a" * 70 + "2", "shop")


def test_the_same_entitlement_in_another_database_has_another_role() -> None:
    assert naming.scope_role("reading", "shop") != naming.scope_role("reading", "wiki")


@pytest.mark.parametrize("grant_id", ["", "a", "Abcd1234", "ab_cd123", "a" * 41, "ab cd", "абвг"])
def test_a_grant_id_that_is_no_id_names_no_role(grant_id: str) -> None:
    with pytest.raises(errors.InvalidScope):
        naming.managed_role(grant_id)


def test_no_grant_can_be_named_like_a_role_of_the_house() -> None:
    house = {"jit_managed", "jit_quarantine", "jit_bot"}
    for name in house - {"jit_bot"}:
        assert len(name.removeprefix("jit_")) != 8, "grants have ids of eight characters"


def test_reading_and_writing_one_table_are_two_atoms() -> None:
    made = atoms.of_scope(scope(table("orders", privileges=frozenset(Privilege))))
    assert [atom.label for atom in made] == [
        "select on app.orders",
        "delete, insert, update on app.orders",
    ]


def test_reading_is_the_same_atom_whether_or_not_one_may_write_as_well() -> None:
    (reading,) = atoms.of_scope(scope(table("orders")))
    both = atoms.of_scope(scope(table("orders", privileges=frozenset(Privilege))))
    assert reading.role == both[0].role


def test_the_order_of_columns_does_not_matter() -> None:
    one, other = (
        atoms.of_scope(scope(table("t", *columns)))[0].role for columns in (("a", "b"), ("b", "a"))
    )
    assert one == other


def test_columns_and_the_whole_table_are_different_atoms() -> None:
    assert len(atoms.of_scope(scope(table("t"), table("t", "a"), table("t")))) == 2


def test_equal_subsets_share_a_role_and_the_entitlement_keeps_its_own() -> None:
    first = scope(table("a"), table("b"), narrowed=True)
    second = scope(table("b"), table("a"), narrowed=True)
    whole = scope(table("a"), table("b"))
    assert atoms.role_to_grant(first) == atoms.role_to_grant(second)
    assert atoms.role_to_grant(first) != atoms.role_to_grant(whole)


@pytest.mark.parametrize(
    "wrong",
    [
        table(""),
        table("a\0b"),
        table("ä" * 32),
        table("t", ""),
        table("t", privileges=frozenset()),
        table("t", "a", privileges=frozenset({Privilege.DELETE})),
    ],
)
def test_what_cannot_be_granted_safely_is_refused(wrong: TableScope) -> None:
    with pytest.raises(errors.InvalidScope):
        atoms.of_scope(scope(wrong))
