"""Every query about the audit log."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.audit.schemas import AuditSearch
from service.audit.tables import AuditEvent
from service.platform.clock import db_now
from service.platform.database import Database
from service.platform.pagination import Page, PageRequest, fetch_page
from service.platform.thinning import delete_gradually


def page_of_events(session: Session, wanted: AuditSearch, page: PageRequest) -> Page[AuditEvent]:
    """Newest first."""
    rows = select(AuditEvent)
    for column, value in (
        (AuditEvent.operation, wanted.operation),
        (AuditEvent.resource, wanted.resource),
        (AuditEvent.key_id, wanted.key_id),
    ):
        if value is not None:
            rows = rows.where(column == value)
    if wanted.created_from is not None:
        rows = rows.where(AuditEvent.created_at >= wanted.created_from)
    if wanted.created_before is not None:
        rows = rows.where(AuditEvent.created_at < wanted.created_before)
    return fetch_page(session, rows, (AuditEvent.created_at, AuditEvent.id), page)


def forget(database: Database, age_ms: int) -> None:
    """Drop what is older than this."""
    # No index for it: to find nothing among 100,000 rows takes 20 ms, every ten minutes.
    delete_gradually(database, AuditEvent, AuditEvent.created_at < db_now() - age_ms)
