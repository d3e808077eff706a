"""Every table, imported in one place so that metadata is complete wherever it is needed."""

from service.artifacts import tables as artifacts
from service.audit import tables as audit
from service.compositions import tables as compositions
from service.datasets import tables as datasets
from service.jobs import tables as jobs
from service.models import tables as models
from service.modules import tables as modules
from service.platform.database import Base
from service.registry import tables as registry
from service.tenants import tables as tenants
from service.uploads import tables as uploads
from service.webhooks import tables as webhooks

metadata = Base.metadata

__all__ = [
    "artifacts",
    "audit",
    "compositions",
    "datasets",
    "jobs",
    "metadata",
    "models",
    "modules",
    "registry",
    "tenants",
    "uploads",
    "webhooks",
]
