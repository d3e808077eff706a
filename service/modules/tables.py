"""Modules: the part of a model that knows one or more of its classes."""

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, Float, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from service.platform.clock import Instant, db_now
from service.platform.database import JSON_TYPE, Base, TenantOwned, tenant_key, tenant_reference
from service.registry.scores import SCORES, UNMEASURED, Finds, Scored, search_indexes
from service.registry.tables import Revised


class Module(Scored, Revised, TenantOwned, Base):
    __tablename__ = "modules"
    __table_args__ = (
        tenant_key("modules"),
        tenant_reference("model_id", "models"),
        tenant_reference("job_id", "jobs"),
        # Both: SQLite would else look through all of the tenant's rows.
        Index("ix_modules_model", "model_id", "tenant_id"),
        *search_indexes("modules", SCORES),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    model_id: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str] = mapped_column(String(64), index=True)
    form: Mapped[str] = mapped_column(String(20))
    fold_amplitudes: Mapped[bool] = mapped_column(Boolean)
    threshold: Mapped[float] = mapped_column(Float(53))
    mask_digest: Mapped[str] = mapped_column(String(64))
    retention_rate: Mapped[float] = mapped_column(Float(53))
    parameters: Mapped[int] = mapped_column(BigInteger)
    parameter_rate: Mapped[float] = mapped_column(Float(53))
    flops: Mapped[int] = mapped_column(BigInteger)
    flops_rate: Mapped[float] = mapped_column(Float(53))
    notes: Mapped[list[str]] = mapped_column(JSON_TYPE)
    created_at: Mapped[datetime] = mapped_column(Instant, default=db_now())


class ModuleClass(Finds, Scored, TenantOwned, Base):
    """A class a module knows; `position` is the index of its logit in the module.

    `score` is the module's f1, else its accuracy, on validation data: of all that know the class, the best.
    """

    __tablename__ = "module_classes"
    __table_args__ = (
        tenant_reference("module_id", "modules", ondelete="CASCADE"),
        *search_indexes("module_classes", SCORES, equal=("name",), row_id="module_id"),
        Index(
            "ix_module_classes_by_score",
            *("tenant_id", "name", "score", "module_id", "created_at", "parameters", *SCORES),
        ),
    )

    module_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(200))
    score: Mapped[float] = mapped_column(Float(53), default=UNMEASURED, server_default="-1")
