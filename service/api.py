"""Every route of the API in one place."""

from fastapi import Depends, FastAPI

from service.artifacts import endpoints as artifacts
from service.audit import endpoints as audit
from service.bundles import endpoints as bundles
from service.compositions import endpoints as compositions
from service.datasets import endpoints as datasets
from service.datasets import upload_endpoints as dataset_uploads
from service.jobs import endpoints as jobs
from service.jobs import event_endpoints as job_events
from service.jobs import metrics_endpoint
from service.jobs import worker_endpoints as workers
from service.models import endpoints as models
from service.modules import endpoints as modules
from service.platform import health
from service.platform.requests import refuse_unknown_query
from service.provenance import endpoints as provenance
from service.tenants import endpoints as api_keys
from service.uploads import endpoints as uploads
from service.usage import endpoints as usage
from service.webhooks import endpoints as webhooks

TAGS = [
    {"name": "jobs", "description": "Long work: train, extract, compose, evaluate."},
    {"name": "datasets", "description": "What can be trained on."},
    {"name": "uploads", "description": "Files on their way in, of which models are made."},
    {"name": "models", "description": "Trained networks."},
    {"name": "modules", "description": "Parts of models, each knowing some classes."},
    {"name": "compositions", "description": "Classifiers made of modules."},
    {"name": "artifacts", "description": "Files to download."},
    {"name": "webhooks", "description": "Be told what happens to your jobs."},
    {"name": "api_keys", "description": "Who may call, and what for."},
    {"name": "usage", "description": "What there is, what it took, and what is left."},
    {"name": "audit", "description": "Who changed what."},
    {"name": "operation", "description": "Is it alive, is it ready, what runs."},
]


def include_routers(app: FastAPI) -> None:
    """Add the routes."""
    strict = [Depends(refuse_unknown_query)]
    # Before the models and modules, whose ids would take in the word "compare".
    for slice_ in (
        jobs, job_events, datasets, dataset_uploads, uploads, provenance, models, modules, compositions,
        artifacts, bundles, workers, webhooks,
    ):  # fmt: skip
        app.include_router(slice_.router, dependencies=strict)
    for slice_ in (api_keys, usage, audit):
        app.include_router(slice_.router, dependencies=strict)
    app.include_router(job_events.ticketed_router, dependencies=strict)
    app.include_router(health.router)
    app.include_router(metrics_endpoint.router, dependencies=strict)
