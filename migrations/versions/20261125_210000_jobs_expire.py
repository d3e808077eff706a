"""Jobs expire."""

import sqlalchemy as sa
from alembic import op

revision = "20261125_210000"
down_revision = "20261121_020428"
branch_labels = None
depends_on = None

_BEFORE = "state IN ('queued', 'running', 'interrupted', 'cancelling', 'succeeded', 'failed', 'cancelled')"


def upgrade() -> None:
    with op.batch_alter_table("jobs") as batch_op:
        batch_op.add_column(sa.Column("expires_at", sa.BigInteger(), nullable=True))
        batch_op.drop_constraint(op.f("ck_jobs_state"), type_="check")
        batch_op.create_check_constraint(op.f("ck_jobs_state"), _BEFORE.replace(")", ", 'expired')"))
        batch_op.create_index(batch_op.f("ix_jobs_expires_at"), ["expires_at"], unique=False)


def downgrade() -> None:
    op.execute("UPDATE jobs SET state = 'cancelled' WHERE state = 'expired'")
    with op.batch_alter_table("jobs") as batch_op:
        batch_op.drop_index(batch_op.f("ix_jobs_expires_at"))
        batch_op.drop_constraint(op.f("ck_jobs_state"), type_="check")
        batch_op.create_check_constraint(op.f("ck_jobs_state"), _BEFORE)
        batch_op.drop_column("expires_at")
