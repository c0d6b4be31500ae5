"""Which server a grant's role was made on, so that its absence elsewhere is not taken for its end."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("access_grant", sa.Column("server", sa.Text))
