"""Tags, metadata; names, versions and aliases of models."""

import sqlalchemy as sa
from alembic import op

revision = "20261126_024500"
down_revision = "20261126_023000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create("labels", ("owner_id", 64), ("key", 64), ("value", 512), primary=["owner_id", "key", "value"])
    op.create_index("ix_labels_search", "labels", ["tenant_id", "key", "value", "owner_id"])
    op.add_column("models", sa.Column("name", sa.String(length=64), nullable=True))
    op.add_column("models", sa.Column("version", sa.Integer(), nullable=True))
    op.create_index("uq_models_version", "models", ["tenant_id", "name", "version"], unique=True)
    _create("model_names", ("name", 64), primary=["tenant_id", "name"])
    op.add_column("model_names", sa.Column("last_version", sa.Integer(), nullable=False, server_default="0"))
    _create(
        "model_aliases", ("name", 64), ("alias", 64), ("model_id", 64), primary=["tenant_id", "name", "alias"]
    )
    with op.batch_alter_table("model_aliases") as batch_op:
        batch_op.create_foreign_key(
            op.f("fk_model_aliases_model_id_models"), "models", ["model_id"], ["id"], ondelete="CASCADE"
        )
        batch_op.create_index(op.f("ix_model_aliases_model_id"), ["model_id"])


def _create(table: str, *texts: tuple[str, int], primary: list[str]) -> None:
    op.create_table(
        table,
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        *(sa.Column(name, sa.String(length=length), nullable=False) for name, length in texts),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f(f"fk_{table}_tenant_id_tenants")),
        sa.PrimaryKeyConstraint(*primary, name=op.f(f"pk_{table}")),
    )


def downgrade() -> None:
    for table in ("model_aliases", "model_names", "labels"):
        op.drop_table(table)
    op.drop_index("uq_models_version", "models")
    with op.batch_alter_table("models") as batch_op:
        batch_op.drop_column("version")
        batch_op.drop_column("name")
