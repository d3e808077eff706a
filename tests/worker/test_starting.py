"""From a file of weights to a modular training that starts with them: at its accuracy, not at chance."""

from pathlib import Path

from safetensors.torch import load_file

from core.reports import MetricReport, ResultReport, RunnerInput
from core.results import TrainResult
from core.specs import CleaveSpec, StandardSpec
from tests.fixtures.jobs import train_spec
from tests.worker.runs import figure, network_of, stored, trained
from tests.worker.test_import_model import imported, uploaded
from worker.runners import train


def test_a_modular_training_starts_where_the_imported_network_is(tmp_path: Path) -> None:
    source = trained(StandardSpec(), tmp_path / "source")
    info = source.data.info
    (tmp_path / "import").mkdir()
    job, spec = uploaded(
        tmp_path / "import", load_file(source.files["weights"]), class_names=list(info.class_names),
        mean=list(info.mean), std=list(info.std),
    )  # fmt: skip
    model = stored(imported(job, spec)[0].files, Path(job.staging))

    staging = tmp_path / "modular"
    staging.mkdir()
    job = RunnerInput(
        job_id="job_2", attempt=1, spec={}, staging=str(staging), checkpoints=str(staging),
        files={f"initial:{role}": model[role] for role in ("weights", "recipe")},
    )  # fmt: skip
    modular = train_spec(
        approach=CleaveSpec(name="nemo"), initial_model_id="mdl_1", epochs=1, batch_size=32, device="cpu",
        max_train_samples=64, learning_rate=0.001,
    )  # fmt: skip
    *reports, last = train.run(job, modular, lambda: False)
    curves = [metric for report in reports if isinstance(report, MetricReport) for metric in report.metrics]
    accuracy = {m.epoch: m.value for m in curves if (m.name, m.split) == ("accuracy", "validation")}
    before = figure(source.result.metrics, "accuracy", "validation")
    assert before > 0.7  # of ten classes
    assert abs(accuracy[0] - before) < 0.1

    assert isinstance(last, ResultReport)
    assert isinstance(last.result, TrainResult)
    assert last.result.initial is not None
    report = last.result.initial
    assert (report.head, report.new, report.same_normalisation) == ("taken", [], True)
    lineage = network_of(stored(last.result.files, staging)).recipe.lineage
    assert lineage == {
        "train_job_id": "job_2",
        "initial_model_id": "mdl_1",
        "initial_weights_sha256": network_of(model).recipe.weights_sha256,
    }
