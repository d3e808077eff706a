"""Datasets by digest: every model records which data made it."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from service.platform.clock import Instant, db_now
from service.platform.database import JSON_TYPE, Base, TenantOwned, tenant_key, tenant_reference

USED = text("NOT uploaded")


class Dataset(TenantOwned, Base):
    """A built-in dataset as it was when a job used it, or one that was uploaded.

    The digest covers images, labels and splits; an uploaded dataset has one once its import has succeeded.
    Rows of deleted datasets stay, because models name them.
    """

    __tablename__ = "datasets"
    __table_args__ = (
        tenant_key("datasets"),
        tenant_reference("job_id", "jobs"),
        Index(
            "ix_datasets_used", "tenant_id", "name", "digest", unique=True,
            sqlite_where=USED, postgresql_where=USED,
        ),
        Index("ix_datasets_tenant_created", "tenant_id", "created_at", "id"),
    )  # fmt: skip

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    name: Mapped[str] = mapped_column(String(200))
    digest: Mapped[str | None] = mapped_column(String(64))
    info: Mapped[dict[str, Any]] = mapped_column(JSON_TYPE)
    uploaded: Mapped[bool] = mapped_column(default=False)
    description: Mapped[str | None] = mapped_column(String(1000))
    options: Mapped[dict[str, Any] | None] = mapped_column(JSON_TYPE)
    report: Mapped[dict[str, Any] | None] = mapped_column(JSON_TYPE)
    job_id: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(Instant, default=db_now())
    deleted_at: Mapped[datetime | None] = mapped_column(Instant)

    @property
    def key(self) -> str:
        """What a job's spec calls it."""
        return self.id if self.uploaded else self.name
