# Written by `python -m service.sync_client` from aio/registry.py, which is the one to change.
"""What has been made: models, modules, compositions; and what can be made."""

import builtins
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from service.client.artifacts import ArtifactsClient
from service.client.files import DatasetUpload, Download
from service.client.filters import ClassFilters, ModuleFilters, query
from service.client.pages import Page
from service.client.records import RecordsClient, changes
from service.client.schemas import Architecture, ClassMatch, Composition, CompositionRequest, Dataset, Module
from service.client.transport import Transport, segment
from service.client.uploads import send_dataset


class DatasetsClient:
    """`client.datasets`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> builtins.list[Dataset]:
        page = self._transport.get("/v1/datasets", Page[Dataset])
        return list(page)

    def get(self, name: str) -> Dataset:
        return self._transport.get(f"/v1/datasets/{segment(name)}", Dataset)

    def upload(
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
        dataset, job = send_dataset(self._transport, Path(source), given, key or uuid.uuid4().hex, sent)
        return DatasetUpload(dataset=dataset, job=job)

    def delete(self, dataset_id: str) -> None:
        """Remove an uploaded dataset; models trained on it stay."""
        self._transport.send("DELETE", f"/v1/datasets/{segment(dataset_id)}")


class ArchitecturesClient:
    """`client.architectures`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> builtins.list[Architecture]:
        page = self._transport.get("/v1/architectures", Page[Architecture])
        return page.data


class ModulesClient(RecordsClient):
    """`client.modules`."""

    path = "/v1/modules"

    def list(self, **filters: Unpack[ModuleFilters]) -> Page[Module]:
        """The modules that fit, newest first unless sorted otherwise."""
        return self._transport.get("/v1/modules", Page[Module], query(filters))

    def get(self, module_id: str) -> Module:
        return self._transport.get(f"/v1/modules/{segment(module_id)}", Module)

    def update(
        self,
        module_id: str,
        *,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, str | None] | None = None,
        if_match: str | None = None,
    ) -> Module:
        """Change labels: `tags` replaces the set, `metadata` is merged (None takes a key away)."""
        path = f"{self.path}/{segment(module_id)}"
        return self._transport.patch(path, Module, changes(tags, metadata), if_match)

    def delete(self, module_id: str) -> None:
        """Remove a module that is in no composition."""
        self._transport.send("DELETE", f"/v1/modules/{segment(module_id)}")

    def download(
        self, module_id: str, folder: Path | str, *, role: str | None = None
    ) -> builtins.list[Download]:
        """Its files, or the one in this role ("program", "weights", ...), each verified.

        Raises NoSuchFileError and what `client.artifacts.download` raises.
        """
        found = self.get(module_id)
        return ArtifactsClient(self._transport).download_all(found.artifacts, folder, role)


class ClassesClient:
    """`client.classes`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def find(self, name: str, **filters: Unpack[ClassFilters]) -> builtins.list[ClassMatch]:
        """The best `limit` modules that know this class and fit, best validation figure first."""
        return (self._transport.get("/v1/classes", Page[ClassMatch], {"name": name, **query(filters)})).data


class CompositionsClient(RecordsClient):
    """`client.compositions`."""

    path = "/v1/compositions"

    def create(self, spec: Mapping[str, Any], idempotency_key: str | None = None) -> CompositionRequest:
        """Ask for a composition; the same request finds the existing one, and then there is no job."""
        key = idempotency_key or uuid.uuid4().hex
        return self._transport.post("/v1/compositions", CompositionRequest, spec, idempotency_key=key)

    def list(self, **filters: Unpack[ModuleFilters]) -> Page[Composition]:
        """The compositions that fit, newest first unless sorted otherwise."""
        return self._transport.get("/v1/compositions", Page[Composition], query(filters))

    def get(self, composition_id: str) -> Composition:
        return self._transport.get(f"/v1/compositions/{segment(composition_id)}", Composition)

    def update(
        self,
        composition_id: str,
        *,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, str | None] | None = None,
        if_match: str | None = None,
    ) -> Composition:
        """Change labels: `tags` replaces the set, `metadata` is merged (None takes a key away)."""
        path = f"{self.path}/{segment(composition_id)}"
        return self._transport.patch(path, Composition, changes(tags, metadata), if_match)

    def delete(self, composition_id: str) -> None:
        """Remove a composition; its modules stay."""
        self._transport.send("DELETE", f"/v1/compositions/{segment(composition_id)}")

    def download(
        self, composition_id: str, folder: Path | str, *, role: str | None = None
    ) -> builtins.list[Download]:
        """Its files, or the one in this role ("program", "weights", ...), each verified.

        Raises NoSuchFileError and what `client.artifacts.download` raises.
        """
        found = self.get(composition_id)
        return ArtifactsClient(self._transport).download_all(found.artifacts, folder, role)
