"""Datasets by upload: their options and report, the uploads and their parts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261126_022000"
down_revision = "20261126_021000"
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_OLD_KEY = "uq_datasets_tenant_id_name_digest"
_KEY = "ix_datasets_used"
_USED = sa.text("NOT uploaded")


def upgrade() -> None:
    with op.batch_alter_table("datasets") as batch_op:
        batch_op.drop_constraint(_OLD_KEY, type_="unique")
        batch_op.alter_column("digest", existing_type=sa.String(length=64), nullable=True)
        batch_op.add_column(sa.Column("uploaded", sa.Boolean(), nullable=False, server_default=sa.false()))
        batch_op.add_column(sa.Column("description", sa.String(length=1000), nullable=True))
        batch_op.add_column(sa.Column("options", _JSON, nullable=True))
        batch_op.add_column(sa.Column("report", _JSON, nullable=True))
        batch_op.add_column(sa.Column("job_id", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("deleted_at", sa.BigInteger(), nullable=True))
    with op.batch_alter_table("datasets") as batch_op:
        batch_op.alter_column("uploaded", existing_type=sa.Boolean(), server_default=None)
        batch_op.create_index("ix_datasets_tenant_created", ["tenant_id", "created_at", "id"])
    op.create_index(
        _KEY, "datasets", ["tenant_id", "name", "digest"], unique=True,
        sqlite_where=_USED, postgresql_where=_USED,
    )  # fmt: skip
    op.create_table(
        "uploads",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("owner_id", sa.String(length=64), nullable=False),
        sa.Column("filename", sa.String(length=255), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("part_size", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_uploads_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
    )
    op.create_index(op.f("ix_uploads_tenant_id"), "uploads", ["tenant_id"])
    op.create_index(op.f("ix_uploads_owner_id"), "uploads", ["owner_id"])
    op.create_index(op.f("ix_uploads_expires_at"), "uploads", ["expires_at"])
    op.create_table(
        "upload_parts",
        sa.Column("upload_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_upload_parts_tenant_id_tenants")
        ),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["uploads.id"], name=op.f("fk_upload_parts_upload_id_uploads"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("upload_id", "number", name=op.f("pk_upload_parts")),
    )
    op.create_index(op.f("ix_upload_parts_sha256"), "upload_parts", ["sha256"])


def downgrade() -> None:
    op.drop_table("upload_parts")
    op.drop_table("uploads")
    op.drop_index(_KEY, table_name="datasets")
    # Models refer to their dataset: one that was uploaded stays as a version that a job has used.
    op.execute("DELETE FROM datasets WHERE digest IS NULL")
    op.execute("UPDATE datasets SET name = id WHERE uploaded")
    with op.batch_alter_table("datasets") as batch_op:
        batch_op.drop_index("ix_datasets_tenant_created")
        for name in ("deleted_at", "job_id", "report", "options", "description", "uploaded"):
            batch_op.drop_column(name)
        batch_op.alter_column("digest", existing_type=sa.String(length=64), nullable=False)
        batch_op.create_unique_constraint(_OLD_KEY, ["tenant_id", "name", "digest"])
