"""What a retried job takes over from the one it repeats: its checkpoints and the curves up to them."""

import os
from contextlib import suppress
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.jobs import repository
from service.jobs.tables import Checkpoint, Job
from service.models.tables import Metric
from service.platform.database import settings_of

# No attempt of the new job wrote them.
_BEFORE_THE_FIRST = 0


def inherit(session: Session, source: Job, heir: Job) -> None:
    """Let `heir` go on where `source` ended, as far as its checkpoints are still there."""
    if heir.spec_sha256 != source.spec_sha256:
        return
    root = settings_of(session).checkpoint_root
    epochs = []
    for point in repository.checkpoints_of(session, source.id):
        if point.spec_sha256 != heir.spec_sha256:  # of an attempt that computed something else
            continue
        # Hard links: each job removes its own names. Whatever cannot be linked is trained again.
        with suppress(OSError):
            (root / heir.id).mkdir(parents=True, exist_ok=True)
            os.link(root / source.id / point.path, root / heir.id / point.path)
            session.add(Checkpoint(**_content(point, job_id=heir.id, attempt=_BEFORE_THE_FIRST)))
            epochs.append(point.epoch)
    curves = select(Metric).where(
        Metric.job_id == source.id, Metric.owner_id.is_(None), Metric.epoch <= max(epochs, default=-1)
    )
    for figure in session.scalars(curves.order_by(Metric.id)).all():
        session.add(Metric(**_content(figure, id=None, job_id=heir.id)))


def _content(row: Checkpoint | Metric, **changed: Any) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in row.__table__.columns} | changed
