"""Uploaded tensors in a network of ours: all by name and shape, or a message that names what is wrong."""

import io
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor, nn

from core.architectures import create
from core.errors import WeightsMismatchError, WeightsNotFiniteError
from core.foreign_weights import fill
from core.results import WeightsReport
from core.weights_file import WeightsFile

SHAPE = (1, 8, 8)


def network(seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = create("small_cnn", 10, SHAPE)
    for layer in made.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            layer.running_mean.add_(seed)
    return made


def filled(tensors: Mapping[str, Tensor]) -> tuple[nn.Module, WeightsReport]:
    content = save({name: value.contiguous() for name, value in tensors.items()})
    target = network(1)
    return target, fill(target, WeightsFile(io.BytesIO(content), len(content)))


def test_the_filled_network_computes_what_the_other_did() -> None:
    source = network(2).eval()
    target, report = filled(source.state_dict())
    images = torch.randn(4, *SHAPE)
    assert torch.equal(target.eval()(images), source(images))
    assert (report.tensors, report.stripped_prefix, report.notes) == (len(source.state_dict()), "", [])


@pytest.mark.parametrize("prefix", ["module.", "model.module.", "_orig_mod."])
def test_what_wrappers_put_before_names_is_taken_off_and_said(prefix: str) -> None:
    source = network(2)
    target, report = filled({f"{prefix}{name}": value for name, value in source.state_dict().items()})
    assert report.stripped_prefix == prefix
    assert any(repr(prefix) in note for note in report.notes)
    for name, value in target.state_dict().items():
        assert torch.equal(value, source.state_dict()[name])


def test_a_prefix_that_only_some_names_have_is_none() -> None:
    first, *others = network(2).state_dict().items()
    named = {f"module.{first[0]}": first[1], **dict(others)}
    with pytest.raises(WeightsMismatchError, match=r"1 missing: .*1 unexpected: 'module\."):
        filled(named)


@pytest.mark.parametrize(
    ("dtype", "name"), [(torch.float16, "F16"), (torch.bfloat16, "BF16"), (torch.float64, "F64")]
)
def test_other_floats_are_converted_and_said(dtype: torch.dtype, name: str) -> None:
    source = network(2).state_dict()
    given = {key: value.to(dtype) if value.is_floating_point() else value for key, value in source.items()}
    target, report = filled(given)
    assert report.dtypes[name] > 1
    assert any(name in note for note in report.notes)
    for key, value in target.state_dict().items():
        assert torch.equal(value, given[key].to(value.dtype))


def test_counters_of_batches_may_lack() -> None:
    source = network(2).state_dict()
    target, report = filled({k: v for k, v in source.items() if not k.endswith("num_batches_tracked")})
    assert any("num_batches_tracked" in note for note in report.notes)
    assert torch.equal(target.state_dict()["head.weight"], source["head.weight"])


class TestRefusals:
    def changed(self, **changes: Any) -> dict[str, Tensor]:
        tensors = dict(network(2).state_dict())
        for name, value in changes.items():
            key = name.replace("__", ".")
            tensors.pop(key, None) if value is None else tensors.update({key: value})
        return tensors

    def test_each_kind_of_difference_is_named(self) -> None:
        wrong = self.changed(head__bias=None, extra=torch.ones(1), head__weight=torch.ones(5, 2))
        with pytest.raises(WeightsMismatchError) as refusal:
            filled(wrong)
        message = str(refusal.value)
        assert "1 missing: 'head.bias'" in message
        assert "1 unexpected: 'extra'" in message
        assert "1 different: 'head.weight' is F32 [5, 2], the network's float32 [10, " in message

    def test_whole_numbers_are_no_weights(self) -> None:
        with pytest.raises(WeightsMismatchError, match=r"is I64 \[10\], the network's float32 \[10\]"):
            filled(self.changed(head__bias=torch.ones(10, dtype=torch.int64)))

    def test_long_lists_are_cut(self) -> None:
        with pytest.raises(WeightsMismatchError) as refusal:
            filled({f"{'x' * 500}{number}": torch.ones(1) for number in range(1000)})
        assert "1000 unexpected" in str(refusal.value)
        assert "and 990 more" in str(refusal.value)
        assert len(str(refusal.value)) < 4000

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_numbers_that_are_none_are_refused(self, value: float) -> None:
        bias = torch.zeros(10)
        bias[3] = value
        with pytest.raises(WeightsNotFiniteError, match=r"head\.bias"):
            filled(self.changed(head__bias=bias))

    def test_so_are_those_too_large_for_the_network_s_type(self) -> None:
        bias = torch.full((10,), 1e300, dtype=torch.float64)
        with pytest.raises(WeightsNotFiniteError, match=r"head\.bias"):
            filled(self.changed(head__bias=bias))
