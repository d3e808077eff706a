# Written by `python -m service.sync_client` from aio/client.py, which is the one to change.
"""The typed HTTP client: one object per service."""

from datetime import datetime
from types import TracebackType
from typing import Any, Self

from service.client.account import Usage
from service.client.artifacts import ArtifactsClient
from service.client.jobs import JobsClient
from service.client.models import ModelsClient
from service.client.pages import Page
from service.client.people import ApiKeysClient, AuditClient
from service.client.registry import (
    ArchitecturesClient,
    ClassesClient,
    CompositionsClient,
    DatasetsClient,
    ModulesClient,
)
from service.client.schemas import Version, WorkerCount
from service.client.transport import Transport
from service.client.webhooks import WebhooksClient


class CleaveClient:
    """Talks to one Cleave service; safe to share, and to use as a context manager.

    Example:
        with CleaveClient("http://127.0.0.1:8321", api_key="cleave_...") as client:
            spec = {"kind": "train", "architecture": "small_cnn", "dataset": "digits"}
            job = client.jobs.create(spec)
            job = client.jobs.wait(job.id, progress=True)
    """

    def __init__(self, base_url: str, api_key: str | None = None, timeout: float = 30.0) -> None:
        self._transport = Transport(base_url, api_key, timeout)
        self.base_url = self._transport.base_url
        self.jobs = JobsClient(self._transport)
        self.datasets = DatasetsClient(self._transport)
        self.architectures = ArchitecturesClient(self._transport)
        self.models = ModelsClient(self._transport)
        self.modules = ModulesClient(self._transport)
        self.classes = ClassesClient(self._transport)
        self.compositions = CompositionsClient(self._transport)
        self.artifacts = ArtifactsClient(self._transport)
        self.api_keys = ApiKeysClient(self._transport)
        self.audit_events = AuditClient(self._transport)
        self.webhooks = WebhooksClient(self._transport)

    def version(self) -> Version:
        return self._transport.get("/version", Version)

    def ready(self) -> dict[str, Any]:
        """The service's own view of its parts. Raises CleaveApiError (503) while one is not available."""
        response = self._transport.send("GET", "/readyz")
        answer: dict[str, Any] = response.json()
        return answer

    def usage(self, *, since: datetime | None = None, until: datetime | None = None) -> Usage:
        """What your tenant has, and the computing of a period: the 30 days before `until`, which is now."""
        period = {
            "from": None if since is None else since.isoformat(),
            "to": None if until is None else until.isoformat(),
        }
        return self._transport.get("/v1/usage", Usage, period)

    def workers(self) -> list[WorkerCount]:
        """Who there is to take jobs."""
        page = self._transport.get("/v1/workers", Page[WorkerCount])
        return page.data

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
