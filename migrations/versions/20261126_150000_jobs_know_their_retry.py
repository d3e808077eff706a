"""A job knows the newest job that a retry made of it."""

import sqlalchemy as sa
from alembic import op

revision = "20261126_150000"
down_revision = "20261126_134500"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("retried_as", sa.String(length=64), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "retried_as")
