"""A training with a teacher, from the submitted job to the model's lineage; and what the runner refuses."""

import json
from pathlib import Path

import pytest
from sqlalchemy import select

from core.artifacts import RECIPE
from core.errors import ArtifactError
from core.specs import StandardSpec
from service import submission
from service.models import service as models
from service.models.tables import Metric
from service.platform.database import Database
from service.registration import register_result
from tests.fixtures.jobs import read_job, succeed, train_spec
from tests.worker.runs import stored, trained, work
from worker.context import WorkerContext
from worker.execution import execute

TINY = {"epochs": 1, "batch_size": 32, "max_train_samples": 64, "device": "cpu"}


def test_a_submitted_job_learns_from_the_stored_model_and_names_it(
    database: Database, tenant: str, context: WorkerContext, tmp_path: Path
) -> None:
    teacher_id = stored_model(database, tenant, context, tmp_path)
    with database.write(tenant) as session:
        spec = train_spec(teacher_model_id=teacher_id, approach={"name": "standard"}, **TINY)
        job_id = submission.submit(session, tenant, spec).id
    execute(context, job_id)
    job = read_job(database, job_id)
    assert (job.state, job.error) == ("succeeded", None)
    assert job.result is not None
    with database.read(tenant) as session:
        files = {file.role: file for file in models.describe(session, job.result["model_id"]).artifacts}
        curves = session.scalars(select(Metric.name).where(Metric.job_id == job_id)).all()
    assert "loss_distillation" in curves
    recipe = json.loads(context.store.path(files["recipe"].sha256).read_text())
    assert recipe["lineage"] == {"train_job_id": job_id, "teacher_model_id": teacher_id}


def stored_model(database: Database, tenant: str, context: WorkerContext, folder: Path) -> str:
    """The id of a stored model, trained in this process."""
    result = trained(StandardSpec(), folder).result
    with database.write(tenant) as session:
        job = submission.submit(session, tenant, train_spec())
        blobs = {file.path: context.store.ingest(folder / "train" / file.path) for file in result.files}
        public = register_result(session, job, result, blobs)
        succeed(session, job.id, public)
        return str(public["model_id"])


@pytest.mark.parametrize("wrong", ["dataset_digest", "classes"])
def test_a_teacher_of_other_data_or_classes_is_refused_before_training(wrong: str, tmp_path: Path) -> None:
    files = stored(trained(StandardSpec(), tmp_path).result.files, tmp_path / "train")
    recipe = json.loads(Path(files["recipe"]).read_text())
    recipe[wrong] = recipe[wrong][::-1]
    changed = tmp_path / RECIPE
    changed.write_text(json.dumps(recipe))
    spec = train_spec(teacher_model_id="mdl_1", **TINY)
    with pytest.raises(ArtifactError, match="teacher"):
        work(spec, tmp_path / "student", {**files, "recipe": str(changed)})
    assert not (tmp_path / "student" / "model").exists()
