"""Modules: the part of a model that knows one or more of its classes."""

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, Float, ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from service.platform.clock import Instant, db_now
from service.platform.database import JSON_TYPE, Base, TenantOwned
from service.registry.scores import SCORES, UNMEASURED, Scored, search_indexes


class Module(Scored, TenantOwned, Base):
    __tablename__ = "modules"
    __table_args__ = (
        Index("ix_modules_tenant_created", "tenant_id", "created_at", "id"),
        *search_indexes("modules", "parameters", *SCORES),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), index=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"), index=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), index=True)
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


class ModuleClass(TenantOwned, Base):
    """A class a module knows; `position` is the index of its logit in the module.

    `score` (f1, else accuracy, on validation data), `parameters` and `created_at` are the module's: one index
    finds the best, the smallest or the newest that know a class, and compares the other two on the way.
    """

    __tablename__ = "module_classes"
    __table_args__ = (
        Index("ix_module_classes_best", "tenant_id", "name", "score", "module_id", "parameters"),
        Index("ix_module_classes_smallest", "tenant_id", "name", "parameters", "module_id", "score"),
        Index("ix_module_classes_newest", "tenant_id", "name", "created_at", "module_id", "score"),
    )

    module_id: Mapped[str] = mapped_column(ForeignKey("modules.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    name: Mapped[str] = mapped_column(String(200))
    score: Mapped[float] = mapped_column(Float(53), default=UNMEASURED, server_default="-1")
    parameters: Mapped[int] = mapped_column(BigInteger, server_default="0")
    created_at: Mapped[datetime] = mapped_column(Instant, default=db_now(), server_default="0")
