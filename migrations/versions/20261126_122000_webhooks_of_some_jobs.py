"""A webhook may hear only of the jobs that name it."""

import sqlalchemy as sa
from alembic import op

revision = "20261126_122000"
down_revision = "20261126_121000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("webhooks", sa.Column("all_jobs", sa.Boolean(), nullable=False, server_default=sa.true()))


def downgrade() -> None:
    # They would hear of every job. SQLite cascades nothing while tables are altered.
    op.execute(
        "DELETE FROM webhook_deliveries WHERE webhook_id IN (SELECT id FROM webhooks WHERE NOT all_jobs)"
    )
    op.execute("DELETE FROM webhooks WHERE NOT all_jobs")
    _forget_webhook_disabled()
    with op.batch_alter_table("webhooks") as batch_op:
        batch_op.drop_column("all_jobs")


def _forget_webhook_disabled() -> None:
    """Earlier versions know no such event, and cannot show a webhook that hears of it."""
    webhooks = sa.table("webhooks", sa.column("id"), sa.column("events", sa.JSON))
    deliveries = sa.table("webhook_deliveries", *map(sa.column, ("webhook_id", "type")))
    op.execute(sa.delete(deliveries).where(deliveries.c.type == "webhook.disabled"))
    connection = op.get_bind()
    for webhook_id, events in connection.execute(sa.select(webhooks.c.id, webhooks.c.events)).all():
        if "webhook.disabled" not in events:
            continue
        kept = [event for event in events if event != "webhook.disabled"]
        if kept:
            op.execute(sa.update(webhooks).where(webhooks.c.id == webhook_id).values(events=kept))
        else:
            op.execute(sa.delete(deliveries).where(deliveries.c.webhook_id == webhook_id))
            op.execute(sa.delete(webhooks).where(webhooks.c.id == webhook_id))
