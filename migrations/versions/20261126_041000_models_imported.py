"""Models by import: of no training, and perhaps of no dataset."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261126_041000"
down_revision = "20261126_032000"
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_MODELS = sa.table("models", *map(sa.column, ("tenant_id", "job_id", "origin", "dataset_id", "seed")))
_JOBS = sa.table("jobs", *map(sa.column, ("id", "kind")))
_DATASETS = sa.table(
    "datasets",
    *map(sa.column, ("id", "tenant_id", "name", "digest", "info", "uploaded", "created_at", "deleted_at")),
)


def upgrade() -> None:
    with op.batch_alter_table("models") as batch_op:
        batch_op.add_column(
            sa.Column("origin", sa.String(length=16), nullable=False, server_default="trained")
        )
        batch_op.alter_column("dataset_id", existing_type=sa.String(length=64), nullable=True)
        batch_op.alter_column("seed", existing_type=sa.Integer(), nullable=True)
    _tell_what_was_imported()
    with op.batch_alter_table("models") as batch_op:
        batch_op.alter_column("origin", existing_type=sa.String(length=16), server_default=None)


def _tell_what_was_imported() -> None:
    """Of a database that was at this version before: what its downgrade has put in the place of nothing."""
    imports = sa.select(_JOBS.c.id).where(_JOBS.c.kind == "import_model")
    op.execute(_MODELS.update().where(_MODELS.c.job_id.in_(imports)).values(origin="imported", seed=None))
    op.execute(_MODELS.update().where(_MODELS.c.dataset_id == _none(_MODELS)).values(dataset_id=None))
    op.execute(_DATASETS.delete().where(_DATASETS.c.id == _none(_DATASETS)))


def _none(table: sa.TableClause) -> sa.ColumnElement[str]:
    """The id of the dataset that stands for none, in the earlier version."""
    return sa.literal("ds_none") + table.c.tenant_id


def downgrade() -> None:
    # Imported models stay; a dataset that nobody can use stands for none.
    none = _none(_MODELS)
    of_none = _MODELS.c.dataset_id.is_(None)
    row = {
        "id": none, "tenant_id": _MODELS.c.tenant_id, "name": sa.literal("none"), "digest": sa.literal(""),
        "info": sa.cast(sa.literal({}, _JSON), _JSON), "uploaded": sa.true(), "created_at": sa.literal(0),
        "deleted_at": sa.literal(0),
    }  # fmt: skip
    op.execute(_DATASETS.insert().from_select(list(row), sa.select(*row.values()).where(of_none).distinct()))
    op.execute(_MODELS.update().where(of_none).values(dataset_id=none))
    op.execute(_MODELS.update().where(_MODELS.c.seed.is_(None)).values(seed=0))
    with op.batch_alter_table("models") as batch_op:
        batch_op.alter_column("seed", existing_type=sa.Integer(), nullable=False)
        batch_op.alter_column("dataset_id", existing_type=sa.String(length=64), nullable=False)
        batch_op.drop_column("origin")
