"""The database refuses jobs whose columns do not fit their state, and changes that are no transition."""

from alembic import op

revision = "20261125_214500"
down_revision = "20261125_213500"
branch_labels = None
depends_on = None

_ACTIVE = "(state IN ('cancelling', 'running', 'validating'))"
_TERMINAL = "(state IN ('cancelled', 'expired', 'failed', 'succeeded'))"
_CHECKS = {
    "lease_owner": f"{_ACTIVE} = (lease_owner IS NOT NULL)",
    "lease_expires_at": f"{_ACTIVE} = (lease_expires_at IS NOT NULL)",
    "finished_at": f"{_TERMINAL} = (finished_at IS NOT NULL)",
    "queued_at": "queued_at IS NOT NULL OR NOT "
    "state IN ('cancelling', 'interrupted', 'queued', 'running', 'succeeded')",
    "paused_at": "paused_at IS NULL OR state IN ('interrupted', 'pending', 'running')",
    "expires_at": "expires_at IS NULL OR state IN ('pending', 'queued', 'validating')",
}
_TRANSITIONS = {
    "pending": ("validating", "queued", "cancelled", "expired"),
    "validating": ("queued", "pending", "failed", "cancelled"),
    "queued": ("running", "pending", "cancelled", "expired"),
    "running": ("succeeded", "failed", "cancelling", "interrupted"),
    "interrupted": ("queued", "pending", "cancelled"),
    "cancelling": ("cancelled", "succeeded"),
}
_ALLOWED = ", ".join(f"'{old}>{new}'" for old, targets in _TRANSITIONS.items() for new in targets)
# SQLite builds a table anew to alter it, and drops its triggers with the old one: a later migration that
# alters jobs has to make this trigger again.
_TRIGGER = (
    "CREATE TRIGGER jobs_transition BEFORE UPDATE OF state ON jobs FOR EACH ROW "
    f"WHEN (OLD.state <> NEW.state AND (OLD.state || '>' || NEW.state) NOT IN ({_ALLOWED}))"
)
_FUNCTION = """
CREATE FUNCTION refuse_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'no transition of a job leads from % to %', OLD.state, NEW.state
        USING ERRCODE = 'check_violation';
END $$
"""


def upgrade() -> None:
    with op.batch_alter_table("jobs") as batch_op:
        for name, condition in _CHECKS.items():
            batch_op.create_check_constraint(op.f(f"ck_jobs_{name}"), condition)
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"{_TRIGGER} BEGIN SELECT RAISE(ABORT, 'no transition of a job'); END")
    else:
        op.execute(_FUNCTION)
        op.execute(f"{_TRIGGER} EXECUTE FUNCTION refuse_transition()")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER jobs_transition")
    else:
        op.execute("DROP TRIGGER jobs_transition ON jobs")
        op.execute("DROP FUNCTION refuse_transition()")
    with op.batch_alter_table("jobs") as batch_op:
        for name in _CHECKS:
            batch_op.drop_constraint(op.f(f"ck_jobs_{name}"), type_="check")
