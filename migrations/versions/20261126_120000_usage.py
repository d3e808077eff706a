"""What a tenant uses is summed from indexes: bytes by role, time of attempts by their end."""

import sqlalchemy as sa
from alembic import op

from migrations.triggers import kept_triggers

revision = "20261126_120000"
down_revision = "20261126_111000"
branch_labels = None
depends_on = None

_FILL = """
UPDATE artifacts SET role = coalesce(
    (SELECT min(role) FROM artifact_links WHERE artifact_links.artifact_id = artifacts.id), 'other'
)
"""


def upgrade() -> None:
    op.add_column(
        "artifacts", sa.Column("role", sa.String(length=32), nullable=False, server_default="other")
    )
    op.execute(_FILL)
    op.create_index("ix_artifacts_stored", "artifacts", ["tenant_id", "role", "size"])
    op.create_index("ix_job_attempts_finished", "job_attempts", ["tenant_id", "finished_at"])


def downgrade() -> None:
    op.drop_index("ix_job_attempts_finished", table_name="job_attempts")
    op.drop_index("ix_artifacts_stored", table_name="artifacts")
    with kept_triggers(), op.batch_alter_table("artifacts") as batch_op:
        batch_op.drop_column("role")
