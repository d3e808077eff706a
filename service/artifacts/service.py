"""Artifacts: recording them, finding them, and what each is a part of."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

from sqlalchemy.orm import Session

from core.results import FileRef
from service.artifacts import repository
from service.artifacts.schemas import ArtifactDetail, ArtifactOwner, ArtifactView, SignedLink
from service.artifacts.signing import Signature, Signer
from service.artifacts.tables import Artifact, ArtifactLink
from service.platform.errors import NotFoundError
from service.platform.ids import new_id
from service.platform.storage import ArtifactStore, StoredBlob


def content_url(artifact_id: str) -> str:
    return f"/v1/artifacts/{artifact_id}/content"


def get(session: Session, artifact_id: str) -> Artifact:
    """The artifact, or NotFoundError."""
    artifact = repository.find(session, artifact_id)
    if artifact is None:
        raise NotFoundError.of("artifact", artifact_id)
    return artifact


def get_alone(session: Session, artifact_id: str) -> Artifact:
    """`get`, and the session ends: the store may take its time, and connections are few."""
    artifact = get(session, artifact_id)
    session.close()
    return artifact


def sign(session: Session, signer: Signer, artifact_id: str, ttl_s: int, base_url: str) -> SignedLink:
    """A link that opens the artifact's content without a key for `ttl_s` seconds."""
    signature = signer.sign(get(session, artifact_id), ttl_s)
    query = urlencode(asdict(signature))
    return SignedLink(
        url=f"{base_url}/v1/artifacts/{artifact_id}/signed?{query}",
        expires_at=datetime.fromtimestamp(signature.exp, UTC),
    )


def get_signed(session: Session, signer: Signer, artifact_id: str, signature: Signature) -> Artifact:
    """The artifact that the signature opens; `session` sees every tenant.

    Raises SignatureInvalidError, LinkExpiredError.
    """
    artifact = repository.find(session, artifact_id)
    signer.check(artifact, signature)
    assert artifact is not None  # noqa: S101 - no signature fits an artifact that is not there
    return artifact


def describe(session: Session, artifact_id: str) -> ArtifactDetail:
    """An artifact and what it is a part of."""
    artifact = get(session, artifact_id)
    owners = [
        ArtifactOwner(owner_id=link.owner_id, role=link.role)
        for link in repository.links_to(session, artifact_id)
    ]
    return ArtifactDetail(
        id=artifact.id,
        filename=artifact.filename,
        size=artifact.size,
        sha256=artifact.sha256,
        media_type=artifact.media_type,
        url=content_url(artifact.id),
        job_id=artifact.job_id,
        owners=owners,
        created_at=artifact.created_at,
    )


def of_owners(session: Session, owner_ids: Sequence[str]) -> dict[str, list[ArtifactView]]:
    """The files of each owner that has any."""
    found: dict[str, list[ArtifactView]] = {}
    for file in repository.of_owners(session, owner_ids):
        view = ArtifactView(
            id=file.id,
            role=file.role,
            filename=file.filename,
            size=file.size,
            sha256=file.sha256,
            media_type=file.media_type,
            url=content_url(file.id),
        )
        found.setdefault(file.owner_id, []).append(view)
    return found


def local_paths(
    session: Session, store: ArtifactStore, owner_id: str, roles: Collection[str]
) -> dict[str, Path]:
    """Role -> readable local file, for those of `roles` that the owner has."""
    return {
        file.role: store.path(file.sha256)
        for file in repository.of_owners(session, [owner_id])
        if file.role in roles
    }


def record(
    session: Session,
    *,
    tenant_id: str,
    job_id: str,
    owner_id: str,
    files: Sequence[FileRef],
    blobs: Mapping[str, StoredBlob],
) -> list[str]:
    """Make stored files the artifacts of `owner_id`, in place of any it had. Returns their ids."""
    repository.unlink(session, owner_id)
    artifacts = [
        Artifact(
            id=new_id("art"),
            tenant_id=tenant_id,
            job_id=job_id,
            role=file.role,
            filename=file.filename,
            media_type=file.media_type,
            sha256=blobs[file.path].sha256,
            size=blobs[file.path].size,
        )
        for file in files
    ]
    session.add_all(artifacts)
    session.flush()
    for file, artifact in zip(files, artifacts, strict=True):
        session.add(
            ArtifactLink(tenant_id=tenant_id, owner_id=owner_id, role=file.role, artifact_id=artifact.id)
        )
    return [artifact.id for artifact in artifacts]


def named(session: Session, digests: Collection[str]) -> set[str]:
    """Those of the digests that some row names."""
    return repository.named(session, digests)


def remove_of(session: Session, owner_id: str) -> None:
    """Take the owner's files off it and forget them; what nothing names goes with the next clean-up."""
    repository.remove_of(session, owner_id)
