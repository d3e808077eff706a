"""Trained models, their classes, and every measured figure."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Float, ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from service.platform.clock import Instant, db_now
from service.platform.database import JSON_TYPE, Base, TenantOwned
from service.registry.scores import Accurate, search_indexes


class Model(Accurate, TenantOwned, Base):
    __tablename__ = "models"
    __table_args__ = (
        Index("ix_models_tenant_created", "tenant_id", "created_at", "id"),
        *search_indexes("models", "parameters", "accuracy_validation", "accuracy_test"),
        # Rows without a name do not collide: null differs from null.
        Index("uq_models_version", "tenant_id", "name", "version", unique=True),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), index=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), unique=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"), index=True)
    architecture: Mapped[str] = mapped_column(String(100))
    approach: Mapped[str] = mapped_column(String(50))
    recipe: Mapped[str] = mapped_column(String(50))
    input_shape: Mapped[list[int]] = mapped_column(JSON_TYPE)
    units: Mapped[dict[str, Any]] = mapped_column(JSON_TYPE)
    parameters: Mapped[int] = mapped_column(BigInteger)
    flops: Mapped[int] = mapped_column(BigInteger)
    seed: Mapped[int] = mapped_column(Integer)
    versions: Mapped[dict[str, Any]] = mapped_column(JSON_TYPE)
    name: Mapped[str | None] = mapped_column(String(64))
    version: Mapped[int | None] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(Instant, default=db_now())


class ModelName(TenantOwned, Base):
    """A name that models are versions of; a version is given once, also when its model is gone."""

    __tablename__ = "model_names"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    last_version: Mapped[int] = mapped_column(Integer, default=0)


class ModelAlias(TenantOwned, Base):
    """A word for one version of a name; it can be moved to another."""

    __tablename__ = "model_aliases"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    alias: Mapped[str] = mapped_column(String(64), primary_key=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), index=True)


class ModelClass(TenantOwned, Base):
    """A class a model knows; `position` is the index of its logit."""

    __tablename__ = "model_classes"
    __table_args__ = (Index("ix_model_classes_name", "tenant_id", "name"),)

    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    name: Mapped[str] = mapped_column(String(200))


class Metric(TenantOwned, Base):
    """One measured figure of a model, module or composition, with the split and the job that measured it."""

    __tablename__ = "metrics"
    __table_args__ = (
        Index("ix_metrics_owner", "owner_id", "name", "split"),
        Index("ix_metrics_job", "job_id", "name", "epoch"),
    )

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer(), "sqlite"), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), index=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    owner_id: Mapped[str | None] = mapped_column(
        String(64)
    )  # mdl_, mod_ or cmp_; null = training curve of the job
    name: Mapped[str] = mapped_column(String(100))
    value: Mapped[float] = mapped_column(Float(53))
    split: Mapped[str | None] = mapped_column(String(20))
    class_name: Mapped[str | None] = mapped_column(String(200))
    epoch: Mapped[int | None] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(Instant, default=db_now())
