"""Steps replayed from a CUDA graph are the plain steps; without a GPU only a refusal is seen."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from core.catalog import DATASETS
from core.datasets import ImageData, ImageSplit
from core.devices import deterministic_algorithms
from core.replay import Replay, own_stream
from core.specs import ApproachSpec, CleaveSpec, ModaSpec, MwtSpec, NemoSpec, StandardSpec, TrainSpec
from core.trainer import Trainer

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
BATCH = 32


def cifar_like(count: int) -> ImageData:
    random = torch.Generator().manual_seed(0)

    def split(size: int) -> ImageSplit:
        images = torch.randint(0, 256, (size, 3, 32, 32), generator=random, dtype=torch.uint8)
        return ImageSplit(images, torch.randint(0, 10, (size,), generator=random))

    return ImageData.of(DATASETS["cifar10"], split(count), split(20), split(20))


def trained(architecture: str, approach: ApproachSpec, *, replayed: bool) -> dict[str, Tensor]:
    """Two epochs of six whole batches and a smaller one: capture in the first, a new rate in the second."""
    cuda = torch.device("cuda")
    values: dict[str, Any] = {"architecture": architecture, "dataset": "cifar10", "batch_size": BATCH}
    spec = TrainSpec.model_validate(values | {"epochs": 2, "seed": 3, "approach": approach})
    with deterministic_algorithms(cuda, enabled=True):
        trainer = Trainer(spec, cifar_like(6 * BATCH + 5), cuda)
        trainer.replays &= replayed
        found: dict[str, Tensor] = {}
        with trainer.running():
            for epoch in range(2):
                for images, labels in trainer.remaining_batches():
                    trainer.train_on(images, labels)
                found |= {f"{epoch} {name}": torch.tensor(v) for name, v in trainer.tally.means().items()}
                trainer.finish_epoch()
            if replayed:
                assert trainer.replay is not None
                assert trainer.replay.captured, trainer.replay.refusal
        return found | trainer.snapshot().tensors


@on_gpu
@pytest.mark.parametrize("architecture", ["vgg16", "resnet18", "vit_small"])
@pytest.mark.parametrize("approach", [StandardSpec(), CleaveSpec(), NemoSpec(), MwtSpec(), ModaSpec()])
def test_replayed_steps_end_with_the_same_bits(architecture: str, approach: ApproachSpec) -> None:
    """VGG16 has dropout, whose draws differ from step to step."""
    if architecture == "vit_small" and isinstance(approach, ModaSpec):
        pytest.skip("MODA needs ReLUs")
    replayed = trained(architecture, approach, replayed=True)
    plain = trained(architecture, approach, replayed=False)
    assert [name for name in plain if not torch.equal(plain[name], replayed[name])] == []


def test_a_step_that_cannot_be_captured_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU where a layer waits for the device."""
    seen, released = [], []

    def work(images: Tensor, _labels: Tensor) -> Mapping[str, Tensor]:
        seen.append(len(images))
        return {"sum": images.sum()}

    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing\nand a long explanation")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", object)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: None)
    monkeypatch.setattr(torch.cuda, "graph", refuse)
    replay = Replay(work, 2, lambda: released.append(len(seen)))
    sizes = [2, 2, 2, 1, 2, 2, 1]
    sums = [replay(torch.full((n,), float(i)), torch.zeros(n))["sum"].item() for i, n in enumerate(sizes)]
    assert sums == [0, 2, 4, 3, 8, 10, 6]
    assert seen == sizes
    assert replay.refusal == "operation not permitted when stream is capturing"
    assert not replay.captured
    assert released == [4]  # a smaller batch is never captured


def test_a_processor_has_no_streams() -> None:
    with own_stream(torch.device("cpu")):
        assert torch.ones(1).item() == 1
