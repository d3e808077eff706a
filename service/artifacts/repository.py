"""Every query about artifacts."""

from collections.abc import Sequence

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from service.artifacts.tables import Artifact, ArtifactLink


def find(session: Session, artifact_id: str) -> Artifact | None:
    return session.scalar(select(Artifact).where(Artifact.id == artifact_id))


def links_to(session: Session, artifact_id: str) -> Sequence[ArtifactLink]:
    statement = select(ArtifactLink).where(ArtifactLink.artifact_id == artifact_id)
    return session.scalars(statement.order_by(ArtifactLink.owner_id, ArtifactLink.role)).all()


def of_owners(session: Session, owner_ids: Sequence[str]) -> list[tuple[ArtifactLink, Artifact]]:
    """Links and artifacts of these owners, in a stable order."""
    statement = (
        select(ArtifactLink, Artifact)
        .join(Artifact, Artifact.id == ArtifactLink.artifact_id)
        .where(ArtifactLink.owner_id.in_(owner_ids))
        .order_by(ArtifactLink.owner_id, ArtifactLink.role)
    )
    return [(link, artifact) for link, artifact in session.execute(statement)]


def unlink(session: Session, owner_id: str) -> None:
    """Take an owner's artifacts off it; the artifacts themselves stay."""
    for link in session.scalars(select(ArtifactLink).where(ArtifactLink.owner_id == owner_id)):
        session.delete(link)
    session.flush()


def remove_of(session: Session, owner_id: str) -> None:
    """The owner's links, and the artifacts that nobody else has."""
    own = [artifact.id for _, artifact in of_owners(session, [owner_id])]
    unlink(session, owner_id)
    linked = exists().where(ArtifactLink.artifact_id == Artifact.id)
    session.execute(delete(Artifact).where(Artifact.id.in_(own), ~linked))
