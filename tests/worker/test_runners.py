"""What the runners write and report, recomputed from their files: networks, figures, thresholds, refusals."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from core.approaches import create_approach
from core.architectures import create
from core.artifacts import StoredNetwork
from core.errors import ClassNotInModelError, MissingPackageError, UnsupportedFormError
from core.evaluation import best_threshold
from core.results import ComposeResult, EvaluateResult, ExtractResult, ModuleResult
from core.specs import (
    ComposeSpec,
    EvaluateSpec,
    ExtractSpec,
    ModuleForm,
    NemoSpec,
    Split,
    StandardSpec,
)
from tests.worker.runs import (
    GROUPS,
    Modules,
    Trained,
    figure,
    logits_of,
    network_of,
    stored,
    trained,
    work,
)

SPLITS: tuple[Split, ...] = ("validation", "test")
COMPOSED = ["5", "1", "7"]  # in an order of its own
SIDES = (8, 8, 4, 4, 2)  # of the feature map that each unit of small_cnn writes for 8x8 images


@pytest.fixture(scope="module")
def nemo(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(NemoSpec(), tmp_path_factory.mktemp("nemo"))


@pytest.fixture(scope="module")
def standard(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(StandardSpec(), tmp_path_factory.mktemp("standard"))


@pytest.fixture(scope="module", params=[("nemo", "static"), ("nemo", "gated"), ("standard", "static")])
def modules(request: pytest.FixtureRequest) -> Modules:
    approach, form = request.param
    model: Trained = request.getfixturevalue(approach)
    return Modules(model, form, model.extract(form))


@dataclass
class Composed:
    """The modules of "5" and of "1", "7" as one classifier."""

    modules: Modules
    module: ModuleResult
    stored: StoredNetwork
    files: dict[str, str]


@pytest.fixture(scope="module")
def composed(modules: Modules) -> Composed:
    folder = modules.model.folder / f"composed-{modules.form}"
    members = {"module:mod_a": modules.files(1)["recipe"], "module:mod_b": modules.files(2)["recipe"]}
    spec = ComposeSpec(
        classes=COMPOSED, module_ids=["mod_a", "mod_b"], form=modules.form, formats=["safetensors"],
        composition_id="cmp_1",
    )  # fmt: skip
    result = work(spec, folder, modules.model.files | members)
    assert isinstance(result, ComposeResult)
    files = stored(result.module.files, folder)
    return Composed(modules, result.module, network_of(files), files)


class TestOnnx:
    def test_a_composition_runs_without_torch(self, nemo: Trained, modules: Modules) -> None:
        pytest.importorskip("onnx", reason="the extra onnx is not installed")
        runtime = pytest.importorskip("onnxruntime")
        folder = modules.model.folder / f"onnx-{modules.form}"
        members = {"module:mod_a": modules.files(1)["recipe"], "module:mod_b": modules.files(2)["recipe"]}
        spec = ComposeSpec(
            classes=COMPOSED, module_ids=["mod_a", "mod_b"], form=modules.form, formats=["onnx"],
            composition_id="cmp_1", evaluate=False,
        )  # fmt: skip
        result = work(spec, folder, modules.model.files | members)
        assert isinstance(result, ComposeResult)
        files = stored(result.module.files, folder)
        assert set(files) == {"weights", "recipe", "onnx"}
        session = runtime.InferenceSession(files["onnx"], providers=["CPUExecutionProvider"])
        raw = nemo.data.test.images[:60].float() / 255
        (logits,) = session.run(["logits"], {"images": raw.numpy()})
        expected = logits_of(network_of(files).network, nemo.data.test.first(60), nemo.data)
        scale = max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(torch.from_numpy(logits), expected, atol=1e-5 * scale, rtol=0)

    @pytest.mark.parametrize("kind", ["extract", "compose"])
    def test_a_worker_without_the_packages_refuses_before_it_reads_anything(
        self, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "onnx", None)
        spec: ExtractSpec | ComposeSpec = ExtractSpec(model_id="mdl_1", formats=["onnx"])
        if kind == "compose":
            spec = ComposeSpec(classes=["1"], module_ids=["mod_a"], formats=["onnx"], composition_id="cmp_1")
        with pytest.raises(MissingPackageError, match=r"cleave\[onnx\]"):
            work(spec, tmp_path / "job", {})


class TestTraining:
    def test_recorded_accuracy_is_that_of_the_stored_model(self, nemo: Trained) -> None:
        for split in SPLITS:
            part = nemo.data.split(split)
            right = logits_of(nemo.model.network, part, nemo.data).argmax(dim=1) == part.labels
            assert figure(nemo.result.metrics, "accuracy", split) == right.double().mean().item()
            threes = right[part.labels == 3].double().mean().item()
            assert figure(nemo.result.metrics, "class_accuracy", split, "3") == threes

    def test_statistics_count_each_training_image_once(self, nemo: Trained) -> None:
        assert torch.equal(
            nemo.statistics.count, nemo.data.train.labels[:200].bincount(minlength=10).double()
        )


class TestExtraction:
    @pytest.mark.parametrize("number", range(len(GROUPS)))
    def test_modules_equal_the_masked_model_on_real_images(self, modules: Modules, number: int) -> None:
        model, classes = modules.model, [int(name) for name in GROUPS[number]]
        mask = model.mask(classes)
        assert 0.01 < mask.retention_rate() < 0.99  # a full mask would prove nothing
        assert mask.digest() == modules.result.modules[number].mask_digest
        expected = logits_of(model.reference(modules.form, mask, classes), model.data.test, model.data)
        found = logits_of(network_of(modules.files(number)).network, model.data.test, model.data)
        torch.testing.assert_close(found, expected[:, classes], atol=1e-5, rtol=0)

    @pytest.mark.parametrize(("form", "threshold"), [("gated", 0.01), ("static", 0.9)])
    def test_without_a_threshold_each_form_has_its_own(
        self, nemo: Trained, tmp_path: Path, form: ModuleForm, threshold: float
    ) -> None:
        spec = ExtractSpec(
            model_id="mdl_1", form=form, classes=[["3"]], formats=["safetensors"], evaluate=False
        )
        result = work(spec, tmp_path / form, nemo.files)
        assert isinstance(result, ExtractResult)
        (made,) = result.modules
        approach = create_approach(nemo.model.recipe.approach)
        expected = approach.derive(nemo.statistics, [3], threshold).mask
        assert (made.threshold, made.mask_digest) == (threshold, expected.digest())

    @pytest.mark.parametrize("number", [0, 1])
    def test_a_detectors_threshold_comes_from_validation_data(self, modules: Modules, number: int) -> None:
        data, network = modules.model.data, network_of(modules.files(number)).network
        index, recorded = int(GROUPS[number][0]), modules.result.modules[number].metrics
        scores = logits_of(network, data.validation, data)[:, 0]
        threshold = best_threshold(scores, data.validation.labels == index)
        assert figure(recorded, "decision_threshold", "validation") == pytest.approx(threshold, abs=1e-6)
        assert not [m for m in recorded if m.name == "decision_threshold" and m.split != "validation"]
        for split in SPLITS:
            part = data.split(split)
            said, true = logits_of(network, part, data)[:, 0] > threshold, part.labels == index
            f1 = 2 * int((said & true).sum()) / int(said.sum() + true.sum())
            assert figure(recorded, "f1", split) == pytest.approx(f1)

    def test_sizes_are_those_of_the_masks(self, modules: Modules) -> None:
        whole = create("small_cnn", 10, (1, 8, 8))
        standard_size = sum(parameter.numel() for parameter in whole.parameters())
        widths = [32, 32, 32, 64, 64, 96]
        standard_flops = _flops(widths, 10)
        for module, names in zip(modules.result.modules, GROUPS, strict=True):
            mask = modules.model.mask([int(name) for name in names])
            kept = [32, *(int(mask[unit].sum()) for unit in mask)]
            assert module.retention_rate == pytest.approx(sum(kept[1:]) / sum(widths[1:]))
            size, flops = _parameters(kept, len(names)), _flops(kept, len(names))
            if modules.form == "gated":
                assert module.parameters > size
                assert module.flops > flops
            else:
                assert (module.parameters, module.flops) == (size, flops)
            assert module.parameter_rate == pytest.approx(module.parameters / standard_size)
            assert module.flops_rate == pytest.approx(module.flops / standard_flops)

    def test_coupling_counts_the_modules_of_one_class(self, modules: Modules) -> None:
        three, five = modules.model.mask([3]), modules.model.mask([5])
        either, both = three | five, three & five
        overlap = sum(int(both[u].sum()) for u in both) / sum(int(either[u].sum()) for u in either)
        coupling = [m.value for m in modules.result.metrics if m.name == "coupling"]
        assert coupling == [pytest.approx(overlap)]


class TestComposition:
    def test_equals_the_masked_model_on_real_images(self, composed: Composed) -> None:
        model, classes = composed.modules.model, [int(name) for name in COMPOSED]
        mask = reduce(lambda a, b: a | b, [model.mask([5]), model.mask([1, 7])])
        assert mask.digest() == composed.module.mask_digest
        expected = logits_of(
            model.reference(composed.modules.form, mask, classes), model.data.test, model.data
        )
        found = logits_of(composed.stored.network, model.data.test, model.data)
        torch.testing.assert_close(found, expected[:, classes], atol=1e-5, rtol=0)

    def test_recorded_accuracy_is_that_of_the_stored_network(self, composed: Composed) -> None:
        data = composed.modules.model.data
        for split in SPLITS:
            part = data.split(split).restricted([5, 1, 7])
            said = torch.tensor([5, 1, 7])[logits_of(composed.stored.network, part, data).argmax(dim=1)]
            accuracy = (said == part.labels).double().mean().item()
            assert figure(composed.module.metrics, "accuracy", split) == accuracy


class TestEvaluation:
    @pytest.mark.parametrize("split", SPLITS)
    def test_figures_are_of_the_asked_split_only(
        self, composed: Composed, split: Split, tmp_path: Path
    ) -> None:
        result = work(EvaluateSpec(target_id="cmp_1", split=split), tmp_path / "job", composed.files)
        assert isinstance(result, EvaluateResult)
        assert result.metrics == [metric for metric in composed.module.metrics if metric.split == split]

    def test_a_detector_on_validation_data_shows_no_test_figure(
        self, modules: Modules, tmp_path: Path
    ) -> None:
        result = work(EvaluateSpec(target_id="mod_1", split="validation"), tmp_path / "job", modules.files(0))
        recorded = modules.result.modules[0].metrics
        assert result.metrics == [metric for metric in recorded if metric.split == "validation"]

    def test_one_class_of_several_is_told_from_all_others(self, composed: Composed, tmp_path: Path) -> None:
        data, network = composed.modules.model.data, composed.stored.network
        spec = EvaluateSpec(target_id="cmp_1", split="test", classes=["7"])
        metrics = work(spec, tmp_path / "job", composed.files).metrics
        scores = {split: logits_of(network, data.split(split), data)[:, 2] for split in SPLITS}
        threshold = best_threshold(scores["validation"], data.validation.labels == 7)
        said, true = scores["test"] > threshold, data.test.labels == 7
        hits = int((said & true).sum())
        assert {(m.name, m.split): m.value for m in metrics} == {
            ("decision_threshold", "validation"): pytest.approx(threshold, abs=1e-6),
            ("f1", "test"): pytest.approx(2 * hits / int(said.sum() + true.sum())),
            ("precision", "test"): pytest.approx(hits / max(1, int(said.sum()))),
            ("recall", "test"): pytest.approx(hits / int(true.sum())),
        }

    def test_restricted_to_some_classes(self, nemo: Trained, tmp_path: Path) -> None:
        spec = EvaluateSpec(target_id="mdl_1", classes=["7", "2"])
        result = work(spec, tmp_path / "job", nemo.files)
        part = nemo.data.validation.restricted([7, 2])
        logits = logits_of(nemo.model.network, part, nemo.data)[:, [7, 2]]
        accuracy = (torch.tensor([7, 2])[logits.argmax(dim=1)] == part.labels).double().mean().item()
        assert figure(result.metrics, "accuracy", "validation") == accuracy


class TestRefusals:
    def test_gated_modules_of_a_standard_model(self, standard: Trained) -> None:
        with pytest.raises(UnsupportedFormError, match="static"):
            standard.extract("gated")

    def test_unknown_classes(self, nemo: Trained, tmp_path: Path) -> None:
        spec = ExtractSpec(model_id="mdl_1", classes=[["3"], ["eleven"]])
        with pytest.raises(ClassNotInModelError, match="'eleven'"):
            work(spec, tmp_path / "extract", nemo.files)
        with pytest.raises(ClassNotInModelError, match="'eleven'"):
            work(EvaluateSpec(target_id="mdl_1", classes=["eleven"]), tmp_path / "evaluate", nemo.files)


def _parameters(widths: Sequence[int], classes: int) -> int:
    """3x3 convolutions without bias, two numbers of batch normalisation per neuron, the head."""
    convs = 9 * widths[0] + sum(9 * a * b for a, b in pairwise(widths))
    return convs + 2 * sum(widths) + (widths[-1] + 1) * classes


def _flops(widths: Sequence[int], classes: int) -> int:
    stem = 9 * widths[0] * 8 * 8
    units = sum(9 * a * b * side**2 for (a, b), side in zip(pairwise(widths), SIDES, strict=True))
    return stem + units + widths[-1] * classes
