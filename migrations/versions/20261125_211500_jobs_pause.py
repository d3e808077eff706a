"""Jobs can be paused."""

import sqlalchemy as sa
from alembic import op

revision = "20261125_211500"
down_revision = "20261125_210000"
branch_labels = None
depends_on = None

_STATES = "'queued', 'running', 'interrupted', 'cancelling', 'succeeded', 'failed', 'cancelled', 'expired'"


def upgrade() -> None:
    with op.batch_alter_table("jobs") as batch_op:
        batch_op.add_column(sa.Column("paused_at", sa.BigInteger(), nullable=True))
        batch_op.drop_constraint(op.f("ck_jobs_state"), type_="check")
        batch_op.create_check_constraint(op.f("ck_jobs_state"), f"state IN ('pending', {_STATES})")


def downgrade() -> None:
    # What was paused goes on: an interrupted job is queued again by the dispatcher.
    op.execute("UPDATE jobs SET state = 'interrupted' WHERE state = 'pending'")
    with op.batch_alter_table("jobs") as batch_op:
        batch_op.drop_constraint(op.f("ck_jobs_state"), type_="check")
        batch_op.create_check_constraint(op.f("ck_jobs_state"), f"state IN ({_STATES})")
        batch_op.drop_column("paused_at")
