"""A hint says whether its job asks for a GPU, and those that don't are in an index of their own."""

import sqlalchemy as sa
from alembic import op

revision = "20261126_130000"
down_revision = "20261126_122000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("gpu", sa.Boolean(), nullable=False, server_default=sa.false()))
    jobs = sa.table("jobs", *map(sa.column, ("id", "kind", "state")), sa.column("spec", sa.JSON))
    outbox = sa.table("outbox", sa.column("job_id"), sa.column("gpu", sa.Boolean()))
    wanting = sa.select(jobs.c.id).where(
        jobs.c.kind == "train", jobs.c.state == "queued", jobs.c.spec["device"].as_string() == "cuda"
    )
    op.execute(sa.update(outbox).where(outbox.c.job_id.in_(wanting)).values(gpu=True))
    op.create_index(
        "ix_outbox_turn_no_gpu",
        "outbox",
        ["queue", "tenant_id", "turn", "job_id"],
        postgresql_where=sa.text("NOT gpu"),
        sqlite_where=sa.text("gpu = 0"),
    )


def downgrade() -> None:
    op.drop_index("ix_outbox_turn_no_gpu", "outbox")
    with op.batch_alter_table("outbox") as batch_op:
        batch_op.drop_column("gpu")
