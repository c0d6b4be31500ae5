"""What may become of a grant's row, and how it is told to the audit chain."""

import functools
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from bot import model
from bot.store import bulk, chain, mapping, tables
from bot.store.ready import Ready

_GRANT = tables.access_grant

MAY_CHANGE = frozenset(mapping.fields_of(model.Grant)) - {
    "id",
    "status",
    "target",
    "requester_id",
    "role_name",
    "created_at",
    "fence",
}
_SEEN = MAY_CHANGE | {"status"}
LET_GO: Mapping[str, Any] = {"claimed_by": None, "claimed_until": None}
FRESH_STEP: Mapping[str, Any] = {"attempts": 0, "next_attempt_at": None, "last_error": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of one grant of a batch, under whose claim (`grant.fence`) the work was done."""

    grant: model.Grant  # as it was claimed
    to: model.GrantStatus | None = None  # none: it stays in its status
    event: str | None  # of the audit; none for bookkeeping that tells an auditor nothing
    goes_on: bool = False  # otherwise the claim ends here
    changes: Mapping[str, Any]


def check(changes: Mapping[str, Any]) -> None:
    """Raise ValueError if that cannot be changed."""
    unknown = changes.keys() - MAY_CHANGE
    if unknown:
        raise ValueError(f"a grant's {', '.join(sorted(unknown))} cannot be changed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What is written into the rows of some grants, by column, and told of each."""

    values: Mapping[str, Any]
    event: Mapping[str, Any]
    ids: list[str] = field(default_factory=list)


def written(expected: model.GrantStatus, each: Change) -> Written:
    """What is to be written of it, into no row yet. ValueError: no grant may go that way."""
    check(each.changes)
    moves = each.to is not None and each.to is not expected
    if moves and (expected, each.to) not in model.GRANT_TRANSITIONS:
        raise ValueError(f"no grant goes from {expected.value} to {each.to}")
    values = {**(FRESH_STEP if moves else {}), **each.changes, "status": each.to or expected}
    values |= {} if each.goes_on else LET_GO
    if "activity" in values:
        values["used"] = mapping.was_used(values["activity"])
    said = told(each.changes) if each.event is not None else {}
    return Written(values=values, event={"from": expected, **said} if moves else said)


def alike(each: Change) -> Hashable:
    """The same for changes that write the same and tell the same, whichever grant's."""
    told = (each.to, each.event, each.goes_on, *each.changes.items())
    try:
        hash(told)
    except TypeError:  # what the holder did: JSON's own types, which are what they look like
        return repr(told)
    return told


def after(grant: model.Grant, written: Mapping[str, Any]) -> model.Grant:
    """The grant once that is written."""
    return replace(grant, **{k: v for k, v in written.items() if k in _SEEN})


def write(
    connection: sa.Connection,
    grant_id: str,
    expected: model.GrantStatus,
    fence: int | None,
    changed: Mapping[str, Any],
) -> model.Grant | None:
    """Set those columns of a grant that is `expected` and, by `fence`, nobody else's; as it is then."""
    statement = _writing(tuple(sorted(changed)), fenced=fence is not None)
    held = {} if fence is None else {"old_fence": fence}
    new = given(changed)
    row = statement.first(connection, old_id=grant_id, expected=expected, **held, **new)
    return None if row is None else mapping.value_of(model.Grant, _GRANT, row)


def write_unread(
    connection: sa.Connection,
    grant_id: str,
    expected: model.GrantStatus,
    changed: Mapping[str, Any],
) -> bool:
    """As `write`, for whoever does not want to know what it is then; whether it was `expected`."""
    statement = _writing_unread(tuple(sorted(changed)))
    new = given(changed)
    return statement.run(connection, old_id=grant_id, expected=expected, **new) == 1


def write_all(connection: sa.Connection, kinds: Iterable[Written]) -> None:
    """Set those columns of grants whose rows are ours. What is the same of many is sent once."""
    rows = defaultdict[tuple[str, ...], list[Mapping[str, Any]]](list)
    for kind in kinds:
        names = tuple(sorted(kind.values))
        if len(kind.ids) >= bulk.MANY:
            write_alike(connection, kind.ids, kind.values)
        else:
            rows[names] += [{**kind.values, "id": each} for each in kind.ids]
    for names, some in rows.items():
        bulk.update(connection, _GRANT, names, some)


def write_alike(
    connection: sa.Connection, ids: Collection[str], changed: Mapping[str, Any]
) -> None:
    """Set those columns of all these grants to the same."""
    statement = _writing_alike(tuple(sorted(changed)))
    statement.run(connection, ids=bulk.as_words(ids), **given(changed))


@functools.cache
def _writing_alike(names: tuple[str, ...]) -> Ready:
    alike = sa.update(_GRANT).where(bulk.Among(_GRANT.c.id, "ids"))
    return Ready(lambda _: alike.values(binds(names)))


@functools.cache
def _writing(names: tuple[str, ...], *, fenced: bool) -> Ready:
    """There are as many as there are steps in the life of a grant."""
    written = mapping.columns_of(model.Grant, _GRANT)
    statement = _update(names, fenced=fenced).returning(*written)
    return Ready(lambda _: statement, written)


@functools.cache
def _writing_unread(names: tuple[str, ...]) -> Ready:
    return Ready(lambda _: _update(names, fenced=False))


def _update(names: tuple[str, ...], *, fenced: bool) -> sa.Update:
    held = [_GRANT.c.id == sa.bindparam("old_id"), _GRANT.c.status == sa.bindparam("expected")]
    held += [_GRANT.c.fence == sa.bindparam("old_fence")] if fenced else []
    return sa.update(_GRANT).where(*held).values(binds(names))


def binds(names: Iterable[str]) -> dict[str, sa.BindParameter[Any]]:
    """New values of these columns, to be `given` later."""
    return {name: sa.bindparam(f"new_{name}", type_=_GRANT.c[name].type) for name in names}


def given(changed: Mapping[str, Any]) -> dict[str, Any]:
    """Values for `binds`."""
    return {f"new_{name}": value for name, value in changed.items()}


def told(changes: Mapping[str, Any]) -> dict[str, Any]:
    """What the chain says of changes. What the holder ran is sealed by its hash, not copied."""
    said = dict(changes)
    if said.get("activity") is not None:
        said["activity"] = {"sha256": chain.digest(chain.canonical(said["activity"]), None)}
    return said
