"""The main job, through the HTTP API only: train, extract, compose, evaluate, download, use."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from service.client import CleaveClient, CleaveError
from service.client.schemas import Composition, Job, JobResult
from service.demo.outcome import ApproachOutcome, ComposedForm, Stopwatch, class_set
from service.demo.plan import CLASS_SETS, DATASET, Form, Plan, extra_forms, forms_of
from service.demo.standalone import run_programs

_JOB_WITHIN_S = 900.0

AddBar = Callable[[str], Callable[[Job], None]]
Say = Callable[[str], None]


class JobFailedError(CleaveError):
    """A job of the demo did not succeed."""

    code = "job_failed"


class Scenario:
    """One approach from nothing to a model in use.

    Args:
        images: Folder with the raw test images (see `standalone.export_images`).
        add_bar: Starts a progress bar and returns the callback that moves it.
        say: Prints one line.
    """

    def __init__(self, client: CleaveClient, plan: Plan, images: Path, add_bar: AddBar, say: Say) -> None:
        self._client = client
        self._plan = plan
        self._images = images
        self._add_bar = add_bar
        self._say = say

    def run(self, approach: str, output: Path, watch: Stopwatch) -> ApproachOutcome:
        """Everything for one approach; files go to `output`."""
        with watch.step(f"{approach}: train"):
            job = self._client.jobs.create(self._plan.train_spec(approach))
            model_id = self._result(job, f"{approach}: train").model_id
        if model_id is None:
            raise JobFailedError(f"{job.id} succeeded without naming a model")
        with watch.step(f"{approach}: extract ten modules"):
            job_spec = {"kind": "extract", "model_id": model_id, "formats": ["safetensors"]}
            extracted = self._result(self._client.jobs.create(job_spec), f"{approach}: extract")
            for form in extra_forms(approach):
                other = job_spec | {"form": form, "evaluate": False}
                self._result(self._client.jobs.create(other), f"{approach}: extract {form}")
        outcome = ApproachOutcome(
            approach,
            self._client.models.get(model_id),
            [self._client.modules.get(module_id) for module_id in extracted.module_ids],
            self._client.jobs.metrics(job.id),
        )
        for classes in CLASS_SETS:
            with watch.step(f"{approach}: compose {class_set(classes)}"):
                outcome.composed += self._compose_all(outcome, classes)
        with watch.step(f"{approach}: download and verify"):
            self._download(outcome, output / approach)
        return outcome

    def use(self, outcomes: Sequence[ApproachOutcome]) -> None:
        """Run every downloaded program in one separate process; each outcome learns what it measured."""
        names = self._client.datasets.get(DATASET).class_names
        programs = [(outcome, *program) for outcome in outcomes for program in outcome.programs]
        asked = [
            (path, made.composition.classes if made else outcome.model.classes)
            for outcome, path, made in programs
        ]
        for measured, (outcome, _, made) in zip(
            run_programs(asked, self._images, names), programs, strict=True
        ):
            if made is None:
                outcome.full_standalone = measured
            else:
                made.standalone = measured

    def _compose_all(self, outcome: ApproachOutcome, classes: Sequence[str]) -> list[ComposedForm]:
        full = self._full_accuracy(outcome, classes)
        made = []
        for form in forms_of(outcome.approach):
            start = time.monotonic()
            composition = self._compose(outcome, classes, form)
            accuracy = composition.metric("accuracy", "test")
            if accuracy is None:
                raise JobFailedError(f"{composition.id} has no test accuracy on record")
            seconds = time.monotonic() - start
            made.append(ComposedForm(form.label, form.ceiling, composition, seconds, full, accuracy))
        return made

    def _compose(self, outcome: ApproachOutcome, classes: Sequence[str], form: Form) -> Composition:
        spec = {"classes": list(classes), "model_id": outcome.model.id, **form.options}
        answer = self._client.compositions.create(spec)
        if answer.job is not None:
            label = f"{outcome.approach}: {class_set(classes)} {form.label}"
            self._result(answer.job, label)
        return self._client.compositions.get(answer.composition.id)

    def _full_accuracy(self, outcome: ApproachOutcome, classes: Sequence[str]) -> float:
        """Test accuracy of the whole model when it may answer only these classes, on their images."""
        spec = {
            "kind": "evaluate", "target_id": outcome.model.id, "split": "test", "classes": list(classes),
        }  # fmt: skip
        result = self._result(self._client.jobs.create(spec), f"{outcome.approach}: full model restricted")
        for metric in result.metrics:
            if (metric.name, metric.split, metric.class_name) == ("accuracy", "test", None):
                return metric.value
        raise JobFailedError("an evaluation ended without an accuracy")

    def _download(self, outcome: ApproachOutcome, folder: Path) -> None:
        """Fetch the programs, the gated weights, and what the plots need; the client verifies each sha256."""
        program = outcome.model.artifact("program")
        outcome.programs.append((self._fetch(program.id, folder / "full_model.pt2"), None))
        for made in outcome.composed:
            name = f"{_file_name(made.form)}_{''.join(made.composition.classes)}"
            loud = made.ceiling is not None
            program = made.composition.artifact("program")
            outcome.programs.append((self._fetch(program.id, folder / f"{name}.pt2", loud), made))
            if loud:
                # Weights and recipe in a folder of their own: `core.artifacts.load` opens it.
                for role, file in (("weights", "weights.safetensors"), ("recipe", "recipe.json")):
                    self._fetch(made.composition.artifact(role).id, folder / name / file, loud)
        statistics = outcome.model.artifact("statistics")
        outcome.statistics_file = self._fetch(statistics.id, folder / "statistics.safetensors")
        for module in outcome.modules:
            path = folder / "modules" / f"{'_'.join(module.classes)}.json"
            outcome.recipe_files.append(self._fetch(module.artifact("recipe").id, path))

    def _fetch(self, artifact_id: str, path: Path, loud: bool = False) -> Path:
        done = self._client.artifacts.download(artifact_id, path)
        if loud:
            self._say(
                f"  {done.url}\n    -> {done.path} ({done.size:,} B, sha256 {done.sha256[:16]}... verified)"
            )
        return done.path

    def _result(self, job: Job, label: str) -> JobResult:
        """Wait for a job behind a bar. Raises JobFailedError when it does not succeed."""
        job = self._client.jobs.wait(job.id, on_progress=self._add_bar(label), timeout=_JOB_WITHIN_S)
        if job.state != "succeeded" or job.result is None:
            reason = f"[{job.error.code}] {job.error.message}" if job.error else job.state
            raise JobFailedError(f"{label} ({job.id}) did not succeed: {reason}")
        return job.result


def _file_name(form: str) -> str:
    return "_".join("".join(c if c.isalnum() else " " for c in form).split())
