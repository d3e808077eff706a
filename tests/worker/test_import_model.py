"""The runner of model imports: from parts of a file to a stored network, and what it refuses."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor, nn

from core.architectures import create
from core.artifacts import load_network, load_tensors
from core.datasets import load_dataset
from core.errors import CoreError, Interrupted, UploadDigestError, WeightsMismatchError
from core.reports import LogReport, ResultReport, RunnerInput
from core.results import ExtractResult, ImportModelResult
from core.specs import ExtractSpec, ImportModelSpec
from core.statistics import ClassStatistics
from tests.fixtures.uploads import part
from tests.worker.runs import stored
from worker.runners import extract, import_model

PART = 10_000
NAMES = [f"digit {number}" for number in range(10)]


def network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return create("small_cnn", 10, (1, 8, 8))


def uploaded(
    folder: Path, tensors: Mapping[str, Tensor], **values: Any
) -> tuple[RunnerInput, ImportModelSpec]:
    """More than ten parts: their numbers are not in the order of their texts."""
    content = save(dict(tensors))
    files = {}
    for number in range(1, -(-len(content) // PART) + 1):
        path = folder / f"blob-{number}"
        path.write_bytes(part(content, number, PART))
        files[f"part:{number}"] = str(path)
    assert len(files) > 10
    given = {
        "upload_id": "upl_1", "filename": "net.safetensors", "size": len(content),
        "architecture": "small_cnn", "sha256": hashlib.sha256(content).hexdigest(), "dataset": None,
        "class_names": NAMES, "input_shape": [1, 8, 8], "mean": [0.5], "std": [0.25], "name": None,
        "tags": [], **values,
    }  # fmt: skip
    staging = folder / "staging"
    staging.mkdir()
    job = RunnerInput(
        job_id="job_1", attempt=1, spec={}, staging=str(staging), checkpoints=str(folder), files=files
    )
    return job, ImportModelSpec.model_validate(given)


def imported(job: RunnerInput, spec: ImportModelSpec) -> tuple[ImportModelResult, list[str]]:
    *reports, last = import_model.run(job, spec, lambda: False)
    assert isinstance(last, ResultReport)
    assert isinstance(last.result, ImportModelResult)
    return last.result, [report.message for report in reports if isinstance(report, LogReport)]


def test_the_stored_network_is_the_uploaded_one(tmp_path: Path) -> None:
    source = network().eval()
    job, spec = uploaded(tmp_path, {f"module.{k}": v for k, v in source.state_dict().items()})
    result, said = imported(job, spec)
    files = stored(result.files, Path(job.staging))
    assert sorted(files) == ["program", "recipe", "weights"]
    found = load_network(Path(files["recipe"]), Path(files["weights"]))
    images = torch.rand(3, 1, 8, 8)
    expected = source(images)
    assert torch.equal(found.network(images), expected)
    program = torch.export.load(files["program"]).module()
    torch.testing.assert_close(program(images * 0.25 + 0.5), expected, atol=1e-5, rtol=1e-5)
    recipe = found.recipe
    assert (recipe.classes, recipe.mean, recipe.std, recipe.dataset) == (NAMES, [0.5], [0.25], None)
    assert recipe.lineage == {"import_job_id": "job_1", "source_sha256": spec.sha256}
    assert (result.classes, result.units, result.flops > 0) == (
        NAMES,
        {f"blocks.{i}.conv": n for i, n in enumerate(WIDTHS)},
        True,
    )
    assert said == result.report.notes == ["the prefix 'module.' was taken off every name"]


WIDTHS = [unit.out_channels for unit in network().modules() if isinstance(unit, nn.Conv2d)][1:]


def test_a_dataset_is_recorded_by_its_digest(tmp_path: Path) -> None:
    digits = load_dataset("digits", None)
    names = list(digits.info.class_names)
    job = uploaded(tmp_path, network().state_dict(), dataset="digits", class_names=names)
    result, _ = imported(*job)
    assert (result.dataset, result.dataset_digest) == ("digits", digits.digest)


def test_modules_are_cut_by_what_its_neurons_do_for_the_dataset_s_classes(tmp_path: Path) -> None:
    """Classes in another order than the dataset's: the statistics are of the model's outputs."""
    digits = load_dataset("digits", None)
    names = list(reversed(digits.info.class_names))[:9]
    source = create("small_cnn", 9, (1, 8, 8))
    job, spec = uploaded(tmp_path, source.state_dict(), dataset="digits", class_names=names)
    result, _ = imported(job, spec)
    files = stored(result.files, Path(job.staging))
    found = ClassStatistics.from_tensors(load_tensors(Path(files["statistics"])))
    assert found.count.tolist() == [(digits.train.labels == 9 - row).sum() for row in range(9)]
    cut = job.model_copy(update={"files": files, "staging": str(tmp_path / "cut")})
    (tmp_path / "cut").mkdir()
    wanted = ExtractSpec(model_id="mdl_1", classes=[[names[0]], names[:3]], evaluate=True)
    *_, last = extract.run(cut, wanted, lambda: False)
    assert isinstance(last, ResultReport)
    assert isinstance(last.result, ExtractResult)
    assert [module.classes for module in last.result.modules] == [names[:1], names[:3]]
    assert all(0 < module.retention_rate < 1 for module in last.result.modules)


def test_what_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    job, spec = uploaded(tmp_path, network().state_dict(), class_names=NAMES[:9])
    with pytest.raises(WeightsMismatchError, match=r"'head\.weight' is F32 \[10, "):
        imported(job, spec)
    assert list(Path(job.staging).iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"architecture": "torchvision:resnet19"}, "unknown_architecture"),
        ({"input_shape": [1, 4, 4]}, "input_shape_unsupported"),
        ({"architecture": "vit_small"}, "weights_mismatch"),
        ({"sha256": "0" * 64}, "upload_digest_mismatch"),
    ],
)
def test_codes(tmp_path: Path, changes: dict[str, Any], code: str) -> None:
    with pytest.raises(CoreError) as refusal:
        imported(*uploaded(tmp_path, network().state_dict(), **changes))
    assert refusal.value.code == code


def test_other_bytes_than_announced_are_not_read(tmp_path: Path) -> None:
    job, spec = uploaded(tmp_path, network().state_dict())
    last = Path(job.files["part:11"])
    last.write_bytes(bytes(len(last.read_bytes())))
    with pytest.raises(UploadDigestError):
        imported(job, spec)


def test_it_can_be_stopped(tmp_path: Path) -> None:
    job, spec = uploaded(tmp_path, network().state_dict())
    with pytest.raises(Interrupted):
        list(import_model.run(job, spec, lambda: True))
