"""A figure may be measured on another dataset than the model's own, which it names."""

import sqlalchemy as sa
from alembic import op

from migrations.triggers import kept_triggers

revision = "20261126_100000"
down_revision = "20261126_060000"
branch_labels = None
depends_on = None

_KEY = "fk_metrics_tenant_id_dataset_id_datasets"


def upgrade() -> None:
    with kept_triggers(), op.batch_alter_table("metrics") as batch_op:
        batch_op.add_column(sa.Column("dataset_id", sa.String(length=64), nullable=True))
        batch_op.create_foreign_key(op.f(_KEY), "datasets", ["tenant_id", "dataset_id"], ["tenant_id", "id"])


def downgrade() -> None:
    # Without their dataset they would be taken for the model's own.
    op.execute("DELETE FROM metrics WHERE dataset_id IS NOT NULL")
    with kept_triggers(), op.batch_alter_table("metrics") as batch_op:
        batch_op.drop_constraint(op.f(_KEY), type_="foreignkey")
        batch_op.drop_column("dataset_id")
