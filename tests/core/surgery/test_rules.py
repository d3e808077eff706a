"""The rules, one ten-line network each: what is cut away, what stays, and what the notes say about it."""

import torch
from torch import nn

from core.surgery.attention import HeadAttention
from core.surgery.layers import ChannelGather, ChannelScatter
from core.units import find_units
from tests.core.surgery.cutting import cut, mask_without, network_in
from tests.fixtures.blocks import (
    Attributes,
    BatchJoined,
    CalledTwice,
    Grouped,
    KeywordCalls,
    LayerScale,
    SqueezedMaps,
    UnknownOperation,
)
from tests.fixtures.encoders import Encoder
from tests.fixtures.networks import (
    Chain,
    Concatenated,
    ConvolutionalHead,
    Depthwise,
    FlattenChain,
    Parametrised,
    PreActivation,
    Residual,
    SigmoidGate,
    UnusedParameter,
    randomise,
)


class TestStructure:
    def test_chain_shrinks_on_both_sides(self) -> None:
        model = randomise(Chain())
        small = cut(model, mask_without(model, **{"3": [0, 5, 7], "7": [4]}), (3,)).network
        shapes = {name: tuple(value.shape) for name, value in small.named_parameters() if value.dim() > 1}
        assert shapes == {
            "0.weight": (6, 3, 3, 3), "3.weight": (5, 6, 3, 3), "7.weight": (4, 5, 3, 3), "12.weight": (1, 4),
        }  # fmt: skip

    def test_flatten_repeats_each_channel_per_pixel(self) -> None:
        model = randomise(FlattenChain())
        small = cut(model, mask_without(model, features__3=[1, 4])).network
        per_channel = model.hidden.weight.reshape(7, 5, 16)
        assert torch.equal(small.get_parameter("hidden.weight"), per_channel[:, [0, 2, 3]].flatten(1))

    def test_a_sum_holds_what_either_operand_holds(self) -> None:
        model = randomise(Residual())
        small = cut(model, mask_without(model, first=[0, 1, 2, 3], second=[3, 4, 5])).network
        after, second = small.get_parameter("after.weight"), small.get_parameter("second.weight")
        assert torch.equal(after, model.after.weight[:, [0, 1, 2, 4, 5, 6, 7, 8]])
        assert torch.equal(second, model.second.weight[[0, 1, 2, 6, 7, 8]][:, 4:])
        scatters = [layer for layer in small.modules() if isinstance(layer, ChannelScatter)]
        assert {(layer.index.numel(), layer.width) for layer in scatters} == {(5, 8), (6, 8)}

    def test_a_concatenation_holds_both_sets_in_order(self) -> None:
        model = randomise(Concatenated())
        extraction = cut(model, mask_without(model, left__0=[1], right__0=[0, 6]))
        columns = [0, 2, 3, 5, 6, 7, 8, 9]
        assert torch.equal(extraction.network.get_parameter("after.weight"), model.after.weight[:, columns])
        assert extraction.notes == ()

    def test_a_gated_product_holds_what_both_operands_hold(self) -> None:
        model = randomise(SigmoidGate())
        extraction = cut(model, mask_without(model, features__3=[2, 3]))
        gathers = [layer for layer in extraction.network.modules() if isinstance(layer, ChannelGather)]
        assert [layer.index.tolist() for layer in gathers] == [[0, 1, 4, 5, 6, 7]]
        assert extraction.network.get_submodule("after").in_channels == 6
        assert extraction.notes == ()

    def test_operands_by_keyword_are_cut_alike(self) -> None:
        model = randomise(KeywordCalls())
        extraction = cut(model, mask_without(model, left=[1], right=[0, 6], after=[2]))
        columns = [0, 2, 3, 5, 6, 7, 8, 9]
        rows = model.after.weight[[0, 1, 3, 4]]
        assert torch.equal(extraction.network.get_parameter("after.weight"), rows[:, columns])
        assert extraction.network.get_submodule("head").in_features == 4 * 16
        assert extraction.notes == ()

    def test_generators_shrink_with_their_units(self) -> None:
        modular = network_in("gated", "Chain")
        small = cut(modular, mask_without(modular, **{"3": [0, 5, 7], "7": [4]})).network
        widths = [small.get_parameter(f"mask_generators.7.{layer}.weight").shape for layer in (2, 4)]
        assert widths == [(2, 5), (4, 2)]
        assert not any(isinstance(layer, ChannelGather) for layer in small.modules())

    def test_a_depthwise_convolution_keeps_its_own_neurons(self) -> None:
        """What its input lacks is zeros; what it drops itself, the layer before need not compute."""
        model = randomise(Depthwise())
        extraction = cut(model, mask_without(model, expand__0=[0, 1], depthwise=[1, 2]))
        depthwise = extraction.network.get_submodule("depthwise")
        assert isinstance(depthwise, nn.Conv2d)
        assert (depthwise.groups, depthwise.in_channels, depthwise.out_channels) == (6, 6, 6)
        assert extraction.network.get_submodule("expand.0").out_channels == 5
        assert extraction.network.get_submodule("project").in_channels == 6
        assert extraction.notes == ()

    def test_heads_lose_channels_of_q_and_k_together_and_of_v_alone(self) -> None:
        model = randomise(Encoder())
        dropped = {"blocks__1__q": [0, 5], "blocks__1__k": [0, 1, 7], "blocks__1__v": [4, 5, 6]}
        extraction = cut(model, mask_without(model, **dropped))
        widths = {name: extraction.network.get_submodule(f"blocks.1.{name}").out_features for name in "qkv"}
        assert widths == {"q": 4, "k": 4, "v": 5}
        assert extraction.network.get_submodule("blocks.1.proj").in_features == 5
        attention = extraction.network.get_submodule("head_attention.scaled_dot_product_attention_1")
        assert isinstance(attention, HeadAttention)
        assert attention.q_index is not None
        assert attention.v_index is not None
        assert attention.q_index.tolist() == [[1, 2], [3, 4]]
        assert attention.v_index.tolist() == [[1, 2, 3, 4], [5, 0, 0, 0]]
        assert extraction.notes == ()

    def test_a_factor_per_channel_is_cut_itself(self) -> None:
        model = randomise(LayerScale())
        small = cut(model, mask_without(model, left=[0, 1, 2])).network
        assert torch.equal(small.get_parameter("scale"), model.scale[3:])

    def test_unused_parameters_are_left_behind(self) -> None:
        model = randomise(UnusedParameter())
        names = {name for name, _ in cut(model, mask_without(model)).network.named_parameters()}
        assert names == {name for name, _ in model.named_parameters()} - {"unused"}


class TestPins:
    """Where an absent channel could change the function, it stays; the report says where and why."""

    def test_normalisation_outside_a_unit(self) -> None:
        model = randomise(PreActivation())
        extraction = cut(model, mask_without(model, left=[0, 1], right=[0, 2]))
        assert extraction.notes == (
            "add stays at 8 channels for norm: batch normalisation outside a unit turns zero into a constant",
        )
        assert extraction.network.get_submodule("after").in_channels == 8
        assert extraction.network.get_submodule("left").out_channels == 6

    def test_normalisation_over_channels(self) -> None:
        model = randomise(LayerScale())
        extraction = cut(model, mask_without(model, left=[0, 1], right=[0, 2]))
        assert extraction.notes == (
            "relu stays at 8 channels for norm: its statistics are taken over channels, absent ones included",
        )

    def test_operations_without_a_rule(self) -> None:
        model = randomise(UnknownOperation())
        notes = cut(model, mask_without(model, conv=[0, 1])).notes
        assert notes == (
            "conv stays at 8 channels for softplus: no rule says that softplus keeps absent channels zero",
            "conv stays at 8 channels for mean: it reduces over channels",
        )

    def test_a_layer_called_twice_on_different_channels(self) -> None:
        model = randomise(CalledTwice())
        extraction = cut(model, mask_without(model, left=[0, 1], right=[2]))
        assert [note.split(":")[0] for note in extraction.notes] == [
            "left stays at 8 channels for shared",
            "right stays at 8 channels for shared",
        ]
        assert extraction.network.get_submodule("shared").in_channels == 8

    def test_grouped_convolutions(self) -> None:
        model = randomise(Grouped())
        extraction = cut(model, mask_without(model, expand__0=[0, 1], project=[3]))
        assert extraction.notes == (
            "expand.1 stays at 8 channels for grouped: grouped convolutions are not cut",
        )
        assert extraction.network.get_submodule("head").in_features == 4

    def test_layers_that_compute_their_weights(self) -> None:
        model = randomise(Parametrised())
        assert [unit.name for unit in find_units(model)] == ["before", "after"]
        notes = cut(model, mask_without(model, before=[0, 1], after=[3])).notes
        assert [note.split(":")[0] for note in notes] == [
            "relu stays at 8 channels for scaled",
            "relu_2 stays at 5 channels for last",
        ]
        assert all(
            "no rule says that ParametrizedConv2d keeps absent channels zero" in note for note in notes
        )

    def test_a_gated_unit_goes_by_its_layers_name(self) -> None:
        modular = network_in("gated", "UnknownOperation")
        notes = cut(modular, mask_without(modular, conv=[0])).notes
        assert notes[0].startswith("mask_norms.conv stays at 8 channels for softplus")

    def test_channels_joined_with_the_batch(self) -> None:
        model = randomise(BatchJoined())
        joined, moved = (
            "the reshape joins channels with the batch",
            "the batch does not stay the first dimension",
        )
        assert cut(model, mask_without(model, conv=[1, 4])).notes == (
            f"relu stays at 8 channels for flatten: {joined}",
            f"relu stays at 8 channels for reshape: {joined}",
            f"relu stays at 8 channels for permute: {moved}",
            f"relu stays at 8 channels for transpose: {moved}",
        )

    def test_attributes_that_are_values(self) -> None:
        model = randomise(Attributes())
        extraction = cut(model, mask_without(model, conv=[0, 3]))
        reason = "is of a value that lacks channels"
        assert [note for note in extraction.notes if "getattr" in note] == [  # getattr_1 is shape
            f"view stays at 8 channels for getattr_2: no rule says what T {reason}",
            f"view stays at 8 channels for getattr_3: no rule says what data {reason}",
        ]

    def test_a_squeeze_that_drops_some_of_its_dimensions(self) -> None:
        model = randomise(SqueezedMaps())
        reason = "which dimensions it drops depends on the batch or on their sizes"
        notes = cut(model, mask_without(model, conv=[0, 3])).notes
        assert notes == (f"permute stays at 8 channels for squeeze: {reason}",)


class TestReport:
    def test_tells_what_had_to_stay_and_what_no_mask_reaches(self) -> None:
        model = randomise(Grouped())
        lines = cut(model, mask_without(model, expand__0=[0])).report().splitlines()
        assert lines == [
            "expand.1 stays at 8 channels for grouped: grouped convolutions are not cut",
            "stem.0 is no unit: the first convolution is never masked",
            "grouped is no unit: a grouped convolution",
            "head is no unit: it writes the logits",
        ]

    def test_what_writes_the_logits(self) -> None:
        model = randomise(ConvolutionalHead())
        extraction = cut(model, mask_without(model, features__3=[1]), (1, 2))
        assert "classify is no unit: it writes the logits" in extraction.report().splitlines()

    def test_encoder_layers_outside_the_units(self) -> None:
        model = randomise(Encoder())
        lines = cut(model, mask_without(model)).report().splitlines()
        assert lines[0] == "every unit is cut to its mask"
        assert "blocks.0.fc1 is no unit: it lies outside the encoder blocks from the second on" in lines
        assert not any(line.startswith("blocks.1.") for line in lines)

    def test_a_gated_module_reports_neither_generators_nor_their_norms(self) -> None:
        modular = network_in("gated", "Chain")
        assert [line.split(":")[0] for line in cut(modular, mask_without(modular)).report().splitlines()] == [
            "every unit is cut to its mask", "0 is no unit", "12 is no unit",
        ]  # fmt: skip
