"""Artifacts: immutable files, stored once per content."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from service.platform.clock import Instant, db_now
from service.platform.database import NAMES_BLOB, Base, TenantOwned, tenant_key, tenant_reference


class Artifact(TenantOwned, Base):
    """A file offered for download. The store's key is `sha256`; callers never name a path."""

    __tablename__ = "artifacts"
    __table_args__ = (
        tenant_key("artifacts"),
        tenant_reference("job_id", "jobs"),
        Index("ix_artifacts_stored", "tenant_id", "role", "size"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str] = mapped_column(String(64), index=True, info=NAMES_BLOB)
    size: Mapped[int] = mapped_column(BigInteger)
    # What it was made as; `other`: made before this was kept, and replaced since.
    role: Mapped[str] = mapped_column(String(32), server_default="other")
    filename: Mapped[str] = mapped_column(String(255))
    media_type: Mapped[str] = mapped_column(String(100))
    job_id: Mapped[str] = mapped_column(String(64), index=True)
    created_at: Mapped[datetime] = mapped_column(Instant, default=db_now())


class ArtifactLink(TenantOwned, Base):
    """What an artifact is to a model, module or composition: weights, recipe, statistics, program."""

    __tablename__ = "artifact_links"
    __table_args__ = (
        tenant_reference("artifact_id", "artifacts"),
        Index("ix_artifact_links_artifact", "artifact_id"),
    )

    owner_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    role: Mapped[str] = mapped_column(String(32), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    artifact_id: Mapped[str] = mapped_column(String(64))
