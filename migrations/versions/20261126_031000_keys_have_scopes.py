"""API keys have a scope, tell when they were used last, and can be rotated."""

import sqlalchemy as sa
from alembic import op

revision = "20261126_031000"
down_revision = "20261126_024600"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Keys from before could do everything there was, and their owners could make more where the database is.
    op.add_column(
        "api_keys", sa.Column("scope", sa.String(length=16), nullable=False, server_default="admin")
    )
    for name in ("last_used_at", "previous_until"):
        op.add_column("api_keys", sa.Column(name, sa.BigInteger(), nullable=True))
    op.add_column("api_keys", sa.Column("previous_digest", sa.String(length=64), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("api_keys") as batch_op:
        for name in ("previous_digest", "previous_until", "last_used_at", "scope"):
            batch_op.drop_column(name)
