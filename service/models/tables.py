"""Trained models, their classes, and every measured figure."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Float, ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from service.platform.clock import Instant, db_now
from service.platform.database import JSON_TYPE, Base, TenantOwned, tenant_key, tenant_reference
from service.registry.scores import ACCURACIES, Accurate, Finds, search_indexes
from service.registry.tables import Revised


class Model(Accurate, Revised, TenantOwned, Base):
    __tablename__ = "models"
    __table_args__ = (
        tenant_key("models"),
        tenant_reference("job_id", "jobs"),
        tenant_reference("dataset_id", "datasets"),
        tenant_reference("initial_model_id", "models", deferrable=True),
        Index("ix_models_initial", "initial_model_id", "tenant_id"),
        *search_indexes("models", ACCURACIES),
        # Rows without a name do not collide: null differs from null.
        Index("uq_models_version", "tenant_id", "name", "version", unique=True),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str] = mapped_column(String(64), unique=True)
    origin: Mapped[str] = mapped_column(String(16))  # trained, imported
    dataset_id: Mapped[str | None] = mapped_column(String(64), index=True)
    initial_model_id: Mapped[str | None] = mapped_column(String(64))  # whose weights its training began with
    architecture: Mapped[str] = mapped_column(String(100))
    approach: Mapped[str] = mapped_column(String(50))
    recipe: Mapped[str] = mapped_column(String(50))
    input_shape: Mapped[list[int]] = mapped_column(JSON_TYPE)
    units: Mapped[dict[str, Any]] = mapped_column(JSON_TYPE)
    parameters: Mapped[int] = mapped_column(BigInteger)
    flops: Mapped[int] = mapped_column(BigInteger)
    seed: Mapped[int | None] = mapped_column(Integer)
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
    __table_args__ = (tenant_reference("model_id", "models", ondelete="CASCADE"),)

    tenant_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    alias: Mapped[str] = mapped_column(String(64), primary_key=True)
    model_id: Mapped[str] = mapped_column(String(64), index=True)


class ModelClass(Finds, Accurate, TenantOwned, Base):
    """A class a model knows; `position` is the index of its logit."""

    __tablename__ = "model_classes"
    __table_args__ = (
        tenant_reference("model_id", "models", ondelete="CASCADE"),
        *search_indexes("model_classes", ACCURACIES, equal=("name",), row_id="model_id"),
    )

    model_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(200))


class Metric(TenantOwned, Base):
    """One measured figure of a model, module or composition, with the split and the job that measured it."""

    __tablename__ = "metrics"
    __table_args__ = (
        tenant_reference("job_id", "jobs"),
        tenant_reference("dataset_id", "datasets"),
        Index("ix_metrics_owner", "owner_id", "name", "split"),
        Index("ix_metrics_job", "job_id", "name", "epoch"),
    )

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer(), "sqlite"), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str] = mapped_column(String(64))
    owner_id: Mapped[str | None] = mapped_column(
        String(64)
    )  # mdl_, mod_ or cmp_; null = training curve of the job
    name: Mapped[str] = mapped_column(String(100))
    value: Mapped[float] = mapped_column(Float(53))
    split: Mapped[str | None] = mapped_column(String(20))
    class_name: Mapped[str | None] = mapped_column(String(200))
    epoch: Mapped[int | None] = mapped_column(Integer)
    # What it was measured on; null = the dataset that the model is of.
    dataset_id: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(Instant, default=db_now())
