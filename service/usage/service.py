"""What a tenant has, what it has used, and what it may."""

from datetime import UTC, datetime

from sqlalchemy.orm import Session

from service.jobs.states import ACTIVE, WAITING
from service.platform.errors import InvalidRequestError
from service.tenants import service as tenants
from service.uploads.schemas import MIB
from service.usage import repository
from service.usage.schemas import (
    Compute,
    Counts,
    KindComputed,
    Quota,
    Quotas,
    RoleStored,
    Stored,
    Usage,
    UsagePeriod,
)

_PERIOD_MS = 30 * 86_400_000
_LAST_MS = round(datetime(9999, 1, 1, tzinfo=UTC).timestamp() * 1000)
_UPLOAD = "upload"


def of_tenant(session: Session, tenant_id: str, period: UsagePeriod) -> Usage:
    """Everything at once. Raises InvalidRequestError for a period that ends before it begins."""
    jobs = repository.jobs_by_state(session, tenant_id)
    stored = _stored(session, tenant_id)
    return Usage(
        stored=stored,
        counts=Counts(**repository.counts(session, tenant_id), jobs=jobs),
        compute=_compute(session, tenant_id, period),
        quotas=_quotas(session, tenant_id, jobs, stored.bytes),
    )


def _stored(session: Session, tenant_id: str) -> Stored:
    found = repository.artifacts_by_role(session, tenant_id)
    files, size = repository.uploads(session, tenant_id)
    roles = [RoleStored(role=role, files=count, bytes=total) for role, count, total in found]
    if files:
        roles.append(RoleStored(role=_UPLOAD, files=files, bytes=size))
    return Stored(
        bytes=sum(role.bytes for role in roles),
        files=sum(role.files for role in roles),
        by_role=sorted(roles, key=lambda role: role.role),
    )


def _compute(session: Session, tenant_id: str, period: UsagePeriod) -> Compute:
    now = repository.now_ms(session)
    end = now if period.end is None else _ms(period.end)
    start = max(0, end - _PERIOD_MS) if period.start is None else _ms(period.start)
    if not 0 <= start <= end <= _LAST_MS:
        detail = "`from` must not be after `to`, and both lie between 1970 and 9999."
        error = {"pointer": "/from", "code": "invalid", "message": detail, "in": "query"}
        raise InvalidRequestError(detail, errors=[error])
    found = repository.attempts_by_kind(session, tenant_id, start, end, now)
    kinds = [KindComputed(kind=kind, attempts=count, seconds=ms / 1000) for kind, count, ms in sorted(found)]
    return Compute(
        start=datetime.fromtimestamp(start / 1000, UTC),
        end=datetime.fromtimestamp(end / 1000, UTC),
        seconds=round(sum(kind.seconds for kind in kinds), 3),
        by_kind=kinds,
    )


def _quotas(session: Session, tenant_id: str, jobs: dict[str, int], stored: int) -> Quotas:
    def quota(name: tenants.Limit, used: int, unit: int = 1) -> Quota:
        limit = tenants.limit_of(session, tenant_id, name)
        if limit is None:
            return Quota(used=used, limit=None, left=None)
        return Quota(used=used, limit=limit * unit, left=max(0, limit * unit - used))

    return Quotas(
        running_jobs=quota("max_running", sum(jobs.get(state, 0) for state in ACTIVE)),
        waiting_jobs=quota("max_queued", sum(jobs.get(state, 0) for state in WAITING)),
        stored_bytes=quota("max_stored_mib", stored, MIB),
    )


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
