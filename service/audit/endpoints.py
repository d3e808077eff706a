"""/v1/audit_events: who did what, for keys of scope `admin`."""

from typing import Annotated

from fastapi import APIRouter, Depends

from service.audit import repository
from service.audit.schemas import AuditEventRead, AuditSearch
from service.platform.dependencies import Reader
from service.platform.pagination import ListOf, PageDep

router = APIRouter(prefix="/v1/audit_events", tags=["audit"])


@router.get("", operation_id="audit_events_list")
def list_events(
    session: Reader, page: PageDep, wanted: Annotated[AuditSearch, Depends()]
) -> ListOf[AuditEventRead]:
    """Every request of your tenant that could change something, newest first, refused ones too."""
    found = repository.page_of_events(session, wanted, page)
    return ListOf[AuditEventRead].of(
        [AuditEventRead.model_validate(e) for e in found.rows], found.next_cursor
    )
