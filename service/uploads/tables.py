"""Files on their way in: an upload is a row, each of its parts a blob in the store."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from service.platform.clock import Instant, db_now
from service.platform.database import NAMES_BLOB, Base, TenantOwned, tenant_key, tenant_reference


class Upload(TenantOwned, Base):
    """One file for `owner_id`: a dataset, or itself until a model is made of it.

    `job_id`: what reads it, once it is complete.
    """

    __tablename__ = "uploads"
    __table_args__ = (tenant_key("uploads"), tenant_reference("job_id", "jobs"))

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    owner_id: Mapped[str] = mapped_column(String(64), index=True)
    filename: Mapped[str] = mapped_column(String(255))
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    part_size: Mapped[int] = mapped_column(BigInteger)
    job_id: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(Instant, default=db_now())
    expires_at: Mapped[datetime] = mapped_column(Instant, index=True)


class UploadPart(TenantOwned, Base):
    """A part that has arrived; `sha256` is its key in the store."""

    __tablename__ = "upload_parts"
    __table_args__ = (tenant_reference("upload_id", "uploads", ondelete="CASCADE"),)

    upload_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    tenant_id: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str] = mapped_column(String(64), index=True, info=NAMES_BLOB)
    size: Mapped[int] = mapped_column(BigInteger)
