"""Trainings of other packages' networks are checked before they are queued."""

import sqlalchemy as sa
from alembic import op

revision = "20261125_213000"
down_revision = "20261125_211500"
branch_labels = None
depends_on = None

_STATES = (
    "'pending', 'queued', 'running', 'interrupted', 'cancelling', 'succeeded', 'failed', 'cancelled', "
    "'expired'"
)


def upgrade() -> None:
    with op.batch_alter_table("jobs") as batch_op:
        batch_op.alter_column("queued_at", existing_type=sa.BigInteger(), nullable=True)
        batch_op.drop_constraint(op.f("ck_jobs_state"), type_="check")
        batch_op.create_check_constraint(op.f("ck_jobs_state"), f"state IN ('validating', {_STATES})")


def downgrade() -> None:
    # Unchecked: the training itself finds out. What is interrupted is queued by the dispatcher.
    op.execute(
        "UPDATE jobs SET state = 'interrupted', lease_owner = NULL, lease_expires_at = NULL "
        "WHERE state = 'validating' OR (state = 'pending' AND paused_at IS NULL)"
    )
    op.execute("UPDATE jobs SET queued_at = created_at WHERE queued_at IS NULL")
    with op.batch_alter_table("jobs") as batch_op:
        batch_op.drop_constraint(op.f("ck_jobs_state"), type_="check")
        batch_op.create_check_constraint(op.f("ck_jobs_state"), f"state IN ({_STATES})")
        batch_op.alter_column("queued_at", existing_type=sa.BigInteger(), nullable=False)
