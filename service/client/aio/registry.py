"""What has been made: models, modules, compositions; and what can be made."""

import builtins
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from service.client.aio.artifacts import AsyncArtifactsClient
from service.client.aio.records import AsyncRecordsClient, changes
from service.client.aio.transport import AsyncTransport, segment
from service.client.aio.uploads import send_dataset
from service.client.files import DatasetUpload, Download
from service.client.filters import ClassFilters, ModuleFilters, query
from service.client.pages import Page
from service.client.schemas import Architecture, ClassMatch, Composition, CompositionRequest, Dataset, Module


class AsyncDatasetsClient:
    """`client.datasets`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(self) -> builtins.list[Dataset]:
        page = await self._transport.get("/v1/datasets", Page[Dataset])
        return [dataset async for dataset in page]

    async def get(self, name: str) -> Dataset:
        return await self._transport.get(f"/v1/datasets/{segment(name)}", Dataset)

    async def upload(
        self,
        source: Path | str,
        name: str,
        *,
        key: str | None = None,
        on_progress: Callable[[int, int], None] | None = None,
        **options: Any,
    ) -> DatasetUpload:
        """Send a folder with one folder of images per class, or an archive, as a new dataset.

        Args:
            key: A name for this upload; after an interruption the same call goes on where it was.
            on_progress: Called with the bytes that are there and the bytes there will be.
            options: Further fields of `POST /v1/datasets`, e.g. `image_size=64`.

        Returns:
            The dataset, not yet ready, and the job that imports it: wait for that.
        """
        given = {"name": name, **options}
        sent = on_progress or (lambda *_: None)
        dataset, job = await send_dataset(self._transport, Path(source), given, key or uuid.uuid4().hex, sent)
        return DatasetUpload(dataset=dataset, job=job)

    async def delete(self, dataset_id: str) -> None:
        """Remove an uploaded dataset; models trained on it stay."""
        await self._transport.send("DELETE", f"/v1/datasets/{segment(dataset_id)}")


class AsyncArchitecturesClient:
    """`client.architectures`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(self) -> builtins.list[Architecture]:
        page = await self._transport.get("/v1/architectures", Page[Architecture])
        return page.data


class AsyncModulesClient(AsyncRecordsClient):
    """`client.modules`."""

    path = "/v1/modules"

    async def list(self, **filters: Unpack[ModuleFilters]) -> Page[Module]:
        """The modules that fit, newest first unless sorted otherwise."""
        return await self._transport.get("/v1/modules", Page[Module], query(filters))

    async def get(self, module_id: str) -> Module:
        return await self._transport.get(f"/v1/modules/{segment(module_id)}", Module)

    async def update(
        self,
        module_id: str,
        *,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, str | None] | None = None,
        if_match: str | None = None,
    ) -> Module:
        """Change labels: `tags` replaces the set, `metadata` is merged (None takes a key away)."""
        path = f"{self.path}/{segment(module_id)}"
        return await self._transport.patch(path, Module, changes(tags, metadata), if_match)

    async def delete(self, module_id: str) -> None:
        """Remove a module that is in no composition."""
        await self._transport.send("DELETE", f"/v1/modules/{segment(module_id)}")

    async def download(
        self, module_id: str, folder: Path | str, *, role: str | None = None
    ) -> builtins.list[Download]:
        """Its files, or the one in this role ("program", "weights", ...), each verified.

        Raises NoSuchFileError and what `client.artifacts.download` raises.
        """
        found = await self.get(module_id)
        return await AsyncArtifactsClient(self._transport).download_all(found.artifacts, folder, role)


class AsyncClassesClient:
    """`client.classes`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def find(self, name: str, **filters: Unpack[ClassFilters]) -> builtins.list[ClassMatch]:
        """The best `limit` modules that know this class and fit, best validation figure first."""
        return (
            await self._transport.get("/v1/classes", Page[ClassMatch], {"name": name, **query(filters)})
        ).data


class AsyncCompositionsClient(AsyncRecordsClient):
    """`client.compositions`."""

    path = "/v1/compositions"

    async def create(self, spec: Mapping[str, Any], idempotency_key: str | None = None) -> CompositionRequest:
        """Ask for a composition; the same request finds the existing one, and then there is no job."""
        key = idempotency_key or uuid.uuid4().hex
        return await self._transport.post("/v1/compositions", CompositionRequest, spec, idempotency_key=key)

    async def list(self, **filters: Unpack[ModuleFilters]) -> Page[Composition]:
        """The compositions that fit, newest first unless sorted otherwise."""
        return await self._transport.get("/v1/compositions", Page[Composition], query(filters))

    async def get(self, composition_id: str) -> Composition:
        return await self._transport.get(f"/v1/compositions/{segment(composition_id)}", Composition)

    async def update(
        self,
        composition_id: str,
        *,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, str | None] | None = None,
        if_match: str | None = None,
    ) -> Composition:
        """Change labels: `tags` replaces the set, `metadata` is merged (None takes a key away)."""
        path = f"{self.path}/{segment(composition_id)}"
        return await self._transport.patch(path, Composition, changes(tags, metadata), if_match)

    async def delete(self, composition_id: str) -> None:
        """Remove a composition; its modules stay."""
        await self._transport.send("DELETE", f"/v1/compositions/{segment(composition_id)}")

    async def download(
        self, composition_id: str, folder: Path | str, *, role: str | None = None
    ) -> builtins.list[Download]:
        """Its files, or the one in this role ("program", "weights", ...), each verified.

        Raises NoSuchFileError and what `client.artifacts.download` raises.
        """
        found = await self.get(composition_id)
        return await AsyncArtifactsClient(self._transport).download_all(found.artifacts, folder, role)
