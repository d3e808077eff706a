# Written by `python -m service.sync_client` from aio/models.py, which is the one to change.
"""Models: finding, importing, measuring and labelling them."""

import builtins
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from service.client.artifacts import ArtifactsClient
from service.client.files import Download
from service.client.filters import ModelFilters, query
from service.client.pages import Page
from service.client.records import RecordsClient, changes
from service.client.schemas import Job, Model, ModelClass, Module
from service.client.transport import segment
from service.client.uploads import send_weights


class ModelsClient(RecordsClient):
    """`client.models`."""

    path = "/v1/models"

    def list(self, **filters: Unpack[ModelFilters]) -> Page[Model]:
        """The models that fit, newest first unless sorted otherwise."""
        return self._transport.get("/v1/models", Page[Model], query(filters))

    def import_(
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
        return send_weights(self._transport, Path(source), given, key or uuid.uuid4().hex, sent)

    def evaluate(
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
        return self._transport.post("/v1/jobs", Job, spec, idempotency_key=uuid.uuid4().hex)

    def get(self, model_id: str) -> Model:
        return self._transport.get(f"/v1/models/{segment(model_id)}", Model)

    def update(
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
        return self._transport.patch(f"{self.path}/{segment(model_id)}", Model, body, if_match)

    def put_alias(self, model_id: str, alias: str) -> Model:
        """Let `name@alias` mean this model from now on."""
        return self._transport.put(f"{self.path}/{segment(model_id)}/aliases/{segment(alias)}", Model)

    def delete_alias(self, model_id: str, alias: str) -> None:
        """Let `name@alias` mean nothing any more."""
        self._transport.send("DELETE", f"{self.path}/{segment(model_id)}/aliases/{segment(alias)}")

    def delete(self, model_id: str) -> None:
        """Remove a model that has no modules and no compositions, and from which no model started."""
        self._transport.send("DELETE", f"/v1/models/{segment(model_id)}")

    def download(
        self, model_id: str, folder: Path | str, *, role: str | None = None
    ) -> builtins.list[Download]:
        """Its files, or the one in this role ("program", "weights", ...), each verified.

        Raises NoSuchFileError and what `client.artifacts.download` raises.
        """
        found = self.get(model_id)
        return ArtifactsClient(self._transport).download_all(found.artifacts, folder, role)

    def classes(self, model_id: str) -> builtins.list[ModelClass]:
        page = self._transport.get(f"/v1/models/{segment(model_id)}/classes", Page[ModelClass])
        return page.data

    def modules(self, model_id: str, *, limit: int | None = None, after: str | None = None) -> Page[Module]:
        params = {"limit": limit, "after": after}
        return self._transport.get(f"/v1/models/{segment(model_id)}/modules", Page[Module], params)
