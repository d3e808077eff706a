"""The audit log, to which rows are only added; what is older than a day may be dropped."""

import sqlalchemy as sa
from alembic import op

revision = "20261126_032000"
down_revision = "20261126_031000"
branch_labels = None
depends_on = None

_DAY_MS = 86_400_000
_TRIGGERS = ("audit_events_no_update", "audit_events_no_delete")
_SQLITE_NOW = "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"
_POSTGRES_NOW = "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)"
_FUNCTION = """
CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of the audit log stay as they are' USING ERRCODE = 'check_violation';
END $$
"""


def upgrade() -> None:
    op.create_table(
        "audit_events",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=True),
        sa.Column("operation", sa.String(length=64), nullable=False),
        sa.Column("resource", sa.String(length=200), nullable=True),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("request_id", sa.String(length=100), nullable=True),
        sa.Column("address", sa.String(length=100), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_events")),
    )
    op.create_index("ix_audit_events_tenant_created", "audit_events", ["tenant_id", "created_at", "id"])
    sqlite = op.get_bind().dialect.name == "sqlite"
    young = f"OLD.created_at > {_SQLITE_NOW if sqlite else _POSTGRES_NOW} - {_DAY_MS}"
    if not sqlite:
        op.execute(_FUNCTION)
    for name, change, when in zip(_TRIGGERS, ("UPDATE", "DELETE"), ("", f" WHEN ({young})"), strict=True):
        begin = f"CREATE TRIGGER {name} BEFORE {change} ON audit_events FOR EACH ROW{when}"
        does = (
            "BEGIN SELECT RAISE(ABORT, 'rows of the audit log stay as they are'); END"
            if sqlite
            else "EXECUTE FUNCTION refuse_audit_change()"
        )
        op.execute(f"{begin} {does}")


def downgrade() -> None:
    op.drop_table("audit_events")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_audit_change()")
