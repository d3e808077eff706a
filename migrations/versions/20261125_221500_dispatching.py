"""Hints carry their order, so that the queue's length does not matter; the dispatcher shows that it lives."""

import sqlalchemy as sa
from alembic import op

revision = "20261125_221500"
down_revision = "20261125_220000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("rank", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("outbox", sa.Column("waiting_since", sa.BigInteger(), nullable=False, server_default="0"))
    of_job = "FROM jobs WHERE jobs.id = outbox.job_id"
    op.execute(
        f"UPDATE outbox SET rank = (SELECT -priority {of_job}), "  # noqa: S608 - constants
        f"waiting_since = (SELECT COALESCE(queued_at, created_at) {of_job})"
    )
    with op.batch_alter_table("outbox") as batch_op:
        batch_op.alter_column("rank", existing_type=sa.Integer(), server_default=None)
        batch_op.alter_column("waiting_since", existing_type=sa.BigInteger(), server_default=None)
    op.create_index("ix_outbox_order", "outbox", ["queue", "rank", "waiting_since", "job_id"])
    op.create_table(
        "dispatcher",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("hostname", sa.String(length=255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("heartbeat_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dispatcher")),
    )


def downgrade() -> None:
    op.drop_table("dispatcher")
    op.drop_index("ix_outbox_order", "outbox")
    with op.batch_alter_table("outbox") as batch_op:
        batch_op.drop_column("waiting_since")
        batch_op.drop_column("rank")
