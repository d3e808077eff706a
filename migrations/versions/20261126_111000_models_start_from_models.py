"""A model names the one whose weights its training began with."""

import sqlalchemy as sa
from alembic import op

from migrations.triggers import kept_triggers

revision = "20261126_111000"
down_revision = "20261126_110000"
branch_labels = None
depends_on = None

_KEY = "fk_models_tenant_id_initial_model_id_models"


def upgrade() -> None:
    with kept_triggers(), op.batch_alter_table("models") as batch_op:
        batch_op.add_column(sa.Column("initial_model_id", sa.String(length=64), nullable=True))
        pair = (["tenant_id", "initial_model_id"], ["tenant_id", "id"])
        batch_op.create_foreign_key(op.f(_KEY), "models", *pair, deferrable=True)
    op.create_index("ix_models_initial", "models", ["initial_model_id", "tenant_id"])


def downgrade() -> None:
    op.drop_index("ix_models_initial", "models")
    with kept_triggers(), op.batch_alter_table("models") as batch_op:
        batch_op.drop_constraint(op.f(_KEY), type_="foreignkey")
        batch_op.drop_column("initial_model_id")
