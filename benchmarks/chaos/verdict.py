"""What must be true once everything is over. Each broken promise is one line."""

import hashlib
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from sqlalchemy import func, select

from benchmarks.chaos.work import Family, weights_of
from service.artifacts.tables import Artifact
from service.compositions.tables import Composition
from service.jobs.tables import Job
from service.models.tables import Model
from service.modules.tables import Module
from service.platform.database import Database
from service.platform.settings import Settings
from service.platform.storage import open_store
from tests.fixtures.waiting import processes_with
from tests.service.jobs.promises import broken_promises

# What a stopped worker holds in staging goes when it goes on and finds that its lease is lost.
_GRACE_S = 20.0


def broken(
    database: Database,
    settings: Settings,
    families: list[Family],
    references: Mapping[str, Family],
    accepted: Collection[str],
) -> list[str]:
    """Everything that was promised and is not so. `accepted`: every job, also those that were cancelled."""
    return [
        *_lost(database, families, accepted),
        *_doubled(database),
        *_different(database, families, references),
        *_story(database),
        *_files(database, settings),
    ]


def processes_left(settings: Settings) -> list[str]:
    return [f"process {pid} is left" for pid in processes_with(str(settings.home))]


def _lost(database: Database, families: list[Family], accepted: Collection[str]) -> Iterable[str]:
    with database.read() as session:
        states = {job.id: job for job in session.scalars(select(Job))}
    for job_id in (job_id for family in families for job_id in family.job_ids):
        job = states.get(job_id)
        if job is None or job.state != "succeeded":
            yield f"lost: {job_id} is {job and job.state}: {job and job.error}"
    if len(states) != len(set(accepted)):
        yield f"{len(states)} jobs for {len(set(accepted))} accepted ones"


def _doubled(database: Database) -> Iterable[str]:
    with database.read() as session:
        jobs = {job.id: job for job in session.scalars(select(Job))}
        for row, kind, each in ((Model, "train", 1), (Module, "extract", 10), (Composition, "compose", 1)):
            counted = session.execute(select(row.job_id, func.count()).group_by(row.job_id))
            found: Counter[str] = Counter({job_id: count for job_id, count in counted if job_id})
            for job in jobs.values():
                expected = each if job.kind == kind and job.state == "succeeded" else 0
                if found[job.id] != expected:
                    yield f"doubled: {job.id} ({job.kind}) has {found[job.id]} rows in {row.__tablename__}"
        published: Counter[str] = Counter(session.scalars(select(Artifact.job_id)))
        for job in jobs.values():
            answered = (job.result or {}).get("artifact_ids", [])
            if published[job.id] != len(answered):
                yield f"doubled: {job.id} has {published[job.id]} artifacts and answers {len(answered)}"


def _different(database: Database, families: list[Family], references: Mapping[str, Family]) -> Iterable[str]:
    for family in families:
        for job_id, reference in zip(family.job_ids, references[family.recipe].job_ids, strict=False):
            if weights_of(database, job_id) != weights_of(database, reference):
                yield f"different: the weights of {job_id} are not those of the undisturbed {reference}"


def _story(database: Database) -> Iterable[str]:
    with database.read() as session:
        return broken_promises(session)


def _files(database: Database, settings: Settings) -> Iterable[str]:
    with database.read() as session:
        known = set(session.scalars(select(Artifact.sha256)))
    blobs = {path.name: path for path in (settings.artifact_root / "blobs").glob("*/*")}
    for sha256 in known - set(blobs):
        yield f"a row without its blob: {sha256}"
    for sha256 in set(blobs) - known:
        yield f"a blob without a row: {sha256}"
    for sha256, path in blobs.items():
        if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            yield f"damaged: {sha256}"
    # As upkeep does after an hour; here nobody stores anything any more.
    open_store(settings).tidy(0)
    deadline = time.monotonic() + _GRACE_S
    while (left := _scratch(settings.artifact_root)) and time.monotonic() < deadline:
        time.sleep(0.5)
    yield from (f"left behind: {path}" for path in left)


def _scratch(root: Path) -> list[str]:
    """Files that belong to no job that could still use them: here, every job has succeeded."""
    folders = (root / name for name in ("incoming", "staging", "checkpoints"))
    return [str(path.relative_to(root)) for folder in folders for path in folder.rglob("*")]
