"""Quotas of tenants, and the order of hints."""

import sqlalchemy as sa
from alembic import op

revision = "20261125_223000"
down_revision = "20261125_221500"
branch_labels = None
depends_on = None

_FILL = """
UPDATE outbox SET
    tenant_id = (SELECT tenant_id FROM jobs WHERE jobs.id = outbox.job_id),
    turn = (
        SELECT coalesce(queued_at, created_at) - priority * 600000 FROM jobs WHERE jobs.id = outbox.job_id
    )
"""
_FILL_BEFORE = """
UPDATE outbox SET
    rank = (SELECT -priority FROM jobs WHERE jobs.id = outbox.job_id),
    waiting_since = (SELECT coalesce(queued_at, created_at) FROM jobs WHERE jobs.id = outbox.job_id)
"""


def upgrade() -> None:
    for name in ("max_running", "max_queued"):
        op.add_column("tenants", sa.Column(name, sa.Integer(), nullable=True))
    op.create_index("ix_jobs_state", "jobs", ["state", "tenant_id"])
    op.drop_index("ix_jobs_queue", table_name="jobs")
    op.add_column("outbox", sa.Column("tenant_id", sa.String(length=64), nullable=True))
    op.add_column("outbox", sa.Column("turn", sa.BigInteger(), nullable=True))
    op.execute(_FILL)
    with op.batch_alter_table("outbox") as batch_op:
        batch_op.alter_column("tenant_id", existing_type=sa.String(length=64), nullable=False)
        batch_op.alter_column("turn", existing_type=sa.BigInteger(), nullable=False)
        batch_op.create_foreign_key(
            batch_op.f("fk_outbox_tenant_id_tenants"), "tenants", ["tenant_id"], ["id"]
        )
        batch_op.create_index("ix_outbox_turn", ["queue", "tenant_id", "turn", "job_id"])
        batch_op.drop_index("ix_outbox_due")
        batch_op.drop_index("ix_outbox_order")
        batch_op.create_index("ix_outbox_published", ["published", "publish_at"])
        batch_op.drop_column("rank")
        batch_op.drop_column("waiting_since")


def downgrade() -> None:
    op.add_column("outbox", sa.Column("rank", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("outbox", sa.Column("waiting_since", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute(_FILL_BEFORE)
    with op.batch_alter_table("outbox") as batch_op:
        batch_op.alter_column("rank", existing_type=sa.Integer(), server_default=None)
        batch_op.alter_column("waiting_since", existing_type=sa.BigInteger(), server_default=None)
        batch_op.create_index("ix_outbox_order", ["queue", "rank", "waiting_since", "job_id"])
        batch_op.drop_index("ix_outbox_published")
        batch_op.create_index("ix_outbox_due", ["publish_at"])
        batch_op.drop_index("ix_outbox_turn")
        batch_op.drop_constraint(batch_op.f("fk_outbox_tenant_id_tenants"), type_="foreignkey")
        batch_op.drop_column("turn")
        batch_op.drop_column("tenant_id")
    op.drop_index("ix_jobs_state", table_name="jobs")
    op.create_index("ix_jobs_queue", "jobs", ["state", "priority", "queued_at"])
    with op.batch_alter_table("tenants") as batch_op:
        for name in ("max_queued", "max_running"):
            batch_op.drop_column(name)
