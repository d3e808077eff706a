"""Manifests, and bundles of all files with their manifest."""

import hashlib
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal

from sqlalchemy.orm import Session

from service.artifacts.content import Representation
from service.artifacts.schemas import ArtifactView
from service.bundles.archive import Member, StoredZip, bytes_reader
from service.bundles.schemas import Manifest, ManifestDataset, ManifestFile, ManifestInput
from service.compositions.schemas import CompositionView
from service.models import service as models
from service.models.schemas import ModelView
from service.modules.schemas import ModuleView
from service.platform.errors import CompositionNotReadyError
from service.platform.storage import ArtifactStore, missing

CHUNK_BYTES = 8 << 20
Described = ModelView | ModuleView | CompositionView
_KINDS: dict[type[Described], Literal["model", "module", "composition"]] = {
    ModelView: "model",
    ModuleView: "module",
    CompositionView: "composition",
}


@dataclass(frozen=True)
class Fingerprint:
    """What only reading a blob tells: its CRC-32, and the sha256 of each 8 MiB."""

    crc32: int
    chunks: tuple[str, ...]


def manifest(session: Session, store: ArtifactStore, described: Described) -> Manifest:
    """The session ends with it. Raises CompositionNotReadyError, ArtifactMissingError."""
    model = described if isinstance(described, ModelView) else models.describe(session, described.model_id)
    if described.parameters is None or described.flops is None:
        raise CompositionNotReadyError("The composition is not built yet; wait for its job.")
    session.close()  # the store may take its time, and connections are few
    return Manifest(
        id=described.id,
        kind=_KINDS[type(described)],
        files=[_file(store, path, artifact) for path, artifact in _named(described.artifacts)],
        classes=described.classes,
        input=ManifestInput(shape=model.input_shape),
        architecture=model.architecture,
        approach=model.approach,
        recipe=model.recipe,
        form=None if isinstance(described, ModelView) else described.form,
        parameters=described.parameters,
        flops=described.flops,
        model_id=model.id,
        module_ids=described.module_ids if isinstance(described, CompositionView) else [],
        job_id=described.job_id,
        dataset=_dataset(model),
        seed=model.seed,
        versions=model.versions,
        metrics=described.metrics,
        created_at=described.created_at,
    )


def _dataset(model: ModelView) -> ManifestDataset | None:
    if model.dataset_id is None or model.dataset is None or model.dataset_digest is None:
        return None
    return ManifestDataset(id=model.dataset_id, name=model.dataset, sha256=model.dataset_digest)


def bundle(session: Session, store: ArtifactStore, described: Described) -> Representation:
    """One zip of the files, their manifest and their sums. Raises as `manifest`, and BundleTooLargeError."""
    content = manifest(session, store, described)
    text = content.model_dump_json(indent=2).encode() + b"\n"
    etag = hashlib.sha256(text).hexdigest()
    sums = [(etag, "manifest.json"), *((file.sha256, file.path) for file in content.files)]
    listed = "".join(f"{sha256}  {name}\n" for sha256, name in sums).encode()
    folder = described.id
    archive = StoredZip(
        [
            _small(f"{folder}/manifest.json", text),
            _small(f"{folder}/SHA256SUMS", listed),
            *(_stored(store, f"{folder}/{file.path}", file) for file in content.files),
        ]
    )
    return Representation(
        etag=etag,
        size=archive.size,
        filename=f"{folder}.zip",
        media_type="application/zip",
        read=archive.read,
        # Not for ever: an evaluation adds figures to the manifest.
        headers={"Cache-Control": "private, no-cache, no-transform"},
    )


def _named(artifacts: Sequence[ArtifactView]) -> list[tuple[str, ArtifactView]]:
    """Files by the names they get side by side, which must differ."""
    count = Counter(artifact.filename for artifact in artifacts)
    paths = {a.filename if count[a.filename] == 1 else f"{a.role}-{a.filename}": a for a in artifacts}
    return [(path, paths[path]) for path in sorted(paths)]


def _file(store: ArtifactStore, path: str, artifact: ArtifactView) -> ManifestFile:
    if not store.exists(artifact.sha256):  # found out before the answer has begun
        raise missing(artifact.sha256)
    return ManifestFile(
        path=path,
        role=artifact.role,
        media_type=artifact.media_type,
        size=artifact.size,
        sha256=artifact.sha256,
        chunks_8mib=list(_fingerprint(store, artifact.sha256).chunks),
    )


def _stored(store: ArtifactStore, name: str, file: ManifestFile) -> Member:
    read = partial(store.open_range, file.sha256)
    return Member(name, file.size, _fingerprint(store, file.sha256).crc32, read)


def _small(name: str, content: bytes) -> Member:
    return Member(name, len(content), zlib.crc32(content), bytes_reader(content))


@lru_cache(maxsize=10_000)
def _fingerprint(store: ArtifactStore, sha256: str) -> Fingerprint:
    """Remembered, because the content of a digest never changes."""
    crc32, chunks, digest, room = 0, list[str](), hashlib.sha256(), CHUNK_BYTES
    for read in store.open_range(sha256):
        crc32 = zlib.crc32(read, crc32)
        view = memoryview(read)
        while len(view) >= room:
            digest.update(view[:room])
            chunks.append(digest.hexdigest())
            view, digest, room = view[room:], hashlib.sha256(), CHUNK_BYTES
        digest.update(view)
        room -= len(view)
    if room < CHUNK_BYTES or not chunks:
        chunks.append(digest.hexdigest())
    return Fingerprint(crc32, tuple(chunks))
