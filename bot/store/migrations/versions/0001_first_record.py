"""The first record: requests, reviews, grants, messages, audit chain, outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")
WORD = sa.String(32)
ROWID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON()

REQUEST_STATES = ("pending", "approved", "denied", "cancelled", "expired", "superseded")
REQUEST_MOVES = tuple(("pending", final) for final in REQUEST_STATES[1:])
GRANT_STATES = ("activating", "active", "revoking", "ended", "revoked", "activation_failed")
GRANT_MOVES = (
    ("activating", "active"),
    ("activating", "activation_failed"),
    ("activating", "revoking"),
    ("active", "revoking"),
    ("revoking", "ended"),
    ("revoking", "revoked"),
    ("revoking", "activation_failed"),
)
CAUSES = ("deadline", "returned", "revoked", "operator", "stopped", "activation_unknown")

# (table, event, name, condition under which the change is refused, what is then said)
GUARDS = (
    (
        "access_request",
        "INSERT",
        "access_request_birth",
        "NEW.status <> 'pending'",
        "a request begins as pending",
    ),
    (
        "access_request",
        "UPDATE",
        "access_request_move",
        (
            "NEW.status <> OLD.status AND NOT EXISTS (SELECT 1 FROM request_transition t "
            "WHERE t.from_status = OLD.status AND t.to_status = NEW.status)"
        ),
        "a request cannot go this way",
    ),
    (
        "access_request",
        "UPDATE",
        "access_request_frozen",
        (
            "NEW.id <> OLD.id OR NEW.scope_hash <> OLD.scope_hash OR NEW.requester_id <> "
            "OLD.requester_id OR NEW.target <> OLD.target OR NEW.duration_us <> OLD.duration_us "
            "OR CAST(NEW.scope AS TEXT) <> CAST(OLD.scope AS TEXT)"
        ),
        "what was asked for cannot change",
    ),
    ("access_request", "DELETE", "access_request_kept", None, "a request is never deleted"),
    (
        "access_grant",
        "INSERT",
        "access_grant_birth",
        (
            "NEW.status <> 'activating' OR NOT EXISTS (SELECT 1 FROM access_request r WHERE "
            "r.id = NEW.id AND r.status = 'approved' AND r.requester_id = NEW.requester_id "
            "AND r.target = NEW.target)"
        ),
        "a grant begins as activating, from its approved request",
    ),
    (
        "access_grant",
        "UPDATE",
        "access_grant_move",
        (
            "NEW.status <> OLD.status AND NOT EXISTS (SELECT 1 FROM grant_transition t "
            "WHERE t.from_status = OLD.status AND t.to_status = NEW.status)"
        ),
        "a grant cannot go this way",
    ),
    (
        "access_grant",
        "UPDATE",
        "access_grant_frozen",
        (
            "NEW.id <> OLD.id OR NEW.role_name <> OLD.role_name OR NEW.target <> OLD.target "
            "OR NEW.requester_id <> OLD.requester_id"
        ),
        "whose grant it is cannot change",
    ),
    ("access_grant", "DELETE", "access_grant_kept", None, "a grant is never deleted"),
    ("audit_event", "UPDATE", "audit_event_kept", None, "the audit log is append-only"),
    ("audit_event", "DELETE", "audit_event_held", None, "the audit log is append-only"),
)


def upgrade() -> None:
    _transitions("request_transition", REQUEST_MOVES)
    _transitions("grant_transition", GRANT_MOVES)
    _access_request()
    _review()
    _access_grant()
    _message()
    _audit_event()
    _outbox()
    op.create_table(
        "setting",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    for guard in GUARDS:
        _guard(*guard)


def _one_of(column: str, words: tuple[str, ...]) -> sa.CheckConstraint:
    listed = ", ".join(f"'{word}'" for word in words)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=f"known_{column}")


def _transitions(name: str, moves: tuple[tuple[str, str], ...]) -> None:
    table = op.create_table(
        name,
        sa.Column("from_status", sa.Text, primary_key=True),
        sa.Column("to_status", sa.Text, primary_key=True),
    )
    op.bulk_insert(table, [{"from_status": a, "to_status": b} for a, b in moves])


def _access_request() -> None:
    op.create_table(
        "access_request",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("status", WORD, nullable=False),
        sa.Column("requester_id", sa.Text, nullable=False),
        sa.Column("requester_name", sa.Text, nullable=False),
        sa.Column("requester_tz", sa.Text, nullable=False),
        sa.Column("team_id", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("entitlement", sa.Text, nullable=False),
        sa.Column("tables", JSON, nullable=False),
        sa.Column("scope", JSON, nullable=False),
        sa.Column("scope_hash", sa.Text, nullable=False),
        sa.Column("catalog_version", sa.Text, nullable=False),
        sa.Column("duration_us", sa.BigInteger, nullable=False),
        sa.Column("justification", sa.Text, nullable=False),
        sa.Column("ticket", sa.Text),
        sa.Column("verdict", WORD, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("reasons", JSON, nullable=False),
        sa.Column("approvers", JSON, nullable=False),
        sa.Column("needs", sa.Integer, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("decide_by", MOMENT, nullable=False),
        sa.Column("decided_at", MOMENT),
        sa.Column("decided_by", sa.Text),
        sa.Column("decided_by_name", sa.Text),
        sa.Column("comment", sa.Text),
        sa.Column("dedupe_key", sa.Text, unique=True),
        sa.Column("channel_id", sa.Text),
        _one_of("status", REQUEST_STATES),
        _one_of("verdict", ("deny", "auto_approve", "needs_approval")),
        sa.CheckConstraint("duration_us > 0", name="lasting"),
        sa.CheckConstraint("(status = 'pending') = (decided_at IS NULL)", name="decided_when"),
        sa.CheckConstraint(
            "status <> 'approved' OR decided_by IS NULL OR decided_by <> requester_id",
            name="approved_by_another",
        ),
    )
    table = "access_request"
    op.create_index("access_request_by_requester", table, ["requester_id", "created_at"])
    op.create_index("access_request_by_creation", table, ["created_at"])
    op.create_index("access_request_by_decision", table, ["decided_at"])
    op.create_index("access_request_by_status", table, ["status", "created_at"])


def _review() -> None:
    op.create_table(
        "review",
        sa.Column("request_id", sa.Text, sa.ForeignKey("access_request.id"), primary_key=True),
        sa.Column("reviewer_id", sa.Text, primary_key=True),
        sa.Column("reviewer_name", sa.Text, nullable=False),
        sa.Column("answer", WORD, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        _one_of("answer", ("approve", "deny")),
    )


def _access_grant() -> None:
    op.create_table(
        "access_grant",
        sa.Column("id", sa.Text, sa.ForeignKey("access_request.id"), primary_key=True),
        sa.Column("status", WORD, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("requester_id", sa.Text, nullable=False),
        sa.Column("role_name", sa.Text, nullable=False, unique=True),
        sa.Column("duration_us", sa.BigInteger, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("activate_by", MOMENT, nullable=False),
        sa.Column("role_oid", sa.BigInteger),
        sa.Column("activated_at", MOMENT),
        sa.Column("cause", WORD),
        sa.Column("ended_by", sa.Text),
        sa.Column("ended_by_name", sa.Text),
        sa.Column("end_comment", sa.Text),
        sa.Column("revoking_since", MOMENT),
        sa.Column("access_ended_at", MOMENT),
        sa.Column("cleaned_up_at", MOMENT),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt_at", MOMENT),
        sa.Column("last_error", sa.Text),
        sa.Column("alarmed_at", MOMENT),
        sa.Column("reveals", sa.Integer, nullable=False),
        sa.Column("sessions_cut", sa.Integer, nullable=False),
        sa.Column("quarantined", JSON, nullable=False),
        sa.Column("residue", JSON, nullable=False),
        sa.Column("activity", JSON),
        sa.Column("used", sa.Boolean),
        _one_of("status", GRANT_STATES),
        _one_of("cause", CAUSES),
    )
    table = "access_grant"
    op.create_index("access_grant_by_requester", table, ["requester_id", "created_at"])
    op.create_index("access_grant_by_activation", table, ["activated_at"])
    op.create_index("access_grant_by_end", table, ["access_ended_at"])
    op.create_index("access_grant_by_status", table, ["status", "expires_at"])


def _message() -> None:
    op.create_table(
        "message",
        sa.Column("n", ROWID, primary_key=True),
        sa.Column("request_id", sa.Text, sa.ForeignKey("access_request.id"), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("channel_id", sa.Text, nullable=False),
        sa.Column("ts", sa.Text, nullable=False),
        sa.Column("thread_ts", sa.Text),
        sa.UniqueConstraint("channel_id", "ts", name="message_place"),
    )
    op.create_index("ix_message_request_id", "message", ["request_id"])


def _audit_event() -> None:
    op.create_table(
        "audit_event",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("prev", sa.Text, nullable=False, unique=True),
        sa.Column("hash", sa.Text, nullable=False),
    )
    op.create_index("ix_audit_event_request_id", "audit_event", ["request_id"])


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", ROWID, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, sa.ForeignKey("access_request.id")),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("data", JSON, nullable=False),
        sa.Column("key", sa.Text, unique=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("not_before", MOMENT),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("last_error", sa.Text),
        sa.Column("claimed_until", MOMENT),
        sa.Column("settled_at", MOMENT),
    )
    waiting = sa.text("settled_at IS NULL")
    op.create_index(
        "outbox_waiting",
        "outbox",
        ["lane", "id"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )


def _guard(table: str, verb: str, name: str, refused: str | None, why: str) -> None:
    """A trigger that refuses a change, in the dialect at hand."""
    if op.get_bind().dialect.name == "sqlite":
        when = f"WHEN {refused} " if refused else ""
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {verb} ON {table} {when}"
            f"BEGIN SELECT RAISE(ABORT, '{why}'); END"
        )
        return
    test = f"IF {refused} THEN" if refused else "IF true THEN"
    kept = "OLD" if verb == "DELETE" else "NEW"
    op.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {test} "
        f"RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = '{why}'; "
        f"END IF; RETURN {kept}; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {name} BEFORE {verb} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()"
    )
    if not refused:
        op.execute(
            f"CREATE TRIGGER {name}_whole BEFORE TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
        )
