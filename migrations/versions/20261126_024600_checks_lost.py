"""Jobs count the checks that were lost with their worker."""

import sqlalchemy as sa
from alembic import op

revision = "20261126_024600"
down_revision = "20261126_024500"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The default stays, unlike elsewhere: taking it away would rebuild the table, and its trigger with it.
    op.add_column("jobs", sa.Column("checks_lost", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("jobs", "checks_lost")
