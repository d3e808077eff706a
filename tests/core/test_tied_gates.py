"""`recipe: cleave` on networks with residual streams: the writers of a stream share a gate."""

import copy

import torch
from torch import fx

from core.approaches import create_approach
from core.approaches.class_gates import ClassGate, GateBank, TiedGate, class_gates, gates_with_scores
from core.architectures import create
from core.masks import ModuleMask
from core.specs import CleaveSpec
from core.statistics import ClassStatistics
from core.surgery.extraction import extract
from core.surgery.masking import hard_masked
from core.surgery.streams import stream_groups

SPEC = CleaveSpec(name="nemo")
SHAPE = (3, 32, 32)
APPROACH = create_approach(SPEC)


def attached() -> fx.GraphModule:
    torch.manual_seed(0)
    return APPROACH.attach(create("resnet18", 5, SHAPE), 5)


def mask_of(network: fx.GraphModule, classes: list[int]) -> ModuleMask:
    statistics: ClassStatistics = APPROACH.statistics(
        network, [(torch.empty(0), torch.arange(5))], num_classes=5
    )
    return APPROACH.derive(statistics, classes, 0.9).mask


def test_one_gate_with_scores_for_each_stream() -> None:
    network = attached()
    gates = dict(class_gates(network))
    tied = [gate for gate in gates.values() if isinstance(gate, TiedGate)]
    assert len(gates) == 19
    assert len(tied) == 6  # of three streams with three writers each
    assert len(gates_with_scores(network)) == 13
    assert isinstance(gates["layer2__1__conv2"], TiedGate)
    assert gates["layer2__1__conv2"].source is gates["layer2__0__conv2"]
    assert isinstance(gates["layer1__1__conv2"], ClassGate)  # the stem is in that stream


def test_a_sample_has_one_mask_in_all_of_a_stream() -> None:
    network = attached().train()
    members = torch.tensor([[True, False, True, False, False], [False, True, False, False, True]])
    gates = dict(class_gates(network))
    GateBank(list(gates.values())).fill(members)
    x = torch.zeros(2, 1)
    for group in stream_groups(create("resnet18", 5, SHAPE)):
        masks = [gates[name.replace(".", "__")](x) for name in group]
        assert all(torch.equal(mask, masks[0]) for mask in masks)
        assert 0 < masks[0].mean() < 1
    # Used up: the next pass without sets asks about all classes.
    tied = gates["layer2__1__conv2"]
    assert torch.equal(tied(x), gates["layer2__0__conv2"](x))


def test_a_copy_is_tied_within_itself() -> None:
    """As surgery copies networks: the copy of a tied gate has the copy of the other as its source."""
    network = copy.deepcopy(attached())
    gates = dict(class_gates(network))
    tied = gates["layer3__1__conv2"]
    assert isinstance(tied, TiedGate)
    assert tied.source is gates["layer3__0__conv2"]


def test_modules_lose_channels_of_the_stream_and_compute_the_same() -> None:
    network = attached().eval()
    mask = mask_of(network, [1, 3])
    kept = {name: int(mask[name].sum()) for name in mask}
    assert kept["layer4.0.conv2"] == kept["layer4.0.downsample.conv"] == kept["layer4.1.conv2"] < 512
    plain = APPROACH.finish(network).eval()
    cut = extract(plain, mask, classes=[1, 3], input_shape=SHAPE).network.eval()
    head = cut.get_submodule("head")
    assert head.in_features == kept["layer4.1.conv2"]
    images = torch.randn(4, *SHAPE)
    expected = hard_masked(plain, mask)(images)[:, [1, 3]]
    torch.testing.assert_close(cut(images), expected, atol=1e-5, rtol=1e-5)
    # Nothing is put back into a wider stream but in the first stage.
    scatters = [name for name, _ in cut.named_modules() if name.startswith("channel_fits.")]
    assert all("layer1" in name or "layer2_0" in name for name in scatters), scatters
