"""Ends by the batch: what is to be ended on a target, and what is to be said next, found at once."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("access_grant_by_status", "access_grant")
    op.create_index(
        "access_grant_by_status", "access_grant", ["status", "expires_at", "id", "target"]
    )
    ending = sa.text("status = 'revoking'")
    op.create_index(
        "access_grant_ending",
        "access_grant",
        ["target", "access_ended_at", "expires_at"],
        sqlite_where=ending,
        postgresql_where=ending,
    )
    waiting = sa.text("settled_at IS NULL")
    op.create_index("outbox_next", "outbox", ["id"], sqlite_where=waiting, postgresql_where=waiting)
