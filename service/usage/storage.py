"""How many bytes one tenant may have in the store."""

from sqlalchemy.orm import Session

from service.platform.errors import StorageQuotaError
from service.tenants import service as tenants
from service.uploads.schemas import MIB
from service.usage import repository

_ROOMY = 100


def require_space(session: Session, tenant_id: str, size: int, *, reader: str | None = None) -> None:
    """Raises StorageQuotaError where `size` bytes more are too many; else they are not until the commit.

    Uploads count as announced, so parts of one always have their place. Those that the job `reader` reads do
    not: its results take their place. Where a hundred times the bytes would fit, nobody waits for others of
    the tenant: what is written at the same time may pass the limit, by a hundredth of what was left each.
    """
    limit = tenants.limit_of(session, tenant_id, "max_stored_mib")
    if limit is None:
        return
    # Many rows may have to be summed, so where it can be, not while others wait.
    if stored_bytes(session, tenant_id, reader) + _ROOMY * size <= limit * MIB:
        return
    limit = tenants.locked_limit(session, tenant_id, "max_stored_mib")
    if limit is None:
        return
    used = stored_bytes(session, tenant_id, reader)
    if used + size > limit * MIB:
        left = max(0, limit * MIB - used)
        raise StorageQuotaError(
            f"These {size} bytes are more than the {left} that are left of your {limit} MiB; "
            "GET /v1/usage tells what takes them. Delete some of it, or ask for a larger limit."
        )


def stored_bytes(session: Session, tenant_id: str, reader: str | None = None) -> int:
    """Of all files and uploads but those that this job reads."""
    files = sum(size for _, _, size in repository.artifacts_by_role(session, tenant_id))
    return files + repository.uploads(session, tenant_id, reader)[1]
