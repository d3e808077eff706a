"""The registry can be searched: figures beside what they were measured of, and indexes for every order."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261126_020000"
down_revision = "20261125_223000"
branch_labels = None
depends_on = None

_SCORES = ("f1_validation", "f1_test", "accuracy_validation", "accuracy_test")
_SCORED = {"models": _SCORES[2:], "modules": _SCORES, "compositions": _SCORES}
_BY_CLASS = {
    "ix_module_classes_best": ("score", "module_id", "parameters"),
    "ix_module_classes_smallest": ("parameters", "module_id", "score"),
    "ix_module_classes_newest": ("created_at", "module_id", "score"),
}
_NEWEST = """
UPDATE {table} SET {column} = coalesce((
    SELECT value FROM metrics
    WHERE owner_id = {table}.id AND name = '{name}' AND split = '{split}' AND class_name IS NULL
    ORDER BY id DESC LIMIT 1
), -1)
"""
_FILL_CLASSES = """
UPDATE module_classes SET (score, parameters, created_at) = (
    SELECT CASE f1_validation WHEN -1 THEN accuracy_validation ELSE f1_validation END, parameters, created_at
    FROM modules WHERE modules.id = module_classes.module_id
)
"""


def upgrade() -> None:
    for table, columns in _SCORED.items():
        for column in columns:
            op.add_column(table, _score(column))
            name, _, split = column.partition("_")
            op.execute(_NEWEST.format(table=table, column=column, name=name, split=split))
        for column in ("parameters", *columns):
            op.create_index(f"ix_{table}_tenant_{column}", table, ["tenant_id", column, "id"])
    op.add_column("module_classes", _score("score"))
    for name in ("parameters", "created_at"):
        op.add_column("module_classes", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    op.execute(_FILL_CLASSES)
    op.drop_index("ix_module_classes_name", "module_classes")
    for name, columns in _BY_CLASS.items():
        op.create_index(name, "module_classes", ["tenant_id", "name", *columns])
    _create_composition_classes()


def _score(name: str) -> "sa.Column[float]":
    return sa.Column(name, sa.Float(precision=53), nullable=False, server_default="-1")


def _create_composition_classes() -> None:
    classes = op.create_table(
        "composition_classes",
        sa.Column("composition_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["composition_id"],
            ["compositions.id"],
            name=op.f("fk_composition_classes_composition_id_compositions"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_composition_classes_tenant_id_tenants")
        ),
        sa.PrimaryKeyConstraint("composition_id", "name", name=op.f("pk_composition_classes")),
    )
    op.create_index(
        "ix_composition_classes_name", "composition_classes", ["tenant_id", "name", "composition_id"]
    )
    json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    compositions = sa.table(
        "compositions", sa.column("id"), sa.column("tenant_id"), sa.column("classes", json)
    )
    for row in op.get_bind().execute(sa.select(compositions)).all():
        known = [{"composition_id": row.id, "tenant_id": row.tenant_id, "name": n} for n in row.classes]
        op.bulk_insert(classes, known)


def downgrade() -> None:
    op.drop_table("composition_classes")
    for name in _BY_CLASS:
        op.drop_index(name, "module_classes")
    op.create_index("ix_module_classes_name", "module_classes", ["tenant_id", "name"])
    with op.batch_alter_table("module_classes") as batch_op:
        for name in ("created_at", "parameters", "score"):
            batch_op.drop_column(name)
    for table, columns in _SCORED.items():
        for column in ("parameters", *columns):
            op.drop_index(f"ix_{table}_tenant_{column}", table)
        with op.batch_alter_table(table) as batch_op:
            for column in columns:
                batch_op.drop_column(column)
