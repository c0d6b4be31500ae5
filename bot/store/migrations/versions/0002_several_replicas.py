"""Several replicas over one record: who works on what and until when, and who is alive."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")

_RISES = "a fence only rises"


def upgrade() -> None:
    op.add_column("access_grant", _fence())
    op.add_column("access_grant", sa.Column("claimed_by", sa.Text))
    op.add_column("access_grant", sa.Column("claimed_until", MOMENT))
    op.add_column("outbox", _fence())
    op.create_table(
        "replica",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("beat_at", MOMENT, nullable=False),
    )
    for table in ("access_grant", "outbox"):
        _guard(table, f"{table}_fence")


def _fence() -> sa.Column[int]:
    return sa.Column("fence", sa.BigInteger, nullable=False, server_default="0")


def _guard(table: str, name: str) -> None:
    """Refuse a fence that falls: whoever was fenced off would be let in again."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            f"CREATE TRIGGER {name} BEFORE UPDATE ON {table} WHEN NEW.fence < OLD.fence "
            f"BEGIN SELECT RAISE(ABORT, '{_RISES}'); END"
        )
        return
    op.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF NEW.fence < OLD.fence THEN RAISE EXCEPTION USING ERRCODE = 'check_violation', "
        f"MESSAGE = '{_RISES}'; END IF; RETURN NEW; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {name} BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()"
    )
