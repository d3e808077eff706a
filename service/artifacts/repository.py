"""Every query about artifacts."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, exists, select, union_all
from sqlalchemy.orm import Session

import service.tables  # noqa: F401 - every table is asked what it names
from service.artifacts.tables import Artifact, ArtifactLink
from service.platform.among import Told
from service.platform.database import Base

_link, _file = ArtifactLink.__table__.c, Artifact.__table__.c
_FILES = Told(
    select(
        *(_link.owner_id, _link.role),
        *(_file.id, _file.filename, _file.size, _file.sha256, _file.media_type),
    )
    .select_from(ArtifactLink.__table__.join(Artifact.__table__, _file.id == _link.artifact_id))
    .order_by(_link.owner_id, _link.role),
    _link.owner_id,
)


def find(session: Session, artifact_id: str) -> Artifact | None:
    return session.scalar(select(Artifact).where(Artifact.id == artifact_id))


def links_to(session: Session, artifact_id: str) -> Sequence[ArtifactLink]:
    statement = select(ArtifactLink).where(ArtifactLink.artifact_id == artifact_id)
    return session.scalars(statement.order_by(ArtifactLink.owner_id, ArtifactLink.role)).all()


def of_owners(session: Session, owner_ids: Sequence[str]) -> Sequence[Any]:
    """(owner_id, role, id, filename, size, sha256, media_type) of these owners' files, in a stable order."""
    return _FILES.rows(session, owner_ids)


def unlink(session: Session, owner_id: str) -> None:
    """Take an owner's artifacts off it; the artifacts themselves stay."""
    for link in session.scalars(select(ArtifactLink).where(ArtifactLink.owner_id == owner_id)):
        session.delete(link)
    session.flush()


def remove_of(session: Session, owner_id: str) -> None:
    """The owner's links, and the artifacts that nobody else has."""
    own = [file.id for file in of_owners(session, [owner_id])]
    unlink(session, owner_id)
    linked = exists().where(ArtifactLink.artifact_id == Artifact.id)
    session.execute(delete(Artifact).where(Artifact.id.in_(own), ~linked))


def named(session: Session, digests: Collection[str]) -> set[str]:
    """Those of the digests that some row names."""
    return {
        sha
        for column in _naming_columns()
        for sha in session.scalars(select(column).where(column.in_(digests)))
    }


def each_named(session: Session) -> Sequence[str]:
    """Every digest that some row names, once."""
    return session.scalars(naming()).all()


def naming() -> Select[str]:
    """The query for every digest that some row names, once."""
    everything = union_all(*(select(column) for column in _naming_columns())).subquery()
    return select(everything.c[0]).where(everything.c[0].is_not(None)).distinct()


def sizes(session: Session) -> dict[str, set[int]]:
    """Digest -> the sizes on record; more than one is a mistake."""
    found: dict[str, set[int]] = {}
    for sha256, size in session.execute(select(Artifact.sha256, Artifact.size).distinct()):
        found.setdefault(sha256, set()).add(size)
    return found


def _naming_columns() -> list[ColumnElement[str]]:
    """The columns of all tables that hold digests of blobs."""
    tables = Base.metadata.sorted_tables
    return [column for table in tables for column in table.columns if column.info.get("names_blob")]
