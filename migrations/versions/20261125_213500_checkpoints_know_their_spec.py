"""Checkpoints know their spec and which is the best; attempts, what they computed differently."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261125_213500"
down_revision = "20261125_213000"
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    with op.batch_alter_table("checkpoints") as batch_op:
        batch_op.add_column(sa.Column("spec_sha256", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("best", sa.Boolean(), nullable=True))
    op.execute(
        "UPDATE checkpoints SET best = false, "
        "spec_sha256 = (SELECT jobs.spec_sha256 FROM jobs WHERE jobs.id = checkpoints.job_id)"
    )
    with op.batch_alter_table("checkpoints") as batch_op:
        batch_op.alter_column("spec_sha256", existing_type=sa.String(length=64), nullable=False)
        batch_op.alter_column("best", existing_type=sa.Boolean(), nullable=False)
    with op.batch_alter_table("job_attempts") as batch_op:
        batch_op.add_column(sa.Column("overrides", _JSON, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("job_attempts") as batch_op:
        batch_op.drop_column("overrides")
    with op.batch_alter_table("checkpoints") as batch_op:
        batch_op.drop_column("best")
        batch_op.drop_column("spec_sha256")
