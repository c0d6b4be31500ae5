"""The state database, as SQLAlchemy tables. `migrations/` makes it; a test holds the two equal.

access_request 1 --- 0..1 access_grant      same id
      | 1 --- n review                      one a person
      | 1 --- n message                     what we posted, hence what may be clicked
audit_event                                 append-only, chained, dense seq
outbox                                      what must still be said, in order within a lane
request_transition, grant_transition        legal moves; triggers refuse all others
setting                                     small things by key
replica                                     which processes serve this record, and since when each lives
"""

import functools

import sqlalchemy as sa

from bot import model
from bot.store.columns import Moment, Several, Span, Words, one_of

metadata = sa.MetaData()

_json = sa.JSON(none_as_null=True)
_rowid = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite numbers INTEGER keys only


def _fence() -> sa.Column[int]:
    """How often it was claimed: a write of whoever holds an older number is refused."""
    return sa.Column("fence", sa.BigInteger, nullable=False, server_default="0")


access_request = sa.Table(
    "access_request",
    metadata,
    sa.Column("id", Words, primary_key=True),
    sa.Column("status", one_of(model.RequestStatus), nullable=False),
    sa.Column("requester_id", Words, nullable=False),
    sa.Column("requester_name", Words, nullable=False),
    sa.Column("requester_tz", Words, nullable=False),
    sa.Column("team_id", Words, nullable=False),
    sa.Column("target", Words, nullable=False),
    sa.Column("environment", Words, nullable=False),
    sa.Column("entitlement", Words, nullable=False),
    sa.Column("tables", Several, nullable=False),
    sa.Column("scope", _json, nullable=False),
    sa.Column("scope_hash", Words, nullable=False),
    sa.Column("catalog_version", Words, nullable=False),
    sa.Column("duration_us", Span, key="duration", nullable=False),
    sa.Column("justification", Words, nullable=False),
    sa.Column("ticket", Words),
    sa.Column("verdict", one_of(model.Verdict), nullable=False),
    sa.Column("rule", Words, nullable=False),
    sa.Column("reasons", Several, nullable=False),
    sa.Column("approvers", Several, nullable=False),
    sa.Column("needs", sa.Integer, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("decide_by", Moment, nullable=False),
    sa.Column("decided_at", Moment),
    sa.Column("decided_by", Words),
    sa.Column("decided_by_name", Words),
    sa.Column("comment", Words),
    sa.Column("dedupe_key", Words, unique=True),
    sa.Column("channel_id", Words),
)
sa.Index("access_request_by_requester", access_request.c.requester_id, access_request.c.created_at)
sa.Index("access_request_by_creation", access_request.c.created_at)
sa.Index("access_request_by_decision", access_request.c.decided_at)
sa.Index("access_request_by_status", access_request.c.status, access_request.c.created_at)

review = sa.Table(
    "review",
    metadata,
    sa.Column("request_id", sa.ForeignKey("access_request.id"), primary_key=True),
    sa.Column("reviewer_id", Words, primary_key=True),
    sa.Column("reviewer_name", Words, nullable=False),
    sa.Column("answer", one_of(model.Answer), nullable=False),
    sa.Column("comment", Words, nullable=False),
    sa.Column("at", Moment, nullable=False),
)

access_grant = sa.Table(
    "access_grant",
    metadata,
    sa.Column("id", sa.ForeignKey("access_request.id"), primary_key=True),
    sa.Column("status", one_of(model.GrantStatus), nullable=False),
    sa.Column("target", Words, nullable=False),
    sa.Column("requester_id", Words, nullable=False),
    sa.Column("role_name", Words, nullable=False, unique=True),
    sa.Column("duration_us", Span, key="duration", nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
    sa.Column("activate_by", Moment, nullable=False),
    sa.Column("role_oid", sa.BigInteger),
    sa.Column("server", Words),
    sa.Column("activated_at", Moment),
    sa.Column("cause", one_of(model.EndCause)),
    sa.Column("ended_by", Words),
    sa.Column("ended_by_name", Words),
    sa.Column("end_comment", Words),
    sa.Column("revoking_since", Moment),
    sa.Column("access_ended_at", Moment),
    sa.Column("cleaned_up_at", Moment),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_attempt_at", Moment),
    sa.Column("last_error", Words),
    sa.Column("alarmed_at", Moment),
    sa.Column("reveals", sa.Integer, nullable=False),
    sa.Column("sessions_cut", sa.Integer, nullable=False),
    sa.Column("quarantined", Several, nullable=False),
    sa.Column("residue", Several, nullable=False),
    sa.Column("activity", _json),
    sa.Column("used", sa.Boolean),  # what `activity` says about it; null: unknown
    _fence(),
    sa.Column("claimed_by", Words),  # the replica that works on it
    sa.Column("claimed_until", Moment),  # by the database's clock
)
sa.Index("access_grant_by_requester", access_grant.c.requester_id, access_grant.c.created_at)
sa.Index("access_grant_by_activation", access_grant.c.activated_at)
sa.Index("access_grant_by_end", access_grant.c.access_ended_at)
sa.Index(  # with all that is asked of every live grant
    "access_grant_by_status",
    access_grant.c.status,
    access_grant.c.expires_at,
    access_grant.c.id,
    access_grant.c.target,
)

message = sa.Table(
    "message",
    metadata,
    sa.Column("n", _rowid, primary_key=True),
    sa.Column("request_id", sa.ForeignKey("access_request.id"), nullable=False, index=True),
    sa.Column("kind", Words, nullable=False),
    sa.Column("channel_id", Words, nullable=False),
    sa.Column("ts", Words, nullable=False),
    sa.Column("thread_ts", Words),
    sa.UniqueConstraint("channel_id", "ts", name="message_place"),
)

audit_event = sa.Table(
    "audit_event",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", Moment, nullable=False),
    sa.Column("type", Words, nullable=False),
    sa.Column("request_id", Words, index=True),
    sa.Column("body", Words, nullable=False),  # the very text that was hashed
    sa.Column("prev", Words, nullable=False, unique=True),  # a chain never forks
    sa.Column("hash", Words, nullable=False),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", _rowid, primary_key=True),
    sa.Column("kind", Words, nullable=False),
    sa.Column("request_id", sa.ForeignKey("access_request.id")),
    sa.Column("lane", Words, nullable=False),
    sa.Column("data", _json, nullable=False),
    sa.Column("key", Words, unique=True),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("not_before", Moment),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("last_error", Words),
    _fence(),
    sa.Column("claimed_until", Moment),  # somebody is delivering it; by the database's clock
    sa.Column("settled_at", Moment),  # said, or given up
)

replica = sa.Table(
    "replica",
    metadata,
    sa.Column("name", Words, primary_key=True),
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("beat_at", Moment, nullable=False),
)

setting = sa.Table(
    "setting",
    metadata,
    sa.Column("key", Words, primary_key=True),
    sa.Column("value", Words, nullable=False),
)


def _transitions(name: str) -> sa.Table:
    return sa.Table(
        name,
        metadata,
        sa.Column("from_status", sa.Text, primary_key=True),
        sa.Column("to_status", sa.Text, primary_key=True),
    )


request_transition = _transitions("request_transition")
grant_transition = _transitions("grant_transition")


@functools.cache
def whole() -> sa.MetaData:
    """All tables with all indexes, for a comparison.

    The indexes of what waits are partial ones, and no query has to know of them: to name one loads
    every dialect with all of its drivers.
    """
    waits = outbox.c.settled_at.is_(None)
    ends = access_grant.c.status == sa.literal_column("'revoking'")
    ending = (access_grant.c.target, access_grant.c.access_ended_at, access_grant.c.expires_at)
    for name, columns, where in (
        ("outbox_waiting", (outbox.c.lane, outbox.c.id), waits),
        ("outbox_next", (outbox.c.id,), waits),
        ("access_grant_ending", ending, ends),
    ):
        sa.Index(name, *columns, sqlite_where=where, postgresql_where=where)
    return metadata
