"""Tenants may have a limit of what they store."""

import sqlalchemy as sa
from alembic import op

revision = "20261126_121000"
down_revision = "20261126_120000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tenants", sa.Column("max_stored_mib", sa.Integer(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("tenants") as batch_op:
        batch_op.drop_column("max_stored_mib")
