"""/v1/usage: what the caller's tenant has and uses."""

from typing import Annotated

from fastapi import APIRouter, Depends

from service.platform.dependencies import CallerDep, Reader
from service.usage import service
from service.usage.schemas import Usage, UsagePeriod

router = APIRouter(prefix="/v1/usage", tags=["usage"])


@router.get("", operation_id="usage_get")
def get_usage(session: Reader, caller: CallerDep, period: Annotated[UsagePeriod, Depends()]) -> Usage:
    """Bytes, counts, seconds of computing in a period, and the limits that apply with what is left of each.

    An attempt that lies partly in the period counts with that part; one that runs, up to now.
    """
    return service.of_tenant(session, caller.tenant_id, period)
