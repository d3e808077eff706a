"""Workers tell their device, and that they take no more jobs."""

import sqlalchemy as sa
from alembic import op

revision = "20261125_220000"
down_revision = "20261125_214500"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DELETE FROM workers")  # those that live report in again within seconds
    with op.batch_alter_table("workers") as batch_op:
        batch_op.add_column(sa.Column("device", sa.String(length=100), nullable=False))
        batch_op.add_column(sa.Column("draining", sa.Boolean(), nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("workers") as batch_op:
        batch_op.drop_column("draining")
        batch_op.drop_column("device")
