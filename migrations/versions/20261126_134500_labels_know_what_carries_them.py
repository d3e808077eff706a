"""A label says what kind of thing carries it: a list of models by tag reads no label of a module."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op

from migrations.triggers import kept_triggers

revision = "20261126_134500"
down_revision = "20261126_130000"
branch_labels = None
depends_on = None

_SCORES = ("f1_validation", "f1_test", "accuracy_validation", "accuracy_test")
_COLUMNS = ("created_at", "parameters", *_SCORES)


def upgrade() -> None:
    _drop_indexes()
    op.add_column("labels", sa.Column("kind", sa.String(length=16), nullable=False, server_default=""))
    with _quiet():
        op.execute("UPDATE labels SET kind = substr(owner_id, 1, 3)")
        with op.batch_alter_table("labels") as batch_op:  # whoever writes a label has to say it
            batch_op.alter_column("kind", existing_type=sa.String(length=16), server_default=None)
    _create_indexes("kind", "key", "value")


def downgrade() -> None:
    _drop_indexes()
    with kept_triggers(), op.batch_alter_table("labels") as batch_op:
        batch_op.drop_column("kind")
    _create_indexes("key", "value")


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing that is told changes: there need be no other revision of it."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    with kept_triggers():
        if postgresql:
            op.execute("ALTER TABLE labels DISABLE TRIGGER USER")
        yield
        if postgresql:
            op.execute("ALTER TABLE labels ENABLE TRIGGER USER")


def _drop_indexes() -> None:
    for name in _COLUMNS:
        op.drop_index(f"ix_labels_by_{name}", "labels")


def _create_indexes(*equal: str) -> None:
    for name in _COLUMNS:
        others = [other for other in _COLUMNS if other != name]
        where = sa.text(f"{name} > -1") if name in _SCORES else None
        columns = ["tenant_id", *equal, name, "owner_id", *others]
        op.create_index(f"ix_labels_by_{name}", "labels", columns, postgresql_where=where, sqlite_where=where)
