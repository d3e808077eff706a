"""Rows name rows of their own tenant only: foreign keys of two columns, `tenant_id` and the id."""

import sqlalchemy as sa
from alembic import op

from migrations.triggers import kept_triggers

revision = "20261126_060000"
down_revision = "20261126_055000"
branch_labels = None
depends_on = None

_PARENTS = ("artifacts", "compositions", "datasets", "jobs", "models", "modules", "uploads", "webhooks")
# Child: the columns that name something, what they name, and whether the child goes with it.
_KEYS = {
    "artifact_links": (("artifact_id", "artifacts", None),),
    "artifacts": (("job_id", "jobs", None),),
    "checkpoints": (("job_id", "jobs", "CASCADE"),),
    "composition_classes": (("composition_id", "compositions", "CASCADE"),),
    "composition_members": (("composition_id", "compositions", "CASCADE"), ("module_id", "modules", None)),
    "compositions": (("model_id", "models", None), ("job_id", "jobs", None)),
    "datasets": (("job_id", "jobs", None),),
    "job_attempts": (("job_id", "jobs", "CASCADE"),),
    "job_events": (("job_id", "jobs", "CASCADE"),),
    "metrics": (("job_id", "jobs", None),),
    "model_aliases": (("model_id", "models", "CASCADE"),),
    "model_classes": (("model_id", "models", "CASCADE"),),
    "models": (("job_id", "jobs", None), ("dataset_id", "datasets", None)),
    "module_classes": (("module_id", "modules", "CASCADE"),),
    "modules": (("model_id", "models", None), ("job_id", "jobs", None)),
    "outbox": (("job_id", "jobs", "CASCADE"),),
    "stream_tickets": (("job_id", "jobs", "CASCADE"),),
    "upload_parts": (("upload_id", "uploads", "CASCADE"),),
    "uploads": (("job_id", "jobs", None),),
    "webhook_deliveries": (("webhook_id", "webhooks", "CASCADE"),),
}
# Columns that had no key, and tables that had no tenant.
_UNCHECKED = {("compositions", "job_id"), ("datasets", "job_id"), ("uploads", "job_id")}
_TENANTLESS = ("checkpoints", "job_attempts")
_FILL = (
    "UPDATE checkpoints SET tenant_id = (SELECT tenant_id FROM jobs WHERE jobs.id = job_id)",
    "UPDATE job_attempts SET tenant_id = (SELECT tenant_id FROM jobs WHERE jobs.id = job_id)",
)
# The others' keys to the tenants go: they always name something that has one.
_KEEP_TENANT_KEY = ("datasets", "uploads")
# The unique index takes the place of the parents'; by the others nothing is looked up.
_TENANT_INDEXES = (*_PARENTS, "job_events", "metrics", "stream_tickets", "webhook_deliveries")
_MODEL_INDEXES = ("compositions", "modules")
_ID = sa.String(length=64)


def upgrade() -> None:
    for table in _TENANT_INDEXES:
        op.drop_index(f"ix_{table}_tenant_id", table)
    for table in _PARENTS:
        op.create_index(f"uq_{table}_tenant", table, ["tenant_id", "id"], unique=True)
    for table in _TENANTLESS:
        op.add_column(table, sa.Column("tenant_id", _ID, nullable=True))
    for statement in _FILL:
        op.execute(statement)
    with kept_triggers():
        for table in _KEYS:
            _join_by_two(table)
    for table in _MODEL_INDEXES:
        op.drop_index(f"ix_{table}_model_id", table)
        op.create_index(f"ix_{table}_model", table, ["model_id", "tenant_id"])
    _require_sound()


def _join_by_two(table: str) -> None:
    with op.batch_alter_table(table) as batch_op:
        if table in _TENANTLESS:
            batch_op.alter_column("tenant_id", existing_type=_ID, nullable=False)
        elif table not in _KEEP_TENANT_KEY:
            batch_op.drop_constraint(op.f(f"fk_{table}_tenant_id_tenants"), type_="foreignkey")
        if table == "compositions":
            batch_op.alter_column("job_id", existing_type=_ID, nullable=True)
        for column, parent, ondelete in _KEYS[table]:
            if (table, column) not in _UNCHECKED:
                batch_op.drop_constraint(op.f(f"fk_{table}_{column}_{parent}"), type_="foreignkey")
            name = op.f(f"fk_{table}_tenant_id_{column}_{parent}")
            pair = (["tenant_id", column], ["tenant_id", "id"])
            batch_op.create_foreign_key(name, parent, *pair, ondelete=ondelete)


def _require_sound() -> None:
    """PostgreSQL checks the rows that are there; SQLite has to be asked."""
    bind = op.get_bind()
    if bind.dialect.name == "sqlite":
        broken = bind.exec_driver_sql("PRAGMA foreign_key_check").first()
        if broken is not None:
            raise RuntimeError(
                f"A row of {broken[0]} names one of {broken[2]} that its tenant does not have."
            )


def downgrade() -> None:
    for table in _MODEL_INDEXES:
        op.drop_index(f"ix_{table}_model", table)
        op.create_index(f"ix_{table}_model_id", table, ["model_id"])
    with kept_triggers():
        for table in _KEYS:
            _join_by_one(table)
    for table in _PARENTS:
        op.drop_index(f"uq_{table}_tenant", table)
    for table in _TENANT_INDEXES:
        op.create_index(f"ix_{table}_tenant_id", table, ["tenant_id"])


def _join_by_one(table: str) -> None:
    with op.batch_alter_table(table) as batch_op:
        for column, parent, ondelete in _KEYS[table]:
            batch_op.drop_constraint(op.f(f"fk_{table}_tenant_id_{column}_{parent}"), type_="foreignkey")
            if (table, column) not in _UNCHECKED:
                name = op.f(f"fk_{table}_{column}_{parent}")
                batch_op.create_foreign_key(name, parent, [column], ["id"], ondelete=ondelete)
        if table in _TENANTLESS:
            batch_op.drop_column("tenant_id")
        elif table not in _KEEP_TENANT_KEY:
            name = op.f(f"fk_{table}_tenant_id_tenants")
            batch_op.create_foreign_key(name, "tenants", ["tenant_id"], ["id"])
        if table == "compositions":
            batch_op.alter_column("job_id", existing_type=_ID, nullable=False)
