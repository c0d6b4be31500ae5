"""What may become of a grant's row, and how it is told to the audit chain."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from bot import model
from bot.store import chain, mapping, tables
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


def values(expected: model.GrantStatus, each: Change) -> dict[str, Any]:
    """What is to be written into its row, by column. ValueError: no grant may go that way."""
    check(each.changes)
    moves = _moves(expected, each)
    if each.to is not None and moves and (expected, each.to) not in model.GRANT_TRANSITIONS:
        raise ValueError(f"no grant goes from {expected.value} to {each.to.value}")
    written = {**(FRESH_STEP if moves else {}), **each.changes}
    written |= {"id": each.grant.id, "status": each.to or expected}
    written |= {} if each.goes_on else LET_GO
    if "activity" in written:
        written["used"] = mapping.was_used(written["activity"])
    return written


def after(each: Change, written: Mapping[str, Any]) -> model.Grant:
    """The grant once that is written."""
    return replace(each.grant, **{k: v for k, v in written.items() if k in MAY_CHANGE | {"status"}})


def write(
    connection: sa.Connection,
    grant_id: str,
    expected: model.GrantStatus,
    fence: int | None,
    changed: Mapping[str, Any],
) -> model.Grant | None:
    """Set those columns of a grant that is `expected` and, by `fence`, nobody else's; as it is then."""
    statement = _writing(tuple(sorted(changed)), fenced=fence is not None)
    given = {f"new_{name}": value for name, value in changed.items()}
    given |= {"old_id": grant_id, "expected": expected}
    given |= {} if fence is None else {"old_fence": fence}
    row = statement.first(connection, **given)
    return None if row is None else mapping.value_of(model.Grant, _GRANT, row)


@functools.cache
def _writing(names: tuple[str, ...], *, fenced: bool) -> Ready:
    """There are as many as there are steps in the life of a grant."""
    held = [_GRANT.c.id == sa.bindparam("old_id"), _GRANT.c.status == sa.bindparam("expected")]
    held += [_GRANT.c.fence == sa.bindparam("old_fence")] if fenced else []
    values = {name: sa.bindparam(f"new_{name}", type_=_GRANT.c[name].type) for name in names}
    written = mapping.columns_of(model.Grant, _GRANT)
    statement = sa.update(_GRANT).where(*held).values(values).returning(*written)
    return Ready(lambda _: statement, written)


def as_event(expected: model.GrantStatus, each: Change) -> Mapping[str, Any]:
    """What the chain says of it."""
    said = told(each.changes)
    return {"from": expected, **said} if _moves(expected, each) else said


def told(changes: Mapping[str, Any]) -> dict[str, Any]:
    """What the chain says of changes. What the holder ran is sealed by its hash, not copied."""
    said = dict(changes)
    if said.get("activity") is not None:
        said["activity"] = {"sha256": chain.digest(chain.canonical(said["activity"]), None)}
    return said


def _moves(expected: model.GrantStatus, each: Change) -> bool:
    return each.to is not None and each.to is not expected
