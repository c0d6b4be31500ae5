"""Stories by the hundred: a list of all that is open takes a few queries, not a few for each."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa

from bot import model
from bot.store import readable, tables

Value = TypeVar("Value")

_REQUEST, _GRANT = tables.access_request, tables.access_grant
_AT_ONCE = 500  # ids in one query; SQLite takes 999 parameters at the least


def open_ids(connection: sa.Connection) -> tuple[str, ...]:
    """Every request that waits, or whose grant is coming, there or going."""
    waits = _REQUEST.c.status == model.RequestStatus.PENDING
    live = _GRANT.c.status.in_(sorted(model.LIVE_GRANT))
    query = sa.union(sa.select(_REQUEST.c.id).where(waits), sa.select(_GRANT.c.id).where(live))
    return tuple(connection.execute(query).scalars())


def some(connection: sa.Connection, ids: Sequence[str]) -> tuple[model.Story, ...]:
    """These stories, newest first; ids of none, and rows that cannot be read, are left out."""
    parts = [ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)]
    found = [story for part in parts for story in _part(connection, part)]
    return tuple(sorted(found, key=_age, reverse=True))


def _age(story: model.Story) -> tuple[datetime, str]:
    return story.request.created_at, story.request.id


def _part(connection: sa.Connection, ids: Sequence[str]) -> list[model.Story]:
    review, message = tables.review, tables.message
    requests = _of(connection, model.AccessRequest, _REQUEST, _REQUEST.c.id, ids)
    grants = _of(connection, model.Grant, _GRANT, _GRANT.c.id, ids)
    by_id = {grant.id: grant for grant in grants}
    order = (review.c.at, review.c.reviewer_id)
    reviews = _sorted(_of(connection, model.Review, review, review.c.request_id, ids, *order))
    said = _of(connection, model.MessageRef, message, message.c.request_id, ids, message.c.n)
    messages = _sorted(said)
    return [
        model.Story(
            request=each,
            reviews=tuple(reviews[each.id]),
            grant=by_id.get(each.id),
            messages=tuple(messages[each.id]),
        )
        for each in requests
    ]


def _of(
    connection: sa.Connection,
    cls: type[Value],
    table: sa.Table,
    key: sa.Column[Any],
    ids: Sequence[str],
    *order: sa.Column[Any],
) -> tuple[Value, ...]:
    query = sa.select(table).where(key.in_(ids)).order_by(*order)
    return readable.values(connection, cls, table, query)


def _sorted(values: Iterable[Any]) -> defaultdict[str, list[Any]]:
    """By request, in their order."""
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for value in values:
        found[value.request_id].append(value)
    return found
