"""Compositions: classifiers made of modules, content-addressed by their members and options."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, Float, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from service.platform.clock import Instant, db_now
from service.platform.database import JSON_TYPE, Base, TenantOwned, tenant_key, tenant_reference
from service.registry.scores import SCORES, Finds, Scored, search_indexes
from service.registry.tables import Revised


class Composition(Scored, Revised, TenantOwned, Base):
    """`key` digests members and options: an identical request finds this row. Sizes are null until built."""

    __tablename__ = "compositions"
    __table_args__ = (
        tenant_key("compositions"),
        tenant_reference("model_id", "models"),
        tenant_reference("job_id", "jobs"),
        UniqueConstraint("tenant_id", "key"),
        Index("ix_compositions_model", "model_id", "tenant_id"),
        *search_indexes("compositions", SCORES),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    key: Mapped[str] = mapped_column(String(64))
    model_id: Mapped[str] = mapped_column(String(64))
    # The newest job asked to build it; null only within the transaction that makes both.
    job_id: Mapped[str] = mapped_column(String(64), index=True, nullable=True)
    strategy: Mapped[str] = mapped_column(String(20))
    form: Mapped[str] = mapped_column(String(20))
    fold_amplitudes: Mapped[bool] = mapped_column(Boolean)
    classes: Mapped[list[str]] = mapped_column(JSON_TYPE)
    ready: Mapped[bool] = mapped_column(Boolean, default=False)
    retention_rate: Mapped[float | None] = mapped_column(Float(53))
    parameters: Mapped[int | None] = mapped_column(BigInteger)
    parameter_rate: Mapped[float | None] = mapped_column(Float(53))
    flops: Mapped[int | None] = mapped_column(BigInteger)
    flops_rate: Mapped[float | None] = mapped_column(Float(53))
    notes: Mapped[list[str]] = mapped_column(JSON_TYPE, default=list)
    options: Mapped[dict[str, Any]] = mapped_column(JSON_TYPE)
    created_at: Mapped[datetime] = mapped_column(Instant, default=db_now())


class CompositionMember(TenantOwned, Base):
    __tablename__ = "composition_members"
    __table_args__ = (
        tenant_reference("composition_id", "compositions", ondelete="CASCADE"),
        tenant_reference("module_id", "modules"),
    )

    composition_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    module_id: Mapped[str] = mapped_column(String(64), index=True)


class CompositionClass(Finds, Scored, TenantOwned, Base):
    """A class a composition knows, to search by; the order of the outputs is `Composition.classes`."""

    __tablename__ = "composition_classes"
    __table_args__ = (
        tenant_reference("composition_id", "compositions", ondelete="CASCADE"),
        *search_indexes("composition_classes", SCORES, equal=("name",), row_id="composition_id"),
    )

    composition_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
