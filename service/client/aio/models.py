"""Models: finding, importing, measuring and labelling them."""

import builtins
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from service.client.aio.artifacts import AsyncArtifactsClient
from service.client.aio.records import AsyncRecordsClient, changes
from service.client.aio.transport import segment
from service.client.aio.uploads import send_weights
from service.client.files import Download
from service.client.filters import ModelFilters, query
from service.client.pages import Page
from service.client.schemas import Job, Model, ModelClass, Module


class AsyncModelsClient(AsyncRecordsClient):
    """`client.models`."""

    path = "/v1/models"

    async def list(self, **filters: Unpack[ModelFilters]) -> Page[Model]:
        """The models that fit, newest first unless sorted otherwise."""
        return await self._transport.get("/v1/models", Page[Model], query(filters))

    async def import_(
        self,
        source: Path | str,
        *,
        architecture: str,
        classes: Sequence[str] | None = None,
        key: str | None = None,
        on_progress: Callable[[int, int], None] | None = None,
        **options: Any,
    ) -> Job:
        """Send a safetensors file of weights that were trained elsewhere, to become a model.

        Args:
            architecture: Whose tensors they are, by names and shapes.
            classes: Their names, in the order of the outputs.
            key: A name for this upload; after an interruption the same call goes on where it was.
            on_progress: Called with the bytes that are there and the bytes there will be.
            options: Further fields of `POST /v1/models`: `input_shape`, `mean` and `std`, or the `dataset`
                whose these and the classes are; `name`, `tags`, `metadata`.

        Returns:
            The job that reads the file: wait for it, its result has the model's id.
        """
        given = {"architecture": architecture, **options}
        if classes is not None:
            given["class_names"] = list(classes)
        sent = on_progress or (lambda *_: None)
        return await send_weights(self._transport, Path(source), given, key or uuid.uuid4().hex, sent)

    async def evaluate(
        self,
        model_id: str,
        *,
        dataset: str | None = None,
        split: str | None = None,
        classes: Sequence[str] | None = None,
    ) -> Job:
        """The job that measures a model: on its own dataset, unless another is named.

        Args:
            split: "validation" (the default) or "test".
            classes: Restrict images and outputs to these.
        """
        given = {"dataset": dataset, "split": split, "classes": None if classes is None else list(classes)}
        spec: dict[str, Any] = {"kind": "evaluate", "target_id": model_id}
        spec |= {name: value for name, value in given.items() if value is not None}
        return await self._transport.post("/v1/jobs", Job, spec, idempotency_key=uuid.uuid4().hex)

    async def get(self, model_id: str) -> Model:
        return await self._transport.get(f"/v1/models/{segment(model_id)}", Model)

    async def update(
        self,
        model_id: str,
        *,
        name: str | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, str | None] | None = None,
        if_match: str | None = None,
    ) -> Model:
        """Change labels as of modules; with a `name`, the model becomes its next version."""
        body = changes(tags, metadata) | ({} if name is None else {"name": name})
        return await self._transport.patch(f"{self.path}/{segment(model_id)}", Model, body, if_match)

    async def put_alias(self, model_id: str, alias: str) -> Model:
        """Let `name@alias` mean this model from now on."""
        return await self._transport.put(f"{self.path}/{segment(model_id)}/aliases/{segment(alias)}", Model)

    async def delete_alias(self, model_id: str, alias: str) -> None:
        """Let `name@alias` mean nothing any more."""
        await self._transport.send("DELETE", f"{self.path}/{segment(model_id)}/aliases/{segment(alias)}")

    async def delete(self, model_id: str) -> None:
        """Remove a model that has no modules and no compositions, and from which no model started."""
        await self._transport.send("DELETE", f"/v1/models/{segment(model_id)}")

    async def download(
        self, model_id: str, folder: Path | str, *, role: str | None = None
    ) -> builtins.list[Download]:
        """Its files, or the one in this role ("program", "weights", ...), each verified.

        Raises NoSuchFileError and what `client.artifacts.download` raises.
        """
        found = await self.get(model_id)
        return await AsyncArtifactsClient(self._transport).download_all(found.artifacts, folder, role)

    async def classes(self, model_id: str) -> builtins.list[ModelClass]:
        page = await self._transport.get(f"/v1/models/{segment(model_id)}/classes", Page[ModelClass])
        return page.data

    async def modules(
        self, model_id: str, *, limit: int | None = None, after: str | None = None
    ) -> Page[Module]:
        params = {"limit": limit, "after": after}
        return await self._transport.get(f"/v1/models/{segment(model_id)}/modules", Page[Module], params)
