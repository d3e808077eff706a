"""What a finished job leaves in the registry, written inside the worker's finishing transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from core.results import (
    ComposeResult,
    EvaluateResult,
    ExtractResult,
    FileRef,
    ImportModelResult,
    ImportResult,
    JobResult,
    MetricValue,
    ModuleResult,
    SweepResult,
    TrainResult,
)
from service import evaluations
from service.artifacts import service as artifacts
from service.compositions import service as compositions
from service.datasets import service as datasets
from service.datasets import uploading
from service.jobs.tables import Job
from service.models import importing
from service.models import service as models
from service.modules import service as modules
from service.platform.storage import StoredBlob
from service.registry.scores import scores_of


@dataclass(frozen=True)
class _Registration:
    """One job's results on their way into the registry."""

    session: Session
    job: Job
    blobs: Mapping[str, StoredBlob]

    def attach(self, owner_id: str, result: TrainResult | ModuleResult) -> list[str]:
        """Figures and files of a new model, module or composition; returns the artifact ids."""
        self.measure(owner_id, result.metrics)
        self.rate(owner_id, result.metrics)
        return self.keep(owner_id, result.files)

    def keep(self, owner_id: str, files: Sequence[FileRef]) -> list[str]:
        """Files of something new; returns the artifact ids."""
        return artifacts.record(
            self.session,
            tenant_id=self.job.tenant_id,
            job_id=self.job.id,
            owner_id=owner_id,
            files=files,
            blobs=self.blobs,
        )

    def measure(
        self, owner_id: str | None, metrics: Sequence[MetricValue], dataset_id: str | None = None
    ) -> None:
        """Keep figures. `dataset_id`: of the data, where it is not the dataset that the model is of."""
        models.record_metrics(
            self.session,
            tenant_id=self.job.tenant_id,
            job_id=self.job.id,
            owner_id=owner_id,
            metrics=metrics,
            dataset_id=dataset_id,
        )

    def rate(self, owner_id: str, metrics: Sequence[MetricValue]) -> None:
        """Let it be found by these figures."""
        _RATE[owner_id.partition("_")[0]](self.session, owner_id, scores_of(metrics))


_RATE = {"mdl": models.rate, "mod": modules.rate, "cmp": compositions.rate}


def register_result(
    session: Session, job: Job, result: JobResult, blobs: Mapping[str, StoredBlob]
) -> dict[str, Any]:
    """Write the rows for a job's result. Returns what the job answers as its `result`.

    Args:
        session: The finishing transaction; sees every tenant, so each row is given the job's.
        job: The job that made the result.
        result: As the runner reported it.
        blobs: FileRef.path -> the stored file.
    """
    into = _Registration(session, job, blobs)
    public: dict[str, Any] = {"model_id": None, "module_ids": [], "composition_id": None, "artifact_ids": []}
    if isinstance(result, TrainResult):
        public |= _register_model(into, result)
    elif isinstance(result, ExtractResult):
        public |= _register_modules(into, result)
    elif isinstance(result, ComposeResult):
        public |= _register_composition(into, result)
    elif isinstance(result, ImportResult):
        public |= _register_dataset(into, result)
    elif isinstance(result, ImportModelResult):
        public |= _register_imported_model(into, result)
    elif isinstance(result, SweepResult):
        public |= _tell_sweep(into, result)
    else:
        public |= _register_evaluation(into, result)
    session.flush()
    return public


def _register_model(into: _Registration, result: TrainResult) -> dict[str, Any]:
    tenant_id = into.job.tenant_id
    dataset_id = datasets.record(
        into.session, tenant_id=tenant_id, name=result.dataset, digest=result.dataset_digest
    )
    model_id = models.record(
        into.session, tenant_id=tenant_id, job_id=into.job.id, dataset_id=dataset_id, result=result
    ).id
    public = {"model_id": model_id, "artifact_ids": into.attach(model_id, result)}
    return public if result.initial is None else public | {"initial": result.initial.model_dump()}


def _register_imported_model(into: _Registration, result: ImportModelResult) -> dict[str, Any]:
    dataset_id = None
    if result.dataset is not None and result.dataset_digest is not None:
        dataset_id = datasets.record(
            into.session, tenant_id=into.job.tenant_id, name=result.dataset, digest=result.dataset_digest
        )
    model_id = importing.finish(into.session, into.job, dataset_id, result)
    artifact_ids = into.keep(model_id, result.files)
    return {"model_id": model_id, "artifact_ids": artifact_ids, "report": result.report.model_dump()}


def _register_modules(into: _Registration, result: ExtractResult) -> dict[str, Any]:
    module_ids: list[str] = []
    artifact_ids: list[str] = []
    for module in result.modules:
        module_id = modules.record(
            into.session,
            tenant_id=into.job.tenant_id,
            job_id=into.job.id,
            model_id=result.model_id,
            result=module,
        )
        module_ids.append(module_id)
        artifact_ids += into.attach(module_id, module)
    # Cohesion and coupling are of this set of modules, not of the model, which may have many sets.
    into.measure(None, result.metrics)
    return {
        "model_id": result.model_id,
        "module_ids": module_ids,
        "artifact_ids": artifact_ids,
        "metrics": _plain(result.metrics),
        "versions": result.versions,
    }


def _register_composition(into: _Registration, result: ComposeResult) -> dict[str, Any]:
    composition = compositions.finish(into.session, result.composition_id, into.job.id, result.module)
    return {
        "model_id": composition.model_id,
        "composition_id": composition.id,
        "artifact_ids": into.attach(composition.id, result.module),
        "versions": result.versions,
    }


def _register_dataset(into: _Registration, result: ImportResult) -> dict[str, Any]:
    uploading.finish(into.session, result)
    artifact_ids = into.keep(result.dataset_id, result.files)
    return {"dataset_id": result.dataset_id, "artifact_ids": artifact_ids}


def _register_evaluation(into: _Registration, result: EvaluateResult) -> dict[str, Any]:
    own_id = evaluations.find(into.session, result.target_id).model.dataset_id
    other_id = None
    if result.dataset is not None and result.dataset_digest is not None:
        used_id = datasets.record(
            into.session, tenant_id=into.job.tenant_id, name=result.dataset, digest=result.dataset_digest
        )
        other_id = None if used_id == own_id else used_id
    # Figures on some of the classes must not stand beside those on all of them: they belong to the job alone.
    owner_id = None if into.job.spec.get("classes") is not None else result.target_id
    into.measure(owner_id, result.metrics, other_id)
    # Found by figures on other data it would stand where its like on its own data does not.
    if owner_id is not None and (other_id is None or own_id is None):
        into.rate(owner_id, result.metrics)
    return result.model_dump(exclude={"kind"})


def _tell_sweep(into: _Registration, result: SweepResult) -> dict[str, Any]:
    """Nothing new to keep; what is known of modules extracted at these thresholds is told with it."""
    measured = modules.f1_by_threshold(into.session, result.model_id, result.form)
    points = [point.model_dump() for point in result.points]
    for point in points:
        for module in point["modules"]:
            module["f1_validation"] = measured.get((module["class_name"], point["threshold"]))
    return {"model_id": result.model_id, "form": result.form, "points": points}


def _plain(metrics: Iterable[MetricValue]) -> list[dict[str, Any]]:
    return [metric.model_dump() for metric in metrics]
