"""The typed HTTP client: one object per service."""

from datetime import datetime
from types import TracebackType
from typing import Any, Self

from service.client.account import Usage
from service.client.aio.artifacts import AsyncArtifactsClient
from service.client.aio.jobs import AsyncJobsClient
from service.client.aio.models import AsyncModelsClient
from service.client.aio.people import AsyncApiKeysClient, AsyncAuditClient
from service.client.aio.registry import (
    AsyncArchitecturesClient,
    AsyncClassesClient,
    AsyncCompositionsClient,
    AsyncDatasetsClient,
    AsyncModulesClient,
)
from service.client.aio.transport import AsyncTransport
from service.client.aio.webhooks import AsyncWebhooksClient
from service.client.pages import Page
from service.client.schemas import Version, WorkerCount


class AsyncCleaveClient:
    """Talks to one Cleave service; safe to share, and to use as a context manager.

    Example:
        async with AsyncCleaveClient("http://127.0.0.1:8321", api_key="cleave_...") as client:
            spec = {"kind": "train", "architecture": "small_cnn", "dataset": "digits"}
            job = await client.jobs.create(spec)
            job = await client.jobs.wait(job.id, progress=True)
    """

    def __init__(self, base_url: str, api_key: str | None = None, timeout: float = 30.0) -> None:
        self._transport = AsyncTransport(base_url, api_key, timeout)
        self.base_url = self._transport.base_url
        self.jobs = AsyncJobsClient(self._transport)
        self.datasets = AsyncDatasetsClient(self._transport)
        self.architectures = AsyncArchitecturesClient(self._transport)
        self.models = AsyncModelsClient(self._transport)
        self.modules = AsyncModulesClient(self._transport)
        self.classes = AsyncClassesClient(self._transport)
        self.compositions = AsyncCompositionsClient(self._transport)
        self.artifacts = AsyncArtifactsClient(self._transport)
        self.api_keys = AsyncApiKeysClient(self._transport)
        self.audit_events = AsyncAuditClient(self._transport)
        self.webhooks = AsyncWebhooksClient(self._transport)

    async def version(self) -> Version:
        return await self._transport.get("/version", Version)

    async def ready(self) -> dict[str, Any]:
        """The service's own view of its parts. Raises CleaveApiError (503) while one is not available."""
        response = await self._transport.send("GET", "/readyz")
        answer: dict[str, Any] = response.json()
        return answer

    async def usage(self, *, since: datetime | None = None, until: datetime | None = None) -> Usage:
        """What your tenant has, and the computing of a period: the 30 days before `until`, which is now."""
        period = {
            "from": None if since is None else since.isoformat(),
            "to": None if until is None else until.isoformat(),
        }
        return await self._transport.get("/v1/usage", Usage, period)

    async def workers(self) -> list[WorkerCount]:
        """Who there is to take jobs."""
        page = await self._transport.get("/v1/workers", Page[WorkerCount])
        return page.data

    async def close(self) -> None:
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
