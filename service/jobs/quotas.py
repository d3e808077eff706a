"""How many jobs of one tenant may wait, and how many may run."""

from sqlalchemy.orm import Session

from service.jobs import repository
from service.platform.errors import QueueFullError
from service.tenants import service as tenants

# A short job ends in seconds, a training in hours: often enough for the one, not too often for the other.
_RETRY_AFTER_S = 30


def require_room(session: Session, tenant_id: str) -> None:
    """Raises QueueFullError when as many of the tenant's jobs wait as may."""
    limit = tenants.locked_limit(session, tenant_id, "max_queued")
    if limit is not None and repository.count_waiting(session, tenant_id, limit) >= limit:
        refusal = QueueFullError(
            f"{limit} of your jobs are waiting, and no more may; wait for some to start, or cancel some."
        )
        refusal.headers["Retry-After"] = str(_RETRY_AFTER_S)
        raise refusal


def may_start(session: Session, tenant_id: str) -> bool:
    """Whether one more of the tenant's jobs may run: of two that are claimed at once, the second is counted.

    The dispatcher publishes no more than may run (`fairness`), but a hint may come late or twice.
    """
    limit = tenants.locked_limit(session, tenant_id, "max_running")
    return limit is None or repository.count_active(session, tenant_id) < limit
