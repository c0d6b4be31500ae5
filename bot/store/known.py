"""What belongs to one request, looked up by its id: what every click, step and message begins with."""

import functools
from typing import Any, TypeVar

import sqlalchemy as sa

from bot import errors, model
from bot.store import mapping, readable, tables
from bot.store.ready import Ready

Value = TypeVar("Value")

_REQUEST, _GRANT = tables.access_request, tables.access_grant
_REVIEW, _MESSAGE = tables.review, tables.message


def request(connection: sa.Connection, request_id: str) -> model.AccessRequest | None:
    """That request, if there is one that can be read."""
    return _readable(connection, model.AccessRequest, _REQUEST, request_id)


def grant(connection: sa.Connection, grant_id: str) -> model.Grant | None:
    """That grant, if there is one that can be read."""
    return _readable(connection, model.Grant, _GRANT, grant_id)


def pair(connection: sa.Connection, request_id: str) -> tuple[model.AccessRequest, model.Grant]:
    """A request and its grant, of one moment. Raises NotFound, also where there is no grant."""
    row = _PAIR.first(connection, id=request_id)
    if row is None:
        raise errors.NotFound(f"There is no grant {request_id}.")
    ours, theirs = row[: len(_ASKED)], row[len(_ASKED) :]
    return (
        mapping.value_of(model.AccessRequest, _REQUEST, ours),
        mapping.value_of(model.Grant, _GRANT, theirs),
    )


def story(connection: sa.Connection, request_id: str) -> model.Story:
    """All that belongs to it; of one moment inside a transaction. Raises NotFound."""
    found = _all(connection, model.AccessRequest, _REQUEST, _REQUEST.c.id, request_id)
    if not found:
        raise errors.NotFound
    grants = _all(connection, model.Grant, _GRANT, _GRANT.c.id, request_id)
    order = (_REVIEW.c.at, _REVIEW.c.reviewer_id)
    reviews = _all(connection, model.Review, _REVIEW, _REVIEW.c.request_id, request_id, *order)
    return model.Story(
        request=found[0],
        reviews=reviews,
        grant=grants[0] if grants else None,
        messages=messages(connection, request_id),
    )


def messages(connection: sa.Connection, request_id: str) -> tuple[model.MessageRef, ...]:
    """What was posted for it, in order."""
    key = _MESSAGE.c.request_id
    return _all(connection, model.MessageRef, _MESSAGE, key, request_id, _MESSAGE.c.n)


def _readable(
    connection: sa.Connection, cls: type[Value], table: sa.Table, id_: str
) -> Value | None:
    """A row that a hand has broken is as good as none, and told of."""
    try:
        found = _all(connection, cls, table, table.c.id, id_)
    except readable.BROKEN:
        query = sa.select(table).where(table.c.id == id_)
        found = readable.values(connection, cls, table, query)
    return next(iter(found), None)


def _all(
    connection: sa.Connection,
    cls: type[Value],
    table: sa.Table,
    key: sa.Column[Any],
    id_: str,
    *order: sa.Column[Any],
) -> tuple[Value, ...]:
    kind: type = cls
    rows = _look(kind, table, key, order).rows(connection, id=id_)
    return tuple(mapping.value_of(cls, table, row) for row in rows)


@functools.cache
def _look(
    cls: type, table: sa.Table, key: sa.Column[Any], order: tuple[sa.Column[Any], ...]
) -> Ready:
    columns = mapping.columns_of(cls, table)
    query = sa.select(*columns).where(key == sa.bindparam("id")).order_by(*order)
    return Ready(lambda _: query, columns)


_ASKED = mapping.columns_of(model.AccessRequest, _REQUEST)
_GIVEN = mapping.columns_of(model.Grant, _GRANT)
_BOTH = sa.select(*_ASKED, *_GIVEN).join_from(_REQUEST, _GRANT, _GRANT.c.id == _REQUEST.c.id)
_PAIR = Ready(lambda _: _BOTH.where(_REQUEST.c.id == sa.bindparam("id")), (*_ASKED, *_GIVEN))
